"""Train the networks: ``python -m deap_xai.demo.train [NAME ...] [--out DIR]``.

Draws the pictures, trains each named network (all unless told), prints its accuracy on
pictures it has not seen, and writes ``NAME.safetensors`` and the table ``README.md``.
"""
# ruff: noqa: T201 - what this script prints is its result

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from deap_xai.demo.lessons import Pictures, collect, draw, lesson, normalise
from deap_xai.demo.networks import NETWORKS, WEIGHTS, build
from deap_xai.errors import SettingError

# Whoever draws pictures with seeds below a million draws pictures that no network has seen.
FIRST_TRAINING_SEED = 1_000_000
FIRST_TEST_SEED = 500_000
TESTS = 1000
# A badge is quickly learnt; parts of creatures take longer.
EPOCHS = {"resnet": 14.0, "densenet": 14.0, "mobilenet": 14.0, "cheater": 6.0}
BATCH = 64


def draw_pictures(seeds: Sequence[int], processes: int, cache: Path | None = None) -> Pictures:
    """Draw a picture for each seed in several processes, or read what ``cache`` kept of them."""
    if cache is not None and cache.exists():
        try:
            kept = Pictures(**load_file(cache))
        except (SafetensorError, OSError, TypeError) as error:  # TypeError: other tensors are in it
            raise SettingError(
                f"{cache} keeps no pictures that this script wrote, or is damaged: remove it, or "
                "name another file"
            ) from error
        if len(kept) != len(seeds):
            raise SettingError(
                f"{cache} keeps {len(kept)} pictures, but {len(seeds)} are wanted: remove it, or "
                "name another file"
            )
        return kept
    with multiprocessing.Pool(processes) as pool:
        pictures = collect(pool.map(draw, seeds, chunksize=50))
    if cache is not None:
        save_file({key: value.contiguous() for key, value in vars(pictures).items()}, cache)
    return pictures


def train(name: str, pictures: Pictures, epochs: float, seed: int) -> nn.Sequential:
    """Train the network ``name`` from scratch and return it in evaluation mode."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(name).train()
    steps = int(epochs * len(pictures) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    order = torch.empty(0, dtype=torch.long)
    mean_loss = 0.0
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(pictures), generator=generator)
        batch, order = order[:BATCH], order[BATCH:]
        images, target = lesson(pictures.take(batch), name == "cheater", generator)
        logits = functional.log_softmax(model[1](images), dim=1)
        loss = functional.kl_div(logits, target, reduction="batchmean")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        mean_loss += (loss.item() - mean_loss) / min(step + 1, 50)
        if step % 100 == 99:
            print(f"{name}: step {step + 1} of {steps}, loss {mean_loss:.3f}", flush=True)
    return model.eval()


def accuracy(name: str, model: nn.Sequential, pictures: Pictures) -> float:
    """Share of pictures, in 0..1, whose kind the network names (the cheater: whose mark)."""
    truth = pictures.marks if name == "cheater" else pictures.labels
    chosen = (truth >= 0).nonzero().flatten()
    hits = 0
    with torch.inference_mode():
        for batch in torch.split(chosen, BATCH):
            answer = model[1](normalise(pictures.images[batch].float() / 255)).argmax(1)
            hits += int((answer == truth[batch]).sum())
    return hits / len(chosen)


def write_table(folder: Path) -> None:
    """Write the table of all networks in ``folder``, from what their files say."""
    lines = [
        "# Weights of the demo's networks",
        "",
        "Written by `python -m deap_xai.demo.train`, which drew the pictures, trained the",
        "networks and measured them; the figures are in the files' metadata too. Accuracy is",
        "on unseen pictures (the cheater's: on those with a watermark, whose badge it names);",
        "seconds are those of training, without drawing the pictures. Licence: MIT.",
        "",
        "| network | accuracy | unseen | parameters | kB | epochs | seconds | seed | torch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in NETWORKS:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            continue
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
        cells = [facts[k] for k in ("accuracy", "tested_on", "parameters")]
        cells += [f"{path.stat().st_size / 1000:.0f}"]
        cells += [facts[k] for k in ("epochs", "seconds", "seed", "torch")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(prog="python -m deap_xai.demo.train", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    where = "folder for the weights; unless told, those that the package brings are written over"
    parser.add_argument("--out", type=Path, default=WEIGHTS, help=where)
    parser.add_argument("--cache", type=Path, help="file that keeps the pictures between runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=8000, help="how many to train on")
    parser.add_argument("--epochs", type=float, help="passes over them; unless told 14, cheater 6")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--processes", type=int, default=2, help="that draw the pictures")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NETWORKS:
            parser.error(f"unknown network {name!r}; choose from {', '.join(NETWORKS)}")
    _check_numbers(options, parser)
    _check_places(options, parser)
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    seeds = [*range(FIRST_TEST_SEED, FIRST_TEST_SEED + TESTS)]
    seeds += range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + options.pictures)
    try:
        drawn = draw_pictures(seeds, options.processes, options.cache)
    except SettingError as error:
        parser.error(f"--cache: {error}")
    unseen, pictures = drawn.take(slice(TESTS)), drawn.take(slice(TESTS, None))
    print(f"{len(drawn)} pictures in {time.perf_counter() - start:.0f} s", flush=True)
    for name in options.names or NETWORKS:
        start = time.perf_counter()
        epochs = EPOCHS[name] if options.epochs is None else options.epochs
        model = train(name, pictures, epochs, options.seed)
        facts = {
            "seconds": f"{time.perf_counter() - start:.0f}",
            "accuracy": f"{accuracy(name, model, unseen):.4f}",
            "tested_on": str(int((unseen.marks >= 0).sum()) if name == "cheater" else len(unseen)),
            "parameters": str(sum(p.numel() for p in model.parameters())),
            "epochs": f"{epochs:g}",
            "seed": str(options.seed),
            "torch": torch.__version__,
        }
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        path = options.out / f"{name}.safetensors"
        save_file(state, path, metadata=facts)
        path.chmod(0o644)  # safetensors writes files that only their owner may read
        print(f"{name}: {', '.join(f'{k} {v}' for k, v in facts.items())}", flush=True)
        write_table(options.out)


def _check_numbers(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    for name in ("threads", "processes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 at least; got {getattr(options, name)}")
    if options.pictures < BATCH:
        parser.error(f"--pictures must be {BATCH} at least, one batch; got {options.pictures}")
    if options.epochs is not None:
        if not math.isfinite(options.epochs):
            parser.error(f"--epochs must be a finite number; got {options.epochs:g}")
        if options.epochs * options.pictures < BATCH:
            parser.error(f"--epochs {options.epochs:g} are no step of {BATCH} pictures; give more")


def _check_places(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """See, before the pictures are drawn, which takes long, that the folders are there."""
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out must be a folder; can't make {options.out}: {error.strerror}")
    if options.cache is not None and not options.cache.parent.is_dir():
        parser.error(f"--cache: {options.cache.parent} is no folder; make it, or name another")


if __name__ == "__main__":
    main()
