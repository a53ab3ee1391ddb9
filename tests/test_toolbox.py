"""The toolbox with DEAP's own loops and operators, and the contract that it checks."""

from __future__ import annotations

import functools
import multiprocessing.pool
import pickle
import random
import time

import numpy as np
import pytest
from conftest import SIDE, WANTED, cell_probability
from deap import algorithms, base, tools

from deap_xai.algorithms import eaNSGA2
from deap_xai.errors import BudgetExhausted, OperatorError, SettingError
from deap_xai.operators import mutStep
from deap_xai.toolbox import as_operator

S = SIDE * SIDE


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(1)


@pytest.fixture
def toolbox(make_explainer, image):
    return make_explainer().toolbox(image)


class Marginals:
    """A small strategy for ``eaGenerateUpdate``."""

    def __init__(self, make):
        self.make, self.p, self.asked = make, np.full(S, 0.5), []

    def generate(self):
        rows = np.random.default_rng(len(self.asked)).random((12, S)) < self.p
        return [self.make(row.astype(int).tolist()) for row in rows]

    def update(self, population):
        self.asked += [individual.tobytes() for individual in population]
        self.p = np.clip(np.mean(tools.selBest(population, 4), axis=0), 0.1, 0.9)


def run_simple(toolbox, **kwargs):
    return algorithms.eaSimple(toolbox.population(n=12), toolbox, 0.9, 0.9, 5, **kwargs)


def run_plus(toolbox, **kwargs):
    return algorithms.eaMuPlusLambda(
        toolbox.population(n=8), toolbox, 8, 16, 0.5, 0.5, 5, **kwargs
    )  # fmt: skip


def run_comma(toolbox, **kwargs):
    return algorithms.eaMuCommaLambda(
        toolbox.population(n=8), toolbox, 8, 16, 0.5, 0.5, 5, **kwargs
    )  # fmt: skip


def run_generate_update(toolbox, **kwargs):
    strategy = Marginals(toolbox.individual.args[0])
    toolbox.register("generate", strategy.generate)
    toolbox.register("update", strategy.update)
    return algorithms.eaGenerateUpdate(toolbox, ngen=6, **kwargs)


LOOPS = [run_simple, run_plus, run_comma, run_generate_update]


@pytest.mark.parametrize("loop", LOOPS)
def test_stock_loops_ask_once_a_generation_and_once_a_mask(toolbox, model, loop):
    seen = []
    evaluate = toolbox.evaluate.func
    asked = evaluate.batch
    evaluate.batch = lambda individuals: (
        seen.append([*map(bytes, individuals)]) or asked(individuals)
    )
    toolbox.evaluator.backend.batch_size = 1000
    before = len(model.batches)
    _, logbook = loop(toolbox, verbose=False)
    distinct, full = {bits for generation in seen for bits in generation}, bytes([1] * S)
    assert len(seen) == len(logbook) == 6
    batches = model.batches[before:]
    assert len(batches) <= len(seen)  # none where all was known
    new = [len(set(g) - {b for e in seen[:i] for b in e} - {full}) for i, g in enumerate(seen)]
    assert batches == [n for n in new if n]
    assert model.images == toolbox.evaluator.calls == len(distinct | {full})


@pytest.mark.parametrize("loop", LOOPS)
def test_statistics_logbook_and_hall_of_fame(toolbox, loop):
    hall, stats = tools.HallOfFame(3), tools.Statistics(lambda ind: ind.fitness.values[0])
    stats.register("max", np.max)
    population, logbook = loop(toolbox, stats=stats, halloffame=hall, verbose=False)
    best = max(logbook.select("max"))
    top = hall[0].fitness.values[0]
    assert top >= best  # a tournament may lose it
    assert top == pytest.approx(cell_probability(np.array(hall[0], bool)[None])[0])
    assert logbook[-1]["max"] == max(ind.fitness.values[0] for ind in population)
    again = pickle.loads(pickle.dumps((population, logbook)))
    assert [bytes(i) for i in again[0]] == [bytes(i) for i in population]


def test_stock_loops_let_an_ended_budget_through(make_explainer, image, model):
    toolbox = make_explainer(budget=20).toolbox(image)
    with pytest.raises(BudgetExhausted, match=r"after 20 model calls"):
        run_plus(toolbox, verbose=False)
    assert model.images == len(toolbox.evaluator.archive) == 20


