"""A run's folder: the one place where progress is kept, and what its files mean.

``settings.json`` says what the run is. ``explanations/ID.npz`` is the truth about what is done: a
file appears whole or not at all. ``results.parquet`` is drawn from those files, now and then and at
the end. ``failures.csv`` has what could not be explained. ``running/ID`` is there while a worker
is at an image, and tells, when workers have died, over which.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from deap_xai.errors import RunError, SettingError
from deap_xai.explanation import Explanation
from deap_xai.files import write_whole
from deap_xai.runs.rows import SCHEMA, row_of

__all__ = ["Failure", "RunFolder"]

FORMAT = 1
"""Version of the folder's layout."""

ABANDONED = 600
"""Seconds after which a half-written file is a dead process's."""


class Failure(NamedTuple):
    """An image that could not be explained: what kind of error, and the reason in words."""

    id: str
    image: str
    error: str
    reason: str


class RunFolder:
    """The files of one run.

    Parameters
    ----------
    path
        The folder; :meth:`opened` makes it where there is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  # links stay as they were given
        self.explanations = self.path / "explanations"
        self.running = self.path / "running"
        self.settings_file = self.path / "settings.json"
        self.table_file = self.path / "results.parquet"
        self.failures_file = self.path / "failures.csv"

    @contextmanager
    def opened(self, settings: Mapping[str, Any], digest: str) -> Iterator[set[str]]:
        """Begin a run, or go on with one that has the same settings; within, it is ours alone.

        Yields
        ------
        The ids of those that a process was at when it died.

        Raises
        ------
        RunError
            If there is a run with other settings, something else, another command that is at this
            one, or no way to write.
        """
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            files = [file for file in self.path.iterdir() if not file.name.startswith(".")]
        if files and not self.settings_file.exists():
            raise RunError(
                f"{self.path} holds other things, no run (no settings.json); name a new folder"
            )
        # What another command is at would look like what a killed one left.
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise RunError(
                f"another command is at the run in {self.path}; wait until it has ended, or name a "
                f"new folder (if there is none, delete {lock.lock_file})"
            ) from error
        except (OSError, NotImplementedError):
            pass  # a disk that knows no locks; whether it can be written is seen next
        try:
            yield self._begin(settings, digest)
        finally:
            lock.release()

    def _begin(self, settings: Mapping[str, Any], digest: str) -> set[str]:
        with self.writing():
            if self.settings_file.exists():
                self._check(settings, digest)
            else:
                facts = {"format": FORMAT, "hash": digest, "settings": settings}
                write_whole(self.settings_file, json.dumps(facts, indent=2).encode())
            self.explanations.mkdir(exist_ok=True)
            self.running.mkdir(exist_ok=True)
            # What a killed process left: half-written files, and images that it was at.
            begun = list(self.running.iterdir())
            halves = [one for one in self.explanations.glob(".*.part") if _is_old(one)]
            for left in (*halves, *begun):
                left.unlink(missing_ok=True)
            return {marker.name for marker in begun}

    def settings(self) -> dict[str, Any]:
        """The run's settings.

        Raises
        ------
        SettingError
            If the folder holds no run.
        """
        return self._facts()["settings"]

    def file(self, item_id: str) -> Path:
        """Where an image's explanation is saved."""
        return self.explanations / f"{item_id}.npz"

    def table(self) -> pa.Table:
        """A row for each explanation file, sorted by image; nothing is written."""
        files = {file.stem for file in self._finished()}
        table = self._saved_table()
        rows = table.filter(pc.is_in(table["id"], pa.array(sorted(files), pa.string())))
        missing = files.difference(rows["id"].to_pylist())
        return _joined(rows, list(self._read(missing)))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows to the table file."""
        self.write(_joined(self._saved_table(), rows))

    def write(self, table: pa.Table) -> None:
        """Write the table file, whole or not at all."""
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        with self.writing():
            write_whole(self.table_file, buffer.getvalue().to_pybytes())

    def failures(self) -> dict[str, Failure]:
        """The latest failure of each image by its id, as far as it isn't explained by now."""
        try:
            # It may have been cut off amid a letter, or saved anew by a spreadsheet.
            with self.failures_file.open(newline="", encoding="utf-8", errors="replace") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(Failure._fields)]
        except FileNotFoundError:
            return {}
        found = {row[0]: Failure(*row) for row in rows[1:]}
        return {key: one for key, one in found.items() if not self.file(key).exists()}

    def fail(self, failure: Failure) -> None:
        """Note a failure at once."""
        with self.writing(), self.failures_file.open("a", newline="", encoding="utf-8") as file:
            # One line in one write; the header only where the file begins.
            file.write(_lines([failure], header=file.tell() == 0))

    def tidy_failures(self, ids: Collection[str]) -> None:
        """Write the failures anew: one an image of these, without those explained by now."""
        found = [failure for key, failure in self.failures().items() if key in ids]
        failures = sorted(found, key=lambda failure: failure.image)
        with self.writing():
            if failures:
                write_whole(self.failures_file, _lines(failures, header=True).encode())
            else:
                self.failures_file.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within, an ``OSError`` becomes a :class:`~deap_xai.errors.RunError`."""
        try:
            yield
        except OSError as error:
            done = 0
            with suppress(OSError):
                done = sum(1 for file in self._finished())
            raise RunError(
                f"can't write to {self.path}: {error.strerror or error}; {done} finished "
                "explanations in it are whole. Make room or choose another folder; the same "
                "command goes on where it stopped"
            ) from error

    def _finished(self) -> Iterator[Path]:
        return self.explanations.glob("*.npz")

    def _facts(self) -> dict[str, Any]:
        try:
            facts = json.loads(self.settings_file.read_bytes())
            known = facts["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = "there is no settings.json in it"
            if self.settings_file.exists():
                reason = f"its settings.json can't be read: {error}"
            elif not self.path.is_dir():
                reason = "there is no such folder"
            raise SettingError(
                f"{self.path} is no run: {reason}; expected a folder that deap-xai batch made"
            ) from error
        if not known:
            raise SettingError(f"{self.path} was written by another version of deap_xai")
        return facts

    def _check(self, settings: Mapping[str, Any], digest: str) -> None:
        facts = self._facts()
        if facts["hash"] == digest:
            return
        before = facts["settings"]
        changed = [
            f"{key}: there {before.get(key)!r}, now {settings.get(key)!r}"
            # Last what no reader can make anything of.
            for key in sorted({*before, *settings}, key=lambda key: (key == "contents", key))
            if before.get(key) != settings.get(key)
        ]
        raise RunError(
            f"{self.path} holds a run with other settings ({'; '.join(changed)}); go on with the "
            "same, or name a new folder"
        )

    def _saved_table(self) -> pa.Table:
        try:
            return pq.read_table(self.table_file, schema=SCHEMA)
        except (OSError, pa.ArrowException):  # none yet, or damaged: the files are the truth
            return SCHEMA.empty_table()

    def _read(self, ids: Iterable[str]) -> Iterator[dict[str, Any]]:
        for item_id in ids:
            # One that was damaged after it was written counts as not there.
            with suppress(SettingError, KeyError):
                # A file's name is its id, whatever stands in it: an id names files again.
                yield {**row_of(Explanation.load(self.file(item_id))), "id": item_id}


def _is_old(file: Path) -> bool:
    """Whether nobody can be writing it any more, as where a run was started twice."""
    with suppress(FileNotFoundError):
        return time.time() - file.stat().st_mtime > ABANDONED
    return False


def _joined(table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    new = pa.array([row["id"] for row in rows], pa.string())
    old = table.filter(pc.invert(pc.is_in(table["id"], new)))
    joined = pa.concat_tables([old, pa.Table.from_pylist(rows, SCHEMA)])
    return joined.sort_by([("image", "ascending"), ("asked", "ascending")]).combine_chunks()


def _lines(failures: Iterable[Failure], header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(Failure._fields)
    # All quoted: before Python 3.13 a carriage return in a name is not, and ends the row.
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(failures)
    return text.getvalue()
