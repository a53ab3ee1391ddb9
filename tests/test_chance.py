"""A run neither disturbs nor is disturbed by what else draws at random."""

from __future__ import annotations

import os
import random
import signal
import threading
import types

import numpy as np
import pytest
from conftest import CellModel

from deap_xai.chance import Chance, alone, seeded


def draws():
    return random.random(), np.random.random()  # noqa: NPY002


def test_same_seed_same_draws_whatever_came_before():
    with seeded(3):
        one = draws()
    draws()
    with seeded(3):
        two = draws()
    with seeded(4):
        other = draws()
    assert one == two
    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize("fails", [False, True])
def test_the_states_come_back(fails):
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = draws()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    try:
        with seeded(2**40):
            draws()
            if fails:
                raise ValueError
    except ValueError:
        pass
    assert draws() == expected


def test_runs_that_take_turns_draw_as_if_alone():
    with seeded(1):
        one = [draws() for _ in range(4)]
    with seeded(2):
        two = [draws() for _ in range(4)]
    found = []
    with seeded(2):
        other = Chance()
        with seeded(1):
            for _ in range(4):
                found.append(draws())
                other.swap()
                found.append(draws())
                other.swap()
    assert found[::2] == one
    assert found[1::2] == two


def test_explaining_leaves_the_global_states_alone(make_explainer, image):
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    make_explainer(budget=60, operators={"mutate": "mutFlipBit"}).explain(image)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def explained(make_explainer, image, **settings):
    explanation = make_explainer(budget=150, **settings).explain(image)
    facts = {**explanation.to_dict(), "seconds": 0, "settings": 0}
    return facts, explanation.archive.masks.tolist()


@pytest.mark.parametrize("algorithm", ["eaElitist", "eaNSGA2"])
def test_same_seed_same_explanation_at_any_batch_size(make_explainer, image, algorithm):
    runs = [
        explained(make_explainer, image, batch_size=size, seed=5, algorithm=algorithm)
        for size in (1, 7, 64)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_another_search(make_explainer, image):
    assert (
        explained(make_explainer, image, seed=1)[1] != explained(make_explainer, image, seed=2)[1]
    )


def test_what_was_drawn_before_does_not_matter(make_explainer, image):
    explainer = make_explainer(budget=100)
    random.seed(1)
    one = explainer.explain(image)
    random.seed(2)
    two = explainer.explain(image)
    assert (one.archive.masks == two.archive.masks).all()


def test_threads_search_one_after_another_as_if_alone(make_explainer, image):
    explainer = make_explainer(algorithm="eaSurrogate", budget=60)
    alone = explainer.explain(image).archive.masks
    random.seed(7)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(explainer.explain(image).archive.masks))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert random.random() == random.Random(7).random()
    assert len(found) == 3
    assert all((masks == alone).all() for masks in found)


def held_by_another_thread(free):
    """A thread that is alone until it is told to stop; returned once it is."""
    begun = threading.Event()

    def hold():
        with alone():
            begun.set()
            free.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    begun.wait()
    return thread


def test_nothing_is_asked_and_no_clock_runs_while_another_thread_searches(
    make_explainer, image, monkeypatch
):
    free, model, looked = threading.Event(), CellModel(), []
    clock = types.SimpleNamespace(perf_counter=lambda: float(looked.append(1) or len(looked)))
    monkeypatch.setattr("deap_xai.explainer.time", clock)
    other = held_by_another_thread(free)
    explainer = make_explainer(model=model, budget=30)
    thread = threading.Thread(target=explainer.explain, args=(image,), daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert (model.images, looked) == (0, [])
    free.set()
    thread.join()
    other.join()
    assert model.images > 0
    assert looked


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_that_it_has_not(capfd):
    free = threading.Event()
    other = held_by_another_thread(free)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends it, should it wait
        with alone():
            os._exit(0)
    _, status = os.waitpid(child, 0)
    free.set()
    other.join()
    assert status == 0
