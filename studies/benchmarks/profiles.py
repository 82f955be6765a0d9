"""Times profiles from nothing, in folders of their own, against the time that each may take."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from sarcnet.compendium.excluded import WITH_LOSSES
from sarcnet.compendium.manifest import machine
from sarcnet.compendium.study import Study

BUDGET_S = {"smoke": 120.0, "demo": 360.0, "study": 1800.0}
AGAIN_S = 5.0


def bench(profiles: Sequence[str]) -> int:
    """Run each profile from nothing and once more unchanged; print one table. Returns 1 when a run failed."""
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB")
    print(f"{'profile':10}{'stage':24}{'seconds':>9}{'share':>8}{'of budget':>11}")
    for profile in profiles:
        with tempfile.TemporaryDirectory(prefix="sarcnet-bench-") as folder:
            path = moved(Study.load(profile), Path(folder))
            first = timed(path)
            if first is None:
                print(f"{profile}: the run failed; run `sarcnet run {profile}` to see why.")
                return 1
            again = timed(path)
            manifest = json.loads((Path(folder) / "run" / "manifest.first.json").read_text())
        for stage, facts in manifest["stages"].items():
            print(f"{profile:10}{stage:24}{facts['wall_s']:9.1f}{facts['wall_s'] / first:8.0%}")
        budget = BUDGET_S.get(profile)
        print(
            f"{profile:10}{'all, from nothing':24}{first:9.1f}{1:8.0%}" + (f"{first / budget:11.2f}" if budget else "")
        )
        if again is not None:
            print(f"{profile:10}{'all, nothing changed':24}{again:9.1f}{'':8}{again / AGAIN_S:11.2f}")
    return 0


def moved(study: Study, folder: Path) -> Path:
    """A copy of the profile that keeps its results and its cohort in `folder`."""
    values = {**study.values, "run_dir": str(folder / "run")}
    if study.values.get("cohort_kind", "simulated") == "simulated":
        values["cohort_dir"] = str(folder / "cohort")
    path = folder / f"{study.profile}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def timed(profile: Path) -> float | None:
    """Seconds that the command takes, start-up included; None when it failed. Keeps the first manifest."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "sarcnet.cli.main", "run", str(profile)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    manifest = profile.parent / "run" / "manifest.json"
    first = manifest.with_name("manifest.first.json")
    if manifest.exists() and not first.exists():
        first.write_text(manifest.read_text())
    return seconds if done.returncode in (0, WITH_LOSSES) else None


if __name__ == "__main__":
    sys.exit(bench(sys.argv[1:] or ["smoke", "demo"]))
