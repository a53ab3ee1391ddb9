"""Effect sizes, p-values, units, sentences and curves, against slow literal versions."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

pytest.importorskip("scikit_posthocs", reason="needs the extra compare")

from deap_xai.comparison import curves, statistics
from deap_xai.comparison.statistics import (
    a12,
    blocks,
    friedman,
    pairs,
    wilcoxon_holm,
)
from deap_xai.errors import SettingError

values = st.lists(st.integers(0, 6), min_size=1, max_size=8)


def table(numbers, missing=()):
    """A row a run; numbers (problems, seeds, variants)."""
    rows = [
        {"model": "m", "image": f"i{p}", "seed": s, "variant": f"v{v}", "front_quality": value}
        for (p, s, v), value in np.ndenumerate(np.asarray(numbers, float))
        if (p, s, v) not in missing
    ]
    return pd.DataFrame(rows)


def noisy(n_problems, n_seeds, gains, seed=0):
    """Variants that gain so much over one another, on problems that differ far more."""
    rng = np.random.default_rng(seed)
    hardness = rng.random((n_problems, 1, 1))
    return hardness + np.array(gains) + 0.01 * rng.random((n_problems, n_seeds, len(gains)))


@settings(deadline=None)
@given(values, values)
def test_a12_counts_pairs(first, second):
    wins = sum((x > y) + 0.5 * (x == y) for x in first for y in second)
    assert a12(first, second) == pytest.approx(wins / (len(first) * len(second)))
    assert a12(first, second) + a12(second, first) == pytest.approx(1)


def test_wilcoxon_is_scipys_and_holm_as_he_wrote_it():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((9, 4)) + np.array([0, 0.2, 0.4, 0.9]), columns=list("badc"))
    found = wilcoxon_holm(frame)
    assert list(found.index) == list(found.columns) == list("badc")
    raw = {
        pair: stats.wilcoxon(frame[pair[0]], frame[pair[1]]).pvalue
        for pair in itertools.combinations("badc", 2)
    }
    worst, m = 0.0, len(raw)  # the smallest times m, the next times m - 1, …; never falling
    for i, pair in enumerate(sorted(raw, key=raw.get)):
        worst = max(worst, min(1, raw[pair] * (m - i)))
        assert found.loc[pair[0], pair[1]] == pytest.approx(worst)
        assert found.loc[pair[1], pair[0]] == pytest.approx(worst)


@pytest.mark.parametrize("n", [1, 2, 5, 60])
def test_equal_variants_give_one_and_never_nan(n):
    frame = pd.DataFrame({"a": np.arange(n) / n, "b": np.arange(n) / n, "c": np.arange(n) / n})
    assert (wilcoxon_holm(frame).to_numpy() == 1).all()
    assert friedman(frame) == 1
    frame["c"] += 1
    assert wilcoxon_holm(frame).loc["a", "b"] == 1
    assert 0 <= friedman(frame) <= 1


def test_friedman_is_scipys():
    numbers = np.random.default_rng(0).random((9, 3)) + np.array([0, 0, 1])
    frame = pd.DataFrame(numbers, columns=list("abc"))
    expected = stats.friedmanchisquare(frame["a"], frame["b"], frame["c"]).pvalue
    assert friedman(frame) == pytest.approx(expected)


def test_friedman_of_two_is_wilcoxons():
    numbers = np.random.default_rng(0).normal([0, 0.5], size=(12, 2))
    values = pd.DataFrame(numbers, columns=["a", "b"])
    assert friedman(values) == stats.wilcoxon(values["a"], values["b"]).pvalue


def test_no_more_is_claimed_than_promised_where_nothing_differs():
    rng = np.random.default_rng(0)
    claimed = [
        (wilcoxon_holm(pd.DataFrame(rng.random((9, 3)))) <= 0.05).any(axis=None) for _ in range(30)
    ]
    assert np.mean(claimed) <= 0.17  # 5 % and what 30 trials scatter


def test_the_unit_is_the_problem_where_there_are_enough():
    many = blocks(table(noisy(6, 4, [0, 0.1])), "front_quality")
    assert (many.unit, len(many.values), many.n_problems, many.enough) == ("problem", 6, 6, True)
    assert many.describe() == "Tested over 6 problems, each with the mean over its seeds."
    few = blocks(table(noisy(5, 4, [0, 0.1])), "front_quality")
    assert (few.unit, len(few.values)) == ("run", 20)
    assert few.describe() == (
        "Tested over 20 pairs of problem and seed on 5 problems: it says nothing about other "
        "images."
    )
    three = blocks(table(noisy(7, 2, [0, 0.1, 0.2])), "front_quality")
    assert three.unit == "problem"
    assert blocks(table(noisy(6, 2, [0, 0.1, 0.2])), "front_quality").unit == "run"


def test_the_least_number_of_units_is_what_wilcoxon_needs():
    for n, shown in ((5, False), (6, True)):
        frame = pd.DataFrame({"a": np.arange(1, n + 1) / 7, "b": np.zeros(n)})
        assert (wilcoxon_holm(frame).loc["a", "b"] <= 0.05) == shown
    few = blocks(table(noisy(1, 3, [0, 0.1])), "front_quality")
    assert few.describe().endswith("3 are too few to tell any pair apart; 6 at least are needed.")


def test_seeds_on_one_image_dont_stand_for_problems():
    """Ten seeds on each of six images, of which half speak for either variant: no difference."""
    numbers = noisy(6, 10, [0, 0])
    numbers[:3, :, 0] += 1
    numbers[3:, :, 1] += 1.1
    found = pairs(blocks(table(numbers), "front_quality"), "front_quality")
    assert not found["shown"].any()


def test_pairs_put_the_better_one_first_and_say_so():
    found = pairs(blocks(table(noisy(8, 3, [0, 0.2])), "front_quality"), "front_quality")
    row = found.iloc[0]
    assert (row["first"], row["second"], row["shown"]) == ("v1", "v0", True)
    assert row["difference"] == pytest.approx(0.2, abs=0.01)
    assert row["sentence"] == (
        f"v1 is better than v0: front quality {row['difference']:+.3f} (A12 1.00, p = 0.00781, "
        "24 runs each on 8 problems)."
    )
    many = pairs(blocks(table(noisy(40, 1, [0, 0.2, 0.4])), "front_quality"), "front_quality")
    assert "(A12 1.00, p < 0.001 after Holm, 40 runs each on 40 problems)" in many["sentence"][0]


def test_no_claim_where_mean_and_ranks_point_to_different_sides():
    numbers = np.zeros((12, 1, 2))
    numbers[:, 0, 1] = np.linspace(0.1, 0.2, 12)
    numbers[0, 0, 0] = 5
    found = pairs(blocks(table(numbers), "front_quality"), "front_quality").iloc[0]
    assert found["p"] < 0.05
    assert not found["shown"]


def test_what_differs_in_the_seventh_digit_is_no_difference():
    """A model's own rounding, whichever unit is tested: no test, rank or effect is in it."""
    numbers = np.random.default_rng(0).random((1, 400, 1)) + np.array([0, 6e-8, 2e-7])
    for shape, unit in (((1, 400, 3), "run"), ((400, 1, 3), "problem"), ((8, 50, 3), "problem")):
        few = numbers.round(2) + np.array([0, 6e-8, 2e-7])  # else values of other seeds are near
        found = blocks(table((few if shape[1] > 1 else numbers).reshape(shape)), "front_quality")
        assert found.unit == unit
        assert friedman(found.values) == 1
        told = pairs(found, "front_quality")
        assert told["p"].tolist() == [1, 1, 1]
        assert told["a12"].tolist() == [0.5, 0.5, 0.5]
        assert told["difference"].tolist() == [0, 0, 0]


