"""Torchvision's classifiers by name: weights files, published weights, and no network."""

from __future__ import annotations

import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from deap_xai.backends.torchvision_models import (
    _renamed,
    read_weights,
    torchvision_backend,
    torchvision_names,
)
from deap_xai.errors import BackendError, SettingError

NAME = "mobilenet_v3_small"


def make(name: str = NAME, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, **options).eval()


def write(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def assert_answers_like(backend, module):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    view = backend.view(image)
    assert view.shape == (224, 224, 3)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.tensor(view) / 255 - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = module(x).softmax(dim=1).numpy()
    assert backend.predict(view[None]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("n_classes", [1000, 7])
def test_weights_files(tmp_path, suffix, n_classes):
    module = make(num_classes=n_classes)
    path = write(module.state_dict(), tmp_path / f"weights{suffix}")
    backend = torchvision_backend(NAME, weights=path, device="cpu")
    assert_answers_like(backend, module)
    assert backend.name == NAME
    assert backend.class_names is None if n_classes == 7 else backend.class_names[0] == "tench"


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_checkpoints_around_a_state_dict(tmp_path, key):
    module = make(num_classes=3)
    state = {f"module.{name}": value for name, value in module.state_dict().items()}
    path = write({key: state, "epoch": 3}, tmp_path / "weights.pt")
    backend = torchvision_backend(NAME, weights=path, class_names=list("abc"), device="cpu")
    assert_answers_like(backend, module)
    assert backend.class_names == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121", "googlenet", "regnet_y_400mf"])
def test_other_heads(tmp_path, name):
    options = {"init_weights": True} if name == "googlenet" else {}
    module = make(name, num_classes=5, **options)
    path = write(module.state_dict(), tmp_path / "weights.safetensors")
    assert_answers_like(torchvision_backend(name, weights=path, device="cpu"), plain(module))


def plain(module):
    """GoogLeNet by torchvision's loader normalises once more; by hand that must be told."""
    if hasattr(module, "transform_input"):
        module.transform_input = True
    return module


def test_densenets_old_keys_are_renamed():
    """As torchvision's own loader does: the published files have a dot too many."""
    old = {
        "features.denseblock1.denselayer2.norm.1.weight": 1,
        "features.denseblock1.denselayer2.conv.2.weight": 2,
        "features.denseblock1.denselayer2.norm1.bias": 3,
        "classifier.weight": 4,
    }
    assert list(_renamed(old)) == [
        "features.denseblock1.denselayer2.norm1.weight",
        "features.denseblock1.denselayer2.conv2.weight",
        "features.denseblock1.denselayer2.norm1.bias",
        "classifier.weight",
    ]


def test_another_architectures_weights(tmp_path):
    path = write(make("squeezenet1_1", num_classes=3).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(
        BackendError, match=f"weights in .*weights.pth don't fit {NAME}; name the architecture"
    ):
        torchvision_backend(NAME, weights=path)
    write(make("mobilenet_v3_large", num_classes=3).state_dict(), path)
    with pytest.raises(BackendError, match=f"don't fit {NAME}; name .* Missing key") as raised:
        torchvision_backend(NAME, weights=path)
    assert len(str(raised.value)) < 500  # the keys are hundreds


class Bomb:
    def __reduce__(self):
        return exec, ("import pathlib, os; pathlib.Path(os.environ['BOMB']).write_text('boom')",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_no_code_in_a_file_is_run(tmp_path, monkeypatch, how):
    path, crater = tmp_path / "weights.pth", tmp_path / "crater"
    monkeypatch.setenv("BOMB", str(crater))
    if how == "torch":
        torch.save({"a": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(
        BackendError, match=r"can't read weights from .*holding nothing but tensors"
    ):
        read_weights(path)
    assert not crater.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_files_that_hold_no_weights(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"can't read weights from .*expected .safetensors, or"):
        read_weights(path)


def test_files_that_hold_something_else(tmp_path):
    with pytest.raises(BackendError, match=r"holds list, expected a state dict of tensors"):
        read_weights(write([torch.zeros(1)], tmp_path / "list.pth"))
    with pytest.raises(BackendError, match=r"holds dict, expected a state dict of tensors"):
        read_weights(write({"a": 1}, tmp_path / "dict.pth"))
    with pytest.raises(BackendError, match=r"no weights file at .*missing.pth; check the path"):
        read_weights(tmp_path / "missing.pth")
    with pytest.raises(BackendError, match=r"no weights file at"):
        read_weights(tmp_path)


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(BackendError, match=r"can't download the weights of resnet18") as caught:
        torchvision_backend("resnet18")
    message = str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in message
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert "--weights FILE" in message
    assert "deap-xai demo" in message


def test_published_weights_from_the_cache(tmp_path, monkeypatch):
    module = make()
    url = torchvision.models.get_model_weights(NAME).DEFAULT.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = write(module.state_dict(), folder / url.rpartition("/")[2])
    backend = torchvision_backend(NAME, device="cpu", batch_size=2)
    assert_answers_like(backend, module)
    assert backend.class_names[207] == "golden retriever"
    assert backend.batch_size == 2
    path.write_bytes(b"half a file")
    with pytest.raises(BackendError, match=r"can't read .*\.pth .*delete it"):
        torchvision_backend(NAME, device="cpu")


def test_names_are_classifiers_only():
    names = torchvision_names()
    assert {"resnet50", "densenet121", "vit_b_16", "mobilenet_v2"} <= set(names)
    assert not any("deeplab" in name or "quantized" in name for name in names)


@pytest.mark.parametrize(
    "weights", [torchvision.models.SqueezeNet1_1_Weights.DEFAULT, {"conv": torch.zeros(2)}]
)
def test_weights_are_a_file(weights):
    with pytest.raises(SettingError, match=r"weights must be a file; got .*leave them out"):
        torchvision_backend("squeezenet1_1", weights=weights)
