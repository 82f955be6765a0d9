"""How fast are slides turned into features, beside other tools? `make bench-slides` measures and writes one table.

Every tool is run by a script of its own (folder `tools`) with the Python of an environment of its own, made on demand
with pinned versions; all in one run on one machine, so their ratios mean more than their numbers. A tool that cannot
be installed or measured keeps its row, with the reason. This process only starts others and stays small, because the
peak memory that Linux tells of a child includes what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path, write_json
from studies.benchmarks.slides.measurement import BATCH_TILES, JOBS, TOOLS, Measured, Tool

INSTALL_S, WORKER_S = 480, 900  # longest a tool may take to install, and to measure one slide
TILES = (
    640  # some rows of the rendered slide: on fewer, JPEG tiles at the borders of what is read weigh more than in use
)
IDLE = ("idle", "iowait", "guest", "guest_nice")  # guests are counted under user already
KEYS = {"version": str, "seconds": dict, "counts": dict, "why_not": dict, "colours": list, "peak_mb": float}
ROOT = Path(__file__).resolve().parents[3]
WORKERS = Path(__file__).parent / "tools"


def environment(tool: Tool, folder: Path) -> Path:
    """Python of an environment with the tool's pinned requirements, made in `folder` where it is not there yet.

    Raises:
        SarcnetError: it cannot be installed, with the installer's last word.
    """
    if not tool.requirements:
        return Path(sys.executable)
    home = folder / tool.name.lower()
    python, ready = home / "bin" / "python", home / "ready.json"
    if ready.exists() and json.loads(ready.read_text(encoding="utf-8")) == list(tool.requirements):
        return python
    uv = str(Path(sys.executable).with_name("uv"))
    index = os.environ.get("TORCH_INDEX")
    extra = ["--index", index, "--index-strategy", "unsafe-best-match"] if index else []
    _install([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], tool)
    _install([uv, "pip", "install", "--quiet", "--python", str(python), *extra, *tool.requirements], tool)
    write_json(ready, list(tool.requirements))
    return python


def _install(command: list[str], tool: Tool) -> None:
    given = os.environ | {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")}
    try:
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SarcnetError(f"{tool.name} could not be installed: {_last(str(error))}") from error
    if done.returncode:
        raise SarcnetError(f"{tool.name} could not be installed: {_last(done.stderr)}")


def run_worker(python: Path, script: Path, task: Mapping[str, Any], *, tool: str, slide: str) -> Measured:
    """Start `script` on `task` and read the JSON object on its last line; whatever goes wrong becomes `failed`."""
    with tempfile.TemporaryDirectory() as name:
        write_json(Path(name) / "task.json", dict(task))
        command = [str(python), str(script), str(Path(name) / "task.json")]
        quiet = os.environ | {"TMPDIR": name, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=WORKER_S, env=quiet, cwd=name)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Measured(tool, slide, failed=_last(str(error)))
    if done.returncode:
        return Measured(tool, slide, failed=f"ended with code {done.returncode}: {_last(done.stderr)}")
    try:
        result = json.loads(_last(done.stdout))
        wrong = [key for key, kind in KEYS.items() if not isinstance(result[key], kind)]
    except (ValueError, KeyError, TypeError) as error:
        return Measured(tool, slide, failed=f"printed no result ({type(error).__name__}: {error})")
    if wrong:
        return Measured(tool, slide, failed=f"printed a result with wrong {', '.join(wrong)}")
    return Measured(tool, slide, **{key: result[key] for key in KEYS})


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"


def measure(
    slides: Mapping[str, Path], *, folder: Path, tiles: int, repeats: int, tools: Iterable[Tool] = TOOLS
) -> list[Measured]:
    """Every tool on every slide, sarcnet first; a row for each, measured or failed.

    Args:
        slides: what they are called in the table -> their files.
        folder: where environments are kept.
        tiles: tiles of a slide that are read and encoded, the first of its tissue, row by row. A slide that has fewer is
            read as often as it takes to get there, as a cohort of small slides.
        repeats: how often everything is done; the table has the median.
    """
    tools, rows = list(tools), []
    pythons = {tool.name: _python(tool, folder) for tool in tools}
    for slide, path in slides.items():
        command = [sys.executable, "-m", "studies.benchmarks.slides.tiles", str(path), str(tiles)]
        task = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        task |= {"batch_tiles": BATCH_TILES, "jobs": JOBS, "repeats": repeats}
        task["copies"] = -(-tiles // len(task["corners"]))
        for tool in tools:
            python = pythons[tool.name]
            if isinstance(python, str):
                rows.append(Measured(tool.name, slide, failed=python))
                continue
            print(f"{tool.name} on the {slide} slide: {task['copies']} × {len(task['corners'])} tiles", flush=True)
            start, before = time.perf_counter(), _others_s()
            row = run_worker(python, WORKERS / tool.script, task, tool=tool.name, slide=slide)
            row.others_cores = max(0.0, _others_s() - before) / (time.perf_counter() - start)
            rows.append(row)
    return rows


def _others_s() -> float:
    """Processor seconds, since the machine started, that did not go to what this process started and has waited for."""
    busy = sum(value for name, value in psutil.cpu_times()._asdict().items() if name not in IDLE)
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return busy - own.ru_utime - own.ru_stime


def _python(tool: Tool, folder: Path) -> Path | str:
    """The tool's Python, or why there is none."""
    if tool.absent:
        return tool.absent
    try:
        return environment(tool, folder)
    except SarcnetError as error:
        return str(error)


def _rendered(folder: Path, *, side_px: int) -> dict[str, Path]:
    """The rendered slide with levels in steps of 2, and in steps of 4 as Aperio has them; written where missing."""
    slides = {"rendered": folder / f"rendered_{side_px}.svs", "rendered ×4": folder / f"rendered_{side_px}_by_4.svs"}
    if not all(path.exists() for path in slides.values()):
        plain, by_4 = map(str, slides.values())
        print(f"Writing {plain} and {by_4}", flush=True)
        subprocess.run(
            [sys.executable, "-m", "studies.benchmarks.slides.make_slide", plain, str(side_px), by_4], check=True
        )
    return slides


def _warm(path: Path) -> None:
    """Read the file once, so that no tool pays for the disk; in pieces, see above."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def main() -> None:
    """Make the slide and the environments where they are not there yet, measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("data/bench"), help="keeps the slide and the environments")
    parser.add_argument("--real", type=Path, help="a real slide, measured beside the rendered one")
    parser.add_argument("--tiles", type=int, default=TILES, help=f"tiles of each slide ({TILES})")
    parser.add_argument("--repeats", type=int, default=3, help="times everything is measured (3)")
    parser.add_argument("--side-px", type=int, default=40_000, help="side of the rendered slide (40000)")
    parser.add_argument(
        "--report", type=Path, default=Path("docs/benchmark-slides.md"), help="the page that is written"
    )
    given = parser.parse_args()
    slides = _rendered(given.folder, side_px=given.side_px) | ({"real": given.real} if given.real else {})
    for path in slides.values():
        _warm(path)
    rows = measure(slides, folder=given.folder.resolve(), tiles=given.tiles, repeats=given.repeats)
    from studies.benchmarks.slides.report import page  # here, since this process has to stay small until then

    text = page(rows, slides=slides, tiles=given.tiles, repeats=given.repeats, side_px=given.side_px)
    with atomic_path(given.report) as part:
        part.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
