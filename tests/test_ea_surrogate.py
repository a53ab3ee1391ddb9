"""The surrogate-assisted algorithm: DEAP's shape, its budget, and that it is better."""

from __future__ import annotations

import array
import functools
import random

import numpy as np
import pytest
from conftest import CELL, CellModel, random_masks
from deap import base, tools
from test_attribution import additive, of_masks

from deap_xai.algorithms import algorithms, defaults_of, eaSurrogate
from deap_xai.algorithms.surrogate import _Search
from deap_xai.archive import front, front_quality
from deap_xai.errors import OperatorError, SettingError
from deap_xai.explainer import Explainer
from deap_xai.objectives import resolve_objectives
from deap_xai.picking import smallest
from deap_xai.surrogate import GaussianProcess, Ranking
from deap_xai.toolbox import make_toolbox


@pytest.fixture
def make(make_explainer, image):
    """A toolbox of the algorithm's own defaults."""
    return lambda **settings: make_explainer(algorithm="eaSurrogate", **settings).toolbox(image)


def cells_explainer(function, side, **settings):
    """An Explainer of a function of masks over side x side cells of a white picture."""
    segments = np.kron(np.arange(side**2).reshape(side, side), np.ones((CELL, CELL), int))

    def classify(views):
        cells = views[:, CELL // 2 :: CELL, CELL // 2 :: CELL, 0].reshape(len(views), -1) > 0
        p = function(cells)
        return np.stack([1 - p, p], axis=1)

    picture = np.full((side * CELL, side * CELL, 3), 255, np.uint8)
    return Explainer(classify, segments=segments, fill="black", **settings), picture


def hard(side, seed):
    """A blob that matters, cells that only count in pairs, and some that harm."""
    rng = np.random.default_rng(seed)
    n, (y, x) = side**2, np.mgrid[:side, :side]
    middle = rng.uniform(0.25, 0.75, 2) * (side - 1)
    blob = np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / 2.5).ravel()
    weights = 2.5 * blob + rng.normal(0, 0.3, n)
    pairs, bonus = rng.integers(0, n, (n, 2)), rng.normal(0, 0.6, n)

    def probability(masks):
        both = masks[:, pairs[:, 0]] & masks[:, pairs[:, 1]]
        raw = masks @ weights + both @ bonus
        return 1 / (1 + np.exp(3 - 6 * raw / np.maximum(weights, 0).sum()))

    return probability


# DEAP's shape


def test_it_returns_the_front_and_a_logbook(make, model):
    toolbox, hall = make(budget=90), tools.HallOfFame(3)
    stats = tools.Statistics(lambda individual: individual.fitness.values[0])
    stats.register("max", np.max)
    given = toolbox.population(n=8)
    kind = type(given[0])
    population, logbook = eaSurrogate(given, toolbox, stats=stats, halloffame=hall)
    assert population is given
    assert all(type(individual) is kind for individual in population)
    points = front(toolbox.evaluator.archive)
    assert [list(individual) for individual in population] == [list(p.mask) for p in points]
    for individual, point in zip(population, points, strict=True):
        assert individual.fitness.values == pytest.approx((point.probability, point.size))
    assert logbook.header == ["gen", "nevals", "max"]
    assert logbook.select("gen") == list(range(len(logbook)))
    assert logbook.select("nevals")[:3] == [2, 2, 2]
    archive = toolbox.evaluator.archive
    assert max(logbook.select("max")) == pytest.approx(archive.probabilities.max())
    assert hall[0].fitness.values[0] == pytest.approx(archive.probabilities.max())
    assert model.images == toolbox.evaluator.calls == 90
    # The full view was asked for the target before the first generation.
    assert sum(logbook.select("nevals")) == 90


@pytest.mark.parametrize(("batch", "first"), [(1, 1), (2, 2), (7, 2)])
def test_ngen_counts_batches(make, batch, first):
    toolbox = make()
    _, logbook = eaSurrogate(toolbox.population(n=4), toolbox, batch=batch, ngen=5)
    assert logbook.select("nevals") == [2, *[first] * 5]
    assert toolbox.evaluator.calls == 2 + 5 * first


def test_verbose_prints_the_logbook(make, capsys):
    toolbox = make()
    eaSurrogate(toolbox.population(n=4), toolbox, ngen=2, verbose=True)
    assert capsys.readouterr().out.split()[:4] == ["gen", "nevals", "0", "2"]


def test_its_defaults():
    assert dict(defaults_of(eaSurrogate).operators) == {
        "mutate": "mutStep",
        "surrogate": "GaussianProcess",
        "acquire": "acqExpectedGain",
    }
    assert defaults_of(eaSurrogate).objectives == ("probability", "size")


