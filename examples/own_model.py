"""Explain any function: here one that says how red a picture is."""

from __future__ import annotations

import numpy as np

import deap_xai as dx


def predict(images):
    """Images (N, h, w, 3), uint8, to probabilities (N, 2)."""
    red = (images[..., 0].astype(float) - images[..., 1:].mean(axis=-1)).mean(axis=(1, 2)) / 255
    red = 1 / (1 + np.exp(-20 * (red - 0.05)))
    return np.stack([red, 1 - red], axis=1)


image = np.full((90, 90, 3), 120, np.uint8)
image[30:60, 30:60] = (250, 20, 20)
explainer = dx.Explainer(
    predict, segments="grid:n_segments=9", fill="grey", class_names=["red", "dull"], budget=200
)
explanation = explainer.explain(image)
print(explanation)
print(explanation.mask.reshape(3, 3).astype(int))
