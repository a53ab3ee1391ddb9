"""How long until the command and the package are there?

Question: seconds until ``deap-xai --help`` has ended, until Python has imported ``deap_xai``, and
until Python has started at all; and whether torch is loaded by then. Each in a process of its own,
in turn; medians.

Command: python benchmarks/startup.py
Output: results/startup.csv. Takes half a minute.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import _common

WAYS = {
    "deap-xai --help": "from deap_xai.cli import main; main(['--help'])",
    "import deap_xai": "import deap_xai",
    "Python alone": "pass",
}
LOADED = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "


def main() -> None:
    """Measure, print, write."""
    options = _common.arguments(__doc__, "startup").parse_args()
    rounds = 1 if options.smoke else 20
    found = [{way: started(code) for way, code in WAYS.items()} for _ in range(rounds + 1)]
    rows = [
        {
            "what": way,
            "seconds": round(statistics.median(one[way][0] for one in found[1:]), 3),
            "most": round(max(one[way][0] for one in found[1:]), 3),
            "torch is loaded": any(one[way][1] for one in found),
        }
        for way in WAYS
    ]
    _common.print_table(rows)
    if not options.smoke:
        _common.write_table(options.out, rows, rounds=rounds)


def started(code: str) -> tuple[float, bool]:
    """Seconds until a process that runs some code has ended, and whether it loaded torch."""
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", LOADED + code], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, ran.stdout.split()[-1] == "True"


if __name__ == "__main__":
    main()
