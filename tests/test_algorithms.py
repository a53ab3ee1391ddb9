"""Our loops: elitism, endings, and what DEAP's Statistics and HallOfFame see of them."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WANTED, cell_probability, random_masks
from deap import tools

from deap_xai.algorithms import algorithms, eaElitist
from deap_xai.algorithms.distribution import UMDA
from deap_xai.algorithms.registration import STALLED, defaults_of, evaluate, generations
from deap_xai.errors import SettingError

ALL = algorithms.names()


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(3)


def make_toolbox(make_explainer, image, name, **limits):
    return make_explainer(algorithm=name, **limits).toolbox(image)


def fit(evaluator, individual):
    return cell_probability(np.array(individual, bool)[None])[0]


@pytest.mark.parametrize(("n_segments", "margin"), [(1, 0.25), (2, 0.25), (3, 0.25), (8, 0.125)])
def test_marginals_move_and_stay_off_the_ends(n_segments, margin):
    toolbox = SimpleNamespace(select=lambda individuals, k: individuals[:k])
    learns = UMDA([[1] * n_segments] * 10, toolbox, np.random.default_rng(0))
    for _ in range(20):
        learns.update([[1] * n_segments] * 10)
    assert learns.marginals == pytest.approx(1 - margin)


def test_nsga2_compares_crowding_within_a_front(make_explainer, image, monkeypatch):
    """As Deb et al. define it; against the distances of each front by itself."""
    choose, fronts = tools.selTournamentDCD, []

    def watched(individuals, k):
        found = [one.fitness.crowding_dist for one in individuals]
        for front in tools.sortNondominated(individuals, len(individuals)):
            tools.emo.assignCrowdingDist(front)
        assert found == [one.fitness.crowding_dist for one in individuals]
        fronts.append(len(tools.sortNondominated(individuals, len(individuals))))
        return choose(individuals, k)

    monkeypatch.setattr(tools, "selTournamentDCD", watched)
    toolbox = make_toolbox(make_explainer, image, "eaNSGA2")
    algorithms.get("eaNSGA2")(toolbox.population(n=20), toolbox, ngen=3)
    assert len(fronts) == 3
    assert max(fronts) > 1


@pytest.mark.parametrize("name", ALL)
def test_every_algorithm_has_deaps_shape(make_explainer, image, model, name):
    toolbox = make_toolbox(make_explainer, image, name)
    hall, stats = tools.HallOfFame(1), tools.Statistics(lambda ind: ind.fitness.values[0])
    stats.register("max", np.max)
    given = toolbox.population(n=12)
    population, logbook = algorithms.get(name)(
        given, toolbox, ngen=6, stats=stats, halloffame=hall, verbose=False
    )
    assert population is given
    assert all(individual.fitness.valid for individual in population)
    for individual in population:
        assert individual.fitness.values[0] == pytest.approx(fit(toolbox, individual))
    assert hall[0].fitness.values[0] == pytest.approx(max(logbook.select("max")))
    assert len(logbook) >= 6
    assert model.images == toolbox.evaluator.calls


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("calls", [2, 30, 77])
def test_every_algorithm_ends_with_the_budget(make_explainer, image, model, name, calls):
    toolbox = make_toolbox(make_explainer, image, name, budget=calls)
    stats = tools.Statistics(lambda ind: ind.fitness.values[0])
    stats.register("max", np.max)
    population, _ = algorithms.get(name)(
        toolbox.population(n=12), toolbox, stats=stats, halloffame=tools.HallOfFame(1)
    )
    assert model.images == toolbox.evaluator.calls <= calls
    evaluated = [individual for individual in population if individual.fitness.valid]
    for individual in evaluated:
        assert individual.fitness.values[0] == pytest.approx(fit(toolbox, individual))


@pytest.mark.parametrize("name", ALL)
def test_no_algorithm_runs_forever(make_explainer, image, name):
    toolbox = make_toolbox(make_explainer, image, name)
    population = toolbox.population(n=4)
    if name == "eaGreedy":  # it ends by itself
        algorithms.get(name)(population, toolbox)
        assert toolbox.evaluator.calls < 16**2
    else:
        with pytest.raises(SettingError, match="never end; give ngen, or the evaluator a budget"):
            algorithms.get(name)(population, toolbox)


def test_the_best_never_gets_worse(make_explainer, image):
    toolbox = make_explainer().toolbox(image)
    stats = tools.Statistics(lambda ind: ind.fitness.values[0])
    stats.register("max", np.max)
    for mutpb in (0.0, 1.0):
        toolbox.register("mutate", tools.mutFlipBit, indpb=0.5)
        _, logbook = eaElitist(toolbox.population(n=10), toolbox, mutpb=mutpb, ngen=20, stats=stats)
        best = logbook.select("max")
        assert best == sorted(best)
    assert logbook.header == ["gen", "nevals", "max"]
    assert logbook.select("gen") == list(range(21))


def test_without_elite_the_best_may_be_lost(make_explainer, image):
    toolbox = make_explainer().toolbox(image)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.5)
    stats = tools.Statistics(lambda ind: ind.fitness.values[0])
    stats.register("max", np.max)
    _, logbook = eaElitist(
        toolbox.population(n=10), toolbox, mutpb=1.0, ngen=20, n_elite=0, stats=stats
    )
    best = logbook.select("max")
    assert best != sorted(best)


@pytest.mark.parametrize("n_elite", [-1, 1.5])
def test_the_elite_is_a_whole_number(make_explainer, image, n_elite):
    toolbox = make_explainer(budget=40).toolbox(image)
    with pytest.raises(SettingError, match="n_elite must be a whole number of at least 0; got"):
        eaElitist(toolbox.population(n=4), toolbox, n_elite=n_elite)
    assert make_explainer(algorithm="eaElitist:n_elite=0", budget=40).explain(image)


@pytest.mark.parametrize("name", algorithms.names())
def test_pythons_own_map_lets_no_ended_budget_through(make_explainer, image, name):
    toolbox = make_explainer(algorithm=name, budget=25).toolbox(image)
    toolbox.register("map", map)
    population, _ = algorithms.get(name)(toolbox.population(n=10), toolbox)
    assert population
    assert all(individual.fitness.valid for individual in population)
    assert toolbox.evaluator.calls == 25


@pytest.mark.parametrize("name", [n for n in algorithms.names() if n != "eaGreedy"])
def test_statistics_of_several_kinds(make_explainer, image, name):
    toolbox = make_explainer(algorithm=name, budget=45).toolbox(image)
    stats = tools.MultiStatistics(p=tools.Statistics(lambda i: i.fitness.values[0]))
    stats["size"] = tools.Statistics(sum)
    stats.register("mean", np.mean)
    _, logbook = algorithms.get(name)(toolbox.population(n=10), toolbox, stats=stats)
    assert len(logbook) > 1
    assert len(logbook.chapters["p"]) == len(logbook.chapters["size"]) == len(logbook)
    assert len(str(logbook).splitlines()) >= len(logbook)


def test_it_finds_the_wanted_cells(make_explainer, image):
    toolbox = make_explainer(seed=1).toolbox(image)
    population, _ = eaElitist(toolbox.population(n=40), toolbox, ngen=40)
    assert (np.array(tools.selBest(population, 1)[0], bool) == WANTED).all()


def test_the_smallest_population_still_searches(make_explainer, image):
    toolbox = make_explainer().toolbox(image)
    eaElitist(toolbox.population(n=2), toolbox, ngen=40, mutpb=1.0)
    assert toolbox.evaluator.calls > 5


def test_a_generation_cut_short_is_returned_as_far_as_it_came(make_explainer, image):
    toolbox = make_toolbox(make_explainer, image, "eaUMDA", budget=7)
    best = tools.HallOfFame(2)
    population, logbook = algorithms.get("eaUMDA")(
        toolbox.population(n=10), toolbox, halloffame=best
    )
    assert 0 < len(population) < 10
    assert all(one.fitness.valid for one in population)
    assert logbook.select("nevals") == [len(population)]
    assert best[0].fitness == max(one.fitness for one in population)


def test_verbose_prints_the_logbook(make_explainer, image, capsys):
    toolbox = make_explainer().toolbox(image)
    eaElitist(toolbox.population(n=4), toolbox, ngen=2, verbose=True)
    assert capsys.readouterr().out.split()[:2] == ["gen", "nevals"]


def test_a_search_with_nothing_new_has_converged(make_explainer, image):
    toolbox = make_explainer(budget=1000).toolbox(image)
    toolbox.register("mutate", lambda individual: (individual,))
    toolbox.register("mate", lambda one, two: (one, two))
    _, logbook = eaElitist(toolbox.population(n=4), toolbox)
    assert len(logbook) == 1 + STALLED


def test_a_zero_ngen_only_evaluates(make_explainer, image):
    toolbox = make_explainer().toolbox(image)
    assert list(generations(toolbox, 0)) == []
    with pytest.raises(SettingError, match="ngen must be a whole number of at least 0; got -1"):
        list(generations(toolbox, -1))
    assert list(generations(toolbox, 3)) == [1, 2, 3]
    _, logbook = eaElitist(toolbox.population(n=4), toolbox, ngen=0)
    assert len(logbook) == 1


def test_evaluate_keeps_what_the_budget_covered(make_explainer, image, model):
    toolbox = make_explainer(budget=6).toolbox(image)
    make = toolbox.individual.args[0]
    individuals = [make(mask.astype(int).tolist()) for mask in random_masks(9)]
    valid, nevals = evaluate(individuals, toolbox)
    assert [list(i) for i in valid] == [list(i) for i in individuals[:5]]  # one was the full view
    assert nevals == 5
    assert model.images == 6
    again, nevals = evaluate(valid, toolbox)
    assert (len(again), nevals) == (5, 0)


def test_algorithms_bring_their_defaults():
    assert defaults_of(eaElitist).objectives == ("probability",)
    assert defaults_of(eaElitist).pick == "best"
    assert defaults_of(len).objectives == ("probability", "size")
    assert defaults_of(algorithms.resolve("eaElitist:cxpb=0.5")) is defaults_of(eaElitist)


def test_nsga3_needs_two_objectives(make_explainer, image):
    explainer = make_explainer(algorithm="eaNSGA3", objectives=["probability"], budget=60)
    with pytest.raises(SettingError, match=r"eaNSGA3 needs two objectives at least; got 1: give"):
        explainer.explain(image)
