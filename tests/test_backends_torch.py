"""Torch modules: masks drawn on the device give what the user's own transform gives."""

from __future__ import annotations

import functools
import platform
import types
import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as PILImage
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from deap_xai.backends import torch_module
from deap_xai.backends.torch_module import TorchBackend, choose_device
from deap_xai.backends.transform import split_transform
from deap_xai.errors import BackendError, SettingError
from deap_xai.explainer import Explainer
from deap_xai.masking import MaskedView

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
TO_UNIT = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
SPLIT = {
    "none": None,
    "v1": transforms.Compose(
        [
            transforms.Resize(20),
            transforms.CenterCrop(16),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    ),
    "v1 without normalisation": transforms.Compose([transforms.ToTensor()]),
    "v1 pil to tensor": transforms.Compose(
        [
            transforms.Resize((16, 16)),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
        ]
    ),
    "v2": v2.Compose([v2.Resize(16), v2.CenterCrop(16), *TO_UNIT, v2.Normalize(MEAN, STD)]),
    "v2 tensor first": v2.Compose(
        [
            v2.ToImage(),
            v2.Resize(20, antialias=True),
            v2.CenterCrop(16),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    ),
    "one mean for all": transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.5], [0.25])]
    ),
    "nested": transforms.Compose(
        [transforms.Compose([transforms.Resize(16), transforms.ToTensor()])]
    ),
    "three grey channels": transforms.Compose(
        [transforms.Grayscale(3), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    ),
    "preset": torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.transforms(
        crop_size=16, resize_size=20
    ),
}
WHOLE = {
    "opaque": lambda image: transforms.functional.to_tensor(image.resize((16, 16))) * 2 - 1,
    "tensor resized": transforms.Compose([transforms.ToTensor(), transforms.Resize(16)]),
    "byte range": v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]),
    "byte range, tensor first": v2.Compose(
        [v2.ToImage(), v2.CenterCrop(20), v2.ToDtype(torch.float32), v2.Normalize(MEAN, STD)]
    ),
    "after normalisation": transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(MEAN, STD), transforms.Lambda(lambda t: t * 2)]
    ),
}
AT_RANDOM = {
    "crop": transforms.RandomCrop(16),
    "flip": transforms.Compose([transforms.RandomHorizontalFlip()]),
    "jitter": transforms.ColorJitter(0.5),
    "v2": v2.RandomRotation(30),
    "augment": transforms.RandAugment(),
    "trivial": transforms.TrivialAugmentWide(),
    "blur": transforms.GaussianBlur(3),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(channels: int = 3, classes: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, classes),
    )


def picture(height: int = 24, width: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def masked(view: np.ndarray) -> tuple[MaskedView, np.ndarray]:
    height, width = view.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    segments = (rows * 3 // height * 3 + columns * 3 // width).astype(np.int32)
    masks = np.random.default_rng(2).random((11, 9)) < 0.5
    return MaskedView(view, segments, view[::-1] // 2), masks


def by_hand(module, transform, views):
    """The slow way: the user's own transform on every masked view, one at a time."""
    transform = transform or transforms.ToTensor()
    inputs = [transform(PILImage.fromarray(view)) for view in views]
    with torch.no_grad():
        return torch.cat([module.eval()(x[None]).softmax(dim=1) for x in inputs]).numpy()


@pytest.mark.parametrize("name", SPLIT)
def test_views_drawn_on_the_device_equal_the_transforms(name):
    transform, module = SPLIT[name], tiny()
    backend = TorchBackend(module, transform=transform, device="cpu", batch_size=4)
    assert backend.preparation is not None
    view = backend.view(picture())
    masked_view, masks = masked(view)
    # A view has been through the spatial part already; what remains is the conversion.
    rest = None if transform is None else normalisation_of(name)
    expected = by_hand(module, rest, masked_view.render(masks))
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)
    assert backend.predict(masked_view.render(masks)) == pytest.approx(expected, abs=1e-5)


def normalisation_of(name):
    mean, std = {
        "v1": (MEAN, STD),
        "v2": (MEAN, STD),
        "v2 tensor first": (MEAN, STD),
        "one mean for all": ([0.5] * 3, [0.25] * 3),
        "three grey channels": ([0.5] * 3, [0.5] * 3),
        "preset": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    }.get(name, ([0.0] * 3, [1.0] * 3))
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])


