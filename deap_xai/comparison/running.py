"""Run every variant on every problem, in as many processes as are given."""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from deap_xai.backends import Backend, load_backend
from deap_xai.comparison.design import Design, Loaded, Run, make_design
from deap_xai.comparison.records import Record, RunFolder
from deap_xai.comparison.result import Comparison, make_comparison
from deap_xai.errors import DeapXaiError, SettingError, require
from deap_xai.explainer import Explainer
from deap_xai.processes import end_with, end_workers, one_thread
from deap_xai.typing import Image

__all__ = ["compare"]


def compare(
    images: Any,
    models: Any,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    base: Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] = 10,
    out: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> Comparison:
    """Compare variants of the search at equal model calls and paired seeds.

    Every variant runs on every problem, a model's answer on an image, once with each seed. A run is
    :meth:`Explainer.search <deap_xai.Explainer.search>` alone, which spends the whole budget on
    the search; the class explained is the one most probable on the full view. Variants that set
    ``fill`` or ``segments`` ask about other pictures: their numbers can be put side by side, but
    aren't alike.

    Parameters
    ----------
    images
        One image or several, each as :func:`~deap_xai.images.load_image` takes it, or a mapping
        from names to images.
    models
        One model or several, each as :class:`~deap_xai.Explainer` takes it, or a mapping from
        names to models.
    variants
        A name and settings of the Explainer for each variant: ``segments``, ``fill``,
        ``algorithm``, ``operators``, ``objectives``, ``population``. Any Python function can
        stand where the Explainer takes one. :func:`~deap_xai.comparison.factorial` makes all
        combinations of some levels.
    base
        Settings that all variants share: these, ``budget`` (model calls of a run), and the
        model's ``weights``, ``device``, ``transform``, ``size``, ``class_names``, ``batch_size``.
    seeds
        How many, or which.
    out
        A folder for finished runs; tables and pictures are written by
        :meth:`~deap_xai.comparison.Comparison.save`. Each run is a file there, so that a
        comparison that was interrupted goes on, and one with more seeds, images or variants runs
        only what is missing. Whether a setting is still the same is told as
        :func:`~deap_xai.identity.identity` describes.
    jobs
        Processes, each with one thread; -1 takes one a core. The results don't depend on it, also
        where an operator is an object that remembers: each run has a copy, as it was given.
    quiet
        No progress bar. There is none either where the error stream isn't a terminal.

    Returns
    -------
    The comparison. Where a run failed, its error stands in ``failures``; after Ctrl-C it holds
    what was finished, with a note.

    Raises
    ------
    SettingError
        If a setting makes no sense, or the folder holds runs under other settings.
    MissingExtraError
        If the extra ``compare`` isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> def brightness(views):
    ...     bright = views.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([bright, 1 - bright], axis=1)
    >>> def idle(individual):
    ...     return (individual,)
    >>> found = compare(
    ...     np.full((40, 40, 3), 200, np.uint8),
    ...     brightness,
    ...     {"flip": {"operators": {"mutate": "mutFlipBit"}},
    ...      "idle": {"operators": {"mutate": idle}}},
    ...     base={"segments": "grid:n_segments=16", "fill": "black", "algorithm": "eaElitist",
    ...           "budget": 60},
    ...     seeds=3,
    ... )
    >>> len(found.table), set(found.table["calls"])
    (6, {60})
    """
    require("scikit_posthocs", "compare")
    if not isinstance(jobs, Integral) or jobs == 0:
        raise SettingError(
            f"jobs must be a number of processes, or -1 for one a core; got {jobs!r}"
        )
    design = make_design(images, models, variants, base or {}, seeds)
    models = design.loaded()
    identities = design.identities(models)
    folder = None if out is None else _folder(Path(out) / "runs", identities)
    runs = design.runs()
    kept = [] if folder is None else [folder.read(run) for run in runs]
    records = {record.run: record for record in kept if record is not None}
    tasks = [_task(design, run, models[run.model], folder) for run in runs if run not in records]
    failures: dict[Run, str] = {}
    notes = []
    progress = {"desc": "runs", "unit": "run", "disable": quiet or None}
    with tqdm(total=len(runs), initial=len(records), **progress) as bar:
        try:
            with closing(_outcomes(tasks, jobs)) as outcomes:
                for run, outcome in outcomes:
                    if isinstance(outcome, str):
                        failures[run] = outcome
                    else:
                        records[run] = outcome
                    bar.update()
        except KeyboardInterrupt:
            if not records:
                raise
            notes.append(f"interrupted after {len(records)} of {len(runs)} runs")
        finally:  # a model of that name may be another one the next time
            _named_backend.cache_clear()
            if jobs != 1:
                end_workers()
    if not records:
        raise DeapXaiError(f"every run failed; the first: {next(iter(failures.values()))}")
    ordered = [records[run] for run in runs if run in records]
    return make_comparison(design, ordered, failures, notes, identities)


