"""Find the watermark: a classifier that is right for the wrong reason, over two dozen pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

import deap_xai as dx
from deap_xai.demo import creature

with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder, "photos")
    photos.mkdir()
    lines = ["path,label"]
    for seed in range(20_000, 20_024):
        picture = creature(seed, watermark="true")
        Image.fromarray(picture.image).save(photos / f"{seed}.png")
        lines.append(f"photos/{seed}.png,{picture.name}")
    table = Path(folder, "photos.csv")
    table.write_text("\n".join(lines))

    # As in the shell: deap-xai batch photos.csv --model demo:name=cheater --budget 60 --out run/
    run = Path(folder, "run")
    dx.batch(table, "demo:name=cheater", run, workers=1, budget=60)
    found = dx.summary(run)

everything = found.classes[0]
print(f"{everything.right:.0%} of {everything.pictures} pictures are predicted right. But:")
for place in found.places:
    who = place.target_name or "all classes"
    print(
        f"  the {place.where} holds {place.share:.0%} of what is kept for {who}; "
        f"by chance it would be kept in {place.expected:.0%}, it is in {place.coverage:.0%}"
    )
print(found.table())