@pytest.mark.parametrize("name", [name for name in SPLIT if name != "none"])
def test_the_full_view_is_what_the_transform_makes(name):
    transform, module = SPLIT[name], tiny()
    backend = TorchBackend(module, transform=transform, device="cpu")
    masked_view, _ = masked(backend.view(picture()))
    found = backend.predict_masked(masked_view, np.ones((1, 9), bool))
    assert found == pytest.approx(by_hand(module, transform, [picture()]), abs=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_other_transforms_are_applied_to_every_masked_view(name):
    transform, module = WHOLE[name], tiny()
    backend = TorchBackend(module, transform=transform, device="cpu", batch_size=4)
    assert backend.preparation is None
    view = backend.view(picture())
    assert (view == picture()).all()
    masked_view, masks = masked(view)
    expected = by_hand(module, transform, masked_view.render(masks))
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)


def test_grey_models_get_one_channel():
    transform = transforms.Compose(
        [transforms.Grayscale(), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    )
    module = tiny(channels=1)
    backend = TorchBackend(module, transform=transform, device="cpu")
    masked_view, masks = masked(backend.view(picture()))
    expected = by_hand(module, transform, masked_view.render(masks))
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", AT_RANDOM)
def test_transforms_that_draw_at_random_are_not_split(name):
    assert split_transform(transforms.Compose([AT_RANDOM[name], transforms.ToTensor()])) is None


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [transforms.Normalize(MEAN, STD)],
        [transforms.Resize(8)],
        [transforms.Lambda(np.asarray), transforms.ToTensor()],
        [transforms.Lambda(lambda image: image.no_such_method()), transforms.ToTensor()],
        [transforms.PILToTensor()],
        [transforms.Lambda(lambda image: transforms.functional.to_tensor(image).flip(0))],
        [transforms.Lambda(lambda image: transforms.functional.to_tensor(image).flip(2))],
    ],
)
def test_what_gives_no_unit_tensor_is_not_split(steps):
    assert split_transform(transforms.Compose(steps)) is None


def test_evaluation_mode_and_the_users_size():
    module = tiny().train()
    backend = TorchBackend(module, size=(12, 16), device="cpu")
    assert not module.training
    view = backend.view(picture())
    assert view.shape == (12, 16, 3)
    assert (backend.predict(view[None]) == backend.predict(view[None])).all()


@pytest.mark.parametrize(
    ("transform", "came"),
    [
        (lambda image: np.asarray(image, np.float32), r"ndarray of shape \(12, 16, 3\)"),
        (lambda image: torch.zeros(1, 3, 8, 8), r"Tensor of shape \(1, 3, 8, 8\)"),
        (lambda image: image, "Image"),
        (lambda image: None, "NoneType"),
    ],
)
def test_a_transform_must_give_one_input(transform, came):
    backend = TorchBackend(tiny(), transform=transform, device="cpu")
    with pytest.raises(BackendError, match=f"the transform made {came}.*without a batch axis"):
        backend.predict(np.zeros((2, 12, 16, 3), np.uint8))


@pytest.mark.parametrize("as_probabilities", [True, False])
def test_softmax_only_where_it_is_due(as_probabilities):
    body = tiny()
    module = nn.Sequential(body, nn.Softmax(dim=1)) if as_probabilities else body
    backend = TorchBackend(module, device="cpu")
    found = backend.predict(picture()[None].repeat(3, axis=0))
    assert found == pytest.approx(by_hand(body, None, [picture()] * 3), abs=1e-5)
    assert found.sum(axis=1) == pytest.approx([1] * 3)