def test_a_given_population_is_among_the_first_candidates(make):
    toolbox, seen = make(), []
    given = toolbox.population(n=9)

    def acquire(masks, model, best, full, n):
        seen.append({mask.tobytes() for mask in masks})
        return np.arange(n)

    toolbox.register("acquire", acquire)
    wanted = {np.array(individual, bool).tobytes() for individual in given}
    eaSurrogate(given, toolbox, ngen=2)
    assert wanted <= seen[0]
    assert not wanted & seen[1] - seen[0]


# Everything can be swapped


def test_the_registered_mate_and_mutate_are_used(make):
    toolbox, counts = make(), {"mate": 0, "mutate": 0}

    def mate(one, two):
        counts["mate"] += 1
        return tools.cxTwoPoint(one, two)

    def mutate(individual):
        counts["mutate"] += 1
        return tools.mutFlipBit(individual, indpb=0.1)

    toolbox.register("mate", mate)
    toolbox.register("mutate", mutate)
    eaSurrogate(toolbox.population(n=4), toolbox, ngen=10, pool=150, cxpb=0.25)
    assert counts["mate"] + counts["mutate"] == 10 * 50
    assert counts["mate"] == pytest.approx(125, abs=40)
    for cxpb, idle in ((0.0, "mate"), (1.0, "mutate")):
        counts.update(mate=0, mutate=0)
        eaSurrogate(toolbox.population(n=4), toolbox, ngen=2, cxpb=cxpb)
        assert counts.pop(idle) == 0
        assert all(counts.values())


def test_ones_own_surrogate_and_acquire(make):
    class Timid(GaussianProcess):
        learnt = 0

        def update(self, masks, answers):
            Timid.learnt += len(masks)
            super().update(masks, answers)

    asked, pools = [], []

    def acquire(masks, model, best, full, n, rng):
        assert isinstance(model, Timid)
        sizes, p = archive.masks.sum(axis=1), archive.probabilities
        assert best.tolist() == [p[sizes <= k].max() for k in range(17)]
        assert full == pytest.approx(0.59)
        picked = rng.permutation(len(masks))[: n + 40]
        asked.append(masks[picked])
        pools.append({mask.tobytes() for mask in masks})
        return picked

    toolbox = make()
    archive = toolbox.evaluator.archive
    toolbox.register("surrogate", Timid, evaluator=toolbox.evaluator, noise=0.5)
    toolbox.register("acquire", acquire)
    eaSurrogate(toolbox.population(n=4), toolbox, ngen=6)
    assert Timid.learnt == len(archive) == 14
    parents, batches = asked[::2], asked[1::2]  # first those to breed from, then those to ask about
    assert (archive.masks[2:] == np.concatenate([masks[:2] for masks in batches])).all()
    for promising, pool in zip(parents, pools[1::2], strict=True):
        found = [mask.tobytes() in pool for mask in promising]
        assert all(found[:24])  # the most promising are bred from, and may be asked about
        assert not all(found[24:])
    for left, pool in zip(batches[:-1], pools[2::2], strict=True):  # what promised, for next time
        assert {mask.tobytes() for mask in left[2:]} < pool


def test_swapped_by_spec(make_explainer, image):
    explainer = make_explainer(
        algorithm="eaSurrogate:batch=3,pool=60,cxpb=0.5",
        operators={
            "surrogate": "GaussianProcess:linear=10,angle=0.5",
            "acquire": "acqExpectedGain:shortlist=8,lift=0",
            "mate": "cxRegion",
            "mutate": "mutSparsify",
        },
        budget=32,
    )
    toolbox = explainer.toolbox(image)
    assert len(toolbox.acquire(random_masks(50), learnt(toolbox), np.zeros(17), 0.5, 2)) == 8
    _, logbook = algorithms.resolve("eaSurrogate:batch=1")(toolbox.population(n=4), toolbox, ngen=3)
    assert logbook.select("nevals") == [2, 1, 1, 1]
    plain = make_explainer(algorithm="eaSurrogate:batch=3", budget=32)
    archives = [one.evaluator(image) for one in (explainer, plain)]
    for one, evaluator in zip((explainer, plain), archives, strict=True):
        one.search(evaluator)
    assert (archives[0].archive.masks != archives[1].archive.masks).any()


def learnt(toolbox):
    model, ends = toolbox.surrogate(), np.repeat([[True], [False]], 16, axis=1)
    model.update(ends, np.array([[0.6, 0.4], [0.05, 0.95]]))
    return model


# Budget, chance and endings


