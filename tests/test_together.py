"""A list of images: the same explanations as one by one, in larger batches, nothing lost."""

from __future__ import annotations

import _thread
import functools
import pickle
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from conftest import CellModel, cell_probability, random_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from deap_xai.algorithms import algorithms
from deap_xai.backends import Backend, FunctionBackend
from deap_xai.errors import BackendError, ImageError, SettingError, SomeImagesFailed
from deap_xai.masking import MaskedView
from deap_xai.together import together


def pictures(n: int, side: int = 24) -> list[np.ndarray]:
    rng, shape = np.random.default_rng(1), (side, side, 3)
    low, high = rng.integers(100, 150, n), rng.integers(200, 257, n)
    return [rng.integers(low[i], high[i], shape).astype(np.uint8) for i in range(n)]


def everything(explanation):
    facts = {**explanation.to_dict(), "seconds": 0, "settings": 0}
    archive = explanation.archive
    return repr(facts), archive.masks.tobytes(), archive.probabilities.tobytes()


class Shy(CellModel):
    """A cell model that answers by the picture's brightness too, and breaks at a dark one."""

    breaks = ZeroDivisionError

    def __call__(self, images):
        p = super().__call__(images)[:, 1] * (1 - images.max(axis=(1, 2, 3)) / 1000)
        if len(images) and (images[:, 0, 0] == 7).any():
            raise self.breaks("the model can't see this")
        return np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_each_is_as_if_alone(make_explainer, algorithm):
    images, targets = pictures(4), [1, None, 0, 1]
    given = {"algorithm": algorithm, "budget": 80, "population": 10, "seed": 3}
    alone = make_explainer(model=Shy(), **given)
    expected = [alone.explain(image, target) for image, target in zip(images, targets, strict=True)]
    found = make_explainer(model=Shy(), **given).explain(images, targets)
    assert [everything(e) for e in found] == [everything(e) for e in expected]
    assert len({everything(e) for e in found}) == 4
    assert [e.settings for e in found] == [e.settings for e in expected]


def test_limits_of_each_its_own(make_explainer):
    given, images = {"patience": 30, "model": Shy(), "segments": "slic:n_segments=16"}, pictures(4)
    expected = [make_explainer(**given).explain(image) for image in images]
    found = make_explainer(**given).explain(tuple(images))
    assert [everything(e) for e in found] == [everything(e) for e in expected]
    assert len({e.model_calls for e in found}) > 1  # they ended at different times


def test_their_batches_are_shared(make_explainer, model):
    found = make_explainer(budget=60, batch_size=16).explain(pictures(6))
    assert max(model.batches) == 16
    assert model.images == sum(e.model_calls for e in found)
    assert len(model.batches) < 60  # alone there were some 30 for each


def test_no_more_at_once_than_fill_a_batch(make_explainer, model):
    seen, most = {}, []

    def progress(evaluator):
        seen[id(evaluator)] = evaluator  # keeps it, so that its id is its own
        busy = [one for one in seen.values() if one.calls < 20]
        most.append(len(busy))

    make_explainer(budget=20, batch_size=6).explain(pictures(9), progress=progress)
    assert len(seen) == 9
    assert max(most) <= 3


def test_views_of_several_sizes(make_explainer):
    images = [np.full((24, 24, 3), 9, np.uint8), *pictures(3), *pictures(2, side=48)]
    explainer = make_explainer(segments="grid:n_segments=16", budget=40, algorithm="eaElitist")
    explainer.backend = FunctionBackend(brightness_of_the_corner)
    expected = [everything(explainer.explain(image)) for image in images]
    assert [everything(e) for e in explainer.explain(images)] == expected


def brightness_of_the_corner(images):
    p = images[:, :6, :6].mean(axis=(1, 2, 3)) / 255
    return np.stack([p, 1 - p], axis=1)


def test_no_image_and_one(make_explainer, image):
    explainer = make_explainer(budget=40)
    assert explainer.explain([]) == []
    assert everything(explainer.explain([image])[0]) == everything(explainer.explain(image))


def test_global_states_and_threads_are_left_alone(make_explainer):
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    threads, blas = threading.active_count(), [one["num_threads"] for one in threadpool_info()]
    make_explainer(budget=60, algorithm="eaElitist").explain(pictures(3))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert threading.active_count() == threads
    assert [one["num_threads"] for one in threadpool_info()] == blas
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_model_that_draws_disturbs_nobody(make_explainer):
    def noisy(images):
        p = 0.5 + 0.01 * np.random.random(len(images))  # noqa: NPY002
        return np.stack([1 - p, p], axis=1)

    explainer = make_explainer(model=noisy, budget=60, algorithm="eaElitist")
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = explainer.explain(pictures(3))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(6)  # noqa: NPY002
    second = explainer.explain(pictures(3))
    assert [everything(e) for e in first] == [everything(e) for e in second]