class Sigmoids(nn.Module):
    """Three independent numbers in 0..1, which sum to 1 on a white picture alone."""

    def forward(self, x):
        bright = x.mean(dim=(1, 2, 3))
        return torch.stack([0.9 * bright, 0.1 + 0 * bright, 0.2 * (1 - bright)], dim=1)


def test_whether_a_softmax_is_due_does_not_depend_on_what_came_first():
    white, grey = np.full((1, 8, 8, 3), 255, np.uint8), np.full((1, 8, 8, 3), 100, np.uint8)
    fresh, used = (TorchBackend(Sigmoids(), device="cpu") for _ in range(2))
    used.predict(white)
    assert (fresh.predict(grey) == used.predict(grey)).all()
    assert used.predict(grey).sum() == pytest.approx(1)
    assert "as sigmoids give, use a function" in used.caution
    assert TorchBackend(Sigmoids(), device="cpu").caution == ""  # not asked yet
    with_logits = TorchBackend(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), device="cpu")
    with_logits.predict(grey)
    assert with_logits.caution == ""


class Standardised(nn.Module):
    """A picture of one colour has no deviation, and no answer."""

    def forward(self, x):
        x = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
        return torch.softmax(x[:, :, 0, :4].mean(1), dim=1)


def test_a_picture_of_no_answer_decides_nothing_for_those_after_it():
    fresh, used = (TorchBackend(Standardised(), device="cpu") for _ in range(2))
    assert np.isnan(used.predict(np.zeros((1, 8, 8, 3), np.uint8))).all()
    assert (used.predict(picture()[None]) == fresh.predict(picture()[None])).all()
    assert fresh.predict(picture()[None]).max() > 0.3  # a second softmax would level it


@pytest.mark.parametrize("tall", [False, True])
def test_the_ends_of_a_long_picture_are_left_out_before_it_is_resized(monkeypatch, tall):
    preset = SPLIT["preset"]
    backend = TorchBackend(tiny(), transform=preset, device="cpu")
    wave = 127 + 120 * np.sin(np.arange(2001) / 9)
    long = np.broadcast_to(wave[None, :, None], (12, 2001, 3)).astype(np.uint8)
    long = long.transpose(1, 0, 2) if tall else long
    expected = np.asarray(transforms.functional.center_crop(
        transforms.functional.resize(PILImage.fromarray(long), preset.resize_size), preset.crop_size
    ))  # fmt: skip
    sizes, resize = [], PILImage.Image.resize

    def noted(one, *args, **options):
        sizes.append(one.size)
        return resize(one, *args, **options)

    monkeypatch.setattr(PILImage.Image, "resize", noted)
    found = backend.view(long)
    assert sizes == [(12, 97) if tall else (97, 12)]
    if tall:
        found, expected = (x.transpose(1, 0, 2) for x in (found, expected))
    # The middle may come to lie a pixel of the view beside it.
    shifted = [np.roll(found, by, axis=1).astype(int) - expected for by in (-1, 0, 1)]
    assert min(np.abs(off[:, 1:-1]).max() for off in shifted) <= 3


def test_pictures_and_masks_upside_down_are_fine():
    backend, view = TorchBackend(tiny(), device="cpu"), picture()
    masked = MaskedView(view, np.zeros(view.shape[:2], int), view[::-1])
    masks = np.array([[True], [False]])
    expected = backend.predict(np.stack([view[::-1], view]))
    assert backend.predict(np.stack([view, view[::-1]])[::-1]) == pytest.approx(expected)
    assert backend.predict_masked(masked, masks[::-1]) == pytest.approx(expected)


