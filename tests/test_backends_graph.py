"""Graphs on ONNX Runtime and OpenVINO: drawn right, asked in the layout that they want."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from conftest import openvino_has_bf16
from hypothesis import given
from hypothesis import strategies as st
from torchvision import transforms

from deap_xai.backends import load_backend
from deap_xai.backends.graph import Graph, GraphBackend, Layout, read_layout, threads
from deap_xai.errors import BackendError, MissingExtraError, SettingError
from deap_xai.masking import MaskedView

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
WEIGHTS = np.random.default_rng(5).normal(0, 2, (3, 4)).astype(np.float32)


def masked(height=6, width=8, seed=0):
    rng = np.random.default_rng(seed)
    view, fill = rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    segments = (np.arange(height * width) % 5).reshape(height, width).astype(np.int32)
    return MaskedView(view, segments, fill), rng.random((11, 5)) < 0.5


def logits_of(views, mean=(0, 0, 0), std=(1, 1, 1)):
    """What the files below answer, from the definition: the mean colour times the weights."""
    values = (views / np.float64(255) - mean) / std
    return values.mean(axis=(1, 2)) @ WEIGHTS


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


# The backend alone, on a graph that only notes what it is given


class Noted:
    def __init__(self, batch=None, channels_last=False, dtype="float32", answer=None):
        self.layout = Layout(batch, None, None, channels_last, np.dtype(dtype))
        self.given, self.arrays, self.answer = [], [], answer

    def run(self, inputs):
        self.given.append(inputs.copy())
        self.arrays.append(inputs)
        return np.full((len(inputs), 2), 2.0) if self.answer is None else self.answer(inputs)

    def backend(self, batch_size=4, mean=MEAN, std=STD):
        return GraphBackend(
            lambda height, width: Graph(self.layout, self.run), lambda image: image,
            mean=mean, std=std, name="noted", engine="onnx", batch_size=batch_size, digest=str,
        )  # fmt: skip


def wanted(views, layout):
    """The slow way: picture by picture, as a transform would."""
    one = views if layout.dtype == np.uint8 else (views / 255 - MEAN) / STD
    return one if layout.channels_last else one.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_a_graph_gets_masked_views_in_its_own_layout(channels_last, dtype):
    noted = Noted(channels_last=channels_last, dtype=dtype)
    masked_view, masks = masked()
    views = masked_view.render(masks)
    backend = noted.backend()
    backend.predict_masked(masked_view, masks)
    backend.predict(views)
    drawn, plain = noted.given[:3], noted.given[3:]
    assert [len(x) for x in drawn] == [4, 4, 3]
    expected = wanted(views, noted.layout)
    for found in (np.concatenate(drawn), np.concatenate(plain)):
        assert found.dtype == dtype
        assert found.astype(float) == pytest.approx(
            expected, abs=5e-3 if dtype == "float16" else 1e-6
        )


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99), st.booleans())
def test_drawing_is_exact_for_any_view(height, width, seed, channels_last):
    rng = np.random.default_rng(seed)
    n_segments = int(rng.integers(1, height * width + 1))
    labels = rng.permutation(np.r_[: height * width] % n_segments).reshape(height, width)
    view, fill = rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    masks = rng.random((5, n_segments)) < 0.5
    noted = Noted(channels_last=channels_last)
    masked_view = MaskedView(view, labels.astype(np.int32), fill)
    backend = noted.backend(batch_size=3)
    backend.predict_masked(masked_view, masks)
    backend.predict(masked_view.render(masks))
    assert (np.concatenate(noted.given[:2]) == np.concatenate(noted.given[2:])).all()


def test_pixels_are_written_into_one_buffer():
    """No copy on the way: every batch is the same memory, and the graph's to read as it is."""
    noted = Noted()
    masked_view, masks = masked()
    backend = noted.backend()
    backend.predict_masked(masked_view, masks)
    backend.predict_masked(masked_view, masks)
    assert all(x.flags.c_contiguous and x.dtype == np.float32 for x in noted.arrays)
    assert len({x.__array_interface__["data"][0] for x in noted.arrays}) == 1
    other, _ = masked(seed=3)
    backend.predict_masked(other, masks)
    backend.predict_masked(masked_view, masks)
    assert (noted.given[0] == noted.given[-3]).all()


