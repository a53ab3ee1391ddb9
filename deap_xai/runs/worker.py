"""What a worker does: load the explainer once, then explain image after image with one thread."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import random
import signal
import sys
import threading
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

from deap_xai.errors import RunError, SettingError
from deap_xai.explainer import Explainer
from deap_xai.explanation import Explanation
from deap_xai.images import load_image
from deap_xai.processes import end_with, one_thread
from deap_xai.runs.folder import Failure, RunFolder
from deap_xai.runs.items import Item
from deap_xai.runs.rows import row_of

__all__ = ["Outcome", "Task", "explain_one", "image_seed", "packed"]

DEATHS = 2
"""An image over which so many workers died isn't tried again in this run."""

REASON = 2000
"""Characters, at most, of a failure's reason: a server may answer with a whole page."""

_ONE_AT_A_TIME = threading.Lock()  # chance is drawn from states that a process's threads share


class Task(NamedTuple):
    """What is the same for every image of a run.

    Attributes
    ----------
    explainer
        In the process that made it, the Explainer itself; for others its settings, as
        :func:`packed` packs them: a model given by name travels as that name.
    folder
        The run's.
    seed
        The run's.
    batch_size
        Views at once, the same for every worker: last digits of answers may depend on it.
    parent
        Process whose death ends a worker; None where a cluster looks after its workers.
    """

    explainer: Explainer | bytes
    folder: str
    seed: int
    batch_size: int
    parent: int | None


class Outcome(NamedTuple):
    """What became of an image: its row in the table, or its failure."""

    item: Item
    row: dict[str, Any] | None = None
    failure: Failure | None = None


def packed(settings: dict[str, Any]) -> bytes:
    """An Explainer's settings as bytes that :func:`explain_one` unpacks in another process.

    Raises
    ------
    RunError
        If something among them can't travel to another process.
    """
    try:
        return bytes(cloudpickle.dumps(settings))
    except Exception as error:  # whatever an object's own pickling raises
        raise RunError(
            f"the model or another setting can't travel to other processes ({error}); name the "
            "model as 'package.module:attribute', or use workers=1"
        ) from error


def image_seed(seed: int, digest: str) -> int:
    """An image's seed, 0..2**32 - 1, from the run's seed and the SHA-256 of the file's bytes.

    Examples
    --------
    >>> image_seed(0, "ab") == image_seed(0, "ab") != image_seed(1, "ab")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{digest}".encode()).digest()[:4], "big")


def explain_one(task: Task, item: Item) -> Outcome:
    """Explain one image and save the explanation; what is wrong with the image becomes a failure.

    Raises
    ------
    RunError
        If the run's folder can't be written, or the GPU is lost.
    """
    if task.parent is not None and task.parent != os.getpid():
        _follow(task.parent)
    _leave_chance_alone()
    own = task.explainer
    folder = RunFolder(task.folder)
    with _ONE_AT_A_TIME, one_thread():
        explainer = _unpacked(own) if isinstance(own, bytes) else own
        backend = explainer.backend
        backend.batch_size, backend.measure_batch_size = task.batch_size, False
        marker = folder.running / item.id
        if (row := _row_on_file(folder, item)) is not None:
            with folder.writing():
                marker.unlink(missing_ok=True)
            return Outcome(item, row)  # done already, by a worker that died before it could say so
        with folder.writing():
            deaths = marker.stat().st_size if marker.exists() else 0
            if deaths < DEATHS:
                with marker.open("ab") as file:
                    file.write(b"x")  # stays behind if this process dies
        ended = False
        try:
            if deaths >= DEATHS:
                return _failed(item, "WorkerDied", f"{deaths} workers died while they were at it")
            return _explained(task, item, explainer, folder)
        except RunError:
            ended = True  # perhaps by this image: the mark tells the next start to take it last
            raise
        finally:
            if not ended:
                with folder.writing():
                    marker.unlink(missing_ok=True)


def _explained(task: Task, item: Item, explainer: Explainer, folder: RunFolder) -> Outcome:
    try:
        image = load_image(item.path)
        digest = hashlib.sha256(Path(item.path).read_bytes()).hexdigest()
        seeded = copy.copy(explainer)
        seeded.seed = image_seed(task.seed, digest)
        explanation = seeded.explain(image, item.target)
    except (Exception, SystemExit) as error:  # one image must not end the run, whatever is raised
        if _device_is_lost(error):
            raise RunError(
                f"the GPU failed at {item.image} ({' '.join(str(error).split())}), after which "
                f"this process can't use it. What is explained is safe in {folder.path}; the same "
                "command goes on, with this image last"
            ) from error
        return _failed(item, type(error).__name__, str(error) or "no reason given")
    own = item._asdict()
    facts = {"asked": own.pop("target"), "sha256": digest, **own}
    settings = {**explanation.settings, "image": facts}
    explanation = replace(explanation, settings=settings)
    with folder.writing():
        explanation.save(folder.file(item.id))
    return Outcome(item, row_of(explanation))


def _device_is_lost(error: BaseException) -> bool:
    """Whether later calls in this process fail as well, as after an assertion on a GPU."""
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text


def _failed(item: Item, error: str, reason: str) -> Outcome:
    # Text that no file can hold, as in names that aren't UTF-8, stands there in escapes.
    reason = " ".join(reason.encode(errors="backslashreplace").decode().split())
    if len(reason) > REASON:
        reason = f"{reason[: REASON - 1]}…"
    return Outcome(item, failure=Failure(item.id, item.image, error, reason))


def _row_on_file(folder: RunFolder, item: Item) -> dict[str, Any] | None:
    try:
        return row_of(Explanation.load(folder.file(item.id)))
    except (SettingError, KeyError):  # none, or a damaged one
        return None


@lru_cache(maxsize=1)
def _unpacked(settings: bytes) -> Explainer:
    # Packed by this very run and handed over by its own process; never read from a file.
    return Explainer(**pickle.loads(settings))


@lru_cache(maxsize=1)
def _leave_chance_alone() -> None:
    """Give Dask a generator of its own.

    DEAP's operators draw from the global ``random``. So do Dask's threads in a worker's process, to
    sample what they send, and a search would depend on when they do.
    """
    own = random.Random()
    shared = random.random.__self__  # type: ignore[attr-defined]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("dask", "distributed", "tornado"):
            for key, value in list(vars(module).items()):
                if value is random:
                    setattr(module, key, own)
                elif getattr(value, "__self__", None) is shared:
                    setattr(module, key, getattr(own, value.__name__))


def _follow(parent: int) -> None:
    """Leave Ctrl-C to the run's main process, and end soon after it, even if it is killed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