def test_a_users_own_evaluate(toolbox, model):
    toolbox.register("evaluate", lambda individual: (float(sum(individual)),))
    before = model.images
    population, _ = run_simple(toolbox, verbose=False)
    assert model.images == before
    assert all(ind.fitness.values == (sum(ind),) for ind in population)


@pytest.mark.parametrize("own", [map, "pool"])
def test_a_users_own_map(toolbox, model, own):
    with multiprocessing.pool.ThreadPool(4) as pool:
        toolbox.register("map", pool.map if own == "pool" else own)
        population, _ = run_simple(toolbox, verbose=False)
    masks = np.array(population, bool)
    found = [ind.fitness.values[0] for ind in population]
    assert found == pytest.approx(cell_probability(masks))
    assert set(model.batches) == {1}
    assert model.images == toolbox.evaluator.calls


@pytest.mark.parametrize("objectives", [["probability"], ["robustness", "necessity"]])
def test_threads_ask_no_more_than_the_budget_and_nothing_twice(
    make_explainer, image, model, objectives
):
    def slow(images):
        time.sleep(0.002)  # so that threads overtake each other
        return model(images)

    chosen = {"algorithm": "eaNSGA2", "objectives": objectives, "model": slow}
    toolbox = make_explainer(budget=60, **chosen).toolbox(image)
    with multiprocessing.pool.ThreadPool(8) as pool:
        toolbox.register("map", pool.map)
        eaNSGA2(toolbox.population(n=30), toolbox)
    evaluator = toolbox.evaluator
    assert model.images == evaluator.calls == 60
    assert len({bytes(mask) for mask in evaluator.archive.masks}) == len(evaluator.archive)


def test_decorate(toolbox, model):
    def halved(evaluate):
        return lambda individual: (evaluate(individual)[0] / 2,)

    def counted(mate):
        @functools.wraps(mate)
        def counting(*args, **kwargs):
            counted.n += 1
            return mate(*args, **kwargs)

        return counting

    counted.n = 0
    toolbox.decorate("evaluate", halved)
    toolbox.decorate("mate", counted)
    population, _ = run_simple(toolbox, verbose=False)
    assert counted.n > 0
    found = [ind.fitness.values[0] for ind in population]
    assert found == pytest.approx(cell_probability(np.array(population, bool)) / 2)


def test_decorated_operators_are_still_checked(toolbox):
    toolbox.decorate("mutate", lambda mutate: lambda individual: mutate(individual)[0])
    with pytest.raises(OperatorError, match=r"returned .*Individual.*tuple of 1 individual"):
        toolbox.mutate(toolbox.individual())


def test_it_is_deaps_toolbox_filled(toolbox):
    assert isinstance(toolbox, base.Toolbox)
    population = toolbox.population(n=7)
    assert [len(individual) for individual in population] == [S] * 7
    assert len({bytes(individual) for individual in population}) > 1
    twin = toolbox.clone(population[0])
    assert twin == population[0]
    assert twin is not population[0]
    assert len(toolbox.select(evaluated(toolbox, population), 3)) == 3


def evaluated(toolbox, population):
    for individual, values in zip(
        population, toolbox.map(toolbox.evaluate, population), strict=True
    ):
        individual.fitness.values = values
    return population


# Ways to choose an operator


def ones_mutation(individual):
    individual[:] = type(individual)([1] * len(individual))
    return (individual,)


def test_operators_by_name_spec_and_function(make_explainer, image):
    toolbox = make_explainer(
        operators={"mate": "cxTwoPoint", "mutate": ones_mutation, "select": "selBest"}
    ).toolbox(image)
    population = evaluated(toolbox, toolbox.population(n=6))
    assert list(toolbox.mutate(toolbox.individual())[0]) == [1] * S
    best = max(individual.fitness.values for individual in population)
    assert toolbox.select(population, 1)[0].fitness.values == best
    one, two = (toolbox.individual.args[0]([bit] * S) for bit in (0, 1))
    toolbox.mate(one, two)
    assert 0 < sum(one) < S
    assert sum(one) + sum(two) == S


def test_specs_set_parameters(make_explainer, image):
    specs = {"bits": "initBernoulli:p=1.0", "mutate": "mutFlipBit:indpb=1.0", "extra": "cxOnePoint"}
    toolbox = make_explainer(operators=specs).toolbox(image)
    individual = toolbox.individual()
    assert sum(individual) == S
    assert sum(toolbox.mutate(individual)[0]) == 0
    assert toolbox.extra.func is tools.cxOnePoint


