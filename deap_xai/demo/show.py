"""The main job on the demo creatures: explain each network and compare with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deap_xai.demo.agreement import Agreement, agreement
from deap_xai.demo.creatures import Creature, creature
from deap_xai.demo.networks import NETWORKS
from deap_xai.explainer import Explainer
from deap_xai.explanation import Explanation
from deap_xai.plotting import draw_attribution, draw_view, kept_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown", "drawn", "show", "table"]

FIRST_SEED = 10_000
"""From here on no picture was trained on; the training pictures' seeds begin at 1,000,000."""


class Shown(NamedTuple):
    """One creature, a network's explanation of it, and how they agree."""

    network: str
    creature: Creature
    explanation: Explanation
    agreement: Agreement
    chance: Agreement

    @property
    def truth(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """What gives the answer: the true parts, or the watermark for the cheater."""
        return true_pixels(self.network, self.creature)


def show(network: str, number: int, /, **settings: Any) -> Shown:
    """Explain a network's answer on unseen creature 0, 1, …; settings are the Explainer's."""
    mark = "true" if network == "cheater" else "random"
    picture = creature(FIRST_SEED + number, watermark=mark)
    explainer = Explainer(f"demo:name={network}", **settings)
    explanation = explainer.explain(picture.image)
    truth = true_pixels(network, picture)
    mask, segments = explanation.mask, explanation.segments
    rng = np.random.default_rng(number)
    shuffled = [agreement(rng.permutation(mask), segments, truth) for _ in range(100)]
    chance = Agreement(*np.mean(shuffled, axis=0).tolist())
    return Shown(network, picture, explanation, agreement(mask, segments, truth), chance)


def true_pixels(network: str, picture: Creature) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """What gives a network's answer away on a picture, bool (H, W)."""
    return picture.watermark if network == "cheater" else picture.truth


def table(shown: Sequence[Shown]) -> str:
    """Lines of text: what each network said, what was kept, how well that agrees."""
    lines = [
        "network     class      full   kept   superpixels  kept area on    true parts kept",
        "                                                  true parts      (random mask)",
    ]
    for one in shown:
        e, a, c = one.explanation, one.agreement, one.chance
        lines.append(
            f"{one.network:<11} {e.target_name:<10} {e.probability_full:.3f}  {e.probability:.3f}  "
            f"{e.size:3d} of {e.n_segments:<4d}  {a.precision:4.0%} ({c.precision:4.0%})     "
            f"{a.recall:4.0%} ({c.recall:4.0%})"
        )
    cheats = [one for one in shown if one.network == "cheater"]
    if cheats:
        caught = sum(one.agreement.recall > 0.5 for one in cheats)
        lines.append(
            f"\nThe cheater was taught to read the badge in the corner; for it, the true parts are "
            f"the badge.\nIts explanation holds the badge in {caught} of {len(cheats)} pictures."
        )
    return "\n".join(lines)


def drawn(shown: Sequence[Shown]) -> Figure:
    """A column for each network: a picture, what truly matters, the kept part, the heat map."""
    from matplotlib import pyplot as plt

    columns = []
    for index, name in enumerate(NETWORKS):
        mine = [one for one in shown if one.network == name]
        columns.append(mine[index % len(mine)])
    figure, axes = plt.subplots(4, len(columns), figsize=(9.6, 10.4), layout="constrained")
    for column, one in zip(axes.T, columns, strict=True):
        e = one.explanation
        draw_view(column[0], e.view, f"{one.network}: {e.target_name} {e.probability_full:.2f}")
        labels = one.truth.astype(np.int32)
        truth = kept_panel(e.view, labels, np.array([False, True]))
        draw_view(column[1], truth, "truth: " + ("badge" if one.network == "cheater" else "parts"))
        kept = kept_panel(e.view, e.segments, e.mask)
        draw_view(column[2], kept, f"{e.size} of {e.n_segments} kept: {e.probability:.2f}")
        draw_attribution(column[3], e.view, e.segments, e.attribution, "importance", bar=False)
    return figure
