"""ReX as a rival: in a Python of its own, since its package (rex-xai) wants NumPy 1.

    python -m venv rex && rex/bin/pip install rex-xai
    python benchmarks/rivals.py --methods rex … --rex-python rex/bin/python

Chockler, Kroening and Sun, "Explanations for Occluded Images", ICCV 2021. Run by that Python, this
file is the other end of a pipe: it sends masked views, bytes (n, h, w, 3), and gets for each the
most probable class and its probability. ReX hides boxes that it splits by chance, not superpixels;
the fill and the backend are the same, and distinct masked views are counted as model calls. Its
responsibility of each pixel is averaged over superpixels. It explains the most probable class.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import IO, Any

import numpy as np

ROUNDS = 1000  # of ReX's search, each with other boxes; the budget ends before


def rex(evaluator: Any, calls: int, seed: int, python: str) -> np.ndarray:
    """ReX's responsibility of each superpixel, (S,), after so many model calls."""
    view, fill = evaluator.view, evaluator.masked_view.fill
    command = [python, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        start = {"shape": view.shape, "target": evaluator.target, "seed": seed}
        _send(process.stdin, json.dumps(start).encode(), view.tobytes(), fill.tobytes())
        answered: dict[bytes, tuple[float, float]] = {}
        while (n := struct.unpack("<q", _read(process.stdout, 8))[0]) > 0:
            views = np.frombuffer(_read(process.stdout, n * view.size), np.uint8)
            answers = _answer(evaluator, views.reshape(n, *view.shape), answered, calls)
            _send(process.stdin, answers.tobytes())
        pixels = np.frombuffer(_read(process.stdout, 4 * view[..., 0].size), np.float32)
    labels = evaluator.segments.ravel()
    return np.bincount(labels, pixels) / np.bincount(labels)


def _answer(
    evaluator: Any, views: np.ndarray, answered: dict[bytes, tuple[float, float]], calls: int
) -> np.ndarray:
    """Class and probability of each view; class -1 for new ones once the calls are spent."""
    keys = [one.tobytes() for one in views]
    new = {key: one for key, one in zip(keys, views, strict=True) if key not in answered}
    allowed = list(new)[: max(0, calls - evaluator.calls)]
    if allowed:
        rows = evaluator.backend.predict(np.array([new[key] for key in allowed]))
        evaluator.budget.spent += len(allowed)
        for key, row in zip(allowed, rows, strict=True):
            answered[key] = float(row.argmax()), float(row.max())
    ended = -1.0 if len(allowed) < len(new) or evaluator.calls >= calls else 0.0
    return np.array([(*answered.get(key, (-1.0, 0.0)), ended) for key in keys], np.float32)


def _send(pipe: IO[bytes], *parts: bytes) -> None:
    for part in parts:
        pipe.write(struct.pack("<q", len(part)) + part)
    pipe.flush()


def _read(pipe: IO[bytes], n: int) -> bytes:
    data = pipe.read(n)
    if len(data) < n:
        raise RuntimeError("ReX's process ended early; what it said is above")
    return data


def _receive(pipe: IO[bytes]) -> bytes:
    return _read(pipe, struct.unpack("<q", _read(pipe, 8))[0])


def worker() -> None:
    """The end that runs ReX: knows NumPy 1, torch and rex_xai, nothing of this project."""
    source = sys.stdin.buffer
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what ReX prints mustn't get among the bytes

    import torch
    from rex_xai.input.config import CausalArgs
    from rex_xai.input.input_data import Data
    from rex_xai.responsibility.prediction import Prediction
    from rex_xai.responsibility.resp_maps import ResponsibilityMaps
    from rex_xai.responsibility.responsibility import causal_explanation

    start = json.loads(_receive(source))
    height, width, _ = start["shape"]
    view, fill = (
        torch.from_numpy(
            np.frombuffer(_receive(source), np.uint8).reshape(start["shape"]).transpose(2, 0, 1)
            .astype("float32")
        )[None]
        for _ in range(2)
    )  # fmt: skip
    data = Data(None, [1, 3, height, width], "cpu", mode="RGB")
    data.data = view
    data.mask_value = lambda mask, shown: torch.where(mask, shown, fill)
    ended = False

    def predict(inputs: torch.Tensor, target: Any = None) -> list[Prediction]:
        nonlocal ended
        pixels = inputs.byte().permute(0, 2, 3, 1).contiguous().numpy()
        sink.write(struct.pack("<q", len(pixels)) + pixels.tobytes())
        sink.flush()
        answers = np.frombuffer(_receive(source), np.float32).reshape(-1, 3)
        ended = ended or bool((answers[:, 2] < 0).any())
        return [Prediction(int(label), float(p), target=target) for label, p, _ in answers]

    args = CausalArgs()
    args.seed, args.batch_size, args.verbosity = start["seed"], 14, 0
    data.target = Prediction(start["target"], 1.0)
    maps = ResponsibilityMaps(args.responsibility_style, height, width)
    for i in range(ROUNDS):
        current = maps.get(start["target"])
        maps.merge(causal_explanation(i, data, args, predict, current_map=current)[0])
        if ended:
            break
    found = maps.get(start["target"])
    found = np.zeros((height, width)) if found is None else found
    sink.write(struct.pack("<q", 0) + np.ascontiguousarray(found, np.float32).tobytes())
    sink.flush()


if __name__ == "__main__":
    worker()
