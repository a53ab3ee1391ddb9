"""The words of the house as types: each array has one name, one shape and one dtype."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Mask", "Masks", "Probabilities", "Segments", "View", "Views"]

Image: TypeAlias = NDArray[np.uint8]
"""What the user gave, as RGB: (H, W, 3), 0..255."""

View: TypeAlias = NDArray[np.uint8]
"""The image as the model takes it, before normalisation: (h, w, 3), 0..255."""

Views: TypeAlias = NDArray[np.uint8]
"""Several views, usually masked ones: (N, h, w, 3), 0..255."""

Segments: TypeAlias = NDArray[np.int32]
"""Superpixel labels over the view: (h, w), every value of 0..S-1 present."""

Mask: TypeAlias = NDArray[np.bool_]
"""One individual: (S,), True keeps a superpixel, False hides it."""

Masks: TypeAlias = NDArray[np.bool_]
"""Several masks: (N, S)."""

Probabilities: TypeAlias = NDArray[np.float32]
"""A classifier's answers: (N, C), or (N,) where one class is meant; 0..1."""
