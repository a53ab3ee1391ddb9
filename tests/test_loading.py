"""From what the user calls a model to a backend."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torchvision

from deap_xai.backends import Backend, FunctionBackend, backends, load_backend
from deap_xai.backends.classes import class_index, class_name
from deap_xai.backends.torch_module import TorchBackend
from deap_xai.errors import BackendError, SettingError


def halves(images):
    return np.full((len(images), 2), 0.5)


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A user's own file in the working directory."""
    monkeypatch.chdir(tmp_path)
    text = (
        "import torch\nnumber = 5\nnet = torch.nn.Linear(2, 2)\ndef classify(x): return [[1, 0]]\n"
    )
    (tmp_path / "users_own_models.py").write_text(text)
    yield "users_own_models"
    sys.modules.pop("users_own_models", None)


def test_kinds_of_models(code):
    assert isinstance(load_backend(halves), FunctionBackend)
    assert isinstance(load_backend(torch.nn.Linear(2, 2), device="cpu"), TorchBackend)
    ready = FunctionBackend(halves)
    assert load_backend(ready) is ready
    path = list(sys.path)
    assert isinstance(load_backend(f"{code}:classify"), FunctionBackend)
    assert isinstance(load_backend(f"{code}:net", device="cpu"), TorchBackend)
    assert sys.path == path


def test_plug_ins_may_name_models_themselves(monkeypatch):
    ready = FunctionBackend(halves)
    module = torch.nn.Linear(2, 2)
    kinds = {
        "ready": (ready, FunctionBackend),
        "module": (module, TorchBackend),
        "function": (halves, FunctionBackend),
        "makes_a_module": (lambda: torch.nn.Linear(2, 2), TorchBackend),
        "makes_a_function": (lambda: halves, FunctionBackend),
    }
    for name, (thing, kind) in kinds.items():
        monkeypatch.setitem(backends._functions, name, thing)
        assert isinstance(load_backend(name), kind)
    assert load_backend("ready") is ready
    assert load_backend("module").name == "module"
    monkeypatch.setitem(backends._functions, "deep", lambda *, n=2: torch.nn.Linear(n, n))
    assert load_backend("deep:n=3").name == "deep:n=3"
    assert load_backend("makes_a_module", batch_size=3, device="cpu").name == "makes_a_module"
    monkeypatch.setitem(backends._functions, "named", "ready")
    assert load_backend("named") is ready
    assert load_backend("function", batch_size=5).batch_size == 5
    monkeypatch.setitem(backends._functions, "makes_none", lambda: 5)
    with pytest.raises(SettingError, match=r"model must be a name.*got int"):
        load_backend("makes_none")


@pytest.mark.parametrize("kind", ["function", "class"])
def test_what_makes_a_model_takes_parameters_from_the_name(monkeypatch, kind):
    class Made(FunctionBackend):
        def __init__(self, path, *, shade=1):
            super().__init__(halves)
            self.path, self.shade = path, shade

    make = Made if kind == "class" else lambda path, *, shade=1: Made(path, shade=shade)
    monkeypatch.setitem(backends._functions, "mine", make)
    made = load_backend("mine:path=x.bin", shade=3)
    assert (made.path, made.shade) == ("x.bin", 3)
    if kind == "class":
        with pytest.raises(SettingError, match=r"model must be a name.*got the class Made"):
            load_backend("mine")
    with pytest.raises(SettingError, match="the backend 'mine' takes no option 'n'; it takes: pa"):
        load_backend("mine:path=x.bin,n=3")


def test_registered_backends_take_options_and_values(monkeypatch):
    def toy(*, n=2, batch_size=4):
        return FunctionBackend(lambda x: np.full((len(x), n), 1 / n), batch_size=batch_size)

    monkeypatch.setitem(backends._functions, "toy", toy)
    assert load_backend("toy").batch_size == 4
    backend = load_backend("toy:n=5", batch_size=9)
    assert backend.batch_size == 9
    assert backend.predict(np.zeros((1, 2, 2, 3))).shape == (1, 5)
    with pytest.raises(
        SettingError, match=r"the backend 'toy' takes no option 'weights'; it takes: n"
    ):
        load_backend("toy", weights="x")
    with pytest.raises(SettingError, match=r"no option 'm'"):
        load_backend("toy:m=5")
    with pytest.raises(
        SettingError, match=r"halves is a ready Backend, which takes no device; give it where"
    ):
        load_backend(FunctionBackend(halves), device="cpu")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet_18", "unknown model 'resnet_18'; did you mean 'resnet18'"),
        ("mymodels.py", r"unknown model 'mymodels.py'; what mymodels.py makes is mymodels:NAME"),
        ("model.pth", r"unknown model 'model.pth'.*deap-xai list models"),
        (5, "model must be a name, a torch.nn.Module, a function or a Backend; got int"),
        (None, "got NoneType"),
        (torch.nn.Linear, "got the class Linear"),
        (FunctionBackend, "got the class FunctionBackend"),
        (torchvision.models.resnet18, r"'resnet18' can't be called with \(images\).*what builds a"),
        (lambda: None, r"can't be called with \(images\): too many positional arguments"),
    ],
)
def test_what_is_no_model(model, message):
    with pytest.raises(SettingError, match=message):
        load_backend(model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no_such_module:net",
            "can't import no_such_module:net .*expected package.module:attribute",
        ),
        ("users_own_models:nothing", "can't import users_own_models:nothing .*no attribute"),
        (":net", "can't import :net"),
        (".x:net", r"can't import \.x:net"),
    ],
)
def test_code_that_is_not_there(code, name, message):
    with pytest.raises(BackendError, match=message):
        load_backend(name)


def test_code_that_is_no_model(code):
    with pytest.raises(SettingError, match=r"got int"):
        load_backend(f"{code}:number")