@pytest.mark.parametrize("n", [1, 4, 6])
def test_a_fixed_batch_is_filled_up(n):
    noted = Noted(batch=4, answer=lambda x: np.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1))
    masked_view, masks = masked()
    backend = noted.backend(batch_size=None, mean=(0, 0, 0), std=(1, 1, 1))
    found = backend.predict_masked(masked_view, masks[:n])
    assert {len(x) for x in noted.given} == {4}
    expected = masked_view.render(masks[:n]).mean(axis=(1, 2, 3)) / 255
    assert found[:, 0] == pytest.approx(expected, abs=1e-6)
    assert backend.predict(masked_view.render(masks[:n]))[:, 0] == pytest.approx(expected, abs=1e-6)
    assert (backend.batch_size, backend.measure_batch_size) == (4, False)


def test_a_graph_is_made_once_for_each_size():
    made, noted = [], Noted()
    backend = noted.backend()
    backend._make_graph = lambda h, w: made.append((h, w)) or Graph(noted.layout, noted.run)
    for height in (6, 6, 5, 5, 6, 5):
        masked_view, masks = masked(height)
        backend.predict_masked(masked_view, masks)
    assert made == [(6, 8), (5, 8)]


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1)])
def test_logits_go_through_a_softmax_and_probabilities_do_not(shape):
    masked_view, masks = masked()
    logits = np.random.default_rng(1).normal(0, 90, (11, 4)).astype(np.float32)
    found = Noted(answer=lambda x: logits.reshape(11, *shape)).backend(11)
    found = found.predict_masked(masked_view, masks)
    right = softmax(logits.astype(float))
    assert found == pytest.approx(right, abs=1e-5)
    found = Noted(answer=lambda x: right.reshape(11, *shape)).backend(11)
    assert found.predict_masked(masked_view, masks) == pytest.approx(right, abs=1e-6)


def test_answers_of_sigmoids_are_cautioned_about():
    masked_view, masks = masked()

    def sigmoids(inputs):
        return np.stack([inputs.mean(axis=(1, 2, 3)) ** 2 % 1, np.full(len(inputs), 0.2)], axis=1)

    backend = Noted(answer=sigmoids).backend(11)
    assert backend.caution == ""  # not asked yet
    for _ in range(2):
        assert backend.predict_masked(masked_view, masks).sum(axis=1) == pytest.approx([1] * 11)
    assert backend.caution.count("in 0..1 but don't sum to 1") == 1


def test_a_picture_of_no_answer_decides_nothing_for_those_after_it():
    masked_view, masks = masked()
    right = softmax(np.random.default_rng(1).normal(0, 3, (11, 4)))
    answers = [np.full((11, 4), np.nan), np.vstack([right[:4], np.full((7, 4), np.inf)]), right]
    backend = Noted(answer=lambda x: answers.pop(0) if len(answers) > 1 else right).backend(11)
    assert np.isnan(backend.predict_masked(masked_view, masks)).all()
    assert backend.predict_masked(masked_view, masks)[:4] == pytest.approx(right[:4], abs=1e-6)
    assert backend.predict_masked(masked_view, masks) == pytest.approx(right, abs=1e-6)
    assert backend.caution == ""


@pytest.mark.parametrize("ruled_out", [False, True])
def test_logits_after_a_picture_of_no_answer(ruled_out):
    """Logits in 0..1, which look like probabilities, and of a class that is ruled out."""
    logits = np.random.default_rng(1).random((11, 4))
    if ruled_out:
        logits[:, 3] = -np.inf
    answers = [np.full((11, 4), np.nan), logits]
    backend = Noted(answer=lambda x: answers.pop(0) if len(answers) > 1 else logits).backend(11)
    backend.predict_masked(*masked())
    assert backend.predict_masked(*masked()) == pytest.approx(softmax(logits), abs=1e-6)


