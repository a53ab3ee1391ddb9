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
from zipfile import BadZipFile

import numpy as np

from deap_xai.archive import Archive
from deap_xai.comparison.design import Run
from deap_xai.comparison.identity import differences
from deap_xai.errors import SettingError
from deap_xai.files import write_whole

__all__ = ["Record", "RunFolder"]

FORMAT = 1
"""Version of the file format; a file of another version is refused."""


@dataclass(frozen=True)
class Record:
    """What one search left: its archive, the class that was explained, and the seconds."""

    run: Run
    archive: Archive
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
                arrays = dict(file)
            facts = json.loads(str(arrays["json"]))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):
            return None
        self._check(facts, run)
        bits = np.unpackbits(arrays["masks"], axis=1, count=facts["n_segments"])
        archive = Archive(bits.astype(bool), arrays["probabilities"])
        return Record(run, archive, facts["target"], facts["seconds"])

    def write(self, record: Record) -> None:
        """Keep a finished run."""
        facts = {
            "format": FORMAT,
            "run": record.run._asdict(),
            "identity": self._identity(record.run),
            "n_segments": record.archive.masks.shape[1],
            "target": record.target,
            "seconds": record.seconds,
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            json=json.dumps(facts),
            masks=np.packbits(record.archive.masks, axis=1),
            probabilities=record.archive.probabilities,
        )
        write_whole(self._path(record.run), buffer.getvalue())

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
