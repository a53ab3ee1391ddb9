"""What no other mask dominates, against DEAP's own Pareto front."""

from __future__ import annotations

import json

import numpy as np
import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st

import deap_xai as dx
from deap_xai.explanation import Explanation
from deap_xai.individual import individual_class
from deap_xai.pareto import pareto


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 4)] * 5), max_size=30),
    weights=st.lists(st.sampled_from([-2.0, -1.0, 1.0, 0.5]), min_size=1, max_size=5),
)
def test_it_is_deaps_pareto_front(rows, weights):
    width = len(weights)
    rows = [row[:width] for row in rows]
    make = individual_class(tuple(np.sign(weights)))
    everyone = [make([0, 1]) for _ in rows]
    for individual, row in zip(everyone, rows, strict=True):
        individual.fitness.values = row
    known = tools.ParetoFront(similar=lambda one, other: True)
    known.update(everyone)
    masks = np.random.default_rng(0).random((len(rows), 8)) < 0.5
    found = pareto("abcde"[:width], weights, masks, np.array(rows, float).reshape(-1, width))
    values = [tuple(row) for row in found.values]
    assert sorted(values) == sorted(one.fitness.values for one in known)
    assert (masks[[rows.index(row) for row in values]] == found.masks).all()
    first = [row[0] * weights[0] for row in values]
    assert first == sorted(first, reverse=True)


def lefts(evaluator, masks):
    return masks[:, ::4].sum(axis=1)


@pytest.mark.parametrize("algorithm", ["eaNSGA2", "eaNSGA3", "eaMuPlusLambda"])
def test_an_explanation_has_it_for_all_objectives(make_explainer, image, tmp_path, algorithm):
    explainer = make_explainer(
        algorithm=algorithm, objectives=["probability", "size", (lefts, 1.0)], budget=120
    )
    e = explainer.explain(image)
    found = e.pareto
    assert found.names == tuple(e.settings["objectives"])
    assert found.names == ("probability", "size", "lefts with weight 1")
    probability, size, left = found.values.T
    assert probability == pytest.approx(e.archive.known(found.masks), abs=1e-7)
    assert (size == found.masks.sum(axis=1)).all()
    assert (left == lefts(None, found.masks)).all()
    evaluated = e.archive.masks[: 120 - 24]  # without what dropping and the checks asked
    values = np.c_[e.archive.known(evaluated), -evaluated.sum(axis=1), lefts(None, evaluated)]
    best = {
        tuple(row)
        for row in values
        if not ((values >= row).all(axis=1) & (values > row).any(axis=1)).any()
    }
    searched = {tuple(row) for row in np.c_[probability, -size, left]}
    # The full and the empty view are asked about before any individual is.
    assert searched <= best | {tuple(row) for row in values[:2]}
    assert len(best - searched) <= 2
    assert Explanation.load(e.save(tmp_path / "e")).pareto.to_dict() == found.to_dict()
    told = json.loads(json.dumps(e.to_dict()))["pareto"]
    assert [row["values"]["size"] for row in told] == size.tolist()
    assert told[0]["mask"] == found.masks[0].astype(int).tolist()


def test_it_is_the_front_where_there_is_nothing_else(make_explainer, image):
    e = make_explainer(budget=60).explain(image)
    assert e.pareto.names == ("probability", "size")
    assert repr(e.pareto) == f"Pareto({len(e.pareto.masks)} masks over probability, size)"
    front = {(p.probability, p.size) for p in e.front}
    assert len(front & {tuple(row) for row in e.pareto.values}) >= len(front) - 2


def test_of_a_loop_without_fitness_there_is_none(make_explainer, image):
    e = make_explainer(algorithm=lambda population, toolbox: None, budget=40).explain(image)
    assert e.pareto.masks.shape == (0, 16)
    assert e.pareto.to_dict() == []


def test_older_files_have_none(make_explainer, image, tmp_path):
    path = make_explainer(budget=30).explain(image).save(tmp_path / "e")
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files if not name.startswith("pareto")}
    np.savez(path, **kept)
    assert Explanation.load(path).pareto is None
    assert dx.Explanation.load(path).to_dict()["pareto"] is None


def test_objectives_of_one_name_are_told_apart(make_explainer, image):
    rows, columns = lambda evaluator, masks: masks[:, 0], lambda evaluator, masks: masks[:, 1]
    objectives = ["probability", (rows, -1.0), (columns, -1.0)]
    found = make_explainer(algorithm="eaNSGA2", objectives=objectives, budget=40).explain(image)
    own = "<lambda> with weight -1"
    assert found.pareto.names == ("probability", own, f"{own} (2)")
    values = [list(row["values"].values()) for row in found.to_dict()["pareto"]]
    assert values == found.pareto.values.tolist()
