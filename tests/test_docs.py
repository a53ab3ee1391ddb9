"""The documentation's examples run, it builds without a warning, and it leaves no room out."""

from __future__ import annotations

import doctest
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from test_layers import ROOMS

from deap_xai.registry import REGISTRIES

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(page):
    """The page as one doctest; the fences around code become the blank lines that end output."""
    text = re.sub(r"^```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)


WITH_EXAMPLES = [page for page in PAGES if examples(page).examples]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_examples_give_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES.values():
        # What a page registers is gone after it.
        monkeypatch.setattr(registry, "_functions", dict(registry._functions))
    said = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(examples(page), out=said.append)
    assert not said, "".join(said)


def test_pages_have_examples():
    assert len(WITH_EXAMPLES) >= 7


def test_the_pages_build_without_a_warning(tmp_path):
    for module in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(module, reason="the extra docs isn't installed")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", DOCS, tmp_path]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Explains a classifier" in (tmp_path / "api.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_in_the_contents(page):
    assert page.stem == "index" or re.search(
        rf"^{page.stem}$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )


# The shell's commands speak through --help; the others' classes are there as deap_xai.Explainer, …
ELSEWHERE = {"cli", "explainer", "explanation"}


def test_every_room_is_in_the_reference_and_in_the_design():
    reference, design = ((DOCS / f"{name}.md").read_text("utf-8") for name in ("api", "design"))
    plan = design.split("## Rooms")[1].split("## ")[0]
    for room in " ".join(ROOMS).split():
        assert room in ELSEWHERE or f"deap_xai.{room}" in reference, f"{room} isn't in docs/api.md"
        assert re.search(rf"\b{room}\b", plan), f"{room} isn't in docs/design.md"


def test_an_example_without_its_package_says_what_to_install(monkeypatch):
    loaded = [name for name in sys.modules if name.startswith("sklearn.")]  # by another test
    for name in ["sklearn", *loaded]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match="pip install scikit-learn"):
        runpy.run_path(str(DOCS.parent / "examples" / "scikit_learn_model.py"))
