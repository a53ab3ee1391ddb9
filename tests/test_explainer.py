"""The facade: one call from image to explanation, within its budget, whatever goes wrong."""

from __future__ import annotations

import functools
import itertools
import random
import re

import numpy as np
import pytest
from conftest import WANTED, CellModel, cell_probability
from deap import algorithms as deap_algorithms
from threadpoolctl import threadpool_info, threadpool_limits

import deap_xai as dx
from deap_xai import Explainer
from deap_xai import explainer as explainer_module
from deap_xai.algorithms import algorithms
from deap_xai.demo import creature
from deap_xai.errors import BackendError, DeapXaiError, ImageError, SettingError
from deap_xai.processes import one_blas_thread

FULL = cell_probability(np.ones((1, 16), bool))[0]


def blas_threads():
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_it_finds_what_was_enough(make_explainer, image):
    e = make_explainer(budget=600, seed=1).explain(image)
    assert (e.mask == WANTED).all()
    assert e.probability == pytest.approx(0.95)
    assert e.probability_full == pytest.approx(FULL)
    assert e.probability_empty == pytest.approx(0.05)
    assert e.probability_rest == pytest.approx(0.05)
    assert e.minimal is False  # two of the three cells already pass the full view
    assert set(np.argsort(e.attribution)[-3:]) == set(np.flatnonzero(WANTED))
    assert (e.target, e.target_name, e.seed, e.warnings) == (1, "class 1", 1, ())
    assert e.seconds > 0
    assert (e.view == image).all()
    assert not e.fill.any()


@pytest.mark.parametrize("algorithm", algorithms.names())
@pytest.mark.parametrize("budget", [1, 2, 3, 5, 40, 133])
def test_the_model_never_sees_more_than_the_budget(make_explainer, image, model, algorithm, budget):
    e = make_explainer(budget=budget, algorithm=algorithm, population=10).explain(image)
    assert model.images == e.model_calls <= budget
    assert e.probability >= e.probability_full
    assert len({mask.tobytes() for mask in e.archive.masks}) == len(e.archive) <= budget
    assert e.archive.probabilities == pytest.approx(cell_probability(e.archive.masks))
    assert e.archive.masks[0].all()
    if budget > 1:
        assert not e.archive.masks[1].any()
    e.to_dict()


def test_a_search_computes_with_one_thread_of_blas(make_explainer, image):
    def watching(population, toolbox):
        amid.extend(blas_threads())

    amid, before = [], blas_threads()
    make_explainer(algorithm=watching, budget=20).explain(image)
    assert amid == [1] * len(before)
    assert blas_threads() == before


