"""What the benchmarks share: where the data is, what the machine is, how tables are written."""

from __future__ import annotations

import argparse
import csv
import functools
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = "deap-xai deap numpy scikit-image torch torchvision captum lime shap".split()


def arguments(doc: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with ``--smoke`` and ``--out``; the script's docstring is its help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, nothing written")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.csv", metavar="FILE")
    return parser


def data_folder() -> Path | None:
    """The folder with real models and photographs, or None.

    ``DEAP_XAI_DATA`` names it; else ``shared/data`` beside the repository is looked at.
    """
    folder = Path(os.environ.get("DEAP_XAI_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "images" / "labels.csv").is_file():
        return None
    os.environ["TORCH_HOME"] = str(folder / "torch_home")
    return folder


def require_data(smoke: bool) -> Path:
    """The data folder; without one the script ends, kindly in a smoke run."""
    folder = data_folder()
    if folder is None:
        print("skipped: no real models and photographs; DEAP_XAI_DATA names their folder")
        sys.exit(0 if smoke else 1)
    return folder


def labelled_photographs(folder: Path) -> list[tuple[Path, int]]:
    """Photographs and their class indexes, in the order of ``labels.csv``."""
    with (folder / "images" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (folder / "images" / row["file"], int(row["class_index"]))
        for row in rows
        if row["class_index"].isdecimal()
    ]


def machine() -> str:
    """Processor, cores, Python and packages: what a figure depends on."""
    packages = ", ".join(filter(None, map(_version, PACKAGES)))
    return f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}"


@functools.cache
def backend(model: str, engine: str = "openvino") -> Any:
    """A torchvision classifier on one thread of the CPU; OpenVINO answers faster.

    Both engines compute in fp32.
    """
    import torch
    import torchvision

    from deap_xai.backends.torch_module import TorchBackend

    torch.set_num_threads(1)  # one process a core
    data_folder()
    weights = torchvision.models.get_model_weights(model).DEFAULT
    module = torchvision.models.get_model(model, weights=weights)
    if engine == "openvino":
        module = _compiled(module.eval())
    names = weights.meta["categories"]
    made = TorchBackend(module, transform=weights.transforms(), class_names=names, device="cpu")
    made.name = model
    return made


def _compiled(module: Any) -> Any:
    """A module that OpenVINO runs in fp32."""
    import openvino
    import torch

    example = torch.zeros(8, 3, 224, 224)
    with torch.no_grad():
        converted = openvino.convert_model(module, example_input=example, input=[-1, 3, 224, 224])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # else all processes share the first core
    }
    compiled = openvino.Core().compile_model(converted, "CPU", settings)

    class Compiled(torch.nn.Module):
        def forward(self, inputs: Any) -> Any:
            return torch.from_numpy(compiled(inputs.contiguous().numpy())[0])

    return Compiled()


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:  # a rival's
        return ""


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], /, **facts: Any) -> None:
    """Write rows as CSV, with the machine and further facts in ``#`` lines above."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        file.write(f"# {machine()}\n")
        for name, value in facts.items():
            file.write(f"# {name}: {value}\n")
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"wrote {path}")


class RowFile:
    """A CSV file that grows row by row, so that a run that was cut off goes on where it was.

    Parameters
    ----------
    path
        The file. Where it exists its rows are read; a last line that was cut off is dropped.
    columns
        Names of the columns; the script ends where the file has others.
    """

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self.path, self.columns = path, list(columns)
        self.rows: list[dict[str, str]] = []
        if path.is_file():
            whole = path.read_text().rpartition("\n")
            if whole[2]:
                path.write_text(whole[0] + whole[1])
            lines = [line for line in whole[0].splitlines() if not line.startswith("#")]
            self.rows = list(csv.DictReader(lines))
            if lines and next(csv.reader(lines)) != self.columns:
                sys.exit(f"{path} has other columns than this script writes; give another --out")
        if not path.is_file() or not path.stat().st_size:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                file.write(f"# {machine()}\n")
                csv.writer(file, lineterminator="\n").writerow(self.columns)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row, at once on disk."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        self.rows.append({key: str(value) for key, value in row.items()})

    def has(self, **key: Any) -> bool:
        """Whether there is a row with these values."""
        return any(all(row[k] == str(v) for k, v in key.items()) for row in self.rows)


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as a Markdown table."""
    rows = list(rows)
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row.values()) + " |")


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")