def test_noise_without_an_answer_says_nothing():
    right = softmax(np.random.default_rng(1).normal(0, 3, (11, 4)))
    answers = [right, np.full((11, 4), np.nan), right]
    backend = Noted(answer=lambda x: answers.pop(0)).backend(11)
    for _ in range(2):
        assert backend.predict_masked(*masked()) == pytest.approx(right, abs=1e-6)


def test_a_rounding_above_one_makes_no_logits():
    right = np.tile([1 + 2e-7, -1e-9, 0, 0], (11, 1))
    found = Noted(answer=lambda x: right).backend(11).predict_masked(*masked())
    assert found == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize(
    "words", ["CUDA out of memory", "Failed to allocate memory for requested buffer of size 8",
              "std::bad_alloc", "Cannot allocate memory"],
)  # fmt: skip
def test_memory_that_runs_out_halves_the_batch(words):
    def run(inputs):
        if len(inputs) > 2:
            raise RuntimeError(words)
        return np.full((len(inputs), 2), 0.5)

    backend = Noted(answer=run).backend(8)
    assert backend.predict_masked(*masked()).shape == (11, 2)
    assert backend.batch_size == 2


def misshapen(inputs):
    raise ValueError("/memory_head: Got 9, expected 8\n Please fix\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: 1 / 0, r"noted can't be run by onnx on views of shape \(4, 3, 6, 8\): division"),
        (misshapen, r"views of shape \(4, 3, 6, 8\): /memory_head: Got 9, expected 8 Please fix$"),
        (lambda x: np.zeros((4, 1)), r"answered 4 images with shape \(4, 1\)"),
        (lambda x: np.zeros((4, 2, 3, 3)), r"shape \(4, 2, 3, 3\), expected \(4, classes\)"),
    ],
)
def test_answers_that_are_none(answer, message):
    with pytest.raises(BackendError, match=message):
        Noted(answer=answer).backend().predict_masked(*masked())


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [("x", None, "float32")],
        [("x", (1, 3), "float32")],
        [("x", (1, 1, 8, 8), "float32")],
        [("x", (1, 3, 8, 8), "int64")],
        [("x", (1, 3, 8, 8), "float32"), ("y", (1,), "float32")],
    ],
)
def test_inputs_that_are_no_pictures(inputs):
    with pytest.raises(BackendError, match=r"it.onnx takes .*expected one input of RGB pictures"):
        read_layout(inputs, "it.onnx")


def test_layouts():
    assert read_layout([("x", (None, None, None, None), "float32")], "") == Layout(
        None, None, None, False, np.dtype("float32")
    )
    assert read_layout([("x", (2, 3, 7, 3), "uint8")], "") == Layout(2, 7, 3, False, np.dtype("u1"))
    assert read_layout([("x", (2, 7, 9, 3), "float16")], "") == Layout(
        2, 7, 9, True, np.dtype("f2")
    )


# Files


SQUARE = transforms.Compose([transforms.Resize((6, 6)), transforms.ToTensor()])


@pytest.fixture(params=["onnx", "openvino"])
def engine(request):
    pytest.importorskip("onnx", reason="writes ONNX files; needs the extra onnx")
    modules = {"onnx": "onnxruntime", "openvino": "openvino"}
    sys.modules.setdefault("openvino_telemetry", None)
    pytest.importorskip(modules[request.param], reason=f"needs the extra {request.param}")
    return request.param


