"""Make the documentation's pictures: ``python docs/images/make.py``.

From the demo networks, with fixed seeds. The screenshot needs Chromium and is left as it is where
there is none; ``demo.png`` is what ``deap-xai demo`` draws.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib as mpl
from PIL import Image

import deap_xai as dx
from deap_xai.demo import creature

FOLDER = Path(__file__).parent


def main():
    """Write all pictures."""
    mpl.use("Agg")
    explanation = dx.Explainer("demo", budget=300).explain(creature(seed=10_003).image)
    save(explanation.plot(), "overview.png")
    save(explanation.plot_front().figure, "front.png")
    with tempfile.TemporaryDirectory() as folder:
        save(cheater_summary(Path(folder)).plot_maps(), "summary.png")
        screenshot(explanation.report(Path(folder, "report.html"), image="creature.png"))


def cheater_summary(folder):
    """A summary of what the cheating network looks at."""
    photos = folder / "photos"
    photos.mkdir()
    for seed in range(20_000, 20_060):
        picture = creature(seed, label=seed % 3, watermark="true")
        Image.fromarray(picture.image).save(photos / f"{seed}.png")
    dx.batch(photos, "demo:name=cheater", folder / "run", workers=1, budget=40)
    return dx.summary(folder / "run")


def save(figure, name):
    """Write a figure, small enough for a repository."""
    figure.savefig(FOLDER / name, dpi=100)


def screenshot(page):
    """The upper part of a page as Chromium shows it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium on the PATH: report.png stays as it is")  # noqa: T201  # a script
        return
    out = FOLDER / "report.png"
    flags = "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --force-color-profile=srgb"
    with tempfile.TemporaryDirectory() as profile:
        own = [f"--user-data-dir={profile}", "--window-size=1000,760", f"--screenshot={out}"]
        command = [chromium, *flags.split(), *own, page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    Image.open(out).convert("RGB").quantize(256).save(out, optimize=True)


if __name__ == "__main__":
    main()
