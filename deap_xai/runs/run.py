"""One run over many images, from the first start to the last image, however often it is stopped."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deap_xai.backends.measuring import probe_masks
from deap_xai.errors import SettingError, check_count
from deap_xai.explainer import Explainer
from deap_xai.processes import one_thread
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.items import Images, Item, list_items, with_labels_named
from deap_xai.runs.settings import run_settings, settings_hash
from deap_xai.runs.spread import Spread, explain_all, spreading
from deap_xai.runs.worker import Task, packed

__all__ = ["Tally", "batch"]

REFRESH = 30.0
"""Seconds between two versions of the table, at least."""

CONTEXT = 1e9
"""Bytes of a GPU's memory that a process takes beside its tensors: some 600 MB, and a margin."""

TRIED = 10
"""Images of which one at least should be readable."""


class Tally(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    folder
        Of the run.
    total, explained, failed
        Images to explain; those of them that are; those that could not be, in this start.
    earlier
        How many of the explained were so before this start.
    """

    folder: Path
    total: int
    explained: int
    failed: int
    earlier: int


class _Stop(BaseException):
    """Ctrl-C. Not KeyboardInterrupt, which a search answers with the best so far."""


def batch(
    images: Images,
    model: Any,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    cluster: str | None = None,
    address: str | None = None,
    progress: Callable[[Tally], None] | None = None,
    **settings: Any,
) -> Tally:
    """Explain many images, on this machine's cores or on a cluster, into a folder.

    Started again with the same settings it goes on where it stopped; images that failed are tried
    again. Results depend neither on the number of workers nor on their order nor on the cluster:
    each image's seed comes from the run's seed and the file's own bytes, and every worker computes
    with one thread, on the engine and at the batch size that are chosen when the run begins. (A
    budget of ``seconds`` does depend on the machine, and so do the last digits of a model's
    answers.)

    Parameters
    ----------
    images
        A folder, a list or a table (``.csv`` with a column ``path`` and perhaps ``target`` and
        ``label``), or paths; see :func:`~deap_xai.runs.items.list_items`.
    model
        As for :class:`~deap_xai.Explainer`. For several workers a name is best: it is loaded once
        a worker, while a module or a function travels with every image.
    out
        The run's folder. It gets ``settings.json``, ``explanations/``, ``results.parquet``, one row
        an image, and ``failures.csv`` with reasons, if there are any.
    workers
        Processes; None takes one a core. Of a model that is on a GPU it takes as many as its memory
        holds, but one a core at most, if the model was given by name, and else one. 1 is this very
        process, where a worker's death is the run's.
    cluster, address
        ``"dask"`` or ``"ray"``, and where its scheduler is; its workers must see images and ``out``
        under the same paths.
    progress
        Called with the :class:`Tally` at the beginning and after every image.
    settings
        The other arguments of :class:`~deap_xai.Explainer`.

    Returns
    -------
    The final tally.

    Raises
    ------
    ImageError, SettingError, BackendError
        If there is no image, a setting makes no sense, or a label is no class of the model; nothing
        is written then.
    RunError
        If the folder holds a run with other settings, another process is at it, it can't be
        written, or workers keep dying. What was explained stays.
    KeyboardInterrupt
        On Ctrl-C, after the table is written.

    Examples
    --------
    >>> import tempfile
    >>> from deap_xai.demo import creature
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(creature(1).image).save(folder / "one.png")
    >>> tally = batch(folder, "demo", folder / "run", workers=1, budget=30)
    >>> tally.explained, tally.failed
    (1, 0)
    """
    if workers is not None:
        check_count("workers", workers, 1)
    source, items = list_items(images, Path(out))
    folder = RunFolder(out)
    explainer, settings = _chosen(folder, model, settings, items)
    items = with_labels_named(items, explainer.backend.class_names)
    if workers is None and cluster is None:
        workers = _processes(explainer, model, items)
    facts = run_settings(explainer, source, model, settings)
    with (
        spreading(workers, cluster, address) as (spread, parent),
        folder.opened(facts, settings_hash(facts)) as begun,
    ):
        # Should one of them be what ended the run before, the others are explained at least.
        todo = sorted(_todo(folder, items), key=lambda item: item.id in begun)
        earlier = len(items) - len(todo)
        tally = Tally(folder.path, len(items), earlier, 0, earlier)
        carried = explainer if workers == 1 else packed({"model": model, **settings})
        task = Task(carried, str(folder.path), explainer.seed, explainer.backend.batch_size, parent)
        del explainer, carried  # where workers load it themselves, it needn't stay in memory here
        try:
            with _ctrl_c_stops():
                return _run(folder, spread, task, todo, tally, progress)
        except _Stop:
            raise KeyboardInterrupt from None


def _chosen(
    folder: RunFolder, model: Any, settings: dict[str, Any], items: Sequence[Item]
) -> tuple[Explainer, dict[str, Any]]:
    """The explainer, and its settings with all that is measured settled: once for all workers.

    Where the folder holds a run already, it is settled as it was there.
    """
    import torch  # noqa: F401  # only what is there can be held to one thread

    before: dict[str, Any] = {}
    with suppress(SettingError):  # no run yet
        before = folder.settings()
    auto = "auto" in (settings.get("engine"), settings.get("precision"))
    if auto and before.get("precision") in ("fp32", "bf16"):
        settings = {**settings, "engine": before["engine"], "precision": before["precision"]}
    with one_thread():  # some engines fix their number of threads as they load
        explainer = Explainer(model, **settings)
        backend = explainer.backend
        if auto:
            chosen = (backend.engine, backend.precision)
            if backend.engine == "torch" and backend.reference is None:
                chosen = (None, None)  # the model as it is
            settings = {**settings, **dict(zip(("engine", "precision"), chosen, strict=True))}
        if backend.measure_batch_size and "batch_size" in before:
            backend.batch_size, backend.measure_batch_size = before["batch_size"], False
        for item in items if backend.measure_batch_size else ():
            with suppress(Exception):  # what is wrong with it is told when its turn comes
                explainer.evaluator(item.path, 0)
                break
    return explainer, settings


def _processes(explainer: Explainer, model: Any, items: Sequence[Item]) -> int:
    """How many processes share the work: a search keeps a core busy, while a GPU serves many."""
    from deap_xai.backends.torch_module import TorchBackend

    backend = explainer.backend
    kind = getattr(getattr(backend, "device", None), "type", "cpu")
    if kind == "cpu":
        return joblib.cpu_count()
    known = isinstance(backend, TorchBackend) and kind == "cuda"
    if not known or not isinstance(model, str):  # a module would travel with every image
        return 1
    return int(np.clip(_gpu_holds(explainer, items), 1, joblib.cpu_count()))


def _gpu_holds(explainer: Explainer, items: Sequence[Item]) -> int:
    """For how many processes like this one a GPU has memory; seen in a batch of each model."""
    import torch

    backend: Any = explainer.backend
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(backend.device)
    for item in items[:TRIED]:
        with suppress(Exception):  # what is wrong with it is told when its turn comes
            evaluator = explainer.evaluator(item.path, 0)
            for one in filter(None, (backend, backend.reference)):
                masks = probe_masks(one.batch_size, evaluator.n_segments)
                one.predict_masked(evaluator.masked_view, masks)
            break
    each = torch.cuda.max_memory_reserved(backend.device) + CONTEXT
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(backend.device)[0] // each)


def _todo(folder: RunFolder, items: Sequence[Item]) -> list[Item]:
    """What isn't explained yet; a table of what is gets written, with the labels given now."""
    table = folder.table()
    labels = {item.id: item.label for item in items}
    pairs = zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)
    given = pa.array([labels.get(key, before) for key, before in pairs], pa.string())
    table = table.set_column(table.column_names.index("label"), "label", given)
    columns = [table[name].to_pylist() for name in ("id", "bytes", "sha256")]
    done = {key: facts for key, *facts in zip(*columns, strict=True)}
    todo = [one for one in items if one.id not in done or _changed(folder, one, *done[one.id])]
    # The rows go before the files: whenever this is killed, no row stands for another file.
    again = pa.array([one.id for one in todo], pa.string())
    folder.write(table.filter(pc.invert(pc.is_in(table["id"], again))))
    with folder.writing():
        for item in todo:
            if item.id in done:  # an image that has changed since
                folder.file(item.id).unlink(missing_ok=True)
    return todo