def write(path, shape=("n", 3, 6, 8), kind="float", answers=("logits",), weights=WEIGHTS):
    """A file that averages colours and multiplies: the nodes that its layout needs, by hand."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {"float": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "byte": TensorProto.UINT8}
    last, given = shape[3] == 3, "pictures"
    nodes = []
    if kind != "float":
        nodes.append(helper.make_node("Cast", [given], ["cast"], to=TensorProto.FLOAT))
        given = "cast"
    if kind == "byte":
        nodes.append(helper.make_node("Div", [given, "range"], ["unit"]))
        given = "unit"
    axes = "first_axes" if last else "last_axes"
    nodes.append(helper.make_node("ReduceMean", [given, axes], ["colour"], keepdims=0))
    nodes.append(helper.make_node("MatMul", ["colour", "weights"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ReduceSum", ["colour"], ["total"], keepdims=0))
    nodes.append(helper.make_node("Identity", ["total"], ["again"]))
    shapes = {"logits": ["n", weights.shape[1]], "probabilities": ["n", 4], "total": []}
    nodes.append(helper.make_node("Cast", ["logits"], ["whole"], to=TensorProto.INT64))
    nodes.append(helper.make_node("Identity", ["probabilities"], ["495"]))
    shapes |= {"again": [], "whole": ["n", 4], "495": ["n", 4]}
    if isinstance(shape[0], int):
        shapes["logits"][0] = shape[0]
    constants = {
        "weights": weights,
        "range": np.float32(255),
        "first_axes": np.array([1, 2]),
        "last_axes": np.array([2, 3]),
    }
    nodes.append(helper.make_node("Cast", ["logits"], ["precise"], to=TensorProto.DOUBLE))
    shapes["precise"] = ["n", 4]
    of = {"whole": TensorProto.INT64, "precise": TensorProto.DOUBLE}
    outputs = [
        helper.make_tensor_value_info(a, of.get(a, TensorProto.FLOAT), shapes[a]) for a in answers
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("pictures", types[kind], shape)],
        outputs,
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return str(path)


def test_weights_in_files_beside_it_are_part_of_a_file(tmp_path, engine):
    import onnx

    digests = []
    for value in (0.5, 0.25, 0.5):
        plain = onnx.load(
            write(tmp_path / "plain.onnx", weights=np.full((3, 4), value, np.float32))
        )
        place = {"save_as_external_data": True, "size_threshold": 60, "location": "far.weights"}
        onnx.save(plain, tmp_path / "model.onnx", **place)
        digests.append(load_backend(str(tmp_path / "model.onnx"), engine=engine).digest())
        (tmp_path / "far.weights.other").write_bytes(bytes(len(digests)))
        (tmp_path / "far.weights").rename(tmp_path / f"{len(digests)}")
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("shape", "kind", "answers", "abs_"),
    [
        (("n", 3, 6, 8), "float", ("logits",), 1e-5),
        ((4, 3, 6, 8), "float", ("logits",), 1e-5),
        (("n", 6, 8, 3), "float", ("probabilities",), 1e-5),
        (("n", 3, "h", "w"), "float", ("total", "logits"), 1e-5),
        (("n", 3, 6, 8), "float", ("whole", "precise"), 1e-5),
        (("n", 3, 6, 8), "half", ("logits",), 1e-2),
        ((1, 6, 8, 3), "byte", ("logits",), 1e-5),
    ],
)
def test_a_file_of_the_users(tmp_path, engine, shape, kind, answers, abs_):
    path = write(tmp_path / "model.onnx", shape, kind, answers)
    spec = path if kind == "byte" else f"{path}:mean={MEAN},std={STD}"
    backend = load_backend(spec, engine=engine, class_names=list("abcd"))
    masked_view, masks = masked()
    views = masked_view.render(masks)
    expected = logits_of(views) if kind == "byte" else logits_of(views, MEAN, STD)
    found = backend.predict_masked(masked_view, masks)
    assert found == pytest.approx(softmax(expected), abs=abs_)
    assert backend.predict(views) == pytest.approx(softmax(expected), abs=abs_)
    assert (backend.engine, backend.precision, backend.reference) == (engine, "fp32", None)
    assert backend.caution.startswith("the file takes pictures of any size") == ("h" in shape)
    assert (backend.caution == "") == ("h" not in shape)
    if "h" in shape:
        assert load_backend(f"{spec},size=8", engine=engine).caution == ""
    bare = load_backend(path, engine=engine).caution
    assert bare.startswith("the file was given no mean and std") == (kind != "byte")
    assert (backend.name, backend.class_names) == (spec, list("abcd"))
    image = np.zeros((20, 30, 3), np.uint8)
    assert backend.view(image).shape == ((20, 30, 3) if "h" in shape else (6, 8, 3))
    assert backend.batch_size == (shape[0] if isinstance(shape[0], int) else 8)


def test_what_a_spec_says_of_a_file_is_done(tmp_path, engine):
    path = write(tmp_path / "model.onnx")
    masked_view, masks = masked()
    expected = softmax(logits_of(masked_view.render(masks), MEAN, STD))
    for head in (f"{path}:", f"file:path={path},"):
        backend = load_backend(f"{head}engine={engine},mean={MEAN},std={STD}", device="cpu")
        assert (backend.engine, backend.precision) == (engine, "fp32")
        assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)
    assert load_backend(f"file:path={path}", engine=engine).engine == engine
    with pytest.raises(SettingError, match=r"needs its parameter 'path': file:path=model\.onnx"):
        load_backend("file:mean=0.5")


def test_sizes_of_files(tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    image = np.zeros((20, 30, 3), np.uint8)
    square = write(tmp_path / "square.onnx", ("n", 3, 6, 6))
    assert load_backend(square).view(image).shape == (6, 6, 3)
    assert load_backend(square, size=6, batch_size=3).batch_size == 3
    free = tmp_path / "free.onnx"
    write(free, ("n", 3, "h", "w"))
    assert load_backend(free, size=(5, 9), device="cpu").view(image).shape == (5, 9, 3)
    wide = write(tmp_path / "wide.onnx")
    steps = [transforms.Resize((6, 8)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    backend = load_backend(wide, transform=transforms.Compose(steps))
    masked_view, masks = masked()
    expected = softmax(logits_of(masked_view.render(masks), MEAN, STD))
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)
    assert backend.view(image).shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("shape", "kind", "options", "message"),
    [
        (("n", 3, 6, 8), "float", {"size": 9}, r"takes views of \(6, 8\), not size=9; leave"),
        ((4, 3, 6, 8), "float", {"batch_size": 5}, "takes exactly 4 views at once, not batch_s"),
        (("n", 6, 8, 3), "byte", {"spec": ":mean=0.5"}, "takes uint8, so it normalises itself"),
        (("n", 3, 6, 8), "float", {"spec": ":mean=(1,2)"}, "mean must be one number or three"),
        (("n", 3, 6, 8), "float", {"spec": ":mean=red"}, "mean must be one number or three"),
        (("n", 3, 6, 8), "float", {"spec": ":std=0"}, "std must be above 0; got 0"),
        (("n", 3, 6, 8), "float", {"spec": ":mean=(124,116,104)"}, "got .*: divide both by 255"),
        (("n", 3, 6, 8), "float", {"transform": len}, "the transform can't be taken apart"),
        (("n", 3, 6, 8), "float", {"transform": len, "size": 3}, "got a transform and size"),
        (("n", 3, 6, 8), "float", {"transform": SQUARE}, r"\(6, 8\), and the transform makes th"),
        (("n", 3, 6, 8), "float", {"size": 6.5}, "size must be a positive whole number or a pair"),
        (("n", 3, 6, 8), "float", {"weights": "x"}, "takes no option 'weights'; it takes: path"),
        (("n", 3, 6, 8), "float", {"engine": "torch"}, "engine 'torch' can't run this model"),
        (("n", 3, 6, 8), "float", {"precision": "fp8"}, "precision 'fp8' can't run this model"),
        (("n", 3, 6, 8), "float", {"engine": "onnx", "precision": "bf16"},
         "engine 'onnx' has no precision 'bf16'; .* openvino"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_file(tmp_path, shape, kind, options, message):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    path = write(tmp_path / "model.onnx", shape, kind) + options.pop("spec", "")
    with pytest.raises(SettingError, match=message):
        load_backend(path, **options)


def test_files_that_are_none(tmp_path, engine):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    name = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}[engine]
    with pytest.raises(BackendError, match=rf"{name} can't read .*broken.onnx: .*expected an"):
        load_backend(broken, engine=engine)
    with pytest.raises(BackendError, match=r"no model file at .*nowhere.onnx; check the path"):
        load_backend(tmp_path / "nowhere.onnx", engine=engine)
    grey = write(tmp_path / "grey.onnx", ("n", 1, 6, 8), weights=WEIGHTS[:1])
    with pytest.raises(BackendError, match=r"grey.onnx takes pictures \(\?, 1, 6, 8\) float32; ex"):
        load_backend(grey, engine=engine)
    lone = write(tmp_path / "lone.onnx", weights=WEIGHTS[:, :1])
    with pytest.raises(BackendError, match=r"shape \(8, 1\), expected \(8, classes\)"):
        load_backend(lone, engine=engine).predict_masked(*masked())
    odd = write(tmp_path / "odd.onnx", answers=("total", "again"))
    with pytest.raises(BackendError, match=r"odd.onnx answers with .*; expected a table"):
        load_backend(odd, engine=engine)


def test_the_output_that_is_read(tmp_path, engine):
    masked_view, masks = masked()
    right = softmax(logits_of(masked_view.render(masks)))
    path = write(tmp_path / "model.onnx", answers=("whole", "logits"))
    backend = load_backend(path, engine=engine)  # whole numbers are no probabilities
    assert backend.predict_masked(masked_view, masks) == pytest.approx(right, abs=1e-5)
    assert "answers with" not in backend.caution
    path = write(tmp_path / "two.onnx", answers=("logits", "probabilities"))
    told = "the file answers with logits and probabilities; 'logits' was read: say output="
    assert load_backend(path, engine=engine).caution.startswith(told)
    chosen = load_backend(f"{path}:output=probabilities", engine=engine)
    assert chosen.predict_masked(masked_view, masks) == pytest.approx(right, abs=1e-5)
    assert "answers with" not in chosen.caution
    assert chosen.name.endswith(":output=probabilities")
    assert chosen.digest() != load_backend(path, engine=engine).digest()
    numbers = write(tmp_path / "numbers.onnx", answers=("logits", "495"))
    assert load_backend(f"{numbers}:output=495", engine=engine).caution.count("answers with") == 0
    with pytest.raises(BackendError, match=r"has no output 'p'; it answers with logits \("):
        load_backend(f"{path}:output=p", engine=engine)


def test_openvinos_own_files(tmp_path):
    sys.modules.setdefault("openvino_telemetry", None)
    openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
    pytest.importorskip("onnx", reason="needs the extra onnx")
    model = openvino.Core().read_model(write(tmp_path / "model.onnx"))
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    masked_view, masks = masked()
    expected = softmax(logits_of(masked_view.render(masks)))
    backend = load_backend(tmp_path / "model.xml")
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)
    before = backend.digest()
    weights = tmp_path / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert backend.digest() != before
    if openvino_has_bf16():
        half = load_backend(tmp_path / "model.xml", precision="bf16")
        assert (half.precision, half.reference.precision) == ("bf16", "fp32")
    else:
        with pytest.raises(BackendError, match=r"model\.xml in f32 on this processor, not in bf16"):
            load_backend(tmp_path / "model.xml", precision="bf16")
    with pytest.raises(SettingError, match="engine 'onnx' can't run this model; expected one of"):
        load_backend(tmp_path / "model.xml", engine="onnx")


@pytest.mark.parametrize(
    ("module", "engine", "extra"),
    [("onnxruntime", "onnx", "onnx"), ("openvino", "openvino", "openvino")],
)
def test_without_the_extra(tmp_path, monkeypatch, module, engine, extra):
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with pytest.raises(MissingExtraError, match=rf'pip install "deap-xai\[{extra}\]"'):
        load_backend(path, engine=engine)


def test_one_knob_for_the_threads(monkeypatch, tmp_path):
    import torch

    pytest.importorskip("onnx", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    told, session = [], runtime.InferenceSession
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(
        runtime,
        "InferenceSession",
        lambda source, options, **more: told.append(options) or session(source, options, **more),
    )
    load_backend(write(tmp_path / "model.onnx"))
    assert threads() == told[0].intra_op_num_threads == 3
    assert told[0].inter_op_num_threads == 1
