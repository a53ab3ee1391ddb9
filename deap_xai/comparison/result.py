"""What came out of a comparison: tables, statistics, pictures, files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from deap_xai.archive import best_by_size, front, full_and_empty, running_front_quality
from deap_xai.comparison import curves, drawing, statistics
from deap_xai.comparison.curves import Trajectories
from deap_xai.comparison.design import Design, Run
from deap_xai.comparison.iohprofiler import remove_iohprofiler, write_iohprofiler
from deap_xai.comparison.records import Record
from deap_xai.comparison.statistics import MEASURES, PROBLEM, Blocks
from deap_xai.errors import SettingError
from deap_xai.plotting import save_png
from deap_xai.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "make_comparison"]

SHARES = (10, 25, 50)
"""Percent of the superpixels within which the best probability stands in the table."""

FEW = 3
"""As many pairs that show no difference have a sentence each in the report."""

NOT_ALWAYS = ("pairs.parquet", "pairs.csv", "failures.parquet", "failures.csv", "ranks.png")
"""Files that are saved only where there is something to say."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs of several variants at equal model calls, and what they show.

    Where a ``measure`` is asked for, it is ``"front_quality"`` (the mean over k = 1..S of the best
    probability within k superpixels) or ``"probability"`` (the best of all). Tests and intervals
    take as their unit what :mod:`deap_xai.comparison.statistics` says.

    Attributes
    ----------
    table
        A row a run: ``model``, ``image``, ``variant``, ``seed``; ``target`` (index of the class),
        ``n_segments``, ``calls``; ``full`` and ``empty`` (probability of the full and of the empty
        view), ``probability`` (the best), ``size`` and ``mask`` (superpixels that the smallest
        such mask keeps: their number, and a string of bits), ``within_10%``, ``within_25%``,
        ``within_50%`` (the best within such a share of the superpixels), ``front_quality``,
        ``seconds`` (of the search, without loading the model).
    trajectories
        A row a model call of a run: ``calls``, and ``probability`` and ``front_quality`` so far.
    failures
        A row a run that failed, with its ``error``.
    settings
        What each name meant.
    notes
        What the reader should know, in plain sentences.
    """

    table: pd.DataFrame
    trajectories: pd.DataFrame
    failures: pd.DataFrame
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def summary(self, measure: str = "front_quality") -> pd.DataFrame:
        """A row a variant, the best first: means over problems of means over seeds, mean rank.

        Over the problems and seeds that all variants have, where there are any.
        """
        columns = ["front_quality", "probability", "within_25%", "size", "calls", "seconds"]
        blocks = self._blocks(measure)
        table = _shared(self.table, blocks)
        problems = table.groupby(["variant", *PROBLEM], sort=False)[columns].mean()
        means = problems.groupby(level="variant", sort=False).mean()
        means.insert(0, "runs", table["variant"].value_counts())
        means["rank"] = _ranks(blocks.values)
        return means.sort_values(measure, ascending=False, kind="stable")

    def friedman(self, measure: str = "front_quality") -> float:
        """P-value of Friedman's test that all variants are alike; of Wilcoxon's for two."""
        return statistics.friedman(self._blocks(measure).values)

    def pairs(self, measure: str = "front_quality") -> pd.DataFrame:
        """A row a pair of variants; see :func:`deap_xai.comparison.statistics.pairs`."""
        return statistics.pairs(self._blocks(measure), measure)

    def report(self, measure: str = "front_quality") -> str:
        """What was tested, the summary, and which pairs differ, as text.

        What was tested comes first, since it may say that the rest shows nothing. Where no
        difference was shown between more than three pairs, one sentence stands for them.
        """
        blocks = self._blocks(measure)
        lines = [self._tested(blocks), "", self.summary(measure).round(4).to_string(), ""]
        if blocks.values.shape[1] > 2 and len(blocks.values):
            p = statistics.friedman(blocks.values)
            told = "are told apart" if p <= statistics.ALPHA else "aren't told apart"
            lines.append(f"All variants together {told} by Friedman's test (p = {p:.2g}).")
        if _comparable(blocks):
            lines += _sentences(statistics.pairs(blocks, measure), MEASURES[measure])
        return "\n".join([*lines, *(f"Note: {note}." for note in self.notes)])

    def plot_anytime(self, measure: str = "front_quality") -> Figure:
        """Mean against model calls, over the runs of the summary.

        With 95 % bootstrap intervals where there are four variants at most.
        """
        blocks = self._blocks(measure)
        found = curves.anytime(self._curves(blocks, measure), blocks.unit)
        over = "problems" if blocks.unit == "problem" else "seeds within each problem"
        return drawing.draw_anytime(
            found, MEASURES[measure], f"bands: 95 % bootstrap interval over {over}"
        )

    def plot_ecdf(self, measure: str = "front_quality") -> Figure:
        """Share of runs and targets reached against model calls; over the runs of the summary."""
        found = curves.ecdf(self._curves(self._blocks(measure), measure))
        return drawing.draw_ecdf(found, MEASURES[measure])

    def plot_ranks(self, measure: str = "front_quality") -> Figure:
        """Critical-difference diagram.

        Raises
        ------
        SettingError
            If there aren't two variants with runs on the same problem and seed.
        """
        blocks = self._blocks(measure)
        values = blocks.values
        if not _comparable(blocks):
            raise SettingError("no problem and seed was run by all variants: nothing to rank")
        p_values = statistics.wilcoxon_holm(values)
        # As in the report: where p-value and means disagree, nothing was shown.
        for row in statistics.pairs(blocks, measure).itertuples():
            if not row.shown:
                p_values.loc[row.first, row.second] = p_values.loc[row.second, row.first] = 1.0
        return drawing.draw_ranks(_ranks(values), p_values, MEASURES[measure])

    def to_iohprofiler(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write all runs in IOHprofiler's format, for IOHanalyzer; gives the JSON files.

        What an earlier export wrote to the folder is removed.
        """
        remove_iohprofiler(Path(folder))
        return write_iohprofiler(Path(folder), self.table, self.trajectories)

    def save(self, folder: str | os.PathLike[str], measure: str = "front_quality") -> list[Path]:
        """Write tables (Parquet and CSV), the report, pictures and the IOHprofiler export.

        What an earlier ``save`` wrote there is replaced or removed, other files stay.

        Returns
        -------
        What was written: files, and the export's folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        blocks = self._blocks(measure)
        comparable = _comparable(blocks)
        tables = {"runs": self.table, "trajectories": self.trajectories}
        if comparable:
            tables["pairs"] = statistics.pairs(blocks, measure)
        if len(self.failures):
            tables["failures"] = self.failures
        for name in NOT_ALWAYS:
            (folder / name).unlink(missing_ok=True)
        written = []
        for name, frame in tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
            frame.to_csv(folder / f"{name}.csv", index=False)
            written += [folder / f"{name}.parquet", folder / f"{name}.csv"]
        (folder / "report.txt").write_text(self.report(measure) + "\n", encoding="utf-8")
        figures = {"anytime": self.plot_anytime, "ecdf": self.plot_ecdf}
        if comparable:
            figures["ranks"] = self.plot_ranks
        for name, plot in figures.items():
            save_png(plot(measure), folder / f"{name}.png")
        self.to_iohprofiler(folder / "ioh")
        pictures = [folder / f"{name}.png" for name in figures]
        return [*written, folder / "report.txt", *pictures, folder / "ioh"]

    def __repr__(self) -> str:
        variants, runs = self.table["variant"].nunique(), len(self.table)
        problems = self.table.groupby(PROBLEM).ngroups
        counts = counted(variants, "variant"), counted(problems, "problem"), counted(runs, "run")
        return f"Comparison({', '.join(counts)})"

    def _blocks(self, measure: str) -> Blocks:
        if measure not in MEASURES:
            raise SettingError(f"measure must be one of {', '.join(MEASURES)}; got {measure!r}")
        return statistics.blocks(self.table, measure)

    def _curves(self, blocks: Blocks, measure: str) -> Trajectories:
        return curves.trajectories_of(_shared(self.trajectories, blocks), measure)

    def _tested(self, blocks: Blocks) -> str:
        if _comparable(blocks):
            return blocks.describe()
        return "No problem and seed was run by two variants: nothing to compare."


def _comparable(blocks: Blocks) -> bool:
    return blocks.values.shape[1] > 1 and len(blocks.values) > 0


def _sentences(pairs: pd.DataFrame, measure: str) -> list[str]:
    """A sentence for each pair, those that differ first; one for all the others if many."""
    shown, others = pairs[pairs["shown"]], pairs[~pairs["shown"]]
    if len(others) <= FEW:
        return [*shown["sentence"], *others["sentence"]]
    which = f"the other {len(others)}" if len(shown) else f"any of {len(others)}"
    told = f"No difference in {measure} was shown between {which} pairs of variants"
    return [*shown["sentence"], f"{told}; pairs() and pairs.csv have each."]


def _shared(frame: pd.DataFrame, blocks: Blocks) -> pd.DataFrame:
    """The rows of problems and seeds that all variants have; all rows where there are none."""
    shared = frame.set_index([*PROBLEM, "seed"]).index.isin(blocks.runs.index)
    return frame[shared] if shared.any() else frame


def make_comparison(
    design: Design,
    records: Sequence[Record],
    failures: Mapping[Run, str],
    notes: Sequence[str],
    identities: Mapping[str, Any],
) -> Comparison:
    """Tables from records, with what each name meant."""
    table = pd.DataFrame([_row(record) for record in records])
    failed = pd.DataFrame(
        [{**run._asdict(), "error": error} for run, error in failures.items()],
        columns=[*Run._fields, "error"],
    )
    notes = [*notes, *design.unheeded()]
    if len(failed):
        first = failed.iloc[0]
        whose = ", ".join(dict.fromkeys(failed["variant"]))
        notes.append(
            f"{counted(len(failed), 'run')} failed, of {whose}; the first: {first['error']}"
        )
    early = int((table["calls"] < design.budget).sum())
    if early:
        notes.append(
            f"{counted(early, 'run')} ended before {counted(design.budget, 'model call')}, since "
            "nothing new was left to ask or the algorithm was to end; the last value stands for "
            "the rest"
        )
    if any({"fill", "segments"} & settings.keys() for settings in design.variants.values()):
        notes.append(
            "fill or segments vary: such variants answer about other pictures, so a higher number "
            "isn't a better search"
        )
    notes += [
        f"all runs of {', '.join(names)} are the same, mask by mask: they do the same, or searches "
        "end within their first generation, in which operators have no part; then allow more model "
        "calls or a smaller population"
        for names in _same(records)
    ]
    long = pd.concat([_trajectory(record) for record in records], ignore_index=True)
    return Comparison(table, long, failed, identities, tuple(notes))


def _same(records: Sequence[Record]) -> list[list[str]]:
    """Variants whose every run has the same answers in the same order."""
    runs: dict[str, list[Any]] = {}
    for record in records:
        answers = record.archive.masks.tobytes(), record.archive.probabilities.tobytes()
        runs.setdefault(record.run.variant, []).append((record.run[:2], record.run.seed, answers))
    alike: dict[Any, list[str]] = {}
    for variant, found in runs.items():
        alike.setdefault(tuple(found), []).append(variant)
    return [names for names in alike.values() if len(names) > 1]


def _row(record: Record) -> dict[str, Any]:
    archive = record.archive
    n_segments = archive.masks.shape[1]
    within = best_by_size(archive.masks, archive.probabilities)
    best = front(archive)[-1]
    shares = {f"within_{s}%": float(within[max(1, n_segments * s // 100)]) for s in SHARES}
    full, empty = archive.known(full_and_empty(n_segments)).tolist()
    return {
        **record.run._asdict(),
        "target": record.target,
        "n_segments": n_segments,
        "calls": record.spent,
        "full": full,
        "empty": empty,
        "probability": best.probability,
        "size": best.size,
        "mask": "".join("01"[bit] for bit in best.mask.astype(int)),
        **shares,
        "front_quality": float(running_front_quality(archive)[-1]),
        "seconds": round(record.seconds, 3),
    }


def _trajectory(record: Record) -> pd.DataFrame:
    archive = record.archive
    kept = np.where(archive.masks.any(axis=1), archive.probabilities, 0).astype(float)
    columns: dict[str, Any] = {**record.run._asdict(), "calls": record.calls}
    columns["probability"] = np.maximum.accumulate(kept)
    columns["front_quality"] = running_front_quality(archive)
    return pd.DataFrame(columns)


def _ranks(values: pd.DataFrame) -> pd.Series:
    """Mean rank of each variant over the units, 1 is best."""
    ranks: pd.Series = values.rank(axis=1, ascending=False).mean()
    return ranks
