"""A module whose small batches a GPU replays from a recording, instead of being told each step."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import torch

__all__ = ["Recorded", "record"]

Shape: TypeAlias = tuple[int, ...]
Module: TypeAlias = Callable[[torch.Tensor], Any]
Recorder: TypeAlias = Callable[[Module, torch.Tensor], Module]

LEAST, STEP = 8, 32
"""Batches are filled up to the first, or to a multiple of the second: a library of the GPU's plans
anew for each size, a tenth of a second long, while views more than there are cost little."""

AFTER = 8
"""Batches of one shape after which it is recorded; as many more win back what that costs."""

PAYS = 0.9
"""Share of the time without a recording from which on it isn't worth its memory: larger batches
keep a GPU busy anyway."""

MOST = 8
"""Recordings of a module that are kept."""

_ONE_AT_A_TIME = threading.Lock()  # recordings share memory


class Recorded:
    """Calls a module; on shapes that come again and again, through a recording of its kernels.

    A large model has hundreds of kernels, each of them launched by Python: a GPU has done a small
    batch long before. A recording (a CUDA graph) is launched at once. One is kept if its answers
    are the module's own and come sooner. Answers don't depend on what was recorded: batches are
    filled up anyway.

    Parameters
    ----------
    module
        A ``torch.nn.Module`` on a GPU in evaluation mode. What can't be recorded, as a module that
        looks at its numbers on the way, is called as it is.
    recorder
        Makes a recording of the module for inputs of one shape; None: nothing is filled up or
        recorded.

    Examples
    --------
    >>> double = Recorded(torch.nn.Upsample(scale_factor=2), None)
    >>> double(torch.zeros(3, 1, 2, 2), 8).shape
    torch.Size([3, 1, 4, 4])
    """

    def __init__(self, module: Module, recorder: Recorder | None) -> None:
        self._module, self._recorder = module, recorder
        self._seen: Counter[Shape] = Counter()
        self._replays: dict[Shape, Module] = {}

    def __reduce__(self) -> Any:
        """Without what was recorded, which lives on the device."""
        return Recorded, (self._module, self._recorder)

    def __call__(self, inputs: torch.Tensor, most: int) -> Any:
        """The module's answer (N, C) to a batch (N, 3, h, w), filled up to ``most`` at most."""
        if self._recorder is None:
            return self._module(inputs)
        n = len(inputs)
        filled = _filled(inputs, most)
        shape = tuple(filled.shape)
        self._seen[shape] += 1
        if self._seen[shape] == AFTER and len(self._replays) < MOST:
            self._record(shape, filled)
        answer = self._replays.get(shape, self._module)(filled)
        return answer if n == len(filled) else answer[:n]

    def _record(self, shape: Shape, inputs: torch.Tensor) -> None:
        assert self._recorder is not None
        try:
            replay = self._recorder(self._module, inputs)
            (plain, known), (fast, came) = (_timed(one, inputs) for one in (self._module, replay))
        except RuntimeError:  # it can't be recorded, or memory doesn't suffice
            return
        if fast < PAYS * plain and torch.equal(known, came):
            self._replays[shape] = replay


def record(module: Module, inputs: torch.Tensor) -> Module:
    """A recording of the module's kernels as a CUDA graph, for inputs of this shape and type.

    Raises
    ------
    RuntimeError
        If the module does what can't be recorded.
    """
    graph, held = torch.cuda.CUDAGraph(), inputs.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what libraries make at a first call beside the main stream
        module(held)
    torch.cuda.current_stream().wait_stream(aside)
    # Other threads may go on with what is theirs.
    with torch.cuda.graph(graph, pool=_memory(), capture_error_mode="thread_local"):
        answer = module(held)

    def replay(inputs: torch.Tensor) -> torch.Tensor:
        with _ONE_AT_A_TIME:
            held.copy_(inputs)
            graph.replay()
            return answer.clone()

    return replay


@lru_cache(maxsize=1)
def _memory() -> Any:
    return torch.cuda.graph_pool_handle()


def _filled(inputs: torch.Tensor, most: int) -> torch.Tensor:
    """The batch (N, 3, h, w), with its last view again and again up to the next usual size."""
    n = len(inputs)
    size = min(most, LEAST if n <= LEAST else -(-n // STEP) * STEP)
    if n == 0 or size <= n:
        return inputs
    last = inputs.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    filled = torch.empty(
        (size, *inputs.shape[1:]), dtype=inputs.dtype, device=inputs.device, memory_format=layout
    )
    filled[:n], filled[n:] = inputs, inputs[-1]
    return filled


def _timed(module: Module, inputs: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Seconds that an answer takes, and the answer, which has been waited for."""
    module(inputs).cpu()
    start = time.perf_counter()
    answer = module(inputs).cpu()
    return time.perf_counter() - start, answer
