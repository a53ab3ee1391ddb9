"""The panel of choices: menus and sliders, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deap_xai.app.choices import (
    algorithm_choices,
    counts_pieces,
    fill_choices,
    heeds,
    model_choices,
    operator_choices,
    segmenter_choices,
)
from deap_xai.app.explainers import Choice
from deap_xai.defaults import ALGORITHM, BUDGET, FILL, SEGMENTS
from deap_xai.demo import NETWORKS
from deap_xai.specs import parse_spec

__all__ = ["Panel"]

ROLES = {
    "mate": "How two candidates mix (mate)",
    "mutate": "How a candidate changes (mutate)",
    "select": "Who has offspring (select)",
    "bits": "How the first candidates are made (bits)",
}


class Panel:
    """Everything that a visitor can choose beside the picture; to be made within ``gr.Blocks``.

    Parameters
    ----------
    gr
        The module gradio.
    model
        The classifier that is chosen at first.
    given
        Settings of the search that are chosen at first.

    Attributes
    ----------
    home
        The classifier to which an uploaded photograph goes unless another is chosen.
    controls
        The components whose values :meth:`choice` takes, in that order.
    """

    def __init__(self, gr: Any, model: str, given: Mapping[str, Any]) -> None:
        self._gr = gr
        self.home = f"demo:name={NETWORKS[0]}" if model == "demo" else model
        self.model = gr.Dropdown(model_choices(self.home), value=self.home, label="Classifier",
                                 info="Photographs: its weights are downloaded once.")  # fmt: skip
        budget = int(given.get("budget") or BUDGET)
        least, most = _around(budget, 50, 2000)
        self.budget = gr.Slider(
            least,
            most,
            budget,
            step=50,
            label="How long to search",
            info=f"How often the classifier may be asked: {least} to {most}.",
            elem_id="calls",
        )
        with gr.Accordion("More choices", open=False):
            self._cut(gr, str(given.get("segments", SEGMENTS)))
            fill = str(given.get("fill", FILL))
            self.fill = gr.Dropdown(fill_choices(fill), value=fill,
                                    label="What stands where a piece is hidden")  # fmt: skip
            self._search(gr, given)
            self.target = gr.Textbox(
                "",
                label="Which answer to explain",
                placeholder="the classifier's own; or a class's name or number",
                max_lines=1,
            )
        self.controls = [self.model, self.budget, self.segmenter, self.n_segments, self.fill,
                         self.algorithm, self.target, *self.operators]  # fmt: skip

    def choice(
        self,
        model: str,
        budget: float,
        segmenter: str,
        n_segments: float,
        fill: str,
        algorithm: str,
        target: str,
        *operators: str,
    ) -> Choice:
        """What the controls' values stand for."""
        counted = f"{segmenter}:n_segments={int(n_segments)}"
        return Choice(
            model=model,
            budget=int(budget),
            segments=counted if counts_pieces(segmenter) else segmenter,
            fill=fill,
            algorithm=algorithm,
            operators={
                role: spec if heeds(algorithm, role) else ""
                for role, spec in zip(ROLES, operators, strict=True)
            },
            target=target.strip() or None,
        )

    def heeded(self, algorithm: str) -> dict[Any, Any]:
        """Which menus of operators are shown beside an algorithm: those that it heeds."""
        return {
            menu: self._gr.update(visible=heeds(algorithm, role))
            for menu, role in zip(self.operators, ROLES, strict=True)
        }

    def _cut(self, gr: Any, spec: str) -> None:
        name, values = parse_spec(spec)
        n: Any = values.get("n_segments")
        plain = set(values) == {"n_segments"} and isinstance(n, int)
        shown, n = (name, n) if plain else (spec, 50)
        self.segmenter = gr.Dropdown(segmenter_choices(shown), value=shown,
                                     label="How to cut the picture into pieces")  # fmt: skip
        least, most = _around(n, 10, 200)
        self.n_segments = gr.Slider(least, most, n, step=5, label="About how many pieces",
                                    info=f"{least} to {most}.",
                                    visible=counts_pieces(shown))  # fmt: skip

    def _search(self, gr: Any, given: Mapping[str, Any]) -> None:
        algorithm, own = str(given.get("algorithm", ALGORITHM)), given.get("operators", {})
        self.algorithm = gr.Dropdown(algorithm_choices(algorithm), value=algorithm,
                                     label="Search algorithm")  # fmt: skip
        self.operators = [
            gr.Dropdown(operator_choices(role, own.get(role)), value=own.get(role, ""), label=label,
                        visible=heeds(algorithm, role))
            for role, label in ROLES.items()
        ]  # fmt: skip


def _around(given: int, low: int, high: int) -> tuple[int, int]:
    """The range of a slider, widened to what was given: gradio refuses values outside."""
    return min(low, given), max(high, given)
