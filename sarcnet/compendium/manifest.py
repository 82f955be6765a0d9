"""The record of a run: what was asked, on which machine, with which versions, and how each stage went."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sarcnet.compendium.files import sha256, write_json
from sarcnet.compendium.paths import root, shown
from sarcnet.compendium.study import Study, lock_sha256

PACKAGES = (
    "flwr", "h5py", "ipykernel", "jupyterlab", "lifelines", "lightning", "matplotlib", "numpy", "onnxruntime",
    "openslide-bin", "openslide-python", "pandas", "papermill", "pyvips", "ray", "scikit-image", "scipy", "seaborn",
    "torch",
)  # fmt: skip


def now() -> str:
    """The time, for the record only; no result depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """Commit and whether tracked files differ from it; empty outside a git checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root(), capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def machine() -> dict[str, Any]:
    """Processor, cores and memory."""
    import psutil

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory_gb = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": memory_gb, "system": platform.platform()}


class Manifest:
    """`runs/<profile>/manifest.json`: written when the run begins and after every change."""

    def __init__(self, study: Study) -> None:
        self.path = study.run_dir / "manifest.json"
        self.content: dict[str, Any] = {
            "status": "running",
            "profile": study.profile,
            "profile_file": shown(study.profile_path),
            "profile_sha256": sha256(study.profile_path),
            "parameters": {name: value for item in study.notebooks for name, value in study.parameters(item).items()},
            "command": ["sarcnet", *sys.argv[1:]],
            "started": now(),
            "git": git_state(),
            "lock_sha256": lock_sha256(),
            "python": platform.python_version(),
            "packages": versions(),
            "machine": machine(),
            "stages": {},
        }
        self.save()

    def stage(self, name: str, **facts: Any) -> None:
        """Add facts about one stage and save."""
        self.content["stages"].setdefault(name, {}).update(facts)
        self.save()

    def finish(self, status: str) -> None:
        """Note how the run ended: "ok", "failed" or "interrupted"."""
        self.content.update(status=status, finished=now())
        self.save()

    def save(self) -> None:
        """Write the file, whole."""
        write_json(self.path, self.content)
