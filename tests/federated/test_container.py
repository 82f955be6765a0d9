"""The container's recipe and the guide for IT departments, held to the files, pins and programs that there are.

No engine is needed; the recipe itself is built by hand (docs/federation.md, "In a container").
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sarcnet.cli import main

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "federation.md").read_text(encoding="utf-8")
RECIPE = re.sub(r"\\\n\s*", "", (ROOT / "docs" / "Containerfile").read_text(encoding="utf-8"))
PROGRAMS = ("flower-superlink", "flower-supernode")
# What a node and the SuperLink's app import before the first training, as if only the image's packages were installed.
IMPORTS = """
import importlib.metadata, sys
allowed, owners = set(sys.argv[1].split()), importlib.metadata.packages_distributions()
class OnlyTheImage:
    finders = list(sys.meta_path)
    def find_spec(self, name, path=None, target=None):
        own = owners.get(name.partition(".")[0], [])
        if own and not any(o.lower().replace("_", "-").replace(".", "-") in allowed for o in own):
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders if hasattr(finder, "find_spec"))
        return next((spec for spec in specs if spec is not None), None)
    def find_distributions(self, *arguments):
        for finder in self.finders:
            yield from getattr(finder, "find_distributions", lambda *_: ())(*arguments)
sys.meta_path[:] = [OnlyTheImage()]
import sarcnet.federated.app.client_app, sarcnet.federated.engines.deployed_server
assert "matplotlib" not in sys.modules
"""


def instructions(name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in RECIPE.splitlines() if line.startswith(f"{name} ")]


def copied() -> set[str]:
    return {source for line in instructions("COPY") for source in line.split()[:-1]}


def installed() -> list[str]:
    """Packages that the recipe asks pip for by name."""
    (line,) = [line for line in instructions("RUN") if "requirements.lock.txt" in line]
    return line.rpartition("-c requirements.lock.txt")[2].split()


def with_dependencies(names: list[str]) -> set[str]:
    """Names of these distributions and of all that they need here."""
    found: set[str] = set()
    todo = [canonicalize_name(name) for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(need.name))
    return found


def commands() -> list[list[str]]:
    """Every command of the guide's code blocks, in words; those inside containers by what runs there."""
    blocks = re.findall(r"^ *```\n(.*?)^ *```", GUIDE, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    found = []
    for line in lines:
        start = re.search(r"(?:^| )((?:flower-\w+ --|flwr |sarcnet (?:run|hospital|federation) ).*)$", line)
        if start and "──" not in line:
            found.append(shlex.split(start.group(1), comments=True))
    return found


def test_all_that_is_copied_is_there_and_nothing_else_goes_to_the_engine():
    assert copied() >= {"sarcnet", "requirements.lock.txt"}
    for source in copied():
        assert (ROOT / source).exists(), source
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied()


def test_the_account_is_not_root_and_its_home_can_be_written():
    (user,) = instructions("USER")
    assert user == "10001"
    assert "--uid 10001" in RECIPE
    environment = dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())
    assert environment["HOME"] == environment["FLWR_HOME"] == "/flower"
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert "chown sarcnet:sarcnet /flower /data" in RECIPE


def test_packages_are_pinned_and_wheels():
    pinned = {re.split("[ =]", line)[0] for line in (ROOT / "requirements.lock.txt").read_text().splitlines()}
    assert set(installed()) <= pinned
    assert "--only-binary :all:" in RECIPE


def test_nothing_outside_the_image_is_imported():
    image = with_dependencies([*installed(), "setuptools", "pip"]) | {"sarcnet"}
    assert not {"ray", "jupyterlab", "openslide-python"} & image
    done = subprocess.run([sys.executable, "-c", IMPORTS, " ".join(image)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of typer, at options that flwr declares
def test_the_guide_names_programs_and_options_that_there_are(monkeypatch, capsys):
    from flwr.cli.app import app

    named = {command[0] for command in commands()}
    assert named == {*PROGRAMS, "flwr", "sarcnet"}
    scripts = {script.name: script for script in importlib.metadata.entry_points(group="console_scripts")}
    assert named <= scripts.keys()
    known: dict[str, str] = {}
    for name in PROGRAMS:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit):
            scripts[name].load()()
        known[name] = capsys.readouterr().out
    flwr = typer.main.get_command(app)
    for program, *words in commands():
        if program == "sarcnet":
            main.parser().parse_args(words)  # ends the test at an option that does not exist
            continue
        options = {word for word in words if word.startswith("--")}
        if program == "flwr":
            command = flwr
            while hasattr(command, "commands"):
                command, words = command.commands[words[0]], words[1:]
            assert options <= {option for parameter in command.params for option in parameter.opts}, (program, words)
        else:
            assert {option for option in options if not re.search(rf"{option}\b", known[program])} == set(), program


def test_the_guide_lets_the_superlink_reach_itself():
    """Its own processes call it by 127.0.0.1: a certificate without that address lets every run wait for ever."""
    (names,) = re.findall(r"printf 'subjectAltName=([^\\]+)", GUIDE)
    assert names.split(",") == ["DNS:federation.example.org", "IP:127.0.0.1"]
