"""Imports only point down; the shell starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import deap_xai

ROOT = Path(deap_xai.__file__).parent

# From the top, as in docs/design.md. A room may use those below it and, without going round in
# circles, those beside it. What isn't named here yet has to find its place.
ROOMS = [
    "cli app",
    "runs comparison report certificates",
    "adapters listing",
    "explainer",
    "together describing",
    "algorithms attribution",
    "toolbox surrogate",
    "checks metrics",
    "fitness",
    "objectives",
    "operators backends",
    "explanation",
    "plotting picking pages progress saving",
    "images views segmentation geometry masking",
    "archive individual chance budget pareto",
    "registry identity",
    "specs",
    "errors typing defaults files digests processes wording",
]
LEVEL = {room: -level for level, rooms in enumerate(ROOMS) for room in rooms.split()}
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent != ROOT / "demo"]


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports when it runs; those for the type checker don't count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "deap_xai"}


def rooms_of(path: Path) -> set[str]:
    parts = {name.split(".")[1] for name in imports(path) if "." in name}
    return {part for part in parts if (ROOT / part).is_dir() or (ROOT / f"{part}.py").is_file()}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_point_down(path):
    if path == ROOT / "__init__.py":
        assert rooms_of(path) == set()  # public names load when they are used
        return
    here = room(path)
    for other in rooms_of(path) - {here}:
        assert other != "demo" or here in ("cli", "app"), f"{path.name} looks into the demo"
        assert other == "demo" or LEVEL[other] <= LEVEL[here], f"{here} imports {other}, above it"


def test_no_room_goes_round_in_circles():
    uses: dict[str, set[str]] = {}
    for path in FILES:
        uses.setdefault(room(path), set()).update(rooms_of(path) - {room(path), "demo"})
    while uses:
        free = {name for name, others in uses.items() if not others & uses.keys()}
        assert free, f"these import each other: {sorted(uses)}"
        for name in free:
            del uses[name]


@pytest.mark.parametrize("module", ["deap_xai", "deap_xai.cli"])
def test_nothing_heavy_is_loaded_at_the_start(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEAVY = ["torch", "torchvision", "skimage", "matplotlib", "scipy", "deap"]


def test_functions_and_files_stay_short():
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                doc = len((ast.get_docstring(node, clean=False) or "").splitlines())
                length = node.end_lineno - node.body[0].lineno + 1 - doc
                assert length < 50, f"{path.name}: {node.name} has {length} lines"