def test_numpy_error_handling_is_the_callers(make_explainer, image):
    def careless(evaluator, masks):
        return np.log(masks.sum(axis=1) * 0.0 + 1) / np.zeros(len(masks)) * 0 + 1

    explainer = make_explainer(budget=30, objectives=[(careless, 1.0)], algorithm="eaElitist")
    with (
        np.errstate(all="raise"),
        pytest.raises(SomeImagesFailed, match=r"invalid value encountered"),
    ):
        explainer.explain([image])


# When things go wrong


def test_a_bad_image_costs_only_itself(make_explainer):
    images = pictures(4)
    explainer = make_explainer(budget=60, batch_size=8, algorithm="eaElitist")
    expected = [everything(explainer.explain(image)) for image in images]
    with pytest.raises(
        SomeImagesFailed, match=r"1 of 5 images failed, .* number 3: .*nowhere"
    ) as it:
        explainer.explain([*images[:2], "nowhere.jpg", *images[2:]])
    assert isinstance(it.value.__cause__, ImageError)
    found = it.value.explanations
    assert found[2] is None
    assert list(it.value.errors) == [2]
    assert [everything(e) for e in found if e] == expected
    elsewhere = pickle.loads(pickle.dumps(it.value))  # as from another process
    assert str(elsewhere) == str(it.value)
    assert [everything(e) for e in elsewhere.explanations if e] == expected


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_question_that_fails_costs_only_its_asker(make_explainer, monkeypatch, error):
    monkeypatch.setattr(Shy, "breaks", error)
    bad = pictures(1)[0]
    bad[0, 0] = 7
    images = [*pictures(3), bad]
    explainer = make_explainer(model=Shy(), budget=60)
    expected = [everything(explainer.explain(image)) for image in images[:3]]
    with pytest.raises(
        SomeImagesFailed, match=f"number 4: {error.__name__}: the model can't see this"
    ) as caught:
        explainer.explain(images)
    assert isinstance(caught.value.errors[3], error)
    assert [everything(e) for e in caught.value.explanations[:3]] == expected


def test_a_model_that_breaks_for_all(make_explainer):
    with pytest.raises(SomeImagesFailed, match=r"3 of 3 images failed.*answered with NaN") as it:
        make_explainer(model=lambda images: np.full((len(images), 2), np.nan)).explain(pictures(3))
    assert it.value.explanations == [None] * 3
    assert all(isinstance(error, BackendError) for error in it.value.errors.values())


def test_out_of_memory_goes_on(make_explainer):
    model = CellModel()

    def limited(images):
        if len(images) > 5:
            raise MemoryError
        return model(images)

    given = {"budget": 60, "algorithm": "eaElitist"}
    expected = [everything(make_explainer(**given).explain(image)) for image in pictures(3)]
    explainer = make_explainer(model=limited, **given)
    assert [everything(e) for e in explainer.explain(pictures(3))] == expected
    assert explainer.backend.batch_size <= 5
    assert max(model.batches) <= 5


def test_targets_are_counted(make_explainer):
    with pytest.raises(SettingError, match=r"got 2 targets for 3 images; give one for each"):
        make_explainer().explain(pictures(3), [0, 1])
    for e in make_explainer(budget=20).explain(pictures(2), 0):
        assert e.target == 0


# Ctrl-C


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
def test_ctrl_c_amid_the_model(make_explainer, times):
    """Those under way give their best so far; those not begun have nothing."""
    explainer = make_explainer(model=Interrupted(12, times), budget=300, batch_size=4)
    with pytest.raises(SomeImagesFailed, match=r"2 of 4 .* number 3: interrupted before") as it:
        explainer.explain(pictures(4))
    assert isinstance(it.value.errors[3], KeyboardInterrupt)
    for e in it.value.explanations[:2]:
        assert "interrupted; this is the best so far" in " ".join(e.warnings)
        assert e.probability == e.archive.probabilities[e.archive.masks.any(axis=1)].max()


def test_ctrl_c_before_anything_is_known(make_explainer):
    with pytest.raises(KeyboardInterrupt):
        make_explainer(model=Interrupted(0)).explain(pictures(3))


@pytest.fixture(autouse=True)
def ctrl_c():
    """Python's own handler, also where whoever started the tests ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    _thread.interrupt_main()  # the handler runs as after Ctrl-C, but nothing that waits wakes up


def test_ctrl_c_while_a_search_thinks(make_explainer):
    calls = []

    def mutate(individual):
        calls.append(individual)
        if len(calls) == 60:
            press_ctrl_c()
        return (individual,)

    explainer = make_explainer(operators={"mutate": mutate}, budget=300, batch_size=32)
    found = explainer.explain(pictures(3))
    assert len(found) == 3
    for e in found:
        assert "interrupted; this is the best so far" in " ".join(e.warnings)
        assert e.model_calls < 300
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SECOND_CTRL_C = """
import os, signal, threading, time
from deap_xai.backends import FunctionBackend
from deap_xai.together import together