def test_last_digits_of_means_are_no_difference():
    """The same five values on each problem, in the orders whose means differ most in pandas."""
    numbers = []
    for row in np.random.default_rng(0).random((30, 5)):
        orders = np.array(list(itertools.permutations(row)))
        means = pd.DataFrame(orders.T).groupby([0] * 5).mean().iloc[0]
        if means.max() > means.min():
            numbers.append(np.stack([orders[means.argmax()], orders[means.argmin()]], axis=-1))
    found = blocks(table(np.array(numbers)), "front_quality")
    assert found.unit == "problem"
    assert found.n_problems > 10
    assert pairs(found, "front_quality")["p"].tolist() == [1.0]


def test_nothing_that_all_variants_ran():
    facts = {"model": "m", "seed": 0, "front_quality": 0.5}
    only = pd.DataFrame([{**facts, "image": i, "variant": v} for i, v in ("xa", "yb")])
    with pytest.raises(SettingError, match="no problem and seed was run by all variants"):
        pairs(blocks(only, "front_quality"), "front_quality")


def test_what_failed_leaves_its_pair_out_for_all():
    numbers = noisy(2, 4, [0, 0.1])
    found = blocks(table(numbers, missing={(0, 1, 0), (1, 2, 1)}), "front_quality")
    assert len(found.runs) == 6
    left = {(f"i{p}", s) for p in range(2) for s in range(4)} - {("i0", 1), ("i1", 2)}
    assert set(found.runs.index.droplevel("model")) == left


def trajectories(numbers):
    """Long form of (variants, problems, seeds, calls)."""
    rows = [
        {"variant": f"v{v}", "model": "m", "image": f"i{p}", "seed": s, "calls": c + 1, "q": value}
        for (v, p, s, c), value in np.ndenumerate(numbers)
        if np.isfinite(value)
    ]
    return curves.trajectories_of(pd.DataFrame(rows), "q")


@pytest.fixture
def rising():
    """Two variants on three problems with four seeds, over 30 calls; one run ends early."""
    steps = np.random.default_rng(0).random((2, 3, 4, 30))
    return np.maximum.accumulate(steps, axis=-1)