def test_rates_have_defaults(toolbox):
    assert toolbox.mutate.func(toolbox.individual()) is not None
    flips = [sum(toolbox.mutate(toolbox.individual.args[0]([0] * S))[0]) for _ in range(400)]
    assert 0.7 < np.mean(flips) < 1.3  # one bit in S


def test_operators_through_register(toolbox):
    toolbox.register("mate", tools.cxUniform, indpb=1.0)
    one, two = toolbox.individual(), toolbox.individual()
    before = list(one), list(two)
    assert toolbox.mate(one, two) == (one, two)
    assert (list(two), list(one)) == before


def test_what_operators_ask_for_is_filled_in(toolbox):
    asked = {}

    def mutate(individual, rng, neighbours, evaluator):
        asked.update(rng=rng, neighbours=neighbours, evaluator=evaluator)
        return (individual,)

    toolbox.register("mutate", mutate)
    toolbox.mutate(toolbox.individual())
    assert asked["rng"] is toolbox.rng
    assert asked["evaluator"] is toolbox.evaluator
    assert asked["neighbours"].shape == (S, S)
    assert asked["neighbours"].sum() == 2 * 2 * SIDE * (SIDE - 1)


def test_what_users_bind_is_not_replaced(toolbox):
    mine, asked = np.random.default_rng(5), []

    def mutate(individual, rng):
        asked.append(rng)
        return (individual,)

    toolbox.register("mutate", functools.partial(mutate, rng=mine))
    toolbox.mutate(toolbox.individual())
    toolbox.register("mutate", mutate, rng=mine)
    toolbox.mutate(toolbox.individual())
    assert [rng is mine for rng in asked] == [True, True]


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ({"mate": "cxTwoPont"}, "did you mean|unknown operator 'cxTwoPont'"),
        (
            {"mutate": "mutGaussian"},
            "mutate operator 'mutGaussian' can't be called.*needs mu, sigma",
        ),
        (
            {"mutate": "cxTwoPoint"},
            "mutate operator 'cxTwoPoint' can't be called with .individual.: it also needs ind2;",
        ),
        (
            {"mate": lambda one: (one, one)},
            "mate operator '<lambda>' .*with .ind1, ind2.: too",
        ),
        (
            {"select": "selDoubleTournament"},
            "individuals, k.: it also needs fitness_size, parsimony_size, fitness_first; it must",
        ),
        ({"select": "selDoubleTournament:fitness_size=3"}, "needs parsimony_size, fitness_first;"),
    ],
)
def test_operators_that_can_not_be_called_are_named(make_explainer, image, operators, message):
    with pytest.raises(SettingError, match=message):
        make_explainer(operators=operators).toolbox(image)


@pytest.mark.parametrize(
    ("select", "came"),
    [
        (lambda individuals, k: individuals[:1], "returned 1 of them; expected a list of 3 of the"),
        (lambda individuals, k: individuals * 2, "returned 8 of them"),
        (lambda individuals, k: None, "select operator '<lambda>' returned None"),
        (lambda individuals, k: [list(one) for one in individuals[:k]], "returned lists without a"),
        (lambda individuals, k: list(range(k)), "select operator '<lambda>' returned ints without"),
    ],
)
def test_selections_return_as_many_as_they_are_asked_for(make_explainer, image, select, came):
    toolbox = make_explainer(operators={"select": select}).toolbox(image)
    with pytest.raises(OperatorError, match=came):
        toolbox.select(toolbox.population(n=4), k=3)


def test_a_selection_that_takes_nobody_twice_gives_what_there_is(make_explainer, image):
    toolbox = make_explainer(operators={"select": "selBest"}).toolbox(image)
    population = toolbox.population(n=4)
    for individual, value in zip(population, (0.1, 0.4, 0.3, 0.2), strict=True):
        individual.fitness.values = (value,)
    assert toolbox.select(population, 9) == [population[i] for i in (1, 2, 3, 0)]


def test_built_ins_without_a_signature_are_taken(make_explainer, image):
    toolbox = make_explainer(operators={"extra": map}).toolbox(image)
    assert list(toolbox.extra(abs, [-1])) == [1]


# The contract


def no_tuple(individual):
    return individual


def nothing(individual):
    return None


def pair(individual):
    return individual, individual


def shorter(individual):
    individual.pop()
    return (individual,)


def writes_two(individual):
    individual[0] = 2
    return (individual,)


