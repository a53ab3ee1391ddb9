"""How far an explanation can be trusted: against the exact optimum, and over seeds."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, FrontPoint, front, front_quality
from deap_xai.errors import SettingError
from deap_xai.explainer import Explainer
from deap_xai.explanation import Explanation
from deap_xai.fitness import Evaluator
from deap_xai.metrics import stability
from deap_xai.metrics.areas import check_evaluator
from deap_xai.metrics.enough import as_number
from deap_xai.picking import smallest
from deap_xai.typing import Masks
from deap_xai.wording import shortened

__all__ = ["Certificate", "Consensus", "all_masks", "certify", "consensus"]

MOST = 16
"""The most superpixels whose 2^S masks are enumerated: 65,536 model calls."""


SAME_MODEL = 0.05
"""How far a stand-in's probability of the full view may be from the model's own, at most."""


class Certificate(NamedTuple):
    """What was found beside what is possible.

    Attributes
    ----------
    optimum
        The smallest mask whose probability is at least the threshold, over all 2^S masks but the
        one that keeps nothing.
    found
        The smallest such mask among those in the explanation's archive, which may hold what its
        checks asked about beside what its search did, and the full one.
    gap
        Superpixels that ``found`` keeps more than ``optimum``: 0 is optimal.
    quality, quality_found
        Front quality over all masks, and over those among which ``found`` is the smallest: 0..1;
        all probabilities are the user's own model's.
    """

    optimum: FrontPoint
    found: FrontPoint
    gap: int
    quality: float
    quality_found: float


def certify(evaluator: Evaluator, explanation: Explanation, share: float = 0.9) -> Certificate:
    """Enumerate every mask and compare.

    Parameters
    ----------
    evaluator
        Of the same image and settings: ``explainer.evaluator(image)`` without a budget.
    explanation
        What was found.
    share
        The threshold, as a share of the full view's probability.

    Raises
    ------
    SettingError
        If there are more than 16 superpixels, the evaluator has too small a budget or is of
        another view, fill, class or model, the explanation is none, or the share isn't above 0
        and at most 1.

    Examples
    --------
    >>> model = lambda views: [[v.mean() / 255, 1 - v.mean() / 255] for v in views]
    >>> settings = dict(segments="grid:n_segments=4", fill="black")
    >>> image = np.full((8, 8, 3), 200, np.uint8)
    >>> explanation = Explainer(model, budget=40, **settings).explain(image, target=0)
    >>> certify(Explainer(model, **settings).evaluator(image, target=0), explanation).gap
    0
    """
    if not 0 < as_number(share) <= 1:
        raise SettingError(f"share must be above 0 and at most 1; got {share!r}")
    share = as_number(share)
    check_evaluator(evaluator, "certify")
    if not isinstance(explanation, Explanation):
        raise SettingError(
            "certify takes an explanation, such as explainer.explain(image); got "
            f"{shortened(explanation)}"
        )
    masks = all_masks(evaluator.n_segments)
    if evaluator.budget.allowed(len(masks)) < len(masks):
        raise SettingError(
            f"all masks are {len(masks)} model calls, more than the evaluator's budget; make it of "
            "an Explainer without one"
        )
    for what in ("target", "segments", "view", "fill"):
        if not np.array_equal(_part(evaluator, what), getattr(explanation, what)):
            raise SettingError(
                f"the evaluator's {what} is not the explanation's; make it of the same image, "
                "target and settings"
            )
    everything = Archive(masks, evaluator.reference.probabilities(masks))
    full = float(everything.probabilities[-1])
    if abs(full - explanation.probability_full) > SAME_MODEL:
        raise SettingError(
            f"the evaluator's model gives the full view {full:.3f}, the explanation has "
            f"{explanation.probability_full:.3f}; make it of the same model"
        )
    asked = np.vstack([explanation.archive.masks, masks[-1:]])
    # What a stand-in said of them isn't what the model says.
    searched = Archive(asked, everything.probabilities[everything.find_all(asked)])
    optimum = smallest(front(everything), full, p=share * full)
    found = smallest(front(searched), full, p=share * full)
    return Certificate(
        optimum,
        found,
        found.size - optimum.size,
        front_quality(everything),
        front_quality(searched),
    )


def _part(evaluator: Evaluator, what: str) -> Any:
    return evaluator.masked_view.fill if what == "fill" else getattr(evaluator, what)


def all_masks(n_segments: int) -> Masks:
    """Every mask there is, from none kept to all kept: (2^S, S).

    Raises
    ------
    SettingError
        If there are more than 16 superpixels.

    Examples
    --------
    >>> all_masks(2).astype(int).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if n_segments > MOST:
        raise SettingError(
            f"{n_segments} superpixels have 2^{n_segments} masks, too many to enumerate; use "
            f"{MOST} at most, such as segments='slic:n_segments=12'"
        )
    return np.array(list(itertools.product([False, True], repeat=n_segments)))