def archive_of(make_explainer, image, **settings):
    explainer = make_explainer(model=CellModel(), algorithm="eaSurrogate", **settings)
    evaluator = explainer.evaluator(image)
    explainer.search(evaluator)
    return evaluator.archive


def test_a_longer_run_begins_as_a_shorter_one(make_explainer, image):
    long = archive_of(make_explainer, image, budget=260)
    for budget in (1, 2, 3, 61, 150, 230):  # from 150 on, the ranking asks as well
        random.seed(budget)
        short = archive_of(make_explainer, image, budget=budget)
        assert len(short) == budget
        assert (short.masks == long.masks[:budget]).all()
        assert (short.probabilities == long.probabilities[:budget]).all()
    other = archive_of(make_explainer, image, budget=60, seed=1)
    assert (other.masks != long.masks[:60]).any()


def test_generations_grow_up_to_the_batch():
    evaluator = of_masks(additive(np.linspace(-4, 4, 30)), 30)
    evaluator.budget.calls = 190
    toolbox = make_toolbox(
        evaluator, resolve_objectives(["probability", "size"]), defaults_of(eaSurrogate).operators
    )
    _, logbook = eaSurrogate(toolbox.population(n=5), toolbox, batch=5)
    sizes = logbook.select("nevals")
    before = np.cumsum([0, *sizes])[:-1]
    assert sizes[0] == 2  # the full and the empty mask
    assert sizes[1:-1] == [min(5, max(2, asked // 24)) for asked in before[1:-1]]
    assert set(sizes[1:-1]) == {2, 3, 4, 5}


def test_the_front_fills_up_what_the_ranking_leaves(monkeypatch):
    """Generations stay full where it has one question, and nobody asks the same."""
    evaluator = of_masks(additive(np.linspace(-4, 4, 30)), 30)
    evaluator.budget.calls = 300
    toolbox = make_toolbox(
        evaluator, resolve_objectives(["probability", "size"]), defaults_of(eaSurrogate).operators
    )
    asked = [np.ones(30, bool)]

    def questions(self, n, rng):
        asked.append(rng.random(30) < 0.5)
        return asked[-1][None]

    def bred(self):
        """What the ranking asks is bred as well."""
        return np.concatenate([_bred(self), asked[-1][None]])

    def acquire(masks, *given):
        """And picked first, if it is offered."""
        return np.argsort((masks != asked[-1]).any(axis=1), kind="stable")[: given[-1]]

    _bred = _Search._bred
    monkeypatch.setattr(_Search, "_bred", bred)
    monkeypatch.setattr(Ranking, "questions", questions)
    toolbox.register("acquire", acquire)
    _, logbook = eaSurrogate(toolbox.population(n=5), toolbox)
    sizes = np.array(logbook.select("nevals"))
    late = sizes[np.cumsum(sizes) > 210][:-1]
    assert len(late) > 9
    assert set(late) == {8}
    assert sizes.sum() == evaluator.calls


@pytest.mark.parametrize("picked", [len, [-1], [0.5], [], [[0]]])
def test_what_is_no_index_of_a_candidate_is_told(make, picked):
    def acquire(masks, *given):
        return np.array([picked(masks)] if picked is len else picked)

    toolbox = make()
    toolbox.register("acquire", acquire)
    with pytest.raises(OperatorError, match=r"operator 'acquire' returned .* candidates; expected"):
        eaSurrogate(toolbox.population(n=4), toolbox, ngen=3)


def test_a_toolbox_without_its_model_is_told(make_explainer, image):
    toolbox = make_explainer().toolbox(image)
    with pytest.raises(SettingError, match=r"toolbox.surrogate and toolbox.acquire; take the"):
        eaSurrogate(toolbox.population(n=5), toolbox, ngen=3)


@pytest.mark.parametrize(("n_segments", "pool"), [(1, 720), (2, 720), (4, 720), (7, 1), (8, 5)])
def test_it_ends_when_all_masks_are_known(n_segments, pool):
    evaluator = of_masks(additive(np.linspace(0, 4, n_segments)), n_segments)
    evaluator.budget.calls = 2000
    toolbox = make_toolbox(
        evaluator, resolve_objectives(["probability", "size"]), defaults_of(eaSurrogate).operators
    )
    population, logbook = eaSurrogate(toolbox.population(n=5), toolbox, pool=pool)
    assert evaluator.calls == len(evaluator.archive) == 2**n_segments
    assert sum(logbook.select("nevals")) == evaluator.calls
    assert logbook.select("gen") == list(range(len(logbook)))
    assert population[-1].fitness.values[0] == pytest.approx(evaluator.archive.probabilities.max())


def test_nearly_all_of_512_masks():
    explainer, picture = cells_explainer(hard(3, 0), 3, budget=2000, algorithm="eaSurrogate")
    toolbox = explainer.toolbox(picture)
    eaSurrogate(toolbox.population(n=5), toolbox, batch=16)
    assert 500 <= toolbox.evaluator.calls <= 512  # the last ones are found by chance


@pytest.mark.parametrize(
    "objectives",
    [
        ("probability",),
        ("size",),
        ("necessity",),
        ("probability", "size", "necessity"),
        ("probability", "robustness:fills=grey", "compactness"),
        ("contrast:other=0", "pieces"),
        ("area", "compactness"),
    ],
)
@pytest.mark.parametrize("budget", [1, 2, 7, 64])
def test_any_objectives(make_explainer, image, model, objectives, budget):
    explainer = make_explainer(algorithm="eaSurrogate", objectives=objectives, budget=budget)
    toolbox = explainer.toolbox(image)
    population, logbook = eaSurrogate(toolbox.population(n=6), toolbox)
    assert model.images == toolbox.evaluator.calls <= budget
    valid = [individual for individual in population if individual.fitness.valid]
    for individual in valid:
        assert len(individual.fitness.values) == len(objectives)
        assert toolbox.evaluator.archive.find(np.array(individual, bool)) is not None
    if budget == 64:
        assert toolbox.evaluator.calls == budget
        assert len(valid) == len(population) > 1
        sizes = [sum(individual) for individual in population]
        assert sizes == sorted(set(sizes))
        assert len(logbook) > 4


def test_a_constant_model():
    explainer, picture = cells_explainer(
        lambda masks: np.full(len(masks), 0.75), 4, budget=80, algorithm="eaSurrogate"
    )
    evaluator = explainer.evaluator(picture)
    explainer.search(evaluator)
    assert evaluator.calls == 80
    assert front(evaluator.archive)[-1].size == 1


def test_the_clock_may_end_it_amid_a_thought(make_explainer, image, monkeypatch):
    clock = iter(np.arange(0, 100, 0.01))
    monkeypatch.setattr("deap_xai.budget.time.monotonic", lambda: float(next(clock)))
    for seconds in (0.02, 0.05, 0.1, 0.3):
        explainer = make_explainer(algorithm="eaSurrogate", seconds=seconds)
        evaluator = explainer.evaluator(image)
        explainer.search(evaluator)
        assert len(evaluator.archive) >= 1


# It is better


def test_a_better_front_than_evolution_alone_and_than_chance():
    quality = {"eaSurrogate": [], "eaNSGA2": [], "eaRandom": []}
    for name, found in quality.items():
        for seed in range(3):
            explainer, picture = cells_explainer(
                hard(5, seed), 5, budget=120, seed=seed, algorithm=name
            )
            evaluator = explainer.evaluator(picture, target=1)
            explainer.search(evaluator)
            found.append(front_quality(evaluator.archive))
    for other in ("eaNSGA2", "eaRandom"):
        gains = np.subtract(quality["eaSurrogate"], quality[other])
        assert gains.min() > 0
        assert gains.mean() > 0.03


def test_it_finds_the_smallest_sufficient_mask_mostly():
    everything = (np.arange(2**9)[:, None] >> np.arange(9)) % 2 == 1
    hits = 0
    for seed in range(8):
        function = hard(3, seed)
        full = function(np.ones((1, 9), bool))[0]
        p = function(everything)
        optimum = everything[(p >= 0.9 * full) & everything.any(axis=1)].sum(axis=1).min()
        explainer, picture = cells_explainer(
            function, 3, budget=70, seed=seed, algorithm="eaSurrogate"
        )
        evaluator = explainer.evaluator(picture, target=1)
        explainer.search(evaluator)
        found = smallest(front(evaluator.archive), full, p=0.9 * full)
        assert found.probability >= 0.9 * full - 1e-6
        assert found.size >= optimum
        hits += found.size == optimum
    assert hits >= 7  # of 8


@pytest.mark.parametrize("spec", ["eaSurrogate:pool=0", "eaSurrogate:batch=0"])
def test_batch_and_pool_are_one_at_least(make_explainer, image, spec):
    with pytest.raises(SettingError, match=r"batch and pool must be 1 at least; got \d+ and \d+"):
        make_explainer(algorithm=spec, budget=30).explain(image)


# Operators that take many masks at once


@pytest.mark.parametrize("cxpb", [0.0, 0.25, 1.0])
def test_bred_at_once_it_is_the_search_that_breeds_one_by_one(make, cxpb):
    """Else a wrapped operator, or a user's copy of one, would give another explanation."""
    archives = []
    for at_once in (True, False):
        toolbox = make(budget=60)
        if not at_once:
            toolbox.mutate = functools.partial(toolbox.mutate)
        assert (toolbox.on_masks("mutate") is not None) == at_once
        random.seed(0)
        eaSurrogate(toolbox.population(n=4), toolbox, cxpb=cxpb)
        archives.append(toolbox.evaluator.archive.masks)
    assert (archives[0] == archives[1]).all()


@pytest.mark.parametrize("role", ["mate", "mutate"])
def test_a_decorated_operator_is_not_passed_over(make, role):
    called = []

    def decorator(operator):
        @functools.wraps(operator)
        def wrapped(*individuals, **parameters):
            called.append(role)
            return operator(*individuals, **parameters)

        return wrapped

    toolbox = make(budget=30)
    assert toolbox.on_masks(role) is not None
    toolbox.decorate(role, decorator)
    eaSurrogate(toolbox.population(n=4), toolbox)
    assert len(called) > 100


def test_a_toolbox_of_deaps_own_will_do(make):
    ours, plain = make(budget=30), base.Toolbox()
    for alias in ("evaluate", "map", "clone", "mate", "mutate", "surrogate", "acquire"):
        plain.register(alias, getattr(ours, alias))
    plain.evaluator, plain.rng = ours.evaluator, ours.rng
    eaSurrogate(ours.population(n=4), plain)
    assert len(ours.evaluator.archive) == 30


@pytest.mark.parametrize(
    ("role", "given", "message"),
    [
        ("acquire", lambda a: [0], r"acquire operator .* can't be called with .masks, model"),
        ("acquire", "mutStep", r"acquire operator 'mutStep' can't be called with"),
        ("surrogate", lambda other: None, r"surrogate operator .* can't be called with \(\)"),
    ],
)
def test_parts_that_can_not_be_called_are_refused_at_once(role, given, message):
    with pytest.raises(SettingError, match=message):
        Explainer(lambda views: 0, operators={role: given})


@pytest.mark.parametrize(
    ("role", "given", "message"),
    [
        ("acquire", lambda masks, model, best, full, n: [], r"returned \[\] for \d+ candidates"),
        (
            "acquire",
            lambda masks, model, best, full, n: np.arange(0),
            r"returned array\(\[\], dtype",
        ),
        ("acquire", lambda masks, model, best, full, n: masks[:n], "expected the indices of those"),
        ("acquire", lambda masks, model, best, full, n: None, "returned None for"),
        ("surrogate", lambda: 7, "made 7, which has no update, predict, .*such as GaussianProcess"),
    ],
)
def test_parts_that_give_something_else_say_so(make_explainer, image, role, given, message):
    explainer = make_explainer(algorithm="eaSurrogate", operators={role: given}, budget=40)
    with pytest.raises(OperatorError, match=message):
        explainer.explain(image)


def test_a_prior_beyond_single_precision_is_told(make_explainer, image):
    chosen = {"surrogate": "GaussianProcess:linear=1e5"}
    explainer = make_explainer(algorithm="eaSurrogate", operators=chosen, budget=300)
    with pytest.raises(SettingError, match="linear, pairs or curve is too large beside noise"):
        explainer.explain(image)


def test_a_second_run_goes_on_with_the_firsts_front(make):
    toolbox = make()
    population, _ = eaSurrogate(toolbox.population(n=10), toolbox, ngen=12)
    before = {bytes(one) for one in population}
    assert len(before) > 2
    population, _ = eaSurrogate(population, toolbox, ngen=1)
    known = [point.mask for point in front(toolbox.evaluator.archive)]
    assert [bytes(one) for one in population] == [bytes(m.astype("i1")) for m in known]
    assert before & {bytes(one) for one in population}


def test_a_fitness_from_another_toolbox_is_none_here(make, image):
    """The full view is known here as well, with another answer; nothing else is asked yet."""
    other = make()
    population = other.population(n=3)
    for individual in population:
        individual[:] = array.array("b", [1] * len(individual))
        individual.fitness.values = 0.123, 16
    toolbox = make()
    [full], _ = eaSurrogate(population, toolbox, ngen=0)
    assert all(full)
    assert full.fitness.values == toolbox.evaluate(full) != (0.123, 16)


def test_a_lift_below_nothing_is_refused(make):
    toolbox = make(operators={"acquire": "acqExpectedGain:lift=-0.1"}, budget=20)
    with pytest.raises(SettingError, match="lift must be 0 at least"):
        eaSurrogate(toolbox.population(n=4), toolbox)
