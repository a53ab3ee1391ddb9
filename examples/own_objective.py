"""Write an objective: explanations that stay near the middle of the picture."""

from __future__ import annotations

import numpy as np

import deap_xai as dx
from deap_xai.demo import creature


def eccentricity(evaluator, masks):
    """Mean distance of the kept superpixels from the middle, in half view widths; (N,)."""
    height, width = evaluator.segments.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    labels = evaluator.segments.ravel()
    pixels = np.bincount(labels)
    distance = np.bincount(labels, weights=np.hypot(y, x).ravel()) / pixels
    return masks @ distance / np.maximum(masks.sum(axis=1), 1)


explainer = dx.Explainer(
    "demo",
    algorithm="eaNSGA2",
    objectives=["probability", "size", (eccentricity, -1.0)],
    budget=200,
)
explanation = explainer.explain(creature(seed=1).image)
print(explanation)
for probability, size, distance in explanation.pareto.values[:5]:  # no mask is better in all three
    print(f"{size:2.0f} superpixels: probability {probability:.3f}, {distance:.2f} from the middle")
