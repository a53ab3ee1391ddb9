"""Spreading images over this process, this machine's processes, or a Dask or Ray cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeAlias

import joblib

from deap_xai.errors import DeapXaiError, RunError, SettingError, require
from deap_xai.processes import end_workers
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.items import Item
from deap_xai.runs.worker import Outcome, Task, explain_one

__all__ = ["CLUSTERS", "Spread", "explain_all", "spreading"]

CLUSTERS = ("dask", "ray")
"""What ``cluster`` may be."""

CRASHES = 5
"""The run ends when workers have died so many times with no image finished in between."""

ROUND = 20
"""Images a worker gets at a time where a backend answers only when all of them are done."""

Outcomes: TypeAlias = Generator[Outcome, None, None]

Spread: TypeAlias = Callable[[Task, Sequence[Item]], Outcomes]
"""Explains images and gives each outcome as it comes."""


@contextmanager
def spreading(
    workers: int | None, cluster: str | None, address: str | None
) -> Iterator[tuple[Spread, int | None]]:
    """How images are spread, and the process that workers must not outlive.

    Parameters
    ----------
    workers
        Processes on this machine; 1 is this very process.
    cluster, address
        ``"dask"`` or ``"ray"`` instead, and where it is; no address takes the one that this
        process is connected to, or starts one on this machine.

    Raises
    ------
    SettingError
        If these don't go together.
    MissingExtraError
        If the cluster's package isn't installed.
    RunError
        If the cluster can't be reached.
    """
    if cluster is None:
        if address is not None:
            raise SettingError(f"got the address {address} without a cluster; name dask or ray")
        with _processes(workers or 1) as spread:
            yield spread, os.getpid()
        return
    if cluster not in CLUSTERS:
        raise SettingError(f"unknown cluster {cluster!r}; known: {', '.join(CLUSTERS)}")
    if workers is not None:
        raise SettingError(f"got workers={workers} and a cluster, which brings its own; give one")
    with (_dask if cluster == "dask" else _ray)(address) as spread:
        yield spread, None


def explain_all(
    spread: Spread, task: Task, folder: RunFolder, items: Sequence[Item]
) -> Iterator[Outcome]:
    """Outcomes as they come; when workers die, the rest begins anew without them.

    Images that a worker was at when it died are then tried alone, each in a process of its own, so
    that the one to blame is known for certain: it becomes a failure.

    Raises
    ------
    RunError
        If workers die again and again, or the folder can't be written.
    """
    waiting = {item.id: item for item in items}
    crashes = 0
    while waiting:
        suspects = [item for item in waiting.values() if (folder.running / item.id).exists()]
        try:
            with closing(spread(task, suspects[:1] or list(waiting.values()))) as outcomes:
                for outcome in outcomes:
                    waiting.pop(outcome.item.id)
                    crashes = 0
                    yield outcome
        except DeapXaiError:
            raise
        except Exception as error:  # joblib's, Dask's or Ray's own for a worker that is gone
            crashes += 1
            if crashes == CRASHES:
                reason = " ".join(str(error).splitlines()[:1]) or "no reason given"
                raise RunError(
                    f"workers died {crashes} times with no image finished in between, the last "
                    f"time with {type(error).__name__}: {reason[:300]}. What "
                    f"is explained is safe in {folder.path}. If memory ran out, use fewer workers; "
                    "on a cluster, look at its workers' logs; the same command goes on"
                ) from error


def _here(task: Task, items: Sequence[Item]) -> Outcomes:
    return (explain_one(task, item) for item in items)


@contextmanager
def _processes(workers: int) -> Iterator[Spread]:
    if workers == 1:
        yield _here
        return

    def spread(task: Task, items: Sequence[Item]) -> Outcomes:
        # The environment of a worker is set before it loads anything: one thread each.
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            # Two at least: one alone would be this very process, which must outlive its images.
            n_jobs = min(workers, max(2, len(items)))
            outcomes = _parallel(n_jobs=n_jobs)(_calls(task, items))
        try:
            yield from _quietly(outcomes)
        except Exception:
            end_workers()  # so that the next attempt isn't caught in the ruins of this one
            raise

    try:
        with warnings.catch_warnings():
            # A worker whose memory grew by 300 MB makes room for a new one: no image is lost.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs")
            yield spread
    finally:
        end_workers()


@contextmanager
def _dask(address: str | None) -> Iterator[Spread]:
    distributed = require("distributed", extra="dask")
    client: Any = None
    with suppress(ValueError):  # this process isn't connected to any
        client = None if address else distributed.get_client()
    ours = client is None
    if ours:
        # Unless it is told otherwise, its dashboard listens to other machines too.
        local = {} if address else {"threads_per_worker": 1, "dashboard_address": None}
        try:
            client = distributed.Client(address, set_as_default=False, **local)
        except (OSError, ValueError) as error:
            raise RunError(f"can't reach a Dask scheduler at {address}: {error}") from error

    def spread(task: Task, items: Sequence[Item]) -> Outcomes:
        with joblib.parallel_config(backend="dask", client=client):
            return _quietly(_parallel(n_jobs=-1)(_calls(task, items)))

    try:
        yield spread
    finally:
        if ours:
            client.close()


@contextmanager
def _ray(address: str | None) -> Iterator[Spread]:
    ray = require("ray", extra="ray")
    register = require("ray.util.joblib", extra="ray").register_ray
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(f"can't reach Ray at {address}: {error}") from error
    register()

    def spread(task: Task, items: Sequence[Item]) -> Outcomes:
        size = ROUND * max(1, int(ray.cluster_resources().get("CPU", 1)))
        with (
            joblib.parallel_config(backend="ray"),
            joblib.Parallel(n_jobs=-1, batch_size=1) as parallel,  # keeps its workers
        ):
            for start in range(0, len(items), size):
                yield from parallel(_calls(task, items[start : start + size]))

    try:
        yield spread
    finally:
        if ours:
            ray.shutdown()


def _parallel(n_jobs: int) -> Any:
    # One image a message, so that progress is told at once and a death costs little.
    return joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")


def _calls(task: Task, items: Sequence[Item]) -> Iterator[Any]:
    return (joblib.delayed(explain_one)(task, item) for item in items)


def _quietly(outcomes: Any) -> Outcomes:
    try:
        yield from outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib warns of answers that nobody waits for
            outcomes.close()
