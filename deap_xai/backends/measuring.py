"""How fast a backend is: timing, and the batch size that is best."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from deap_xai.backends.base import Backend
from deap_xai.backends.graph import threads
from deap_xai.backends.remembered import key_of, recall, remember
from deap_xai.masking import MaskedView
from deap_xai.typing import Masks

__all__ = ["probe_masks", "seconds", "settle_batch_size"]


class _Trials(NamedTuple):
    """Batch sizes to try; seconds after which no larger one is; and seconds a view below which the
    usual size is kept, since measuring would cost more than it gains.
    """

    sizes: tuple[int, ...]
    limit: float
    small: float


ON_CPU = _Trials((1, 2, 4, 8, 16, 32), 1.0, 0.002)
ON_DEVICE = _Trials((16, 32, 64, 128, 256), 3.0, 0.0001)  # there a first call of each takes long

NEAR = 0.95
"""Share of the best speed that is as good: of several batch sizes the smallest is taken."""

OWN = 4
"""Views at once, at most, that a stand-in's reference is asked about on a CPU, unless it was told:
it answers too few to measure, and models whose layers outgrow the cache are slower with more."""


def settle_batch_size(backend: Backend, masked_view: MaskedView) -> None:
    """Give a backend the batch size that is fastest for such views, unless it was told one.

    What was measured is remembered for this model, view size, number of threads and machine, so
    that the same run gets the same batch size again. The views that are timed are no model calls:
    nothing is done with the answers. A stand-in's reference isn't measured: on a CPU it gets few.
    """
    own = backend.reference
    if own is not None and own.measure_batch_size and _on_cpu(own):
        own.batch_size, own.measure_batch_size = min(OWN, own.batch_size), False
    if not backend.measure_batch_size:
        return
    backend.measure_batch_size = False
    key = key_of("batch size", *identity(backend), masked_view.view.shape)
    known = recall(key).get("batch_size")
    if isinstance(known, int) and known >= 1:
        backend.batch_size = known
        return
    usual = backend.batch_size
    try:
        backend.batch_size = _best(backend, masked_view)
    except BaseException:  # Ctrl-C too: what was just being tried is no answer
        backend.batch_size, backend.measure_batch_size = usual, True
        raise
    remember(key, {"batch_size": backend.batch_size})


def _best(backend: Backend, masked_view: MaskedView) -> int:
    sizes, limit, small = ON_CPU if _on_cpu(backend) else ON_DEVICE
    usual = backend.batch_size
    masks = probe_masks(usual, masked_view.n_segments)
    backend.predict_masked(masked_view, masks[:1])  # the first call of a model is slower
    spent = seconds(backend, masked_view, masks)
    if spent < small * usual:
        return usual
    rates = {usual: usual / spent}
    for size in sizes:
        backend.batch_size = size
        masks = probe_masks(size, masked_view.n_segments)
        taken = [seconds(backend, masked_view, masks)]
        if spent + taken[0] < limit:  # the first of a new shape is slower
            taken.append(seconds(backend, masked_view, masks))
        spent += sum(taken)
        if backend.batch_size < size:  # memory ran out
            break
        rates[size] = size / min(taken)
        if spent + 2 * taken[-1] > limit:
            break
    best = max(rates.values())
    return next(size for size in sorted(rates) if rates[size] >= NEAR * best)


def _on_cpu(backend: Backend) -> bool:
    return bool(getattr(getattr(backend, "device", None), "type", "cpu") == "cpu")


def seconds(backend: Backend, masked_view: MaskedView, masks: Masks) -> float:
    """Wall time of one answer to these masks."""
    start = time.perf_counter()
    backend.predict_masked(masked_view, masks)
    return time.perf_counter() - start


def probe_masks(n: int, n_segments: int) -> Masks:
    """Masks (n, n_segments) to try a model on: all, none, then at random; always the same."""
    masks = np.random.default_rng(0).random((n, n_segments)) < 0.5
    masks[:2] = [[True], [False]][:n]
    return masks


def identity(backend: Backend) -> tuple[object, ...]:
    """What a backend's speed depends on, beside the machine and the view."""
    device = str(getattr(backend, "device", "cpu"))
    return backend.digest(), backend.engine, backend.precision, device, threads()
