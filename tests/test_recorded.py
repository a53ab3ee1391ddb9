"""Small batches on a GPU: filled up, recorded, replayed. Without one, the recorder is made up."""

from __future__ import annotations

import copy
import pickle
import time

import numpy as np
import pytest
import torch

import deap_xai as dx
from deap_xai.backends import load_backend
from deap_xai.backends.recorded import Recorded, record
from deap_xai.masking import MaskedView

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


class Slow(torch.nn.Module):
    """Mean of each picture; counts its calls, and takes its time."""

    def __init__(self, seconds=0.01):
        super().__init__()
        self.seconds, self.shapes = seconds, []

    def forward(self, pictures):
        self.shapes.append(tuple(pictures.shape))
        time.sleep(self.seconds)
        return pictures.mean(dim=(2, 3))


def recorder(made, add=0.0, wrong=False):
    """What gives recordings that take no time, and notes for which shape."""

    def make(module, inputs):
        if wrong:
            raise RuntimeError("operation not permitted when stream is capturing")
        made.append(tuple(inputs.shape))
        return lambda pictures: pictures.mean(dim=(2, 3)) + add

    return make


def pictures(n, side=4):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize(
    ("n", "most", "filled"),
    [
        (1, 64, 8),
        (8, 64, 8),
        (9, 64, 32),
        (33, 64, 64),
        (250, 256, 256),
        (9, 16, 16),  # never beyond what was said to fit into memory, or was seen to
        (5, 5, 5),
        (244, 250, 250),
    ],
)
def test_batches_are_filled_up_to_few_sizes(n, most, filled):
    module = Slow(0)
    inputs = pictures(n)
    answer = Recorded(module, recorder([]))(inputs, most)
    assert torch.equal(answer, inputs.mean(dim=(2, 3)))
    assert module.shapes == [(filled, 3, 4, 4)]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_filled_batch_lies_in_memory_as_it_did(layout):
    seen = []
    ask = Recorded(lambda inputs: seen.append(inputs) or inputs.mean(dim=(2, 3)), recorder([]))
    ask(pictures(3).to(memory_format=layout), 64)
    assert seen[0].shape == (8, 3, 4, 4)
    assert seen[0].is_contiguous(memory_format=layout)


def test_without_a_recorder_nothing_is_filled():
    module = Slow(0)
    Recorded(module, None)(pictures(3), 64)
    assert module.shapes == [(3, 3, 4, 4)]


def test_a_shape_that_comes_again_and_again_is_recorded():
    module, made = Slow(), []
    ask = Recorded(module, recorder(made))
    for n in (5, 6, 7, 8, 5, 6, 7):
        ask(pictures(n), 64)
    assert made == []
    inputs = pictures(8)
    assert torch.equal(ask(inputs, 64), inputs.mean(dim=(2, 3)))
    assert made == [(8, 3, 4, 4)]
    calls = len(module.shapes)
    inputs = pictures(6)
    assert torch.equal(ask(inputs, 64), inputs.mean(dim=(2, 3)))
    assert len(module.shapes) == calls
    ask(pictures(20), 64)
    assert len(module.shapes) == calls + 1


@pytest.mark.parametrize(
    ("seconds", "how"),
    [(0.01, {"wrong": True}), (0.01, {"add": 0.1}), (0.0, {})],
    ids=["it can't be made", "it answers otherwise", "it is no faster"],
)
def test_a_recording_is_kept_only_if_it_is_right_and_pays(seconds, how):
    module, made = Slow(seconds), []

    def slow(module, inputs):
        replay = recorder(made, **how)(module, inputs)
        return lambda given: (time.sleep(0 if seconds else 0.01), replay(given))[1]

    ask = Recorded(module, slow)
    inputs = pictures(8)
    for _ in range(12):
        assert torch.equal(ask(inputs, 64), inputs.mean(dim=(2, 3)))
    calls = len(module.shapes)
    ask(inputs, 64)
    assert len(module.shapes) == calls + 1
    assert len(made) == (0 if how.get("wrong") else 1)  # it isn't tried again and again


def test_only_so_many_recordings_are_kept():
    module, made = Slow(0.002), []
    ask = Recorded(module, recorder(made))
    for side in range(2, 14):
        for _ in range(8):
            ask(pictures(2, side), 64)
    assert len(made) == 8


def test_a_copy_starts_without_recordings():
    module = Slow()
    ask = Recorded(module, record)
    ask._replays[(1, 3, 4, 4)] = lambda inputs: None  # as a recording, it can't be pickled
    for twin in (copy.deepcopy(ask), pickle.loads(pickle.dumps(ask))):
        assert twin._recorder is record
        assert not twin._replays


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        *(
            torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.ReLU())
            for _ in "a" * 40
        ),
        torch.nn.Flatten(),
        torch.nn.Linear(3 * 8 * 8, 5),
    ).eval()


class Looks(torch.nn.Module):
    """Looks at its numbers on the way, which no recording can."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, pictures):
        return self.net(pictures) * (2 if pictures.mean().item() > -1e9 else 1)


@needs_gpu
def test_a_graph_on_the_gpu_answers_as_the_module_does():
    module = net().cuda()
    ask = Recorded(module, record)
    with torch.inference_mode():
        for n in (5, 6, 7, 8, 6, 8, 5, 6, 7, 8, 3, 5):
            inputs = pictures(n, 8).cuda()
            came = ask(inputs, 64)
            assert torch.allclose(came, module(inputs), atol=1e-5)
    assert list(ask._replays) == [(8, 3, 8, 8)]


@needs_gpu
def test_what_can_not_be_recorded_is_called_as_it_is():
    module = Looks().cuda()
    ask = Recorded(module, record)
    with torch.inference_mode():
        for n in (8,) * 12:
            inputs = pictures(n, 8).cuda()
            assert torch.allclose(ask(inputs, 64), module(inputs), atol=1e-5)
    assert not ask._replays


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_masked_views_on_the_gpu(precision):
    view = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    segments = (np.arange(64).reshape(8, 8) // 4).astype(np.int32)
    masked = MaskedView(view, segments, view[::-1].copy())
    masks = np.random.default_rng(1).random((70, 16)) < 0.5
    cpu = load_backend(net(), size=8, device="cpu")
    gpu = load_backend(net(), size=8, device="cuda", precision=precision, batch_size=32)
    for _ in range(10):
        came = gpu.predict_masked(masked, masks)
        assert (
            abs(came - cpu.predict_masked(masked, masks)).max()
            < {"fp32": 1e-3, "bf16": 2e-2}[precision]
        )
        two = gpu.predict_masked_many([(masked, masks[:9]), (masked, masks[9:])])
        assert abs(np.concatenate(two) - came).max() < {"fp32": 1e-3, "bf16": 2e-2}[precision]


@needs_gpu
def test_the_same_seed_gives_the_same_on_the_gpu():
    images = [np.random.default_rng(i).integers(0, 256, (8, 8, 3)).astype(np.uint8) for i in (0, 1)]
    explainer = dx.Explainer(net(), size=8, segments="grid:n_segments=16", budget=60, device="cuda")
    first, again = (explainer.explain(images[0]) for _ in range(2))  # the second with recordings
    assert (first.archive.masks == again.archive.masks).all()
    assert (first.archive.probabilities == again.archive.probabilities).all()
    assert explainer.backend._logits._replays
    assert all(one.probability > 0 for one in explainer.explain(images))