def test_a_run_that_ended_early_keeps_its_last_value(rising):
    cut = rising.copy()
    cut[0, 0, 0, 10:] = np.nan
    found = trajectories(cut)
    expected = np.r_[rising[0, 0, 0, :10], np.full(20, rising[0, 0, 0, 9])]
    assert found["v0"]["m", "i0"][0] == pytest.approx(expected)
    assert found["v1"]["m", "i2"] == pytest.approx(rising[1, 2])


@pytest.mark.parametrize("unit", ["problem", "run"])
def test_anytime_means_and_intervals(rising, unit):
    found = curves.anytime(trajectories(rising), unit)
    for v in range(2):
        curve = found[f"v{v}"]
        assert curve.calls.tolist() == list(range(1, 31))
        assert curve.mean == pytest.approx(rising[v].mean(axis=(0, 1)))
        assert (curve.low <= curve.mean + 1e-12).all()
        assert (curve.mean <= curve.high + 1e-12).all()
    rng = np.random.default_rng(1)  # the same, drawn literally
    ends = rising[0, :, :, 0]
    if unit == "problem":
        drawn = [ends[rng.integers(3, size=3)].mean() for _ in range(4000)]
    else:
        drawn = [
            np.mean([row[rng.integers(4, size=4)].mean() for row in ends]) for _ in range(4000)
        ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    assert found["v0"].low[0] == pytest.approx(low, abs=0.03)
    assert found["v0"].high[0] == pytest.approx(high, abs=0.03)


def test_ecdf_counts_targets_reached(rising):
    found = curves.ecdf(trajectories(rising))
    for v in range(2):
        for c in (0, 1, 7, 29):
            shares = []
            for p in range(3):
                start, best = rising[:, p, :, 1].min(), rising[:, p].max()
                targets = [best - (best - start) * 10 ** (-2 * i / 50) for i in range(51)]
                hits = [rising[v, p, s, c] >= t - 1e-12 for s in range(4) for t in targets]
                shares.append(np.mean(hits))
            assert found[f"v{v}"][c] == pytest.approx(np.mean(shares))
        assert (np.diff(found[f"v{v}"]) >= 0).all()


def test_ecdf_where_nothing_was_to_gain():
    found = curves.ecdf(trajectories(np.ones((2, 1, 1, 5))))
    assert found["v0"].tolist() == [1] * 5


def test_no_claim_where_the_tests_own_ranks_point_to_the_other_side():
    gains = [0.0005] * 50 + [-0.005] * 49 + [0.6]  # many small ones, fewer but greater losses
    numbers = np.zeros((100, 1, 2))
    numbers[:, 0, 0] = np.array(gains) * np.linspace(0.9, 1, 100)
    row = pairs(blocks(table(numbers), "front_quality"), "front_quality").iloc[0]
    assert (row["first"], row["p"] < 0.05) == ("v0", True)
    assert row["difference"] > 0
    assert row["a12"] > 0.5
    assert not row["shown"]
    assert row["sentence"].startswith("No difference was shown")


def test_differences_that_are_equal_are_tied_in_whatever_digits_they_came():
    first = [0.7, 0.3, 0.3, 0.3, 0.3, 0.8, 0.3, 0.3]
    second = [p + step for p, step in zip(first, [0.1] * 7 + [-0.1], strict=True)]
    runs = blocks(table(np.array([first, second]).T[:, None]), "front_quality")
    ties = np.array(list(itertools.product([-1, 1], repeat=8))).sum(axis=1)
    assert runs.unit == "problem"
    literal = (abs(ties) >= 6).mean()  # all eight have the rank 4.5, seven point one way
    assert friedman(runs.values) == pytest.approx(literal)
    [row] = pairs(runs, "front_quality").to_dict("records")
    assert (row["p"], row["shown"]) == (pytest.approx(literal), False)


def test_a_row_of_near_values_is_no_single_value():
    """Each is near to the next, but the ends are far from each other."""
    values = np.arange(100) * 0.4 * statistics.NEAR
    found = statistics._levelled(values)
    assert (values - found < statistics.NEAR).all()
    assert (found <= values).all()
    assert len(np.unique(found)) == 34  # three a level


def test_small_differences_keep_their_digits():
    rng = np.random.default_rng(0)
    low, same = 0.9999 - rng.random(12) * 1e-4, {"model": "m", "image": range(12), "seed": 0}
    table = pd.concat([
        pd.DataFrame({**same, "variant": name, "front_quality": p})
        for name, p in (("high", low + 2e-5), ("low", low))
    ])  # fmt: skip
    table["image"] = table["image"].astype(str)
    (row,) = pairs(blocks(table, "front_quality"), "front_quality").itertuples()
    assert "+0.000" not in row.sentence
    assert "front quality +2.0e-05 " in row.sentence or "front quality +1.9e-05 " in row.sentence
