"""A finished run, and the folder that keeps each as one file."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive
from deap_xai.comparison.design import Run
from deap_xai.errors import RunError, SettingError
from deap_xai.files import write_whole
from deap_xai.identity import differences

__all__ = ["Record", "RunFolder"]

FORMAT = 2
"""Version of the file format; a file of another version is refused."""

COLUMNS = ("masks", "probabilities", "calls")
FACTS = ("spent", "target", "seconds")
"""A file's arrays, and what stands beside them."""


@dataclass(frozen=True)
class Record:
    """What one search left.

    Attributes
    ----------
    run
        Which it was.
    archive
        What it asked under its own fill.
    calls
        Model calls spent, under any fill, when each of these was known, (N,), int64.
    spent
        Model calls in all.
    target
        Index of the class that was explained.
    seconds
        Wall time.
    """

    run: Run
    archive: Archive
    calls: NDArray[np.int64]
    spent: int
    target: int
    seconds: float


class RunFolder:
    """A folder that keeps each finished run as a file, written whole or not at all.

    Parameters
    ----------
    folder
        Made where it is missing.
    identities
        Of the design whose runs they are: what every name means. Beside each run its file keeps
        this, so that a run under other settings is never taken for one of this design.
    """

    def __init__(self, folder: str | os.PathLike[str], identities: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._identities = identities

    def read(self, run: Run) -> Record | None:
        """The run if it was finished; None where it wasn't, or its file is damaged.

        Raises
        ------
        SettingError
            If it was made under other settings; the message says what differs.
        """
        try:
            with self._path(run).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                facts = json.loads(str(file["json"]))
                arrays = [file[name] for name in COLUMNS if facts["format"] == FORMAT]
        except Exception:  # a damaged file may break whatever reads it, in any way
            return None
        self._check(facts, run)
        bits, probabilities, calls = arrays
        masks = np.unpackbits(bits, axis=1, count=facts["n_segments"]).astype(bool)
        return Record(run, Archive(masks, probabilities), calls, *(facts[key] for key in FACTS))

    def write(self, record: Record) -> None:
        """Keep a finished run.

        Raises
        ------
        RunError
            If it can't be written.
        """
        facts = {
            "format": FORMAT,
            "run": record.run._asdict(),
            "identity": self._identity(record.run),
            "n_segments": record.archive.masks.shape[1],
            "spent": record.spent,
            "target": record.target,
            "seconds": record.seconds,
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            json=json.dumps(facts),
            masks=np.packbits(record.archive.masks, axis=1),
            probabilities=record.archive.probabilities,
            calls=record.calls,
        )
        try:
            write_whole(self._path(record.run), buffer.getvalue())
        except OSError as error:
            raise RunError(
                f"can't keep a run in {self.folder}: {error.strerror or error}; those kept before "
                "are whole. Make room or name another folder; the same command goes on from there"
            ) from error

    def _check(self, facts: Mapping[str, Any], run: Run) -> None:
        old, new = {"format": facts["format"]}, {"format": FORMAT}
        if old == new:
            old, new = facts["identity"], self._identity(run)
        found = list(differences(old, new))
        if found:
            raise SettingError(
                f"{self.folder} holds runs under other settings: {'; '.join(found[:3])}; name "
                "another folder, give what changed another name, or go back to those settings"
            )

    def _identity(self, run: Run) -> dict[str, Any]:
        known = self._identities
        return {
            "deap_xai": known["version"],
            "budget": known["budget"],
            "model settings": known["model settings"],
            f"model {run.model}": known["models"][run.model],
            f"image {run.image}": known["images"][run.image],
            f"variant {run.variant}": known["variants"][run.variant],
        }

    def _path(self, run: Run) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps(run).encode()).hexdigest()[:20]}.npz"
