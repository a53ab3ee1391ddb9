"""Quantus and captum call our explainer as they call any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deap_xai.adapters import SuperpixelAttribution, quantus_explain
from deap_xai.errors import SettingError

SIDE, CELL, KEY = 4, 6, 9
GRID = {"segments": "grid:n_segments=16", "fill": "black", "budget": 80}


class KeyCell(torch.nn.Module):
    """Class 1 where the key cell is bright, 2 where it's dark; it keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(4.0))
        self.asked = []

    def forward(self, inputs):
        self.asked.append(inputs.detach().clone())
        row, column = divmod(KEY, SIDE)
        cell = inputs[:, :, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        bright = self.gain * cell.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(bright), bright, -bright], dim=1)


def cells(pixels):
    """The value of each cell, which all its pixels share."""
    blocks = np.asarray(pixels).reshape(SIDE, CELL, SIDE, CELL).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(SIDE**2, -1)
    assert (blocks == blocks[:, :1]).all()
    return blocks[:, 0]


@pytest.fixture
def inputs():
    """Normalised inputs, the key cell bright in each; nothing that 8 bits could hold."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, SIDE * CELL, SIDE * CELL, generator=generator)
    row, column = divmod(KEY, SIDE)
    values[:, :, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 1.2345
    return values


def test_the_key_cell_matters_most(inputs):
    found = SuperpixelAttribution(KeyCell(), **GRID).attribute(inputs, target=1)
    assert (found.shape, found.dtype, found.device) == (inputs.shape, inputs.dtype, inputs.device)
    assert (found == found[:, :1]).all()  # all channels alike
    for one in found:
        values = cells(one[0])
        assert values.argmax() == KEY
        assert values[KEY] > 0
    found = SuperpixelAttribution(KeyCell(), **GRID).attribute(inputs, target=2)
    assert [cells(one[0]).argmin() for one in found] == [KEY, KEY]  # it speaks against class 2


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_the_batch_size_is_measured_once(inputs, monkeypatch, precision):
    """And remembered for the module: each input has another range, which says nothing of speed."""
    measured = []

    def best(backend, masked_view):
        measured.append(backend)
        return 3

    monkeypatch.setattr("deap_xai.backends.measuring._best", best)
    module = KeyCell()
    for one in inputs:
        method = SuperpixelAttribution(module, precision=precision, **GRID)
        method.attribute(torch.stack([one, -one]), target=1)
    assert len(measured) == 1
    assert method._measured == {inputs[0].shape: 3}
    with pytest.raises(SettingError, match="batch_size must be a whole number of at least 1; got"):
        SuperpixelAttribution(module, batch_size="8", **GRID)


def test_what_is_kept_is_the_input_itself(inputs):
    """Not rounded to 8 bits; what is hidden is a fill in the input's space."""
    module = KeyCell()
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    method = SuperpixelAttribution(module, mean=mean, std=std, **GRID)
    method.attribute(inputs[:1], target=1)
    black = -torch.tensor(mean) / torch.tensor(std)
    asked = torch.cat(module.asked)[:60]  # the search; the checks try other fills
    kept, hidden = asked == inputs[:1], torch.isclose(asked, black[:, None, None])
    assert (kept | hidden).all()
    assert kept[0].all()  # the full view comes first
    assert not kept.all()


@pytest.mark.parametrize("mean", [None, [0.4, 0.5, 0.6]])
def test_superpixels_are_cut_from_the_picture_that_was_normalised(inputs, mean):
    def cut(view):
        seen.append(view.copy())
        return np.arange(view[..., 0].size).reshape(view.shape[:2]) // (view[..., 0].size // 4)

    seen, std = [], None if mean is None else [0.2, 0.25, 0.3]
    values = inputs[0].numpy().astype(float)
    if mean is None:
        picture = (values - values.min()) / (values.max() - values.min())
    else:
        picture = values * np.reshape(std, (3, 1, 1)) + np.reshape(mean, (3, 1, 1))
    method = SuperpixelAttribution(KeyCell(), mean=mean, std=std, segments=cut, budget=20)
    method.attribute(inputs[:1], target=1)
    wanted = np.clip(255 * picture, 0, 255).transpose(1, 2, 0)
    assert abs(seen[0] - wanted).max() <= 0.51
    assert seen[0].std() > 20