def test_searches_side_by_side_leave_blas_as_it_was():
    with threadpool_limits(2, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(blas_threads()) == {1}
        second.__exit__(None, None, None)
        assert set(blas_threads()) == {2}


@pytest.mark.parametrize("algorithm", ["eaElitist", "eaNSGA2", "eaMuPlusLambda"])
def test_a_search_without_offspring_is_told(make_explainer, image, algorithm):
    def told(**settings):
        e = make_explainer(algorithm=algorithm, population=30, **settings).explain(image)
        return any("ended within its first generation" in note for note in e.warnings)

    assert told(budget=25)
    assert not told(budget=1)  # nobody was evaluated, which is told instead
    assert not told(budget=90)


def test_offspring_that_the_budget_cut_off_are_no_reason_to_breed_more():
    def notes(budget):
        robust = {"algorithm": "eaNSGA2", "objectives": ["robustness:fills=black+grey+noise"]}
        explainer = Explainer("demo", population=20, budget=budget, **robust)
        return " ".join(explainer.explain(creature(1).image).warnings)

    # Twenty individuals under three fills are 60 model calls, and 24 are left to the checks.
    assert "first generation: no offspring has a fitness; allow more model calls" in notes(120)
    assert "first generation" not in notes(200)


def test_a_first_generation_that_nobody_chose_is_told(make_explainer, image):
    e = make_explainer(algorithm="eaUMDA:ngen=1", population=10, budget=90).explain(image)
    assert any("ended within its first generation" in note for note in e.warnings)


def test_a_first_generation_cut_short_is_told(make_explainer, image):
    e = make_explainer(algorithm="eaUMDA", population=20, budget=12).explain(image)
    assert any("ended within its first generation" in note for note in e.warnings)


def test_rates_that_breed_nobody_are_told(make_explainer, image):
    e = make_explainer(algorithm="eaElitist:cxpb=0,mutpb=0", budget=900).explain(image)
    (note,) = [note for note in e.warnings if "first generation" in note]
    assert note.startswith("nobody new was bred after the first generation; raise the prob")


def test_a_generation_cut_short_keeps_its_fitness(make_explainer, image):
    e = make_explainer(algorithm="eaUMDA", population=20, budget=18).explain(image)
    assert len(e.pareto.masks) > 0
    assert not any("objectives had no part" in note for note in e.warnings)


@pytest.mark.parametrize("algorithm", ["eaSurrogate", "eaRandom", "eaGreedy", "eaUMDA"])
def test_algorithms_that_breed_otherwise_are_not_told(make_explainer, image, algorithm):
    e = make_explainer(algorithm=algorithm, population=10, budget=60).explain(image)
    assert not any("first generation" in note for note in e.warnings)


@pytest.mark.parametrize("algorithm", ["eaElitist", "eaNSGA2", "eaMuPlusLambda"])
def test_offspring_that_are_all_known_are_offspring(image, model, algorithm):
    """Of four superpixels the first generation has all masks there are, some of them twice."""
    settings = {"segments": "grid:n_segments=4", "algorithm": algorithm, "population": 60}
    e = Explainer(model, **settings, budget=300).explain(image)
    assert len(e.archive) == 16
    assert not any("first generation" in note for note in e.warnings)


def test_a_tie_is_no_other_class(image):
    def undecided(views):
        return np.full((len(views), 2), 0.5)

    e = Explainer(undecided, segments="grid:n_segments=4", budget=20).explain(image, target=1)
    assert not any("another class" in note for note in e.warnings)


def test_a_class_of_that_name_interrupts_nothing(image, model):
    names = ["plain", "interrupted call"]
    explainer = Explainer(model, segments="grid:n_segments=9", budget=30, class_names=names)
    e = explainer.explain(image, target="plain")
    assert any("interrupted call" in note for note in e.warnings)
    assert not e.interrupted


def test_first_bits_have_no_part_in_umda(make_explainer, image):
    def explained(bits):
        operators = {"bits": bits}
        return make_explainer(algorithm="eaUMDA", operators=operators, budget=90).explain(image)

    found = [explained(lambda n: [1] * n), explained(lambda n: [1] + [0] * (n - 1))]
    assert np.array_equal(*(e.archive.masks for e in found))
    assert "the bits operator has no part in eaUMDA" in found[0].warnings


def test_the_models_own_answer_is_told_where_another_class_is_explained(make_explainer, image):
    found = {t: make_explainer(budget=40).explain(image, target=t).warnings for t in (0, 1, None)}
    own = f'the model itself answers another class, "class 1" ({FULL:.3f})'
    assert own in found[0]
    assert own not in found[1] + found[None]


def test_the_default_budget(make_explainer, image, model):
    make_explainer().explain(image)
    assert 200 < model.images <= 1000


@pytest.mark.parametrize("limits", [{"seconds": 0.3}, {"patience": 40}])
def test_other_limits_end_the_search_and_leave_the_checks(
    make_explainer, image, model, limits, monkeypatch
):
    ticks = itertools.count(0, 0.002)  # a clock that this machine's load can't touch
    monkeypatch.setattr("deap_xai.budget.time.monotonic", lambda: next(ticks))
    e = make_explainer(**limits).explain(image)
    assert 10 < model.images == e.model_calls < 2000
    assert np.isfinite([e.probability_rest, *e.checks.fills.values()]).all()
    assert e.minimal is not None


@pytest.mark.parametrize(("patience", "dropped"), [(10, 2), (20, 3), (40, 4), (None, 15)])
def test_dropping_takes_as_many_calls_as_patience_at_most(patience, dropped):
    def only_the_first_may_go(views):
        kept = (views[:, ::10, ::10, 0] > 0).reshape(len(views), 16)
        last_ones = (np.diff(kept.astype(int), axis=1) >= 0).all(axis=1)
        p = np.where(last_ones, 0.9 - kept.mean(axis=1) / 10, 0.1)
        return np.stack([p, 1 - p], axis=1)

    explainer = dx.Explainer(
        only_the_first_may_go, segments="grid:n_segments=16", fill="black", budget=1000,
        algorithm=lambda population, toolbox: None, patience=patience,
    )  # fmt: skip
    e = explainer.explain(np.full((40, 40, 3), 200, np.uint8))
    # Each round asks for all that are one smaller, and the checks come upon one more.
    assert e.n_segments - e.size == dropped
    assert ("the checks came upon" in " ".join(e.warnings)) == (patience is not None)
    assert e.minimal is not None  # the checks have the rest of the budget


def test_the_target_by_index_and_name(make_explainer, image):
    explainer = make_explainer(budget=60, class_names=["a cat", "a dog"])
    assert explainer.explain(image).target_name == "a dog"
    e = explainer.explain(image, target="A_Cat")
    assert (e.target, e.target_name) == (0, "a cat")
    assert e.probability_full == pytest.approx(1 - FULL)
    assert explainer.explain(image, target=0).target == 0
    for target, message in ((2, "no class 2; its 2 classes"), ("a cow", "'a cow' is no class")):
        with pytest.raises(SettingError, match=message):
            explainer.explain(image, target=target)


def test_an_empty_view_that_passes_is_said(make_explainer, image):
    e = make_explainer(budget=60).explain(image, target=0)
    assert "under this fill nothing in the picture is needed" in e.warnings[0]


def test_a_flat_image_says_that_it_was_cut_by_a_grid(make_explainer, image):
    e = make_explainer(segments=lambda view: view[..., 0] * 0, budget=30).explain(image)
    assert "grid" in e.warnings[0]


def test_several_objectives(make_explainer, image):
    e = make_explainer(budget=200, objectives=("probability", "size")).explain(image)
    assert e.settings["objectives"] == ["probability", "size"]

    def brightness(evaluator, masks):
        return masks.sum(axis=1)

    e = make_explainer(budget=100, objectives=[(brightness, -1.0)]).explain(image)
    assert e.settings["objectives"] == ["brightness with weight -1"]


def test_a_function_as_algorithm(make_explainer, image, model):
    def stock(population, toolbox):
        return deap_algorithms.eaSimple(population, toolbox, 0.9, 0.2, 50, verbose=False)

    e = make_explainer(budget=90, algorithm=stock).explain(image)
    assert e.model_calls == model.images <= 90
    assert e.settings["algorithm"].endswith("stock")
    partial = functools.partial(algorithms.get("eaElitist"), ngen=1)
    settings = make_explainer(algorithm=partial).explain(image).settings
    assert settings["algorithm"] == "eaElitist:ngen=1"


def test_picks(make_explainer, image):
    small = make_explainer(budget=200, pick="within:k=1").explain(image)
    assert small.size == 1
    best = make_explainer(budget=200, pick="best").explain(image)
    assert best.probability == best.front[-1].probability
    beyond = make_explainer(budget=200, pick="smallest:p=1.0").explain(image)
    assert beyond.probability < 1
    assert any("no mask with probability 1 was found" in note for note in beyond.warnings)


def test_settings_tell_everything(make_explainer, image):
    operators = {"mate": "cxOnePoint", "select": max}
    explainer = make_explainer(budget=40, operators=operators, algorithm="eaElitist")
    facts = explainer.settings()
    assert facts["segments"] == "array (24, 24)"
    assert facts["operators"] == {"mate": "cxOnePoint", "select": "max"}
    assert facts["model"] == "CellModel"
    assert facts["budget"] == 40
    assert make_explainer(fill=(1, 2, 3)).settings()["fill"] == "(1, 2, 3)"
    assert make_explainer(fill=image).settings()["fill"] == "array (24, 24, 3)"


def test_settings_repeat_the_run(make_explainer, image, tmp_path):
    given = {
        "algorithm": "eaNSGA2:cxpb=0.7",
        "operators": {"mate": "cxUniform:indpb=0.3", "mutate": "mutStep:again=0.1"},
        "objectives": ["contrast:other=0", "size", "robustness:fills=grey+blur"],
        "pick": "within:k=3",
        "population": 9,
        "budget": 60,
        "fill": "grey",
        "seed": 4,
    }
    first = make_explainer(**given).explain(image)
    told = first.settings
    repeated = {key: told[key] for key in given if key != "seed"} | {"seed": first.seed}
    second = make_explainer(**repeated).explain(image)
    assert second.settings == told
    assert (second.archive.masks == first.archive.masks).all()
    assert (second.mask == first.mask).all()


def test_settings_of_a_torch_module(image):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12 * 12 * 3, 3))
    explainer = dx.Explainer(module, size=12, device=torch.device("cpu"), batch_size=5)
    facts = explainer.settings()
    assert (facts["size"], facts["device"], facts["batch_size"]) == ("12", "cpu", 5)
    assert dx.Explainer(module, size=(12, 12), device="cpu").settings()["size"] == "(12, 12)"
    assert "transform" not in facts
    whole = dx.Explainer(module, transform=functools.partial(np.clip, a_max=9), device="cpu")
    assert whole.settings()["transform"] == "clip:a_max=9"


