"""Where does the time of a typical run go?

Question: of one explanation with the default settings on MobileNetV2 at 224x224 (random weights,
which don't change the time), which functions hold the time, as pyinstrument samples it?

Command: python benchmarks/profile_run.py
Output: results/profile.txt, the tree of calls that hold more than 2 % of the time. Takes half a
minute.
"""

from __future__ import annotations

import _common
import numpy as np
import torch
import torchvision
from pyinstrument import Profiler
from pyinstrument.renderers import ConsoleRenderer

from deap_xai import Explainer


def main() -> None:
    """Profile the second of two runs, print and write the tree."""
    parser = _common.arguments(__doc__, "profile")
    options = parser.parse_args()
    torch.manual_seed(0)
    module = torchvision.models.mobilenet_v2(weights=None)
    side, budget = (64, 30) if options.smoke else (224, None)
    explainer = Explainer(module, size=side, device="cpu", budget=budget)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    explainer.explain(image)  # batch sizes are measured, caches filled
    with Profiler() as profiler:
        e = explainer.explain(image)
    renderer = ConsoleRenderer(processor_options={"filter_threshold": 0.02})
    tree = "\n".join(line.rstrip() for line in profiler.output(renderer).splitlines()[8:])
    text = f"# {_common.machine()}\n# {e.model_calls} model calls in {e.seconds:.2f} s\n{tree}\n"
    print(text)
    if not options.smoke:
        options.out.with_suffix(".txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