class _Task(NamedTuple):
    """All that another process needs for a run."""

    run: Run
    model: Any
    model_settings: dict[str, Any]
    batch_size: int
    settings: dict[str, Any]
    image: Image
    folder: RunFolder | None
    parent: int


def _task(design: Design, run: Run, loaded: Loaded, folder: RunFolder | None) -> _Task:
    settings = {**design.search_settings(run.variant), "seed": run.seed}
    model, image = design.models[run.model], design.images[run.image]
    options, size = design.model_settings(), loaded.batch_size
    return _Task(run, model, options, size, settings, image, folder, os.getpid())


def _outcomes(tasks: list[_Task], jobs: int) -> Generator[tuple[Run, Record | str]]:
    """Each run's record, or what went wrong, as they are finished."""
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered")
            yield from pool(delayed(_outcome)(task) for task in tasks)
    except BrokenProcessPool as error:
        raise DeapXaiError(
            f"a process died amid its run ({error}); often memory ran out: give fewer jobs. What "
            "was finished is kept where a folder was named"
        ) from error
    except pickle.PicklingError as error:
        reason = str(error.__cause__ or error).strip('"\n ').splitlines()[-1]
        raise SettingError(
            f"a model or a variant can't be sent to another process ({reason}); run with jobs=1"
        ) from error


def _outcome(task: _Task) -> tuple[Run, Record | str]:
    if task.parent != os.getpid():
        end_with(task.parent)
    try:
        record = _search(task)
    except (Exception, SystemExit) as error:  # a user's may do anything, and others' runs go on
        return task.run, f"{type(error).__name__}: {error}"
    if task.folder is not None:
        task.folder.write(record)
    return task.run, record


def _search(task: _Task) -> Record:
    with one_thread():
        backend = _backend(task.model, task.model_settings)
        backend.batch_size, backend.measure_batch_size = task.batch_size, False
        start = time.perf_counter()  # or the variant that runs first would pay for the loading
        explainer = Explainer(backend, **_fresh(task.settings))
        evaluator = explainer.evaluator(task.image)
        explainer.search(evaluator)
        seconds = time.perf_counter() - start
    known = evaluator.archive, evaluator.spent, evaluator.calls, evaluator.target
    return Record(task.run, *known, seconds)


def _fresh(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with operators of their own: what one remembers is no business of other runs."""
    try:
        return copy.deepcopy(settings)
    except Exception:  # what can't be copied can't go to another process either
        return settings


def _backend(model: Any, settings: dict[str, Any]) -> Backend:
    if not isinstance(model, str):
        return load_backend(model, **settings)
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return _named_backend(model, tuple(plain.items()))


@lru_cache(maxsize=4)  # loading takes longer than many a run
def _named_backend(name: str, settings: tuple[tuple[str, Any], ...]) -> Backend:
    return load_backend(name, **dict(settings))


def _folder(path: Path, identities: Mapping[str, Any]) -> RunFolder:
    try:
        return RunFolder(path, identities)
    except OSError as error:
        raise SettingError(f"can't write to {path}: {error.strerror}") from error