def test_the_search_alone(make_explainer, image, model):
    explainer = make_explainer(budget=50)
    evaluator = explainer.evaluator(image)
    population, logbook = explainer.search(evaluator)
    assert {one.fitness.valid for one in population} == {True}
    assert logbook[0]["gen"] == 0
    assert model.images == evaluator.calls == len(evaluator.archive) == 50
    assert evaluator.archive.masks[0].all()
    assert not evaluator.archive.masks[1].any()
    whole = make_explainer(model=CellModel(), budget=90).explain(image).archive
    assert (whole.masks[:50] == evaluator.archive.masks).all()  # before checks are asked


def test_numpy_numbers_are_fine(make_explainer, image, tmp_path):
    e = make_explainer(budget=np.int64(30), seed=np.int64(3), population=np.int32(8)).explain(image)
    assert dx.Explanation.load(e.save(tmp_path / "x")).to_dict() == e.to_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "budget must be a finite number above 0"),
        ({"budget": 2.5}, "budget must be a whole number"),
        ({"seconds": -1}, "seconds must be a finite number above 0"),
        ({"patience": 0}, "patience must be a finite number above 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": None}, "seed must be a whole number"),
        ({"population": 1}, "population must be a whole number of at least 2; got 1"),
        ({"population": 2.5}, "population must be a whole number"),
        ({"algorithm": "eaElitst"}, "did you mean 'eaElitist'"),
        ({"algorithm": "eaElitist:cx=1"}, "has no parameter 'cx'"),
        ({"objectives": "probablity"}, "did you mean 'probability'"),
        ({"pick": "bst"}, "did you mean 'best'"),
        ({"pick": lambda points: points[0]}, r"pick '<lambda>' can't .* \(points, full\)"),
        ({"objectives": [(lambda masks: masks, 1)]}, r"objective .*\(evaluator, masks\)"),
        ({"algorithm": lambda population: None}, r"algorithm .*\(population, toolbox\)"),
        ({"segments": lambda view, n: view}, r"segmenter .*\(view\): it also needs n;"),
        ({"fill": lambda view: view}, r"fill .*\(view, segments\)"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"model": "resnet_18"}, "unknown model"),
    ],
)
def test_settings_are_checked_at_once(make_explainer, settings, message):
    with pytest.raises(SettingError, match=message):
        make_explainer(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": "slick"}, "did you mean 'slic'"),
        ({"fill": "blurr"}, "did you mean 'blur'"),
        ({"operators": {"mate": "cxNothing"}}, "unknown operator 'cxNothing'"),
        ({"fill": np.zeros((2, 2, 3), np.uint8)}, "the fill's array"),
        ({"segments": np.zeros((2, 2), int)}, "label"),
    ],
)
def test_settings_that_need_the_image(make_explainer, image, settings, message):
    with pytest.raises(SettingError, match=message):
        make_explainer(**settings).explain(image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": "slick"}, "did you mean 'slic'"),
        ({"fill": "blurr"}, "did you mean 'blur'"),
        ({"fill": "blur:sigm=3"}, "has no parameter 'sigm'"),
        ({"operators": {"mate": "cxNothing"}}, "unknown operator 'cxNothing'"),
        ({"algorithm": "eaElitst"}, "did you mean 'eaElitist'"),
        ({"objectives": "probablity"}, "did you mean 'probability'"),
        ({"pick": "bst"}, "did you mean 'best'"),
        ({"segments": "slic:n_segments=0"}, "n_segments must be a whole number of at least 1"),
        ({"budget": 0}, "budget must be a finite number above 0"),
    ],
)
def test_names_are_checked_before_the_model_loads(monkeypatch, settings, message):
    def load(*args, **more):
        pytest.fail("the model was loaded")

    monkeypatch.setattr("deap_xai.explainer.load_backend", load)
    with pytest.raises(SettingError, match=message):
        dx.Explainer("mobilenet_v2", **settings)