signal.signal(signal.SIGINT, signal.default_int_handler)

def endless(backend):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)  # two at once may arrive as one
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

try:
    together([endless], FunctionBackend(lambda views: views), at_once=1)
except KeyboardInterrupt:
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_a_second_ctrl_c_gives_up():
    """Real signals, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", SECOND_CTRL_C], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True")


def test_outside_the_main_thread_signals_are_not_touched(make_explainer):
    found = []
    explainer = make_explainer(budget=30)
    thread = threading.Thread(target=lambda: found.extend(explainer.explain(pictures(2))))
    thread.start()
    thread.join()
    assert len(found) == 2


# The seam


def test_jobs_see_the_backend_as_it_is():
    class Special(Backend):
        name, class_names, batch_size, extra = "special", ("a", "b"), 5, 42

        def predict(self, images):
            return brightness_of_the_corner(images)

        def view(self, image):
            return image[:6, :6]

    image = pictures(1)[0]

    def look(backend):
        assert (backend.name, backend.class_names, backend.batch_size) == ("special", ("a", "b"), 5)
        assert backend.extra == 42
        assert backend.view(image).shape == (6, 6, 3)
        with pytest.raises(AttributeError, match=r"no attribute 'nothing'"):
            backend.nothing  # noqa: B018
        masked_view = MaskedView(image, np.zeros((24, 24), int), image)
        return backend.predict_masked(masked_view, np.ones((1, 1), bool)), backend.predict(
            image[None]
        )

    for asked, direct in together([look] * 3, Special(), at_once=2):
        assert (asked == direct).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([24, 48])), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_joint_chunks_against_one_by_one(questions, batch_size):
    sizes = []

    def model(images):
        sizes.append(len(images))
        cells = images.reshape(len(images), 4, images.shape[1] // 4, 4, -1, 3).mean(axis=(2, 4, 5))
        p = cell_probability(cells.reshape(len(images), -1) > 60)
        return np.stack([1 - p, p], axis=1)

    asked = []
    for seed, (n, side) in enumerate(questions):
        picture = np.full((side, side, 3), 200 + seed, np.uint8)
        labels = np.kron(np.arange(16).reshape(4, 4), np.ones((side // 4, side // 4), int))
        masked_view = MaskedView(picture, labels, np.zeros_like(picture))
        asked.append((masked_view, random_masks(n, seed)))
    backend = FunctionBackend(model, batch_size=batch_size)
    found = backend.predict_masked_many(asked)
    assert max(sizes) <= batch_size
    shapes = {side: sum(n for n, other in questions if other == side) for _, side in questions}
    assert len(sizes) == sum(-(-n // batch_size) for n in shapes.values())
    for answer, (_, masks) in zip(found, asked, strict=True):
        assert answer[:, 1] == pytest.approx(cell_probability(masks))


def test_torch_draws_several_views_in_one_batch():
    torch = pytest.importorskip("torch")
    from deap_xai.backends.torch_module import TorchBackend

    seen = []

    class Module(torch.nn.Module):
        def forward(self, inputs):
            seen.append(len(inputs))
            return inputs.mean(dim=(2, 3)) * 5

    backend = TorchBackend(Module(), size=None, device="cpu", batch_size=8)
    asked = []
    for seed, side in enumerate((24, 48, 24)):
        picture = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
        labels = np.kron(np.arange(16).reshape(4, 4), np.ones((side // 4, side // 4), int))
        asked.append((MaskedView(picture, labels, picture[::-1].copy()), random_masks(6, seed)))
    found = backend.predict_masked_many(asked)
    assert seen == [8, 4, 6]
    for answer, (masked_view, masks) in zip(found, asked, strict=True):
        assert answer == pytest.approx(backend.predict_masked(masked_view, masks), abs=1e-6)
        assert answer == pytest.approx(backend.predict(masked_view.render(masks)), abs=1e-6)


def test_torch_behind_an_opaque_transform():
    torch = pytest.importorskip("torch")
    from deap_xai.backends.torch_module import TorchBackend

    def transform(picture):
        return torch.tensor(np.array(picture)).permute(2, 0, 1) / 255

    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    backend = TorchBackend(module, transform=transform, device="cpu")
    picture = pictures(1)[0]
    masked_view = MaskedView(picture, np.zeros((24, 24), int), picture * 0)
    masks = np.array([[True], [False]])
    one, two = backend.predict_masked_many([(masked_view, masks), (masked_view, ~masks)])
    assert (one == two[::-1]).all()


def test_a_stand_in_is_confirmed_by_the_model_as_for_one_image():
    torch = pytest.importorskip("torch")
    from deap_xai.explainer import Explainer

    torch.manual_seed(0)
    parts = torch.nn.Conv2d(3, 4, 5, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2)
    net = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(16, 3))
    explainer = Explainer(
        net, precision="bf16", device="cpu", segments="grid:n_segments=9", budget=40, batch_size=1
    )
    image = pictures(1)[0]
    alone, (listed,) = explainer.explain(image), explainer.explain([image])
    assert listed.reference is not None
    assert (listed.settings["engine"], listed.settings["precision"]) == ("torch", "bf16")
    assert everything(listed) == everything(alone)
    plain = Explainer(net, device="cpu", segments="grid:n_segments=9", budget=40, batch_size=1)
    assert listed.probability_full == plain.evaluator(image).probabilities(np.ones((1, 9), bool))


def test_own_questions_are_one_batch_as_well():
    class Own(Backend):
        def predict(self, images):
            sizes.append(len(images))
            return brightness_of_the_corner(images)

    class Quick(Backend):
        reference = Own()

        def predict(self, images):
            return brightness_of_the_corner(images)

        def predict_masked_many(self, questions):
            joint.append(len(questions))
            return super().predict_masked_many(questions)

    sizes, joint = [], []
    view = pictures(1)[0]
    masked_view = MaskedView(view, np.zeros((24, 24), int), view)

    def ask(backend):
        quick = backend.predict_masked(masked_view, np.ones((2, 1), bool))
        return quick, backend.reference.predict_masked(masked_view, np.ones((1, 1), bool))

    for quick, own in together([ask, ask], Quick(), at_once=2):
        assert (quick[:1] == own).all()
    assert (joint, sizes) == ([2], [1, 1])


def test_a_question_about_several_views_is_one_with_the_others():
    class Counting(FunctionBackend):
        def predict_masked_many(self, questions):
            asked.append(len(questions))
            return super().predict_masked_many(questions)

    def explain(backend, bright):
        dark = np.zeros_like(bright)
        views = [MaskedView(bright, segments, dark), MaskedView(dark, segments, bright)]
        tables = backend.predict_masked_many([(view, masks) for view in views])
        return [table[:, 0].tolist() for table in tables]

    asked, segments = [], np.array([[0, 1]], np.int32)
    masks = np.array([[True, True], [False, True]])
    counting = Counting(lambda views: np.stack([views.mean((1, 2, 3)) / 256] * 2, 1))
    jobs = [
        functools.partial(explain, bright=np.full((1, 2, 3), level, np.uint8))
        for level in (64, 128)
    ]
    found = together(jobs, counting, at_once=2)
    assert found == [[[0.25, 0.125], [0, 0.125]], [[0.5, 0.25], [0, 0.25]]]
    assert asked == [4]


def test_the_batch_size_of_a_list_is_measured_once(monkeypatch, make_explainer):
    looked_at = []
    monkeypatch.setattr(
        "deap_xai.explainer.settle_batch_size", lambda backend, one: looked_at.append(backend)
    )
    explainer = make_explainer(budget=20)
    explainer.backend.measure_batch_size = True
    with pytest.raises(SomeImagesFailed, match=r"number 1: there is no image file 'nowhere\.png'"):
        explainer.explain(["nowhere.png", *pictures(2)])
    assert looked_at[0] is explainer.backend
    assert explainer.backend not in looked_at[1:]


def test_demo_networks_agree_but_for_rounding():
    pytest.importorskip("torch")
    from deap_xai.explainer import Explainer

    explainer = Explainer("demo", budget=24)
    images = pictures(2, side=64)
    found = explainer.explain(images)
    again = explainer.explain(images)
    assert [everything(e) for e in found] == [everything(e) for e in again]
    for e, image in zip(found, images, strict=True):
        alone = explainer.explain(image)
        assert e.probability_full == pytest.approx(alone.probability_full, abs=1e-5)
        evaluator = explainer.evaluator(image, e.target)
        assert evaluator.probabilities(e.archive.masks) == pytest.approx(
            e.archive.probabilities, abs=1e-5
        )


def test_pixels_in_lists_are_no_list_of_images(make_explainer, model):
    with pytest.raises(ImageError, match=r"got list; make one array of it with np.asarray"):
        make_explainer(budget=20).explain(pictures(1)[0].tolist())
    assert model.images == 0
    with pytest.raises(SomeImagesFailed, match=r"1 of 2 images failed.*got list") as raised:
        make_explainer(budget=20).explain([pictures(1)[0], pictures(1)[0].tolist()])
    assert [e is None for e in raised.value.explanations] == [False, True]


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_targets_of_a_list_come_in_any_row(make_explainer, kind):
    explainer = make_explainer(budget=20)
    found = explainer.explain(pictures(3), target=kind([0, 1, 0]))
    assert [e.target for e in found] == [0, 1, 0]