@pytest.mark.parametrize("scale", [1.0, 0.01, 300.0])
def test_without_a_scale_the_inputs_own_range_is_taken(inputs, scale):
    module = KeyCell()
    given = inputs[:1] * scale + 7
    SuperpixelAttribution(module, **GRID).attribute(given, target=1)
    asked = torch.cat(module.asked)[:60]  # the search; the checks try other fills
    low = given.min()
    assert ((asked == given) | torch.isclose(asked, low, atol=1e-5 * scale)).all()


def test_a_constant_input():
    found = SuperpixelAttribution(KeyCell(), **GRID).attribute(torch.full((1, 3, 24, 24), 2.0))
    assert torch.isfinite(found).all()


def test_targets(inputs):
    method = SuperpixelAttribution(KeyCell(), **GRID)
    one_each = method.attribute(inputs, target=torch.tensor([1, 2]))
    assert torch.equal(one_each[0], method.attribute(inputs, target=1)[0])
    assert torch.equal(one_each[1], method.attribute(inputs, target=[2, 2])[1])
    assert torch.equal(method.attribute(inputs), method.attribute(inputs, target=1))  # the top one
    assert method.attribute(inputs[:0], target=1).shape == (0, *inputs.shape[1:])


def test_the_same_seed_the_same_attribution(inputs):
    explain = quantus_explain(**GRID)
    first, second = (explain(KeyCell(), inputs.numpy(), [1, 1]) for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("double", [False, True])
def test_other_dtypes(inputs, double):
    module = KeyCell().double() if double else KeyCell()
    found = SuperpixelAttribution(module, **GRID).attribute(inputs[:1].double(), target=1)
    assert found.dtype == torch.float64
    assert cells(found[0, 0]).argmax() == KEY


def test_what_makes_no_sense(inputs):
    method = SuperpixelAttribution(KeyCell(), **GRID)
    with pytest.raises(SettingError, match=r"got a function as model; expected a torch.nn.Module"):
        SuperpixelAttribution(lambda x: x)
    with pytest.raises(SettingError, match="got one of mean and std; give both"):
        SuperpixelAttribution(KeyCell(), mean=[0, 0, 0])
    with pytest.raises(SettingError, match="mean and std must be three finite numbers each"):
        SuperpixelAttribution(KeyCell(), mean=[0, 0], std=[1, 1])
    with pytest.raises(SettingError, match="engine is 'onnx'; expected 'torch'"):
        SuperpixelAttribution(KeyCell(), engine="onnx")
    with pytest.raises(SettingError, match="inputs are a ndarray; expected a tensor of floats"):
        method.attribute(inputs.numpy())
    with pytest.raises(SettingError, match=r"inputs are torch.float32 \(3, 24, 24\)"):
        method.attribute(inputs[0])
    with pytest.raises(SettingError, match="inputs hold NaN or infinity"):
        method.attribute(inputs * np.nan)
    with pytest.raises(SettingError, match="one for each of the 2 inputs"):
        method.attribute(inputs, target=[1, 1, 1])
    with pytest.raises(SettingError, match="this model has no class 9"):
        method.attribute(inputs, target=9)


def test_quantus_asks_for_explanations(inputs):
    quantus = pytest.importorskip("quantus", reason="needs the extra: benchmarks")
    truth = np.zeros((2, 1, SIDE * CELL, SIDE * CELL), bool)
    row, column = divmod(KEY, SIDE)
    truth[:, :, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = True
    for metric in (quantus.PointingGame, quantus.RelevanceRankAccuracy):
        scores = metric(disable_warnings=True)(
            model=KeyCell(),
            x_batch=inputs.numpy(),
            y_batch=np.array([1, 1]),
            s_batch=truth,
            explain_func=quantus_explain(**GRID),
            explain_func_kwargs={"budget": 60},
            device="cpu",
        )
        assert np.allclose(np.array(scores, float), 1)


def test_it_agrees_with_captums_feature_ablation(inputs):
    attr = pytest.importorskip("captum.attr", reason="needs the extra: benchmarks")
    grid = np.kron(np.arange(SIDE**2).reshape(SIDE, SIDE), np.ones((CELL, CELL), int))
    theirs = attr.FeatureAblation(KeyCell()).attribute(
        inputs, target=1, feature_mask=torch.tensor(grid)[None, None]
    )
    ours = SuperpixelAttribution(KeyCell(), **GRID).attribute(inputs, target=1)
    assert theirs.shape == ours.shape
    for one, other in zip(theirs, ours, strict=True):
        assert cells(one[0]).argmax() == cells(other[0]).argmax() == KEY


@pytest.mark.parametrize("odd", [(np.inf, 1, 1), (1, np.nan, 1), ("a", "b", "c"), 1, [[1], 2]])
def test_a_scale_is_three_finite_numbers(odd):
    for scale in ({"mean": odd, "std": (1, 1, 1)}, {"mean": (0, 0, 0), "std": odd}):
        with pytest.raises(SettingError, match="three finite numbers each, for RGB; got"):
            SuperpixelAttribution(KeyCell(), **scale)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"transform": lambda picture: picture}, "transform doesn't apply.* mean and std in place"),
        ({"size": 8}, "size doesn't apply"),
        ({"weights": "best.pth"}, "weights doesn't apply"),
        ({"class_names": ["a", "b", "c"]}, "class_names doesn't apply.* targets by index"),
        ({"foo": 3}, "unknown setting 'foo'; expected those of Explainer"),
        ({"segmets": "grid"}, "unknown setting 'segmets'; did you mean 'segments'"),
        ({"model": "demo"}, "unknown setting 'model'"),
        ({"fill": "nope"}, "nope"),
        ({"budget": 0}, "budget must be a finite number above 0"),
    ],
)
def test_settings_are_checked_before_any_input_comes(settings, said):
    with pytest.raises(SettingError, match=said):
        SuperpixelAttribution(KeyCell(), **settings)