def test_images_that_are_none(make_explainer):
    with pytest.raises(ImageError, match=r"nowhere.jpg"):
        make_explainer().explain("nowhere.jpg")


def test_too_little_time_for_one_mask(make_explainer, image):
    with pytest.raises(
        DeapXaiError, match=r"the budget ended before the search asked about a mask"
    ):
        make_explainer(seconds=1e-9).explain(image, target=1)


# When things go wrong amid a run


class Interrupted(CellModel):
    def __init__(self, after, times=10**6):
        super().__init__()
        self.after, self.times = after, times

    def __call__(self, images):
        if len(self.batches) >= self.after and self.times:
            self.times -= 1
            raise KeyboardInterrupt
        return super().__call__(images)


@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_ctrl_c_gives_the_best_so_far(make_explainer, image, after, times):
    model = Interrupted(after, times)
    e = make_explainer(model=model, budget=300, batch_size=64).explain(image)
    assert "interrupted; this is the best so far" in " ".join(e.warnings)
    assert e.probability == e.archive.probabilities[e.archive.masks.any(axis=1)].max()
    assert e.model_calls == model.images
    known = e.probability_full if e.size == 16 else np.nan  # where nothing is hidden
    assert list(e.checks.fills.values()) == pytest.approx([known] * 3, nan_ok=True)
    e.to_dict()


