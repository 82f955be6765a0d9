"""What stands around the code says the truth: pins, environment, citation, README, figures."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from sarcnet.cli.main import parser

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "figures"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(*locks: str) -> dict[str, str]:
    lines = [line for lock in locks for line in (ROOT / lock).read_text().splitlines() if "==" in line]
    pairs = [line.split(";")[0].strip().split("==") for line in lines]
    return {normal(name): version for name, version in pairs}


USERS, DEVELOPERS = "requirements.lock.txt", "requirements-dev.lock.txt"


def test_every_dependency_is_pinned_inside_its_range():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dev = project["optional-dependencies"]["dev"]
    for texts, pinned in ((project["dependencies"], pins(USERS)), (dev, pins(USERS, DEVELOPERS))):
        for requirement in map(Requirement, texts):
            assert requirement.specifier.contains(pinned[normal(requirement.name)], prereleases=True), requirement


def test_what_only_developers_need_is_not_installed_for_users():
    assert not pins(USERS).keys() & pins(DEVELOPERS).keys()
    assert {"pytest", "ruff", "mypy", "scikit-survival", "ecos", "import-linter"} <= pins(DEVELOPERS).keys()


def test_conda_environment_parses_and_installs_the_pins():
    from rattler import MatchSpec

    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    names = [MatchSpec(item).name.normalized for item in environment["dependencies"] if isinstance(item, str)]
    assert names[:2] == ["python", "pip"]
    assert environment["dependencies"][-1] == {"pip": ["-r requirements.lock.txt", "-e ."]}


def test_citation_has_what_is_needed_to_cite():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()
    assert citation["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def prose() -> str:
    sources = [ROOT / "README.md", *sorted((ROOT / "notebooks" / "src").glob("*.py"))]
    return "\n".join(path.read_text() for path in sources)


def test_quoted_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = set(re.findall(r"`make ([a-z-]+)", prose())) | set(re.findall(r"^make ([a-z-]+)", prose(), re.MULTILINE))
    assert {"reproduce", "test"} <= quoted <= targets


def test_quoted_commands_parse():
    quoted = re.findall(r"(?:^|`)sarcnet ((?:run|status|publish)[^`\n]*)", prose(), re.MULTILINE)
    for words in quoted:
        parser().parse_args(shlex.split(words))
    for notebook, profile in re.findall(r"papermill (notebooks/\S+) \S+ -f (\S+)", prose()):
        assert (ROOT / notebook).exists()
        assert (ROOT / profile).exists()


def test_every_command_has_a_verb():
    """Who reads README or docs is told `sarcnet <verb>` or `make <verb>`."""
    pages = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "notebooks" / "src").glob("*.py")),
    ]
    told = [f"{page.name}: {words}" for page in pages for words in re.findall(r"-m sarcnet[\w.]*", page.read_text())]
    assert not told


def test_readme_tables_are_those_of_the_published_run():
    if not (FIGURES / "numbers.json").exists():
        pytest.skip("no run was published yet")
    command = [sys.executable, "-m", "sarcnet.cli.main", "publish", "demo", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*.png")), ids=lambda path: path.stem)
def test_published_figures_carry_their_numbers_and_are_called_simulated(path):
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["data_kind"] == "simulated"
    assert record["caption"]
    assert record["data"]


def test_no_path_of_one_machine_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".json", ".ipynb", "") and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(?:home|Users|work|root)/\w", text), name


NAME_OF_OURS = re.compile(r"(?<![\w./-])(?:sarcnet|virtual_cohort|studies)(?:\.[A-Za-z_]\w*)+")


def names_in(file: Path) -> set[str]:
    """What a module or a list of exports defines, assigns or imports, wherever in it."""
    names = {"__doc__", "__file__", "__name__"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def is_there(name: str) -> bool:
    """Whether a dotted name is a module or package of ours, or something that one defines or exports."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        folder = ROOT.joinpath(*parts[:end])
        files = [file for file in (folder.with_suffix(".py"), *folder.glob("__init__.py*")) if file.is_file()]
        if files:
            return end == len(parts) or any(parts[end] in names_in(file) for file in files)
    return False


def test_every_name_of_ours_in_a_text_is_there():
    """A module or function that was moved or renamed is named by its new name in docstrings, comments and pages too."""
    pages = [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml", *(ROOT / "docs").glob("*.md")]
    modules = [path for package in ("sarcnet", "virtual_cohort", "studies") for path in (ROOT / package).rglob("*.py")]
    gone = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*pages, *modules, *(ROOT / "notebooks" / "src").glob("*.py")]
        for name in NAME_OF_OURS.findall(path.read_text(encoding="utf-8"))
        if not is_there(name)
    }
    assert gone == set()