def writes_half(individual):
    individual[0] = 0.5
    return (individual,)


def writes_a_list(individual):
    individual[:] = [1 - bit for bit in individual]
    return (individual,)


def writes_a_text(individual):
    individual[0] = "1"
    return (individual,)


def appends_a_list(individual):
    individual += [1]
    return (individual,)


def writes_thousand(individual):
    individual[0] = 1000
    return (individual,)


def plain_list(individual):
    return ([1] * len(individual),)


def numpy_array(individual):
    return (np.array(individual),)


BREACHES = [
    (no_tuple, "returned .*Individual.*; DEAP's rule is a tuple of 1 individual$"),
    (nothing, "returned <class 'NoneType'>; DEAP's rule is a tuple of 1 individual$"),
    (pair, "returned a tuple of 2; DEAP's rule is a tuple of 1 individual$"),
    (shorter, f"changed an individual's length to {S - 1}; it must stay {S}, one bit a superpixel"),
    (writes_two, "wrote 2; only the bits 0 and 1 are allowed"),
    (writes_half, "wrote something that is no bit: .*float"),
    (writes_a_list, "wrote something that is no bit: .*; assign bit by bit, or a slice of an indi"),
    (writes_a_text, "wrote something that is no bit: .*str"),
    (appends_a_list, "wrote something that is no bit: .*extend"),
    (writes_thousand, "wrote something that is no bit: .*greater than maximum"),
    (plain_list, "returned list without a fitness; change the individuals in place"),
    (numpy_array, "returned ndarray without a fitness"),
]


@pytest.mark.parametrize(("breach", "rule"), BREACHES)
@pytest.mark.parametrize("way", ["setting", "register"])
def test_breaches_name_the_operator_and_the_rule(make_explainer, image, breach, rule, way):
    toolbox = make_explainer(operators={"mutate": breach} if way == "setting" else {}).toolbox(
        image
    )
    if way == "register":
        toolbox.register("mutate", breach)
    with pytest.raises(OperatorError, match=f"mutate operator '{breach.__name__}' {rule}"):
        toolbox.mutate(toolbox.individual())


def test_crossovers_return_two(toolbox):
    toolbox.register("mate", lambda one, two: (one,))
    with pytest.raises(
        OperatorError, match=r"mate operator '<lambda>' returned a tuple of 1;.*of 2 i"
    ):
        toolbox.mate(toolbox.individual(), toolbox.individual())


def test_messy_crossover_changes_lengths(toolbox):
    toolbox.register("mate", tools.cxMessyOnePoint)
    pairs = [(toolbox.individual(), toolbox.individual()) for _ in range(20)]
    with pytest.raises(
        OperatorError, match=r"mate operator 'cxMessyOnePoint' changed an individual's"
    ):
        list(map(toolbox.mate, *zip(*pairs, strict=True)))


def test_errors_of_the_operators_own_pass_through(toolbox):
    def broken(individual):
        return np.array(individual)()

    toolbox.register("mutate", broken)
    with pytest.raises(TypeError, match=r"^'numpy.ndarray' object is not callable$"):
        toolbox.mutate(toolbox.individual())


@pytest.mark.parametrize(
    ("n", "points"), [(2, 13), (3, 91), (4, 165), (5, 210), (6, 77), (8, 156), (10, 275)]
)
def test_reference_points_are_those_of_deb_and_jain(n, points):
    """Their numbers for 3, 5, 8 and 10 objectives; each point is a share for each objective."""
    given = as_operator("select", "selNSGA3", S, n).keywords["ref_points"]
    assert given.shape == (points, n)
    assert np.allclose(given.sum(axis=1), 1)
    assert len(np.unique(given.round(9), axis=0)) == points
    assert (given > 0).all(axis=1).any()


@pytest.mark.parametrize(
    ("algorithm", "role", "name", "message"),
    [
        ("eaElitist", "select", "selNSGA3", "select operator 'selNSGA3' failed: IndexError"),
        ("eaNSGA2", "select", "selTournamentDCD", "failed: AttributeError: .*'crowding_dist'"),
        ("eaElitist", "mate", "cxESTwoPoint", "mate operator 'cxESTwoPoint' failed: .*'strategy'"),
    ],
)
def test_what_of_deaps_fits_nothing_here_says_so(
    make_explainer, image, algorithm, role, name, message
):
    explainer = make_explainer(algorithm=algorithm, operators={role: name}, budget=60)
    with pytest.raises(OperatorError, match=f"{message}.*; it is made for other individuals"):
        explainer.explain(image)


