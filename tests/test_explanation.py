"""The frozen record, its file and its dictionary."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest

from deap_xai.archive import Archive
from deap_xai.errors import SettingError
from deap_xai.explanation import Checks, Explanation


def make(**changes) -> Explanation:
    """An explanation by hand, in which everything differs from everything else."""
    masks = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 0, 0]], bool)
    facts = {
        "mask": masks[2],
        "segments": np.array([[0, 1], [2, 2]], np.int32),
        "view": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
        "fill": np.full((2, 2, 3), 9, np.uint8),
        "target": 4,
        "target_name": "laughing gull Ä",
        "probability": 0.75,
        "probability_full": 0.625,
        "probability_empty": float("nan"),
        "attribution": np.array([0.5, -0.25, 1.0]),
        "archive": Archive(masks, np.array([0.625, 0.0, 0.75, 0.25, 0.25], np.float32)),
        "checks": Checks(
            rest=float("nan"),
            fills={"black": 0.5, "blur": float("nan")},
            random=np.array([0.25, 0.5]),
            dropped=np.array([0.25, np.nan, 0.125]),
        ),
        "model_calls": 9,
        "seconds": 1.5,
        "seed": 3,
        "settings": {"fill": "grey", "operators": {"mate": "cxOnePoint"}},
        "warnings": ("one", "two"),
    }
    return Explanation(**{**facts, **changes})


def assert_equal(one, two):
    for field in dataclasses.fields(Explanation):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if field.name == "archive":
            assert (a.masks == b.masks).all()
            assert (a.probabilities == b.probabilities).all()
        elif field.name == "checks":
            assert a.to_dict() == b.to_dict()
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_equal(a, b)
    assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("name", ["frog.npz", "frog", "frog.v2"])
def test_saved_and_loaded_it_is_the_same(tmp_path, name):
    path = make().save(tmp_path / name)
    assert path.name == name.removesuffix(".npz") + ".npz"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert_equal(Explanation.load(str(path)), make())


def test_a_real_one_too(tmp_path, explanation):
    again = Explanation.load(explanation.save(str(tmp_path / "frog")))
    assert_equal(again, explanation)
    assert again.minimal == explanation.minimal


def test_nothing_in_the_file_is_pickled(tmp_path):
    path = make().save(tmp_path / "frog")
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file)


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_folders_that_can_not_be_written(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=folder):
        make().save(tmp_path / folder / "frog.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = make().save(tmp_path / "frog")
    before = path.read_bytes()

    def full(self, data):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"disk full"):
        make(target=5).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["frog.npz"]


def damaged(path):
    good = make().save(path.with_name("good.npz")).read_bytes()
    path.write_bytes(good[: len(good) // 2])


def flipped(path):
    good = bytearray(make().save(path.with_name("good.npz")).read_bytes())
    good[60:90] = bytes(30)
    path.write_bytes(bytes(good))


def of_another_version(path):
    make().save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["json"] = np.array(json.dumps({**json.loads(str(arrays["json"])), "format": 99}))
    np.savez(path, **arrays)


FILES = {
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "half": damaged,
    "flipped": flipped,
    "version": of_another_version,
    "other npz": lambda path: np.savez(path, a=np.zeros(2)),
    "plain npy": lambda path: path.write_bytes(npy()),
    "objects": lambda path: np.savez(path, json=np.array([{"format": 1}], object)),
    "other json": lambda path: np.savez(path, json=np.array("[1, 2]")),
    "no json": lambda path: np.savez(path, json=np.array("nothing")),
    "zip": lambda path: zipfile.ZipFile(path, "w").close(),
    "text": lambda path: path.write_text("segments: slic"),
}
OTHER = "it is a file of another kind, or damaged; expected a file written by Explanation.save"
SAID = {
    "missing": "No such file or directory; expected",
    "folder": "Is a directory; expected",
    "version": "it was written by another version of deap_xai; expected",
}


def npy() -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_explanation(tmp_path, kind):
    FILES[kind](path := tmp_path / "frog.npz")
    with pytest.raises(
        SettingError, match=rf"can't read an explanation from .*frog.npz: {SAID.get(kind, OTHER)}"
    ):
        Explanation.load(path)


def test_files_with_pickled_objects_run_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "crater").write_text, ("boom",)

    np.savez(tmp_path / "frog.npz", json=np.array([Bomb()], object))
    with pytest.raises(SettingError, match=OTHER):
        Explanation.load(tmp_path / "frog.npz")
    assert not (tmp_path / "crater").exists()


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"probability"):
        make().probability = 1.0


@pytest.mark.parametrize("which", ["by hand", "real"])
def test_the_dictionary_is_plain_json(which, explanation):
    one = make() if which == "by hand" else explanation
    text = json.dumps(one.to_dict(), allow_nan=False)
    assert json.loads(text) == one.to_dict()
    assert not {"view", "fill", "segments", "archive"} & one.to_dict().keys()


def test_the_dictionary_holds_what_is_known():
    facts = make().to_dict()
    assert facts["probability_rest"] is None
    assert facts["probability_empty"] is None
    assert facts["checks"] == {
        "rest": None,
        "fills": {"black": 0.5, "blur": None},
        "random": [0.25, 0.5],
        "dropped": [0.25, None, 0.125],
    }
    assert facts["mask"] == [1, 0, 1]
    assert facts["front"] == [
        {"size": 1, "probability": 0.25, "mask": facts["front"][0]["mask"]},
        {"size": 2, "probability": 0.75, "mask": [1, 0, 1]},
    ]
    assert facts["warnings"] == ["one", "two"]
    assert (facts["size"], facts["n_segments"], facts["model_calls"]) == (2, 3, 9)


def test_history_is_the_best_so_far():
    history = make().history
    assert history["calls"].tolist() == [1, 2, 3, 4, 5]
    assert history["probability"].tolist() == [0.625, 0.625, 0.75, 0.75, 0.75]
    assert history["size"].tolist() == [3, 3, 2, 2, 2]


@pytest.mark.parametrize(
    ("dropped", "full", "droppable", "minimal"),
    [
        ([0.25, np.nan, 0.125], 0.625, [], True),
        ([0.25, np.nan, np.nan], 0.625, [], None),
        ([0.625, np.nan, np.nan], 0.625, [0], False),  # as good as the full view: it can go
        ([0.62, np.nan, 0.0], 0.625, [], True),
        ([0.7, np.nan, 0.0], 0.9, [], True),  # then the kept part's own probability counts
        ([0.0, np.nan, 0.75], 0.9, [2], False),
        ([0.8, np.nan, 0.75], 0.9, [0, 2], False),
    ],
)
def test_what_could_be_dropped(dropped, full, droppable, minimal):
    checks = Checks(0.1, {}, np.zeros(0), np.array(dropped))
    explanation = make(checks=checks, probability_full=full)
    assert explanation.droppable.tolist() == droppable
    assert explanation.minimal is minimal


def test_it_says_what_it_is():
    text = repr(make())
    assert text.startswith("Explanation('laughing gull Ä': 2 of 3 superpixels give 0.750")
    assert "9 model calls" in text
    assert "; 1 model call, " in repr(make(model_calls=1))


def test_a_picture_for_notebooks():
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    assert make()._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == before


def test_notes_stand_beside_the_picture_in_notebooks():
    assert make(warnings=())._repr_html_() is None
    shown = make(warnings=("first <b>", "second"))._repr_html_()
    assert shown.startswith('<img src="data:image/png;base64,iVBOR')
    assert "<p><b>Note:</b> first &lt;b&gt;</p><p><b>Note:</b> second</p>" in shown


def test_a_folder_that_is_missing_is_named(make_explainer, image, tmp_path):
    e = make_explainer(budget=12).explain(image)
    for write in (e.save, e.report):
        with pytest.raises(FileNotFoundError, match=r"no such folder; make it first: '.*nowhere'"):
            write(tmp_path / "nowhere" / "e.html")


def test_a_folder_in_the_way_is_named(make_explainer, image, tmp_path):
    e = make_explainer(budget=12).explain(image)
    (tmp_path / "e.html").mkdir()
    with pytest.raises(IsADirectoryError, match=r"there is a folder of this name: '.*e\.html'"):
        e.report(tmp_path / "e.html")
