"""The profiles say what the notebooks declare, and each key says what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sarcnet.compendium.study import Study

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted((ROOT / "papermill_params").glob("*.yaml"))
DEMO = yaml.safe_load((ROOT / "papermill_params" / "demo.yaml").read_text())


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.load("demo")


def test_demo_holds_every_parameter_once_and_the_notebooks_defaults_are_the_same(study):
    declared = {}
    for notebook in study.notebooks:
        for name, parameter in notebook.parameters.items():
            assert declared.setdefault(name, parameter.default) == parameter.default, f"{name} has two defaults"
    assert declared == DEMO


def test_settings_declare_what_the_notebooks_declare(study):
    for notebook in study.notebooks:
        assert set(notebook.settings.model_fields) == set(notebook.parameters), notebook.name


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_can_be_used_and_holds_only_what_differs(path):
    values = dict(Study.load(path.stem).values)
    if path.stem != "demo":
        assert values.keys() <= DEMO.keys()
        assert [name for name, value in values.items() if value == DEMO[name]] == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_key_says_what_it_means(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# {path.stem}")
    for line in lines:
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[a-z]\w*: \S.*  # \w.{3,}|[a-z]\w*: \S+\s+# .{4,}", line), line