def test_ctrl_c_before_anything_is_known(make_explainer, image):
    with pytest.raises(KeyboardInterrupt):
        make_explainer(model=Interrupted(0)).explain(image)


def test_ctrl_c_amid_the_checks(make_explainer, image):
    """The search is over then, and what it found stays."""
    quiet = make_explainer(model=(counting := CellModel()), budget=100).explain(image)
    model = Interrupted(len(counting.batches) - 1)
    e = make_explainer(model=model, budget=100).explain(image)
    assert "the checks were interrupted" in " ".join(e.warnings)
    assert (e.mask == quiet.mask).all()
    known = e.probability_full if e.size == 16 else np.nan  # where nothing is hidden
    assert list(e.checks.fills.values()) == pytest.approx([known] * 3, nan_ok=True)
    assert e.model_calls == model.images


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_out_of_memory_goes_on(make_explainer, image, model, error):
    def limited(images):
        if len(images) > 5:
            raise error
        return model(images)

    e = make_explainer(model=limited, budget=100, batch_size=64).explain(image)
    plain = make_explainer(budget=100).explain(image)
    assert max(model.batches[: len(model.batches) // 2]) <= 5
    assert (e.archive.masks == plain.archive.masks).all()


def test_a_model_that_breaks_amid_the_run(make_explainer, image, model):
    def breaking(images):
        return model(images) * (np.nan if model.images > 50 else 1)

    with pytest.raises(BackendError, match=r"answered with NaN"):
        make_explainer(model=breaking).explain(image)


def test_progress_is_told_after_every_batch(make_explainer, image):
    seen = []
    make_explainer(budget=80).explain(
        image, progress=lambda evaluator: seen.append(evaluator.calls)
    )
    assert seen == sorted(seen)
    assert seen[-1] > 60


def test_evaluator_and_toolbox(make_explainer, image, model):
    evaluator = make_explainer(budget=10).evaluator(image)
    assert (evaluator.n_segments, evaluator.target, evaluator.calls) == (16, 1, 1)
    assert evaluator.budget.calls == 10
    toolbox = make_explainer(objectives=("probability", "size")).toolbox(image, target=0)
    assert toolbox.evaluator.target == 0
    assert not toolbox.evaluator.budget.limited
    assert toolbox.individual().fitness.weights == (1.0, -1.0)


def test_public_names():
    assert set(dx.__all__) <= set(dir(dx))
    assert dx.Explainer.__module__ == "deap_xai.explainer"
    with pytest.raises(AttributeError, match=r"no attribute 'Explanier'"):
        dx.Explanier  # noqa: B018


@pytest.mark.parametrize(
    ("role", "hint"),
    [("mat", "did you mean 'mate'"), ("mutat", "'mutate'"), ("colour", "roles: acquire")],
)
def test_a_role_that_nobody_plays(make_explainer, image, role, hint):
    explainer = make_explainer(operators={role: "cxUniform:indpb=0.5"})
    with pytest.raises(SettingError, match=f"unknown role '{role}'.*{hint}"):
        explainer.explain(image)


def test_an_algorithm_of_the_users_may_have_roles_of_its_own(make_explainer, image):
    def two_steps(population, toolbox):
        toolbox.shake(population[0])
        return population, None

    explainer = make_explainer(
        algorithm=two_steps, operators={"shake": lambda individual: (individual,)}, budget=30
    )
    assert explainer.explain(image).model_calls <= 30


def test_a_pick_that_gives_no_point_is_said(make_explainer, image):
    with pytest.raises(SettingError, match="pick gave None; expected one of the front's points"):
        make_explainer(pick=lambda points, full: None, budget=30).explain(image)


@pytest.mark.parametrize(("budget", "said"), [(7, True), (60, False)])
def test_it_says_so_when_next_to_nothing_was_asked(make_explainer, image, budget, said):
    notes = make_explainer(budget=budget).explain(image).warnings
    few = [note for note in notes if "of 16 superpixels only 7 masks could be asked about" in note]
    assert bool(few) is said
    assert said == ("allow more model calls" in " ".join(notes))


def test_it_says_so_when_nearly_everything_is_kept(make_explainer, image):
    everything = make_explainer(pick=lambda points, full: points[-1], budget=60).explain(image)
    kept = everything.size >= 0.9 * 16
    assert any("no small part was found" in note for note in everything.warnings) == kept
    whole = make_explainer(model=lambda x: np.full((len(x), 2), 0.5), pick="best", budget=3)
    assert "no small part was found" not in " ".join(whole.explain(image).warnings)


@pytest.mark.parametrize("twice", [True, False])
def test_a_rest_that_is_enough_as_well_is_said(twice):
    """Either of two corners is enough; or both are the same one."""

    def corners(views):
        other = views[:, -1, -1, 0] if twice else views[:, 0, 0, 0]
        p = np.where((views[:, 0, 0, 0] > 0) | (other > 0), 0.9, 0.1)
        return np.stack([1 - p, p], axis=1)

    e = dx.Explainer(corners, segments="grid:n_segments=16", fill="black", budget=120).explain(
        np.full((16, 16, 3), 255, np.uint8), target=1
    )
    assert e.size == 1
    assert e.warnings == (
        (
            "the rest alone, without the kept part, gives 0.900, the full view 0.900: what is kept "
            "is enough for the answer, but not needed",
        )
        if twice
        else ()
    )


def test_a_part_that_is_neither_enough_nor_needed_is_said():
    def slowly(views):
        p = 0.9 * (views.mean(axis=(1, 2, 3)) / 255) ** 0.3
        return np.stack([1 - p, p], axis=1)

    white = np.full((16, 16, 3), 255, np.uint8)
    settings = {"segments": "grid:n_segments=16", "fill": "black", "budget": 60}
    e = dx.Explainer(slowly, pick="within:k=1", **settings).explain(white, target=1)
    assert e.probability < 0.9 * e.probability_full
    (note,) = [note for note in e.warnings if note.startswith("the rest alone")]
    assert note.endswith("the full view 0.900: what is kept is not needed")


def test_a_class_that_the_model_hardly_sees_is_said(make_explainer, image):
    faint = make_explainer(model=lambda x: np.full((len(x), 2), [1 - 1e-4, 1e-4]), budget=30)
    assert faint.explain(image, target=1).warnings[0] == (
        "on the full view the model gives this class 0.0001: it hardly sees it, and there is "
        "little to explain"
    )


def test_what_a_smaller_part_would_give_is_said(image):
    """A pick that asks for the full view's probability to the last digit keeps nearly all."""

    def nearly_additive(views):
        share = views[:, :, :12].mean(axis=(1, 2, 3)) / 255 * 0.98
        p = share + views[:, :, 12:].mean(axis=(1, 2, 3)) / 255 * 0.02
        return np.stack([1 - p, p], axis=1)

    white = np.full_like(image, 255)
    settings = {"segments": "grid:n_segments=16", "fill": "black", "budget": 120}
    e = dx.Explainer(nearly_additive, **settings).explain(white, target=1)
    assert e.size == e.n_segments == 16
    least = next(point for point in e.front if point.probability >= 0.9)
    assert least.size < 14
    asked = int(1000 * least.probability) / 1000
    assert e.warnings[-1] == (
        f"16 of 16 superpixels are kept; a mask of {least.size} gives {least.probability:.3f}, "
        f"the full view 1.000: the pick smallest:p={asked:g} shows it"
    )
    again = dx.Explainer(nearly_additive, pick=f"smallest:p={asked:g}", **settings)
    assert again.explain(white, target=1).size == least.size


def test_the_pick_that_is_named_shows_what_was_said():
    """Also where probabilities are so small that thousandths don't tell points apart."""
    steps = np.r_[0, 0.0011, 0.00115, 0.0014, np.full(11, 0.00142), 0.0015, 0.0015]

    def faint(views):
        kept = np.rint(views.mean(axis=(1, 2, 3)) / 255 * 16).astype(int)
        return np.stack([1 - steps[kept], steps[kept]], axis=1)

    white = np.full((16, 16, 3), 255, np.uint8)
    settings = {"segments": "grid:n_segments=16", "fill": "black", "budget": 120}
    e = dx.Explainer(faint, pick="best", **settings).explain(white, target=1)
    [note] = [note for note in e.warnings if "the pick" in note]
    size, pick = re.search(r"a mask of (\d+) gives .* the pick (\S+) shows", note).groups()
    shown = dx.Explainer(faint, pick=pick, **settings).explain(white, target=1)
    assert int(size) == shown.size
    assert 0.00115 < float(pick.removeprefix("smallest:p=")) <= shown.probability


def test_time_that_is_measured_once_is_no_part_of_the_search(image, segments, monkeypatch):
    def slow_to_settle(backend, masked_view):
        clock[0] += 100

    clock = [0.0]
    monkeypatch.setattr("deap_xai.explainer.settle_batch_size", slow_to_settle)
    monkeypatch.setattr("deap_xai.budget.time.monotonic", lambda: clock[0])
    explainer = dx.Explainer(CellModel(), segments=segments, fill="black", seconds=50, budget=60)
    assert explainer.explain(image).model_calls > 30


def test_what_segmenters_and_fills_draw_is_the_seeds(make_explainer, image):
    def cut(view):
        return (np.random.random(view.shape[:2]) < 0.5).astype(int)  # noqa: NPY002

    def fill(view, segments):
        return np.full_like(view, random.randrange(256))

    def made(seed):
        e = make_explainer(segments=cut, fill=fill, budget=20, seed=seed).explain(image)
        return e.segments.tobytes(), e.fill.tobytes()

    assert made(3) == made(3)
    assert made(3)[0] != made(4)[0]


def test_a_picture_of_which_the_model_sees_a_part_is_told(image, segments):
    """One that is squeezed to the model's size counts like one that is cut."""
    wide = np.concatenate([image] * 3, axis=1)
    explainer = dx.Explainer(CellModel(), size=(24, 24), segments=segments, budget=30)
    assert "the model sees 24 x 24 pixels made of 72 x 24: " in explainer.explain(wide).warnings[0]
    assert "the model sees" not in " ".join(explainer.explain(image).warnings)


def test_naming_the_most_probable_class_changes_nothing(make_explainer, image, model):
    asked = [make_explainer(budget=60).explain(image, target) for target in (None, 1)]
    assert (asked[0].archive.masks == asked[1].archive.masks).all()
    first = model.batches[: len(model.batches) // 2]
    assert first == model.batches[len(model.batches) // 2 :]  # and last digits depend on these


def test_objectives_that_nobody_heeds_are_told(make_explainer, image):
    def told(**settings):
        return " ".join(make_explainer(budget=40, **settings).explain(image).warnings)

    said = "eaSurrogate searches for probability against size, not for pieces; name an algorithm"
    assert said in told(objectives=["probability", "pieces"])
    assert said in told(objectives=["pieces"], algorithm="eaSurrogate:pool=100")
    assert said not in told(objectives=["probability"])
    assert "not for size with weight 1;" in told(objectives=["probability", ("size", 1.0)])
    assert said not in told(objectives=["probability", "pieces"], algorithm="eaNSGA2")


@pytest.mark.parametrize("name", dx.algorithms.algorithms.names())
def test_operators_without_a_part_are_told(make_explainer, image, name):
    """That they have none, and all others one, is seen in the tests of the live page's menus."""
    operators = {"bits": "initSizes", "mate": "cxRegion", "mutate": "mutSwap", "select": "selBest"}
    idle = dx.algorithms.defaults_of(dx.algorithms.algorithms.resolve(name)).idle

    def told(**settings):
        explainer = make_explainer(algorithm=name, budget=40, population=20, **settings)
        return [note for note in explainer.explain(image).warnings if "operator" in note]

    assert told() == []
    for role, operator in operators.items():
        expected = [f"the {role} operator has no part in {name}"] if role in idle else []
        assert told(operators={role: operator}) == expected


def test_operators_are_named_by_role(make_explainer):
    with pytest.raises(SettingError, match=r"must map roles to operators, .*; got 'cxRegion'"):
        make_explainer(operators="cxRegion")


@pytest.mark.parametrize(("patience", "said"), [(5, True), (200, False)])
def test_it_says_so_when_no_individual_had_a_fitness(make_explainer, image, patience, said):
    """Objectives under other fills ask about all of a generation there first."""
    objectives = ["probability", "size", "robustness:fills=grey+blur"]
    explainer = make_explainer(algorithm="eaNSGA2", objectives=objectives, patience=patience)
    e = explainer.explain(image)
    assert ("ended before any individual had a fitness" in " ".join(e.warnings)) is said
    assert (len(e.pareto.masks) == 0) is said


def of_nine(views):
    """Found by trying: what is smaller and enough is first asked about by the checks."""
    rng = np.random.default_rng(2)
    weights = rng.random(9) * rng.choice([0.3, 1, 3], 9)
    bias = -weights.sum() * rng.choice([0.2, 0.5, 0.8])
    noise = rng.normal(size=512) * 0.05
    kept = views[:, 1::3, 1::3, 0].reshape(len(views), 9) > 128
    p = 1 / (1 + np.exp(-(3 * (kept @ weights + bias) + noise[kept @ (2 ** np.arange(9))])))
    return np.stack([p, 1 - p], axis=1)


@pytest.mark.parametrize(
    ("budget", "told"),
    [(30, "gives 0.794, .* smallest:p=0.793 may show it, with more model calls"), (90, "")],
)
def test_what_only_the_checks_found_is_not_promised(budget, told):
    settings = {"segments": "grid:n_segments=9", "fill": "black", "algorithm": "eaElitist"}
    explainer = Explainer(of_nine, budget=budget, population=6, **settings)
    e = explainer.explain(np.full((9, 9, 3), 255, np.uint8), target=0)
    [hint] = [text for text in e.warnings if "superpixels are kept" in text]
    if told:
        assert re.search(told, hint)
        return
    asked = re.search(r"smallest:p=[0-9.]+ shows it", hint)[0].split()[0]
    size = int(re.search(r"a mask of ([0-9]+) gives", hint)[1])
    again = Explainer(of_nine, budget=budget, population=6, pick=asked, **settings)
    assert again.explain(np.full((9, 9, 3), 255, np.uint8), target=0).size == size


def test_ctrl_c_amid_the_attribution_loses_nothing(make_explainer, image, monkeypatch):
    quiet = make_explainer(budget=100).explain(image)
    plain, begun = explainer_module.attribution, []

    def interrupted_once(evaluator):
        begun.append(evaluator)
        if len(begun) == 1:
            raise KeyboardInterrupt
        return plain(evaluator)

    monkeypatch.setattr(explainer_module, "attribution", interrupted_once)
    e = make_explainer(budget=100).explain(image)
    assert len(begun) == 2
    assert (e.attribution == quiet.attribution).all()
    assert (e.mask == quiet.mask).all()
    assert e.checks.rest == quiet.checks.rest


def test_an_explanations_arrays_are_the_readers_own(explanation):
    explanation.view[0], explanation.segments[0] = 0, 0
    assert not explanation.view[0].any()