def _changed(folder: RunFolder, item: Item, size: int, digest: str) -> bool:
    """Whether an image is another one than was explained, or its explanation is damaged.

    It is read only where it, or a folder on the way to it, has changed since. One that can't be
    read now, on a disk that isn't there perhaps, hasn't changed.
    """
    if item.bytes != size:
        return item.bytes >= 0
    if not zipfile.is_zipfile(folder.file(item.id)):
        return True
    path, steps = Path(item.path), len(Path(item.image).parts)
    try:
        made = folder.file(item.id).stat().st_mtime_ns
        # What was moved here keeps its time of modification, but not its change time.
        places = (path, *path.parents[:steps])
        if all(max(one.st_mtime_ns, one.st_ctime_ns) < made for one in map(os.stat, places)):
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() != digest
    except OSError:
        return False


def _run(
    folder: RunFolder,
    spread: Spread,
    task: Task,
    todo: Sequence[Item],
    tally: Tally,
    progress: Callable[[Tally], None] | None,
) -> Tally:
    rows: list[dict[str, Any]] = []
    written = time.monotonic()
    report = progress or (lambda tally: None)
    report(tally)
    try:
        for outcome in explain_all(spread, task, folder, todo):
            if outcome.failure is not None:
                folder.fail(outcome.failure)
                tally = tally._replace(failed=tally.failed + 1)
            elif outcome.row is not None:
                rows.append(outcome.row)
                tally = tally._replace(explained=tally.explained + 1)
            report(tally)
            if time.monotonic() - written > REFRESH:
                folder.add(rows)
                rows, written = [], time.monotonic()
    finally:
        folder.add(rows)
        # The files are the truth: whatever ended this, the table says what they hold.
        folder.write(folder.table())
        folder.tidy_failures({item.id for item in todo})  # others are gone, or explained
    return tally


@contextmanager
def _ctrl_c_stops() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to write takes no time
        raise _Stop

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
