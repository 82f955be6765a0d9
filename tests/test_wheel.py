"""The wheel carries all that its users need: installed in an empty environment, away from the repository, it works.

The environment borrows this one's libraries; of ours it has nothing but the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sarcnet", "virtual_cohort")
APP = """
from importlib import resources
from pathlib import Path
import sarcnet, virtual_cohort
from flwr.cli.config_utils import load_and_validate
for package in (sarcnet, virtual_cohort):
    assert Path(package.__file__).is_relative_to({home!r}), package.__file__
config, warnings = load_and_validate(Path(str(resources.files("sarcnet.federated"))) / "flower_app" / "pyproject.toml")
print(config["tool"]["flwr"]["app"]["components"]["clientapp"], warnings)
"""


def clean() -> dict[str, str]:
    """Variables that do not lead back to the repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SARCNET_"))}


def files_of_the_repository() -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return {name for name in listed if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, as building leaves files beside the code."""
    source = tmp_path_factory.mktemp("source")
    for name in [*files_of_the_repository(), "pyproject.toml", "README.md", "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", "wheel", "."], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (source / "wheel").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel and, by a .pth file, the libraries of this one."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    command = [sys.executable, "-m", "pip", "--python", home, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True, env=clean())
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def in_environment(environment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, started away from the repository and not knowing where that is."""
    command = [str(environment / "bin" / words[0]), *words[1:]]
    return subprocess.run(command, cwd=environment, env=clean(), capture_output=True, text=True)


def test_no_file_is_left_out(wheel):
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert carried == files_of_the_repository()


def test_the_command_starts(environment):
    done = in_environment(environment, "sarcnet", "--help")
    assert done.returncode == 0, done.stderr
    assert "run the stages of a profile" in done.stdout


def test_the_virtual_cohort_and_the_flower_app_are_there(environment):
    done = in_environment(environment, "python", "-c", APP.format(home=str(environment.resolve())))
    assert done.stdout == "sarcnet_app.client:app []\n", done.stderr