def test_settings_that_are_none_are_as_if_left_out(inputs):
    found = SuperpixelAttribution(KeyCell(), size=None, transform=None, engine="torch", **GRID)
    assert torch.equal(
        found.attribute(inputs, 1), SuperpixelAttribution(KeyCell(), **GRID).attribute(inputs, 1)
    )


def test_quantus_may_hand_over_tensors_that_require_grad(inputs):
    explain = quantus_explain(**GRID)
    found = explain(KeyCell(), inputs.clone().requires_grad_(), torch.tensor([1, 1]))
    assert (found == explain(KeyCell(), inputs.numpy(), [1, 1])).all()
    coarse = inputs.bfloat16()  # NumPy has none
    assert (explain(KeyCell(), coarse, [1, 1]) == explain(KeyCell(), coarse.float(), [1, 1])).all()


@pytest.mark.parametrize("std", [(0, 1, 1), (-1, 1, 1)])
def test_a_scale_must_be_above_zero(std):
    with pytest.raises(SettingError, match=r"std must be above 0; got \("):
        SuperpixelAttribution(KeyCell(), mean=(0, 0, 0), std=std, **GRID)


def test_what_it_runs_on_is_measured_on_the_input_itself(tmp_path, monkeypatch):
    """Whatever its size: no picture of another could be asked about."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inputs = torch.rand(1, 3, SIDE * CELL, SIDE * CELL)
    found = SuperpixelAttribution(KeyCell(), precision="auto", **GRID).attribute(inputs, target=1)
    assert found.shape == inputs.shape
