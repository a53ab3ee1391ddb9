"""Runs over processes and clusters: same results everywhere, and what survives a SIGKILL."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai.demo import creature
from deap_xai.errors import MissingExtraError, RunError
from deap_xai.explanation import Explanation
from deap_xai.runs import spread
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.items import list_items
from deap_xai.runs.worker import Outcome, Task, explain_one

DEMO = {"model": "demo:name=mobilenet", "budget": 30, "device": "cpu"}
CELLS = {"segments": "grid:n_segments=16", "fill": "black", "budget": 30}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

MODEL = '''
"""A model that can be slow, kill its process once on one image, and always on another."""
import os, signal, time
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent
MAIN = os.environ.get("MAIN_PROCESS")
LEAK = int(os.environ.get("LEAK", 0))  # bytes a batch, and never given back
leaked = []

def classify(images):
    top = images[0, 0, 0].tolist()  # a marked picture's, wherever this superpixel is kept
    if MAIN != str(os.getpid()):
        if top == [255, 1, 0]:
            os.kill(os.getpid(), signal.SIGKILL)
        once = HERE / "killed"
        if top == [255, 2, 0] and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("SLOW", 0)))
    leaked.append(np.ones(LEAK, np.uint8))
    p = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([p, 1 - p], axis=1)
'''


def table(run):
    return pq.read_table(Path(run) / "results.parquet").drop_columns(["seconds"])


@pytest.fixture(scope="module")
def creatures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("creatures")
    for seed in range(6):
        PILImage.fromarray(creature(seed).image).save(folder / f"{seed}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def alone(creatures, tmp_path_factory):
    """The table of a run in one process."""
    run = tmp_path_factory.mktemp("alone")
    assert dx.batch(creatures, out=run, workers=1, **DEMO).explained == 6
    return table(run)


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A folder of 12 pictures, and the module ``killers`` on every process's path."""
    (tmp_path / "killers.py").write_text(MODEL)
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        image = rng.integers(0, 200, (24, 24, 3)).astype(np.uint8)
        PILImage.fromarray(image).save(folder / f"{number:02d}.png")
    path = [str(tmp_path), str(Path(dx.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("MAIN_PROCESS", str(os.getpid()))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("killers", None)
    return folder


def mark(folder, number, value):
    with PILImage.open(folder / f"{number:02d}.png") as picture:
        image = np.array(picture)
    image[0, 0] = 255, value, 0
    PILImage.fromarray(image).save(folder / f"{number:02d}.png")


def test_two_processes_find_what_one_finds(creatures, alone, tmp_path):
    tally = dx.batch(creatures, out=tmp_path / "run", workers=2, **DEMO)
    assert (tally.explained, tally.failed) == (6, 1)
    assert table(tmp_path / "run").equals(alone)


def test_a_worker_that_is_replaced_for_its_memory_is_no_news(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAK", str(40_000_000))
    monkeypatch.setenv("SLOW", "0.1")  # joblib looks at the memory once a second
    for picture in sorted(cells.glob("*.png"))[6:]:
        picture.unlink()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tally = dx.batch(cells, "killers:classify", tmp_path / "run", workers=2, **CELLS)
    assert (tally.explained, tally.failed) == (6, 0)
    assert [str(one.message) for one in told if "worker" in str(one.message)] == []


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # theirs
def test_a_dask_cluster_finds_what_one_process_finds(creatures, alone, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        run = tmp_path / "run"
        tally = dx.batch(creatures, out=run, cluster="dask", address=address, **DEMO)
    assert (tally.explained, tally.failed) == (6, 1)
    assert table(run).equals(alone)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # theirs
def test_a_dask_cluster_of_our_own_listens_to_this_machine_alone():
    pytest.importorskip("distributed", reason="needs the extra dask")
    import psutil  # which distributed needs

    def listened():
        own = psutil.Process()
        processes = [own, *own.children(recursive=True)]
        found = [one for process in processes for one in process.net_connections("inet")]
        return {one.laddr for one in found if one.status == "LISTEN"}

    before = listened()  # what other tests may have left
    with spread.spreading(None, "dask", None):
        places = {place.ip for place in listened() - before}
    assert places
    assert all(ipaddress.ip_address(place).is_loopback for place in places)


@pytest.mark.filterwarnings("ignore")  # Ray warns of its own future defaults and sockets
def test_a_local_ray_finds_what_one_process_finds(creatures, alone, tmp_path):
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    environment = {"env_vars": {"PYTHONPATH": str(Path(dx.__file__).parents[1])}}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment,
        configure_logging=False,
    )  # fmt: skip
    try:
        tallies = []
        run = tmp_path / "run"
        tally = dx.batch(creatures, out=run, cluster="ray", progress=tallies.append, **DEMO)
        assert ray.is_initialized()  # it was there before
    finally:
        ray.shutdown()
    assert (tally.explained, tally.failed) == (6, 1)
    assert len(tallies) == 8
    assert table(run).equals(alone)


@pytest.mark.parametrize("extra", ["dask", "ray"])
def test_without_the_extra(creatures, tmp_path, monkeypatch, extra):
    monkeypatch.setitem(sys.modules, "distributed" if extra == "dask" else "ray", None)
    with pytest.raises(MissingExtraError, match=rf'pip install "deap-xai\[{extra}\]"'):
        dx.batch(creatures, out=tmp_path / "run", cluster=extra, **DEMO)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # Dask's
def test_no_cluster_at_the_address(creatures, tmp_path):
    pytest.importorskip("distributed", reason="needs the extra dask")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(RunError, match=r"can't reach a Dask scheduler at tcp://127.0.0.1:1: "),
    ):
        dx.batch(creatures, out=tmp_path / "run", cluster="dask", address="tcp://127.0.0.1:1",
                 **DEMO)  # fmt: skip


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_workers_killed_in_the_middle(cells, tmp_path):
    """One dies once and costs nothing; one image kills whoever takes it, and only it fails."""
    dx.batch(cells, "killers:classify", tmp_path / "calm", workers=1, **CELLS)
    undisturbed = {row["image"]: row for row in table(tmp_path / "calm").to_pylist()}
    mark(cells, 4, 2)
    mark(cells, 7, 1)
    tallies = []
    tally = dx.batch(
        cells, "killers:classify", tmp_path / "run", workers=2, progress=tallies.append, **CELLS
    )
    assert (tmp_path / "killed").exists()
    failures = RunFolder(tmp_path / "run").failures()
    assert (tally.explained, tally.failed) == (11, 1), failures
    assert [one.explained + one.failed for one in tallies] == list(range(13))  # nothing twice
    [failure] = failures.values()
    assert (failure.image, failure.error) == ("07.png", "WorkerDied")
    assert failure.reason == "2 workers died while they were at it"
    rows = {row["image"]: row for row in table(tmp_path / "run").to_pylist()}
    same = rows.keys() - {"04.png"}
    assert {name: rows[name] for name in same} == {name: undisturbed[name] for name in same}
    assert not list((tmp_path / "run" / "running").iterdir())


KILLED = """
import os, random, signal, sys, time
import deap_xai as dx
from deap_xai.runs import batch
import killers
random.seed(0)
for kill in range(10):
    child = os.fork()
    if child == 0:
        batch(sys.argv[1], "killers:classify", sys.argv[2], workers=2 if kill in (4, 8) else 1,
              segments="grid:n_segments=16", fill="black", budget=30)
        os._exit(0)
    time.sleep(random.uniform(2, 4) if kill in (4, 8) else random.uniform(0.02, 0.4))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = sorted(os.listdir(sys.argv[2] + "/explanations")) if os.path.isdir(sys.argv[2]) else []
    print([name for name in done if name[0] != "."], flush=True)
time.sleep(0.5)  # by now the last one's workers have followed it
"""


def test_the_main_process_killed_ten_times(cells, tmp_path, monkeypatch):
    dx.batch(cells, "killers:classify", tmp_path / "calm", workers=1, **CELLS)
    monkeypatch.setenv("SLOW", "0.01")
    run = tmp_path / "run"
    # To a file: a worker whose parent died before its first image would hold a pipe open.
    with (tmp_path / "told").open("w") as told:
        command = [sys.executable, "-c", KILLED, str(cells), str(run)]
        subprocess.run(command, stdout=told, check=True)
    finished = [line.count("npz") for line in (tmp_path / "told").read_text().splitlines()]
    assert len(finished) == 10
    assert finished == sorted(finished)  # nothing finished was lost
    before = {path.name: path.stat().st_mtime_ns for path in run.glob("explanations/*.npz")}
    monkeypatch.setenv("SLOW", "0")
    # As if ten minutes had gone by, for till then another process may be writing such a file.
    monkeypatch.setattr("deap_xai.runs.folder.ABANDONED", 0.0)
    tally = dx.batch(cells, "killers:classify", run, workers=1, **CELLS)
    assert (tally.explained, tally.earlier) == (12, len(before))
    after = {path.name: path.stat().st_mtime_ns for path in run.glob("explanations/*.npz")}
    assert before.items() <= after.items()  # and nothing finished was done again
    assert table(run).equals(table(tmp_path / "calm"))
    assert not list(run.glob("**/.*.part"))


def test_ctrl_c_stops_main_and_workers(cells, tmp_path, monkeypatch):
    """As a terminal sends it: to every process of the group."""
    monkeypatch.setenv("SLOW", "0.05")
    run = tmp_path / "run"
    options = "--segments grid:n_segments=16 --fill black --budget 30 --workers 2".split()
    command = [sys.executable, "-c", "from deap_xai.cli import main; main()", "batch", str(cells)]
    process = subprocess.Popen(
        [*command, "--model", "killers:classify", "--out", str(run), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(run.glob("explanations/*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert err == f"stopped; what is explained is in {run}; the same command goes on\n"
    stopped = table(run)
    assert 2 <= len(stopped) < 12
    assert "interrupted" not in str(stopped["warnings"])  # no half-searched ones
    monkeypatch.setenv("SLOW", "0")
    dx.batch(cells, "killers:classify", run, workers=1, **CELLS)
    dx.batch(cells, "killers:classify", tmp_path / "calm", workers=1, **CELLS)
    assert table(run).equals(table(tmp_path / "calm"))


def test_workers_that_always_die_end_the_run(cells, tmp_path):
    def broken(task, items):
        yield Outcome(items[0])
        raise OSError("no memory")

    def worse(task, items):
        raise OSError("no memory at all\nand more")
        yield

    folder = RunFolder(tmp_path / "run")
    with folder.opened({}, ""):
        pass
    items = list_items(cells, tmp_path)[1]
    task = Task(b"", str(folder.path), 0, 8, None)
    assert len(list(spread.explain_all(broken, task, folder, items))) == 12
    with pytest.raises(RunError, match=r"died 5 times .* OSError: no memory at all. What"):
        list(spread.explain_all(worse, task, folder, items))

    def silent(task, items):
        raise TimeoutError
        yield

    with pytest.raises(RunError, match=r"died 5 times .* TimeoutError: no reason given. What"):
        list(spread.explain_all(silent, task, folder, items))


def test_what_another_worker_finished_is_not_done_again(cells, tmp_path):
    folder = RunFolder(tmp_path / "run")
    dx.batch(cells, "killers:classify", folder.path, workers=1, **CELLS)
    items = list_items(cells, tmp_path)[1]
    task = Task(dx.Explainer(lambda images: 1 / 0), str(folder.path), 0, 8, None)
    (folder.running / items[0].id).touch()  # killed after it had saved, before it said so
    outcome = explain_one(task, items[0])
    assert not list(folder.running.iterdir())
    assert outcome.failure is None
    assert outcome.row is not None
    assert outcome.row["image"] == items[0].image


def test_settings_json_is_whole_at_once(cells, tmp_path):
    dx.batch(cells, "killers:classify", tmp_path / "run", workers=1, **CELLS)
    facts = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert facts["settings"]["model"] == "killers:classify"
    assert len(facts["hash"]) == 64


def test_batch_size_and_engine_are_settled_once(tmp_path, image, monkeypatch):
    """Measured anew by every worker they would differ, and so would last digits."""
    torch = pytest.importorskip("torch")
    measured = []

    def settle(backend, masked_view):
        if backend.measure_batch_size:
            measured.append(backend)
            backend.batch_size, backend.measure_batch_size = 3 + len(measured), False

    monkeypatch.setattr("deap_xai.explainer.settle_batch_size", settle)
    torch.manual_seed(0)
    pool = torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    net = torch.nn.Sequential(*pool, torch.nn.Linear(12, 3))
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a bad one.png").write_bytes(b"no picture")
    for number in range(3):
        PILImage.fromarray(np.roll(image, number, axis=0)).save(photos / f"{number}.png")
    settings = {"segments": "grid:n_segments=9", "budget": 20, "device": "cpu", "size": 24}
    settings |= {"engine": "torch", "precision": "auto"}
    for workers in (1, 2):
        run = tmp_path / str(workers)
        dx.batch(photos, net, run, workers=workers, **settings)
        folder = RunFolder(run)
        ids = folder.table()["id"].to_pylist()
        known = {Explanation.load(folder.file(one)).settings["batch_size"] for one in ids}
        assert known == {folder.settings()["batch_size"]} == {3 + workers}
    assert len(measured) == 2
    # Begun again it isn't measured anew.
    PILImage.fromarray(image[::-1]).save(photos / "0.png")
    assert dx.batch(photos, net, tmp_path / "1", workers=1, **settings).explained == 3
    assert len(measured) == 2
    assert RunFolder(tmp_path / "1").settings()["batch_size"] == 4