def test_first_bits_may_be_an_array(make_explainer, image):
    mask = np.arange(S) % 2 == 0
    for bits in (mask, mask.astype(int), mask.tolist()):
        toolbox = make_explainer(operators={"bits": lambda n, bits=bits: bits}).toolbox(image)
        assert list(toolbox.individual()) == [1, 0] * (S // 2)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (lambda n: [1] * (n + 1), f"'bits' returned {S + 1} bits, .*; expected {S}, each"),
        (lambda n: [3] * n, f"'bits' returned {S} bits, .3, .*; expected {S}, each 0 or 1"),
        (lambda n: [0.5] * n, "'bits' must return bits: .*float"),
        (lambda n: [999] * n, "'bits' must return bits: .*maximum"),
    ],
)
def test_initialisers_give_bits(make_explainer, image, bits, message):
    toolbox = make_explainer(operators={"bits": bits}).toolbox(image)
    with pytest.raises(OperatorError, match=message):
        toolbox.population(n=2)


# DEAP's operators for bitstrings


@pytest.mark.parametrize("name", ["cxOnePoint", "cxTwoPoint", "cxUniform"])
def test_stock_crossovers_exchange_bits(make_explainer, image, name):
    toolbox = make_explainer(operators={"mate": name}).toolbox(image)
    zeros, ones = (toolbox.individual.args[0]([bit] * S) for bit in (0, 1))
    changed = 0
    for _ in range(10):
        toolbox.mate(zeros, ones)
        assert (np.array(zeros) + np.array(ones) == 1).all()
        changed += 0 < sum(zeros) < S
    assert changed


@pytest.mark.parametrize(
    "spec", ["mutFlipBit:indpb=0.5", "mutShuffleIndexes:indpb=0.5", "mutUniformInt:low=0,up=1"]
)
def test_stock_mutations_change_bits(make_explainer, image, spec):
    toolbox = make_explainer(operators={"mutate": spec}).toolbox(image)
    individual = toolbox.individual()
    before = [list(individual)]
    for _ in range(30):
        (individual,) = toolbox.mutate(individual)
        before.append(list(individual))
    assert len({tuple(bits) for bits in before}) > 2


@pytest.mark.parametrize(
    "name",
    "selTournament selRoulette selBest selWorst selRandom selStochasticUniversalSampling "
    "selNSGA2 selSPEA2 selLexicase selAutomaticEpsilonLexicase".split(),
)
def test_stock_selections(make_explainer, image, name):
    toolbox = make_explainer(operators={"select": name}).toolbox(image)
    population = evaluated(toolbox, toolbox.population(n=10))
    chosen = toolbox.select(population, 4)
    assert len(chosen) == 4
    assert all(any(one is individual for individual in population) for one in chosen)
    if name == "selBest":
        assert chosen[0].fitness == max(individual.fitness for individual in population)


def test_two_objectives_select_by_front(make_explainer, image):
    explainer = make_explainer(objectives=("probability", "size"), operators={"select": "selNSGA2"})
    toolbox = explainer.toolbox(image)
    population = evaluated(toolbox, toolbox.population(n=20))
    front = tools.sortNondominated(population, 20, first_front_only=True)[0]
    chosen = toolbox.select(population, len(front))
    assert {bytes(i) for i in chosen} == {bytes(i) for i in front}
    assert WANTED.sum() == 3


class Counted:
    """A wrapper of the user's, which is no functools.partial though it has a ``func``."""

    def __init__(self, func):
        self.func, self.calls = func, 0

    def __call__(self, individual, *, rng, neighbours):
        self.calls += 1
        return self.func(individual, rng=rng, neighbours=neighbours)


def test_a_wrapper_with_a_func_is_called_all_the_same(make_explainer, image):
    counted = Counted(mutStep)
    make_explainer(algorithm="eaSurrogate", operators={"mutate": counted}, budget=30).explain(image)
    assert counted.calls > 30


def test_a_role_is_a_name(make_explainer):
    with pytest.raises(SettingError, match="role is a name, such as 'mate'; got 1"):
        make_explainer(operators={1: "cxTwoPoint"})


def test_a_toolbox_registers_functions(make_explainer, image):
    with pytest.raises(SettingError, match="registers functions; got 'cxRegion' for 'mate'"):
        make_explainer().toolbox(image).register("mate", "cxRegion")