def test_code_that_fails_is_told_as_the_users(code, tmp_path):
    (tmp_path / "users_own_models.py").write_text("net = (\n")
    with pytest.raises(BackendError, match=r"users_own_models: .*own_models.py, line 1"):
        load_backend("users_own_models:net")


def test_names_in_a_spec_are_a_list_too(monkeypatch):
    def toy(*, class_names=None):
        return FunctionBackend(halves, class_names=class_names)

    monkeypatch.setitem(backends._functions, "toy", toy)
    assert load_backend("toy:class_names=['a', 'b']").class_names == ["a", "b"]
    with pytest.raises(SettingError, match=r"list of names.*'ab' .--classes takes a"):
        load_backend("toy:class_names=ab")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            FunctionBackend(halves),
            {"size": 3},
            "is a ready Backend, which takes no size; give it",
        ),
        (halves, {"weights": "x"}, "a function takes no option 'weights'; it takes: size"),
        (torch.nn.Linear(1, 1), {"weights": "x"}, "a torch module takes no option 'weights'"),
        (
            "resnet18",
            {"size": 3},
            "torchvision's resnet18 takes no option 'size'; it takes: weights",
        ),
        (halves, {"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        (halves, {"batch_size": 2.5}, "batch_size must be a whole number of .*; got 2.5"),
        (halves, {"batch_size": "8"}, "batch_size must be a whole number of .*; got '8'"),
    ],
)
def test_options_that_do_not_apply(model, options, message):
    with pytest.raises(SettingError, match=message):
        load_backend(model, **options)


def test_options_left_at_none_and_devices_of_functions_do_not_count():
    backend = load_backend(halves, weights=None, device="cpu", batch_size=3)
    assert backend.batch_size == 3
    assert isinstance(backend, Backend)
    assert isinstance(load_backend(halves, device="cuda"), Backend)
    with pytest.raises(SettingError, match="a file run on the CPU; got device 'mps': leave device"):
        load_backend("model.onnx", device="mps")
    with pytest.raises(BackendError, match=r"model\.onnx"):
        load_backend("model.onnx", device="cpu:0")  # only the file is missing


def test_names_that_only_case_tells_apart():
    names = ["Cardigan", "tree frog", "cardigan"]
    assert [class_index(name, names) for name in ("cardigan", "Cardigan", "Tree_Frog")] == [2, 0, 1]
    with pytest.raises(SettingError, match=r"of the classes 'Cardigan' \(0\), 'cardigan' \(2\)"):
        class_index("CARDIGAN", names)
    with pytest.raises(SettingError, match=r"of the classes 'crane' \(0\), 'crane' \(2\); give an"):
        class_index("crane", ["crane", "kite", "crane"])  # ImageNet's bird, and its machine
    assert class_index("frog", np.array(["toad", "frog"])) == 1
    named = ["fog", "sarong", "tree frog", "great tailed frog", "frogmouth"]
    with pytest.raises(
        SettingError, match="did you mean 'tree frog' or 'great tailed frog' or 'fog'"
    ):
        class_index("FROG", named)


def test_class_names():
    names = ["tree frog", "Bull_Frog", "7"]
    assert class_name(1, names) == "Bull_Frog"
    assert class_name(3, names) == class_name(3, None) == "class 3"
    assert class_index("TREE_FROG", names) == 0
    assert class_index(" bull frog", names) == 1
    for two in (np.int64(2), np.array(2), torch.tensor(2)):
        assert class_index(two, names) == 2
    assert class_index("5", None) == class_index("Class 5", None) == 5
    assert class_index("class 1", ["class 1", "class 2"]) == 0
    assert class_index("5.0", None) == 5  # as pandas writes whole numbers beside gaps


def test_classes_of_one_name_are_told_apart():
    names = ["crane", "kite", "crane"]
    assert [class_name(n, names) for n in range(3)] == ["crane (0)", "kite", "crane (2)"]
    assert [class_index(class_name(n, names), names) for n in range(3)] == [0, 1, 2]
    with pytest.raises(SettingError, match="no class of this model"):
        class_index("kite (2)", names)


def test_digits_name_the_class_of_that_name():
    assert class_index("7", ["3", "7"]) == 1
    assert class_index("1", ["3", "7"]) == 1


@pytest.mark.parametrize(
    "names",
    ["names.txt", {"frog", "toad"}, {0: "frog", 1: "toad"}, 7,
     np.array("frog"), np.array([["frog"], ["toad"]])],
)  # fmt: skip
def test_names_of_classes_are_a_list(names):
    with pytest.raises(SettingError, match="class_names must be a list of names, in the order of"):
        load_backend(lambda images: [[0.5, 0.5]] * len(images), class_names=names)
    for fine in (["frog", "toad"], ("frog", "toad"), np.array(["frog", "toad"])):
        assert (
            class_index("toad", load_backend(lambda images: 0, class_names=fine).class_names) == 1
        )


@pytest.mark.parametrize(
    ("target", "names", "message"),
    [
        (
            "tree frg",
            ["tree frog"],
            "'tree frg' is no class of this model; did you mean 'tree frog'",
        ),
        ("zzz", ["tree frog"], "'zzz' is no class of this model$"),
        ("frog", None, "has no class names; give an index"),
        (-1, None, "must be a class index from 0 up; got -1"),
        (True, None, "target must be a class's index or name; got True"),
        ("class x", None, "has no class names; give an index"),
        (1.5, None, "target must be a class's index or name; got 1.5"),
        (np.array([1, 2]), None, "target must be a class's index or name; got array"),
    ],
)
def test_what_is_no_class(target, names, message):
    with pytest.raises(SettingError, match=message):
        class_index(target, names)