class Reusing(nn.Module):
    """Answers in one and the same memory, as replayed CUDA graphs do."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(tiny(), nn.Softmax(dim=1))
        self.memory = torch.zeros(2, 4)

    def forward(self, x):
        return self.memory.copy_(self.body(x))


def test_a_module_may_use_its_output_again():
    view = picture()
    masked_view, _ = masked(view)
    masks = np.eye(masked_view.n_segments, dtype=bool)[:4]
    backend = TorchBackend(Reusing(), device="cpu", batch_size=2)
    found = backend.predict_masked(masked_view, masks)
    one_by_one = [backend.predict_masked(masked_view, two) for two in (masks[:2], masks[2:])]
    assert (found == np.concatenate(one_by_one)).all()
    assert len(np.unique(found[:, 0])) == 4


@pytest.mark.parametrize("how", ["asserts", "leaves torch"])
def test_what_a_module_stumbles_over_in_bf16_is_one_error(how):
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = tiny()

        def forward(self, x):
            if how == "asserts":
                assert x.dtype == torch.float32
            else:
                x.numpy()
            return self.body(x)

    backend = TorchBackend(Module(), device="cpu")
    assert backend.predict(picture()[None]).shape == (1, 4)
    with pytest.raises(BackendError, match="doesn't run in bf16"):
        backend.in_bf16().predict(picture()[None])


def test_modules_that_take_no_other_layout_and_no_mode():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv3d(3, 2, (1, 3, 3)), nn.Linear(2, 4)

        def forward(self, x):
            return self.last(self.first(x[:, :, None]).mean(dim=(2, 3, 4)))

    deep = Deep().eval()
    views = picture()[None].repeat(2, axis=0)
    found = TorchBackend(deep, device="cpu").predict(views)
    assert found.shape == (2, 4)
    inputs = torch.zeros(2, 3, *views.shape[1:3])
    fixed = torch.export.export(tiny().eval(), (inputs,)).module()
    assert TorchBackend(fixed, device="cpu").predict(views).shape == (2, 4)


class Output(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.body, self.wrap = tiny(), wrap

    def forward(self, x):
        return self.wrap(self.body(x))


def test_hugging_faces_outputs_are_understood():
    module = Output(lambda logits: types.SimpleNamespace(logits=logits))
    found = TorchBackend(module, device="cpu").predict(picture()[None])
    assert found == pytest.approx(by_hand(module.body, None, [picture()]), abs=1e-5)


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda y: y[..., None], r"returned \(1, 4, 1\); expected a tensor of logits"),
        (lambda y: y[0], r"returned \(4,\)"),
        (lambda y: (y, y), "returned <class 'tuple'>; expected a tensor of logits .*Wrap"),
    ],
)
def test_other_outputs_are_refused(wrap, message):
    with pytest.raises(BackendError, match=message):
        TorchBackend(Output(wrap), device="cpu").predict(picture()[None])


def test_transform_and_size_exclude_each_other():
    with pytest.raises(SettingError, match=r"got transform and size; give one"):
        TorchBackend(tiny(), transform=SPLIT["v1"], size=8)


def test_a_transform_is_a_function():
    with pytest.raises(
        SettingError, match=r"must be a function from a PIL image .*; got 'imagenet'"
    ):
        TorchBackend(tiny(), transform="imagenet", device="cpu")


def test_where_sizes_are_planned_for_batches_are_filled_up_to_few(monkeypatch):
    sizes, module = [], tiny()
    module.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    views = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3)).astype(np.uint8)
    backend = TorchBackend(module, device="cpu", batch_size=90)
    plain = [backend.predict(views[:n]) for n in (1, 3, 40, 70)]
    assert sizes == [1, 3, 40, 70]
    monkeypatch.setattr(torch_module, "PLANNING", ("cpu",))
    sizes.clear()
    backend = TorchBackend(module, device="cpu", batch_size=90)
    for n, known in zip((1, 3, 40, 70), plain, strict=True):
        np.testing.assert_allclose(backend.predict(views[:n]), known, atol=1e-6)
    backend.batch_size = 41  # what fits
    assert backend.predict(views).shape == (70, len(known[0]))
    assert sizes == [1, 4, 64, 80, 41, 32]


def test_a_module_of_one_channel_needs_its_transform():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    with pytest.raises(
        BackendError, match=r"Sequential takes 1 channel, and views have 3.*Grayscale"
    ):
        TorchBackend(module, device="cpu").predict(picture()[None])
    mistaken = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(16, 4, 3))
    with pytest.raises(RuntimeError, match="to have 16 channels, but got 8"):
        TorchBackend(mistaken, device="cpu").predict(picture()[None])


@pytest.mark.parametrize("device", ["nonsense", "cuda:77", "xpu:5"])
def test_devices_that_are_not_there(device):
    with pytest.raises(SettingError, match=f"device '{device}' can't be used; present here: .*cpu"):
        choose_device(device)


@pytest.mark.parametrize(("cuda", "mps", "first"), [(1, 1, "cuda"), (0, 1, "mps"), (0, 0, "cpu")])
def test_the_fastest_device_is_chosen(monkeypatch, cuda, mps, first):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert choose_device() == torch.device(first)
    with pytest.raises(SettingError, match=f"present here: {first}"):
        choose_device("nonsense")


def test_batch_sizes():
    assert TorchBackend(tiny(), device="cpu").batch_size == 8
    assert TorchBackend(tiny(), device="cpu", batch_size=3).batch_size == 3


def test_read_only_views_are_fine():
    view = picture()
    view.flags.writeable = False
    assert TorchBackend(tiny(), device="cpu").predict(view[None]).shape == (1, 4)


def test_opaque_transforms_get_a_view_of_bearable_size():
    transform = WHOLE["opaque"]
    backend = TorchBackend(tiny(), transform=transform, device="cpu")
    assert backend.view(picture(30, 1500)).shape == (20, 1024, 3)
    assert backend.view(picture(2048, 1024)).shape == (1024, 512, 3)
    exact = picture(1024, 7)
    assert (backend.view(exact) == exact).all()
    split = TorchBackend(tiny(), device="cpu")
    assert split.view(picture(30, 1500)).shape == (30, 1500, 3)
    masked_view, masks = masked(backend.view(picture(30, 1500)))
    expected = by_hand(backend._module, transform, masked_view.render(masks))
    assert backend.predict_masked(masked_view, masks) == pytest.approx(expected, abs=1e-5)


HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
def test_modules_in_half_precision(dtype):
    module, seen = nn.Sequential(nn.Flatten(), nn.Linear(12 * 12 * 3, 4)), []
    masked_view, masks = masked(picture(12, 12))
    exact = TorchBackend(module, device="cpu").predict_masked(masked_view, masks)
    half = module.to(dtype)
    half.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    backend = TorchBackend(half, device="cpu")
    found = backend.predict_masked(masked_view, masks)
    assert found.dtype == np.float32
    assert found == pytest.approx(exact, abs=0.02)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(masks)), abs=1e-6)
    assert backend.predict(masked_view.render(masks)) == pytest.approx(exact, abs=0.02)
    assert set(seen) == {dtype}


@pytest.mark.parametrize("dtype", HALVES)
def test_probabilities_in_half_precision_are_not_softmaxed_again(dtype):
    """Rounded to eight bits, probabilities add up to one within a percent only."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(12 * 12 * 3, 4))
    masked_view, masks = masked(picture(12, 12))
    exact = TorchBackend(body, device="cpu").predict_masked(masked_view, masks)
    module = nn.Sequential(body, nn.Softmax(dim=1)).to(dtype)
    backend = TorchBackend(module, device="cpu")
    found = backend.predict_masked(masked_view, np.concatenate([masks] * 30))[: len(masks)]
    assert found == pytest.approx(exact, abs=0.02)


