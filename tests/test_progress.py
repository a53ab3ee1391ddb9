"""The progress bar: counts model calls, ends full."""

from __future__ import annotations

import io

import pytest

from deap_xai.progress import progress_bar


def bars(text: str) -> list[str]:
    return [line for line in text.split("\r") if "calls" in line]


def test_it_ends_full_at_what_was_asked(make_explainer, image):
    file = io.StringIO()
    with progress_bar("frog", file=file, mininterval=0) as report:
        explanation = make_explainer(budget=60).explain(image, progress=report)
    drawn = bars(file.getvalue())
    assert any("2/60 calls" in line for line in drawn)
    asked = explanation.model_calls
    assert f"{asked}/{asked} calls" in drawn[-1]
    assert f"kept {explanation.front[-1].size}/16" in drawn[-1]


def test_without_a_budget_of_calls_it_counts(make_explainer, image):
    file = io.StringIO()
    with progress_bar(file=file, mininterval=0) as report:
        explanation = make_explainer(patience=30).explain(image, progress=report)
    assert any("2/? calls" in line for line in bars(file.getvalue()))
    assert f"{explanation.model_calls}/{explanation.model_calls} calls" in file.getvalue()


def test_true_shows_a_bar_named_after_the_image(make_explainer, image, capsys):
    shown = make_explainer(budget=40).explain(image, progress=True)
    assert "image" in capsys.readouterr().err
    plain = make_explainer(budget=40).explain(image, progress=False)
    assert capsys.readouterr().err == ""
    assert (shown.mask == plain.mask).all()


def test_it_tells_the_mask_that_would_be_shown(make_explainer, image, capsys):
    explainer = make_explainer(budget=60, pick="within:k=2")
    shown = explainer.explain(image, progress=True)
    best = shown.front[-1]
    assert shown.mask.sum() <= 2 < best.size
    last = bars(capsys.readouterr().err)[-1]
    assert f"probability {shown.probability:.3f}, kept {shown.mask.sum()}/16" in last
    file = io.StringIO()
    with progress_bar(file=file, mininterval=0) as report:  # by hand, without a pick
        explainer.explain(image, progress=report)
    assert f"probability {best.probability:.3f}, kept {best.size}/16" in bars(file.getvalue())[-1]


def test_an_error_in_the_search_leaves_the_bar_where_it_was(make_explainer, image):
    file = io.StringIO()
    with pytest.raises(ZeroDivisionError, match="division"), progress_bar(file=file):
        1 / 0  # noqa: B018
    assert "100%" not in file.getvalue()
