"""What came out: a frozen record of one explanation, its file and its pictures."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, FrontPoint, front
from deap_xai.errors import SettingError
from deap_xai.files import check_page, write_whole
from deap_xai.pareto import Pareto
from deap_xai.typing import Mask, Segments, View
from deap_xai.wording import counted, known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deap_xai.certificates import Consensus

__all__ = ["Checks", "Explanation"]

SEARCH_INTERRUPTED = "the search was interrupted; this is the best so far, without checks"
CHECKS_INTERRUPTED = "the checks were interrupted"
"""What warnings say after Ctrl-C."""


@dataclass(frozen=True)
class Checks:
    """What was found out about a mask beside its probability; NaN or missing: not checked.

    Attributes
    ----------
    rest
        Probability of the target on what the mask hides, 0..1.
    fills
        Probability of the kept part under other fills, by the fill's name.
    random
        Probabilities of random masks of the same size, (R,).
    dropped
        Probability with each kept superpixel dropped, (S,); NaN where it isn't kept.
    """

    rest: float
    fills: Mapping[str, float]
    random: NDArray[np.float64]
    dropped: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values; None where not checked."""
        return {
            "rest": known(self.rest),
            "fills": {name: known(p) for name, p in self.fills.items()},
            "random": [known(p) for p in self.random],
            "dropped": [known(p) for p in self.dropped],
        }


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which superpixels were enough for a classifier's answer, and how we know.

    Attributes
    ----------
    mask
        (S,), bool: the superpixels kept.
    segments
        (h, w), int: superpixel labels over the view.
    view
        (h, w, 3), uint8: the image as the model took it.
    fill
        (h, w, 3), uint8: what stood where a superpixel was hidden.
    target, target_name
        Index and name of the class explained.
    probability, probability_full, probability_rest, probability_empty
        Of the target, 0..1: on the kept part, the full view, what was not kept, and nothing at
        all. NaN where the budget ended before.
    attribution
        (S,), float: importance of each superpixel, higher is more.
    archive
        Every distinct mask evaluated, in order, with its probability.
    checks
        Other fills, random masks of the same size, superpixels dropped one by one.
    model_calls
        Distinct masked views that went through the model, checks included.
    seconds
        Wall time from image to explanation.
    seed
        Of everything that drew at random.
    settings
        All that is needed to repeat it.
    warnings
        What the reader should know, in plain sentences.
    reference
        Where the search asked a stand-in, another engine or precision: every mask that the user's
        own model was asked about, with its probability. All other numbers here but the archive, the
        attribution, the history and ``pareto`` are the own model's. None: the archive is its own.
    pareto
        What is non-dominated in all objectives of the search, of the individuals that had their
        fitness evaluated; see :class:`~deap_xai.pareto.Pareto`. None in older files.
    """

    mask: Mask
    segments: Segments
    view: View
    fill: View
    target: int
    target_name: str
    probability: float
    probability_full: float
    probability_empty: float
    attribution: NDArray[np.float64]
    archive: Archive
    checks: Checks
    model_calls: int
    seconds: float
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reference: Archive | None = None
    pareto: Pareto | None = None

    @property
    def probability_rest(self) -> float:
        """Probability of the target on what was not kept, 0..1."""
        return self.checks.rest

    @property
    def size(self) -> int:
        """Number of superpixels kept."""
        return int(self.mask.sum())

    @property
    def n_segments(self) -> int:
        """Number of superpixels, S."""
        return len(self.mask)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came while it was made; it is the best found until then."""
        return bool({SEARCH_INTERRUPTED, CHECKS_INTERRUPTED} & set(self.warnings))

    @property
    def droppable(self) -> NDArray[np.intp]:
        """Kept superpixels of which any one could be dropped, (n,), of those that were tried.

        Without it the probability stays at the kept part's, or at the full view's if that is lower.
        """
        least = min(self.probability, self.probability_full)
        return np.flatnonzero(self.checks.dropped >= least)  # never true of NaN

    @property
    def minimal(self) -> bool | None:
        """Whether no kept superpixel could be dropped; None: not all were tried.

        This is 1-minimality, as in the shrinking of sufficient reasons (Ignatiev, Narodytska and
        Marques-Silva, AAAI 2019).
        """
        if len(self.droppable):
            return False
        return None if np.isnan(self.checks.dropped[self.mask]).any() else True

    @property
    def front(self) -> list[FrontPoint]:
        """The non-dominated masks over probability and size, from small to large.

        Where a stand-in was searched, only masks that the model itself was asked about, those first
        that add most to the front's area: :func:`~deap_xai.checks.confirm` says how many.
        """
        return front(self.archive if self.reference is None else self.reference)

    @property
    def history(self) -> dict[str, NDArray[Any]]:
        """The best probability after each mask under its own fill, and the size of its mask.

        Arrays ``calls``, ``probability`` and ``size``, each (N,).
        """
        best = np.maximum.accumulate(self.archive.probabilities)
        is_new = np.r_[True, best[1:] > best[:-1]]
        holder = np.maximum.accumulate(np.where(is_new, np.arange(len(best)), 0))
        sizes = self.archive.masks.sum(axis=1)
        return {"calls": np.arange(1, len(best) + 1), "probability": best, "size": sizes[holder]}

    def plot(self, axes: Sequence[Axes] | None = None) -> Figure:
        """Four panels: the view, the kept part, the heat map and the convergence.

        On four matplotlib axes, or on a new figure; each panel also has a method of its own that
        takes and returns axes.

        Returns
        -------
        The matplotlib figure; ``.savefig(path)`` writes it.
        """
        if axes is None:
            from deap_xai.plotting import panels

            axes = panels(self.view)[1]
        if len(axes) != 4:
            raise SettingError(f"plot draws four panels; got {len(axes)} axes: give four, or none")
        draw = (self.plot_view, self.plot_kept, self.plot_attribution, self.plot_history)
        for panel, one in zip(draw, axes, strict=True):
            panel(one)
        return axes[0].figure  # type: ignore[return-value]

    def plot_view(self, axes: Axes | None = None) -> Axes:
        """The view and the probability on it. On matplotlib axes or new ones; returns them."""
        from deap_xai import plotting

        title = f"{plotting.short(self.target_name)}: {self.probability_full:.3f}"
        return plotting.draw_view(plotting.some(axes), self.view, title)

    def plot_kept(self, axes: Axes | None = None) -> Axes:
        """The kept part over the faded rest. On matplotlib axes or new ones; returns them."""
        from deap_xai import plotting

        title = f"{self.size} of {self.n_segments} superpixels: {self.probability:.3f}"
        kept = plotting.kept_panel(self.view, self.segments, self.mask)
        return plotting.draw_view(plotting.some(axes), kept, title)

    def plot_attribution(self, axes: Axes | None = None) -> Axes:
        """The heat map of importance. On matplotlib axes or new ones; returns them."""
        from deap_xai import plotting

        where, title = plotting.some(axes), "importance (log-odds)"
        return plotting.draw_attribution(
            where, self.view, self.segments, self.attribution, title=title
        )

    def plot_history(self, axes: Axes | None = None) -> Axes:
        """Best probability so far, by model calls. On matplotlib axes or new ones; returns them."""
        from deap_xai import plotting

        calls, best = self.history["calls"], self.history["probability"]
        return plotting.draw_convergence(plotting.some(axes), calls, best, self.probability_full)

    def plot_front(self, axes: Axes | None = None) -> Axes:
        """Best probability for each size. On matplotlib axes or new ones; returns them."""
        from deap_xai import plotting

        full, empty = self.probability_full, self.probability_empty
        return plotting.draw_front(
            plotting.some(axes), self.front, self.n_segments, self.size, full, empty
        )

    @overload
    def report(
        self, path: None = ..., *, image: str = ..., consensus: Consensus | None = ...
    ) -> str: ...

    @overload
    def report(
        self, path: str | os.PathLike[str], *, image: str = ..., consensus: Consensus | None = ...
    ) -> Path: ...

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        image: str = "",
        consensus: Consensus | None = None,
    ) -> str | Path:
        """One HTML page to look at, which needs no network and no other file.

        Parameters
        ----------
        path
            Where to write it; the file appears whole or not at all. None writes nothing.
        image
            The image's file name, for the heading and for the command that repeats the explanation.
        consensus
            What :func:`deap_xai.certificates.consensus` found about the same image.

        Returns
        -------
        The page itself, or the path written.

        Raises
        ------
        OSError
            If the file can't be written.
        SettingError
            If its name ends otherwise than in .html or .htm, as a photograph's does; or has no
            ending, and the file is there already.
        """
        from deap_xai.pages import encoded, explanation_page

        if path is not None:
            check_page(Path(path))
        page = explanation_page(self, image, consensus)
        return page if path is None else write_whole(Path(path), encoded(page))

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, in plain Python values that JSON knows."""
        return {
            "target": self.target,
            "target_name": self.target_name,
            "probability": self.probability,
            "probability_full": self.probability_full,
            "probability_rest": known(self.probability_rest),
            "probability_empty": known(self.probability_empty),
            "size": self.size,
            "n_segments": self.n_segments,
            "minimal": self.minimal,
            "mask": self.mask.astype(int).tolist(),
            "attribution": self.attribution.tolist(),
            "front": [
                {
                    "size": point.size,
                    "probability": point.probability,
                    "mask": point.mask.astype(int).tolist(),
                }
                for point in self.front
            ],
            "pareto": None if self.pareto is None else self.pareto.to_dict(),
            "checks": self.checks.to_dict(),
            "model_calls": self.model_calls,
            "seconds": self.seconds,
            "seed": self.seed,
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file: NumPy's ``.npz`` with one JSON entry; nothing is pickled.

        The file appears whole or not at all.

        Returns
        -------
        The path written, with ``.npz`` added where it was missing.
        """
        from deap_xai.saving import packed

        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        return write_whole(path, packed(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        SettingError
            If there is no such file or it isn't one.
        """
        from deap_xai.saving import unpacked

        fields = unpacked(path)
        return cls(**fields | {"checks": Checks(**fields["checks"])})

    def _repr_html_(self) -> str | None:
        """The four panels with what a reader should know; without that, the picture is enough."""
        if not self.warnings:
            return None
        picture, shown = base64.b64encode(self._repr_png_()).decode(), html.escape(repr(self))
        notes = "".join(f"<p><b>Note:</b> {html.escape(text)}</p>" for text in self.warnings)
        return f'<img src="data:image/png;base64,{picture}" alt="{shown}">{notes}'

    def _repr_png_(self) -> bytes:
        """The four panels, for notebooks."""
        from matplotlib import pyplot as plt

        figure, buffer = self.plot(), io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return (
            f"Explanation({self.target_name!r}: {self.size} of {self.n_segments} superpixels give "
            f"{self.probability:.3f}, the full view {self.probability_full:.3f}; "
            f"{counted(self.model_calls, 'model call')}, {self.seconds:.1f} s)"
        )