def test_tensors_are_kept_for_one_view_at_a_time(monkeypatch):
    backend, drawn = TorchBackend(tiny(), device="cpu"), []
    normalised = backend._normalised
    monkeypatch.setattr(
        backend, "_normalised", lambda pixels: drawn.append(0) or normalised(pixels)
    )
    one, masks = masked(picture())
    two = MaskedView(one.view[::-1].copy(), one.segments, one.fill * 0)
    answers = [backend.predict_masked(view, masks) for view in (one, one, two, one)]
    assert len(drawn) == 2 * 3  # view and fill; the second time they were still there
    for view, answer in zip((one, one, two, one), answers, strict=True):
        assert answer == pytest.approx(backend.predict(view.render(masks)), abs=1e-6)
    assert abs(answers[1] - answers[2]).max() > 1e-4


def test_a_digest_of_whatever_a_module_holds():
    class Extra(torch.nn.Linear):
        note = "one"

        def get_extra_state(self):
            return {"note": self.note}

        def set_extra_state(self, state):
            self.note = state["note"]

    def digest(module):
        return TorchBackend(module, device="cpu").digest()

    def made(kind=torch.nn.Linear, seed=0):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Flatten(), kind(12, 2))

    def noted(note):
        module = made(Extra)
        module[1].note = note
        return module

    def sparse(value):
        module = made()
        links = torch.sparse_coo_tensor([[0], [1]], [value], (2, 2), check_invariants=True)
        module.register_buffer("links", links)
        return module

    def quantized(seed):
        torch.backends.quantized.engine = "qnnpack" if "arm" in platform.machine() else "fbgemm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what comes after this way to quantize
            return torch.ao.quantization.quantize_dynamic(made(seed=seed), {torch.nn.Linear})

    kinds = [lambda one: made(seed=one).bfloat16(), noted, sparse, quantized]
    for kind in kinds:
        assert digest(kind(1)) == digest(kind(1)) != digest(kind(2))


