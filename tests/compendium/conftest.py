"""A toy study of three notebooks in a folder of its own, run through the real runner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PATIENCE_S = 900  # a crowded machine is no fault
HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   sarcnet:
#     settings: {settings}
# ---

# %% [markdown]
# # {name}

# %% tags=["parameters"]
run_dir: str = "runs/toy"  # folder of the run
seed: int = 1  # root of all random numbers
{parameters}

# %%
from sarcnet.compendium.stage import Stage
from toy.settings import {settings_name}

stage = Stage.open("{name}", {settings_name}, vars())
"""
SETTINGS = """
from pydantic import Field
from sarcnet.compendium.params import Settings


class First(Settings):
    patients: int = Field(description="number of patients", ge=1)
    rate: float = Field(description="per month", gt=0)


class Second(Settings):
    tile_um: float = Field(description="µm, side of a tile", gt=0)


class Third(Settings):
    pass
"""
BODIES = {
    "00_one": (
        "First",
        "patients: int = 4  # patients\nrate: float = 0.5  # per month",
        "from toy.make import numbers\n\n"
        'stage.set_data_kind("simulated")\n'
        'stage.output("numbers.txt").write_text(numbers(stage.settings.patients))\n'
        'stage.output("secret.txt", readers=("02_three",)).write_text("the outcome")\n',
    ),
    "01_two": (
        "Second",
        "tile_um: float = 112.0  # µm, side of a tile",
        'text = stage.input("00_one/numbers.txt").read_text()\n'
        'stage.output("count.txt").write_text(str(len(text.split())))\n',
    ),
    "02_three": (
        "Third",
        "",
        "from toy import plots\n\n"
        'count = int(stage.input("01_two/count.txt").read_text())\n'
        'stage.input("00_one/secret.txt")\n'
        'stage.number("count", plots.double(count), n=count, unit="patients")\n',
    ),
}


@dataclass
class Toy:
    """A repository with three toy notebooks; `run(...)` is the command line."""

    root: Path
    bodies: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, body: str | None = None) -> None:
        """(Re)write a notebook's source with another body, and the .ipynb made of it."""
        settings, parameters, usual = BODIES[name]
        head = HEADER.format(
            settings=f"toy.settings:{settings}", settings_name=settings, name=name, parameters=parameters
        )
        text = (
            head
            + "\n# %% [markdown]\n# Work.\n\n# %%\n"
            + (usual if body is None else body)
            + "\n# %%\nstage.close()\n"
        )
        source = self.root / "notebooks" / "src" / f"{name}.py"
        source.write_text(text)
        from sarcnet.compendium.notebooks import to_ipynb

        (self.root / "notebooks" / f"{name}.ipynb").write_text(to_ipynb(text))

    def profile(self, text: str, name: str = "toy") -> None:
        (self.root / "papermill_params" / f"{name}.yaml").write_text(text)

    def run(self, *words: str, verb: str = "run", profile: str = "toy") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sarcnet.cli.main", verb, profile, *words]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def start(self) -> subprocess.Popen[bytes]:
        """A run that goes on by itself."""
        command = [sys.executable, "-m", "sarcnet.cli.main", "run", "toy"]
        return subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=subprocess.DEVNULL)

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(self.root), os.environ.get("PYTHONPATH")]))
        return {**os.environ, "SARCNET_ROOT": str(self.root), "PYTHONPATH": path}

    def stage(self, name: str) -> Path:
        return self.root / "runs" / "toy" / name


def build(root: Path) -> Toy:
    for folder in ("notebooks/src", "papermill_params", "toy"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    (root / "requirements.lock.txt").write_text("numpy==2.4.6\n")
    (root / "toy" / "__init__.py").write_text("")
    (root / "toy" / "settings.py").write_text(SETTINGS)
    (root / "toy" / "make.py").write_text('def numbers(count):\n    return " ".join(map(str, range(count)))\n')
    (root / "toy" / "plots.py").write_text("def double(count):\n    return 2 * count\n")
    toy = Toy(root)
    toy.profile("rate: 0.25  # per month\n")
    for name in BODIES:
        toy.write(name)
    return toy


@pytest.fixture(scope="session")
def build_toy() -> Callable[[Path], Toy]:
    return build


@pytest.fixture
def fresh(tmp_path: Path) -> Toy:
    """A toy study that has not run."""
    return build(tmp_path / "study")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy study that ran once; not to be changed, see :func:`done`."""
    toy = build(tmp_path_factory.mktemp("finished") / "study")
    outcome = toy.run()
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return toy


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy study whose first stage alone has run; not to be changed, see :func:`half_done`."""
    toy = build(tmp_path_factory.mktemp("begun") / "study")
    outcome = toy.run("--upto", "00")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return toy


@pytest.fixture
def half_done(begun: Toy, tmp_path: Path) -> Toy:
    """A private copy of the toy study whose first stage has run."""
    shutil.copytree(begun.root, tmp_path / "study", copy_function=shutil.copy2)
    return Toy(tmp_path / "study")


@pytest.fixture
def done(finished: Toy, tmp_path: Path) -> Callable[[], Toy]:
    """Gives a private copy of the finished toy study, at the same relative paths."""

    def copy() -> Toy:
        shutil.copytree(finished.root, tmp_path / "study", copy_function=shutil.copy2)
        return Toy(tmp_path / "study")

    return copy