class Consensus(NamedTuple):
    """What several seeds agree on.

    Attributes
    ----------
    explanations
        One for each seed. Ctrl-C ends them: then those that were finished, if any, else the one
        that was under way, with its warning.
    kept
        Share of the runs that keep each superpixel, (S,), 0..1.
    low, high
        Its 95 % interval by Wilson's score, (S,), 0..1.
    jaccard
        Mean overlap of two runs' masks, 0..1; NaN where there is but one.
    """

    explanations: Sequence[Explanation]
    kept: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    jaccard: float

    def __repr__(self) -> str:
        return f"Consensus({len(self.explanations)} explanations, jaccard={self.jaccard:.3f})"


def consensus(
    explainer: Explainer,
    image: Any,
    target: Any = None,
    seeds: int = 5,
    progress: Callable[[Evaluator], None] | None = None,
) -> Consensus:
    """Explain one image with several seeds, from the explainer's own upwards.

    ``progress`` is called as :meth:`~deap_xai.explainer.Explainer.explain` calls it.

    The interval is Wilson's (Journal of the American Statistical Association 22, 1927) with
    z = 1.96: (k + z²/2 ± z·sqrt(k(n-k)/n + z²/4)) / (n + z²) for k of n.

    Raises
    ------
    SettingError
        If seeds is no whole number of at least 2, there are several images, or a segmenter that
        draws cuts other superpixels for each seed.
    """
    if not isinstance(seeds, int | np.integer) or seeds < 2:
        raise SettingError(f"a consensus needs a whole number of seeds, 2 at least; got {seeds!r}")
    if isinstance(image, list | tuple):
        raise SettingError("a consensus is of one image; got several: call it once for each")
    explanations: list[Explanation] = []
    for seed in range(explainer.seed, explainer.seed + seeds):
        twin = copy.copy(explainer)
        twin.seed = seed
        try:
            made = twin.explain(image, target, progress)
        except KeyboardInterrupt:  # before it had anything to show
            if not explanations:
                raise
            break
        if made.interrupted:
            explanations = explanations or [made]
            break
        if explanations and not np.array_equal(made.segments, explanations[0].segments):
            raise SettingError(
                f"seed {seed} cut other superpixels than seed {explainer.seed}: their masks can't "
                "be compared; give all one label map, such as segments=explanation.segments"
            )
        explanations.append(made)
    masks, n = np.array([explanation.mask for explanation in explanations]), len(explanations)
    k, z = masks.sum(axis=0), 1.96
    middle, half = k + z**2 / 2, z * np.sqrt(k * (n - k) / n + z**2 / 4)
    low, high = (middle - half) / (n + z**2), (middle + half) / (n + z**2)
    overlap = stability(list(masks)) if n > 1 else float("nan")
    return Consensus(explanations, k / n, low, high, overlap)