def test_a_transform_that_draws_is_cautioned_about(image):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    steps = [transforms.Compose([transforms.RandomHorizontalFlip()]), transforms.ToTensor()]
    settings = {"device": "cpu", "budget": 20, "segments": "grid:n_segments=4"}
    e = Explainer(net, transform=transforms.Compose(steps), **settings).explain(image)
    assert e.warnings[0].startswith("the transform has steps for training (RandomHorizontalFl")


def test_a_module_without_a_transform_is_cautioned_about(image):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    settings = {"device": "cpu", "budget": 20, "segments": "grid:n_segments=4"}
    bare = Explainer(net, **settings).explain(image)
    assert bare.warnings[0].startswith("the torch module was given no transform: it gets pictures")
    together = Explainer(net, **settings).explain([image, image])
    assert together[1].warnings == bare.warnings
    told = Explainer(net, transform=transforms.ToTensor(), **settings).explain(image)
    assert "transform" not in " ".join(told.warnings)


def test_a_module_that_is_trained_meanwhile_is_asked_as_it_is_tested():
    module = tiny()
    module.append(nn.Dropout(0.5)).insert(0, nn.BatchNorm2d(3))
    backend = TorchBackend(module, size=(12, 16), device="cpu")
    view = backend.view(picture())[None]
    before, mean = backend.predict(view), module[0].running_mean.clone()
    module.train()
    assert (backend.predict(view) == before).all()
    assert (module[0].running_mean == mean).all()
    module.train()
    assert not backend.plain_module().training


def test_another_default_device_changes_nothing():
    backend = TorchBackend(tiny(), size=(12, 16), device="cpu")
    masked_view, masks = masked(backend.view(picture()))
    expected = backend.predict_masked(masked_view, masks)
    with torch.device("meta"):
        again = TorchBackend(backend._module, size=(12, 16), device="cpu")
        assert (again.predict_masked(masked_view, masks) == expected).all()


@pytest.mark.parametrize("transform", [transforms.ToTensor, functools.partial(transforms.Resize)])
def test_a_transform_is_no_class(transform):
    with pytest.raises(SettingError, match=r"transform is the class .*call it"):
        TorchBackend(tiny(), transform=transform, device="cpu")


@pytest.mark.parametrize("device", [1.5, "nowhere"])
def test_a_device_is_one_that_torch_knows(device):
    with pytest.raises(SettingError, match=r"can't be used; present here: .*cpu"):
        choose_device(device)
