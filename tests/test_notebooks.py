"""The example notebooks run from top to bottom, and are kept without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def run(path, out):
    """Execute a notebook, in a process of its own: kernels leave sockets and loops behind."""
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason=f"{module} isn't installed")
    done = subprocess.run(
        [sys.executable, "-c", RUN, path, out],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    return [cell.get("outputs", []) for cell in cells if cell["cell_type"] == "code"]


def kinds(outputs):
    return {kind for output in outputs for kind in output.get("data", {})}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_first_explanation_shows_itself(tmp_path):
    outputs = run(FOLDER / "first_explanation.ipynb", tmp_path / "run.ipynb")
    shown = outputs[2]  # where it is explained: the progress bar, then the explanation itself
    assert "image/png" in kinds(shown)
    assert "calls" in json.dumps(shown)
    assert "image/png" in kinds(outputs[5])  # panels on axes of the reader's
    assert not any(output["output_type"] == "error" for cell in outputs for output in cell)


def test_operators_are_swapped_and_compared(tmp_path):
    outputs = run(FOLDER / "swap_and_compare.ipynb", tmp_path / "run.ipynb")
    table = "".join(line for output in outputs[1] for line in output["text"])
    assert [line.split()[0] for line in table.splitlines()] == [
        "cxOnePoint", "cxUniform:indpb=0.5", "cxRegion",
    ]  # fmt: skip
    assert "image/png" in kinds(outputs[2])
    assert "image/png" in kinds(outputs[3])
    assert "model calls" in json.dumps(outputs[4])
