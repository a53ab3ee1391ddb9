"""Explain a scikit-learn model: a few hundred pixels in, ``predict_proba`` out."""

from __future__ import annotations

import numpy as np

import deap_xai as dx
from deap_xai.demo import CLASS_NAMES, creature

try:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
except ModuleNotFoundError:
    raise SystemExit("this example needs scikit-learn: pip install scikit-learn") from None

SIDE = 32  # of the small pictures that the model takes


def small(image):
    """A picture (128, 128, 3) shrunk to (32, 32, 3) by means of blocks."""
    step = len(image) // SIDE
    return image.reshape(SIDE, step, SIDE, step, 3).mean(axis=(1, 3)).astype(np.uint8)


def draw(seeds):
    """Pictures (N, 32, 32, 3) of creatures with a badge that tells the kind, and their kinds."""
    drawn = [creature(seed, watermark="true") for seed in seeds]
    return np.stack([small(one.image) for one in drawn]), np.array([one.label for one in drawn])


images, labels = draw(range(400))
model = make_pipeline(PCA(200, whiten=True, random_state=0), LogisticRegression(max_iter=500))
model.fit(images.reshape(len(images), -1) / 255, labels)


def predict(views):
    """Images (N, 32, 32, 3), uint8, to probabilities (N, 8)."""
    return model.predict_proba(views.reshape(len(views), -1) / 255)


fresh, right = draw(range(5000, 5100))
print(f"right on {(predict(fresh).argmax(axis=1) == right).mean():.0%} of fresh pictures")

explainer = dx.Explainer(
    predict, size=SIDE, segments="grid:n_segments=16", class_names=CLASS_NAMES, budget=200
)
print("kept, of 4 x 4 superpixels; the badge is in the lower right:")
for image in fresh[:3]:
    explanation = explainer.explain(image)
    print(explanation)
    print(explanation.mask.reshape(4, 4).astype(int))
