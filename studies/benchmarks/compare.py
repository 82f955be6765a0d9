"""Is this checkout slower than another one? `make bench-compare BASE=../other` runs the cheap benchmarks of both, in turns.

What is compared is the processor time of the whole command, its processes included, which other work on the machine
changes little. A ratio is here over there: above 1, this checkout is slower. Printed are the ratio of the medians over
the turns, and the smallest and the largest ratio of one turn, which say how far to believe it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = {
    "rendering": ("studies.benchmarks.rendering", ()),
    "crossval": ("studies.benchmarks.crossval", ("--patients", "160", "--epochs", "4")),
    "bootstrap": ("studies.benchmarks.bootstrap", ("--samples", "4000", "--loops", "2")),
    "interpret": ("studies.benchmarks.interpret", ()),
    "readers": ("studies.benchmarks.slides.readers", ("--tiles", "160", "--repeats", "3")),
    "memory": ("studies.benchmarks.slides.memory", ("--tiles", "2000")),
}
LIMIT = 1.05  # ratio above which this checkout is called slower


def processor_s(checkout: Path, module: str, arguments: tuple[str, ...]) -> float:
    """Processor seconds of one benchmark in one checkout.

    Args:
        checkout: root folder of the repository whose code runs.
        module: run with `python -m`.
        arguments: its options.

    Raises:
        SystemExit: the benchmark failed; its last words are printed.
    """
    before = os.times()
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{module} in {checkout} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    """Print one line per benchmark; returns 1 where this checkout is slower in the median and in every turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="root folder of the other checkout, as `git worktree add` makes one")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--turns", type=int, default=3, help="times that both are run")
    parser.add_argument(
        "--renamed", nargs="+", default=[], metavar="NAME=MODULE", help="where the other checkout has a benchmark"
    )
    options = parser.parse_args()
    modules_of_base = dict(pair.split("=", 1) for pair in options.renamed)
    slower = []
    print(f"{'benchmark':12}{'there, s':>10}{'here, s':>10}{'ratio':>8}{'turns':>16}")
    for name in options.only:
        module, arguments = BENCHMARKS[name]
        base_s, here_s = [], []
        for _ in range(options.turns):
            base_s.append(processor_s(options.base.resolve(), modules_of_base.get(name, module), arguments))
            here_s.append(processor_s(ROOT, module, arguments))
        ratio, turns = median(here_s) / median(base_s), [here / base for here, base in zip(here_s, base_s, strict=True)]
        spread = f"{min(turns):.3f} to {max(turns):.3f}"
        print(f"{name:12}{median(base_s):10.1f}{median(here_s):10.1f}{ratio:8.3f}{spread:>16}", flush=True)
        if min(ratio, *turns) > LIMIT:
            slower.append(name)
    if slower:
        print(f"Slower than {LIMIT:g} times: {', '.join(slower)}.")
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())
