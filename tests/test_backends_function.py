"""Functions and own classes as classifiers; chunks and memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import CellModel, cell_probability, random_masks
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.backends import Backend, FunctionBackend
from deap_xai.errors import BackendError, SettingError
from deap_xai.masking import MaskedView


@pytest.fixture
def masked_view(image, segments):
    return MaskedView(image, segments, np.zeros_like(image))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 40), batch_size=st.integers(1, 50))
def test_chunks_join_to_the_whole(n, batch_size):
    backend = FunctionBackend(lambda x: np.stack([x / 50, 1 - x / 50], 1), batch_size=batch_size)
    items, sizes = np.arange(n), []
    answer = backend.in_chunks(lambda x: sizes.append(len(x)) or backend.predict(x), items)
    assert (answer[:, 0] == items / 50).all()
    assert sum(sizes) == n
    assert max(sizes) <= batch_size
    assert len(sizes) == -(-n // batch_size)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_and_goes_on(masked_view, error):
    model, tried = CellModel(), []

    def limited(images):
        tried.append(len(images))
        if len(images) > 3:
            raise error
        return model(images)

    backend = FunctionBackend(limited, batch_size=16)
    masks = random_masks(20)
    answer = backend.predict_masked(masked_view, masks)
    assert answer[:, 1] == pytest.approx(cell_probability(masks))
    assert tried[:4] == [16, 8, 4, 2]
    assert backend.batch_size == 2
    assert model.images == 20


def test_out_of_memory_on_a_single_view_is_an_error(masked_view):
    def never(images):
        raise MemoryError("no room")

    with pytest.raises(BackendError, match=r"never runs out of memory on a single view: no room"):
        FunctionBackend(never).predict_masked(masked_view, random_masks(4))


def test_other_errors_pass_through(masked_view):
    def broken(images):
        raise RuntimeError("no such layer")

    backend = FunctionBackend(broken, batch_size=8)
    with pytest.raises(RuntimeError, match=r"no such layer"):
        backend.predict_masked(masked_view, random_masks(4))
    assert backend.batch_size == 8


@pytest.mark.parametrize("size", [0, -2])
def test_batches_have_at_least_one_view(masked_view, size):
    backend = FunctionBackend(CellModel(), batch_size=size)
    with pytest.raises(SettingError, match=f"batch_size must be at least 1; got {size}"):
        backend.predict_masked(masked_view, random_masks(2))


def test_functions_get_uint8_views_of_their_size():
    seen = []
    backend = FunctionBackend(
        lambda images: seen.append(images) or [[0.5, 0.5]] * len(images), size=(8, 10)
    )
    view = backend.view(np.zeros((30, 20, 3), np.uint8))
    assert view.shape == (8, 10, 3)
    assert backend.predict(view[None]).shape == (1, 2)
    assert seen[0].dtype == np.uint8
    plain = FunctionBackend(lambda images: [[0.5, 0.5]])
    assert plain.view(view) is view


def test_tensors_with_gradients_are_fine():
    weights = torch.full((2,), 0.5, requires_grad=True)
    backend = FunctionBackend(lambda images: weights.repeat(len(images), 1))
    assert backend.predict(np.zeros((3, 2, 2, 3), np.uint8)).tolist() == [[0.5, 0.5]] * 3


def test_tensors_in_bf16_are_fine():
    backend = FunctionBackend(lambda images: torch.full((len(images), 2), 0.5).bfloat16())
    assert backend.predict(np.zeros((3, 2, 2, 3), np.uint8)).tolist() == [[0.5, 0.5]] * 3


def test_a_function_may_use_its_output_again(masked_view):
    memory = np.zeros((2, 2))

    def predict(images):
        memory[:, 0] = images.mean(axis=(1, 2, 3)) / 255
        return memory

    masks = np.eye(masked_view.n_segments, dtype=bool)[:4]
    found = FunctionBackend(predict, batch_size=2).predict_masked(masked_view, masks)
    assert found[:, 0] == pytest.approx(masked_view.render(masks).mean(axis=(1, 2, 3)) / 255)
    assert len(set(found[:, 0])) > 2


def test_names():
    assert FunctionBackend(CellModel()).name == "CellModel"
    assert FunctionBackend(np.mean).name == "mean"


class Redness(Backend):
    def predict(self, images):
        red = images[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([red, 1 - red], axis=1)


def test_a_subclass_needs_only_predict(masked_view, image):
    backend, masks = Redness(), random_masks(6)
    expected = backend.predict(masked_view.render(masks))
    assert (backend.predict_masked(masked_view, masks) == expected).all()
    assert backend.view(image) is image
    with pytest.raises(TypeError, match=r"abstract"):
        Backend()
