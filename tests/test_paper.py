"""What the benchmark of the paper's claims reads off its runs, against the packages it uses."""

from __future__ import annotations

from itertools import product

import numpy as np
import paper
import pytest
from conftest import SIDE, CellModel

from deap_xai.backends import FunctionBackend

# LIME draws from NumPy's old generator and its regression warns of a perfect fit.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:(sklearn|lime|skimage)")


def test_lime_is_the_tutorials(image):
    lime_image = pytest.importorskip("lime.lime_image", reason="needs the extra: benchmarks")
    model = CellModel()
    backend = FunctionBackend(model)
    row = paper.lime(backend, image, samples=60)
    found = lime_image.LimeImageExplainer(random_state=0).explain_instance(
        image, model, top_labels=5, hide_color=0, num_samples=60, batch_size=10
    )
    _, shown = found.get_image_and_mask(found.top_labels[0], num_features=5)
    mask = np.array(list(row["mask"])) == "1"
    assert (mask[paper.numbered(found.segments)] == (shown == 1)).all()
    assert row["target"] == found.top_labels[0]
    assert (row["size"], row["n_segments"]) == (mask.sum(), len(mask))
    black = np.where((shown == 1)[..., None], image, 0)
    asked = model(np.stack([image, black]))[:, row["target"]]
    assert [row["full"], row["kept"]] == pytest.approx(asked, abs=1e-4)
    assert backend.batch_size == 32  # as it was


def test_a_run_is_the_explainers(image):
    row = paper.evolved(FunctionBackend(CellModel()), image, "eaElitist", budget=60, run=1)
    assert row["model calls"] <= 60
    assert row["kept"] >= row["full"]
    assert len(row["mask"]) == row["n_segments"]
    assert row["mask"].count("1") == row["size"]


@pytest.mark.parametrize("seed", range(3))
def test_wilcoxon_by_hand(seed):
    """All 2^n ways to sign the ranks are equally likely."""
    differences = np.random.default_rng(seed).normal(0.3, 1, 8)
    ranks = np.abs(differences).argsort().argsort() + 1
    positive = ranks[differences > 0].sum()
    sums = [np.dot(ranks, signs) for signs in product((0, 1), repeat=8)]
    by_hand = np.mean([total >= positive for total in sums])
    assert paper.above(differences) == pytest.approx(by_hand, rel=0.05)
    assert paper.above(np.zeros(5)) == 1


def test_the_summary_has_what_the_claims_need():
    row = {"model": "m", "image": "i", "target": 0, "full": 0.8, "n_segments": SIDE * SIDE}
    row |= {"model calls": 80, "mask": ""}
    row |= {"kept under mean": 0.9, "method": "eaElitist", "budget": 80}
    runs = [
        row | {"run": i, "kept": round(0.9 + i / 100, 2), "size": 4 + i, "seconds": 2 + i}
        for i in range(6)
    ]
    rival = row | {"method": "lime", "budget": 1000, "run": 0, "kept": 0.5, "kept under mean": 0.93}
    rival |= {"size": 5, "seconds": 45, "model calls": 1000}
    text = [{k: str(v) for k, v in one.items()} for one in [rival, *runs]]
    (line,) = paper.summarised(text)
    assert (line["runs"], line["best"], line["size"], line["of"]) == (6, 0.95, 6.5, 16)
    assert (line["kept"], line["ratio"], line["slowest"]) == (0.925, 10.0, 7.0)
    assert line["deviation"] == pytest.approx(
        np.std([0.9 + i / 100 for i in range(6)], ddof=1), abs=1e-4
    )
    assert line["p, above full"] == pytest.approx(1 / 64, abs=1e-3)  # all six are above
    assert line["p, above LIME"] > 0.5  # about as good as LIME's better fill
