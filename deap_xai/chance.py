"""One seed for everything that draws at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of ``random`` and NumPy, and put their states back afterwards.

    DEAP's operators draw from ``random``; a user's own may draw from ``numpy.random``. A run
    neither disturbs what the caller draws nor is disturbed by it.

    Examples
    --------
    >>> with seeded(1):
    ...     one = random.random()
    >>> with seeded(1):
    ...     two = random.random()
    >>> one == two
    True
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy state is what others draw from
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
