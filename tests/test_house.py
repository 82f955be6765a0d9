"""The plan of the house: what a wing exports, and that the notebooks use nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("compendium", "cohort", "slides", "morphometry", "features", "model", "evaluation", "federated", "interpret")
FACES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for package in ("sarcnet", "virtual_cohort")
    for path in (ROOT / package).rglob("__init__.pyi")
)
NOTEBOOKS = sorted((ROOT / "notebooks" / "src").glob("[0-9]*.py"))
EXPORTS_MAX, NAMES_MAX = 8, 5
LINES_MAX = 26_300  # a ratchet on the way to 22,000: a change that makes the package thinner lowers it


def test_every_wing_has_a_face():
    assert {f"sarcnet.{wing}" for wing in WINGS} | {"virtual_cohort"} <= set(FACES)


@pytest.mark.parametrize("face", FACES)
def test_a_face_says_what_comes_in_and_goes_out_and_explains_each_name(face):
    package = importlib.import_module(face)
    assert len((package.__doc__ or "").split()) >= 25, f"{face}: a paragraph on what comes in and what goes out"
    files = {module.name for module in pkgutil.iter_modules(package.__path__)}
    verbs = [name for name in package.__all__ if name not in files]
    assert len(verbs) <= EXPORTS_MAX, f"{face} exports {len(verbs)} names"
    for name in verbs:
        thing = getattr(package, name)
        assert not inspect.ismodule(thing), f"{face}.{name}: a verb and a file of one name hide each other"
        text = inspect.getdoc(thing) or ""
        assert text, f"{face}.{name} has no docstring"
        if inspect.isfunction(thing):
            wanted = [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]
            for parameter in wanted:
                assert f"{parameter}:" in text, f"{face}.{name}: the docstring does not explain {parameter}"
            returns = inspect.signature(thing).return_annotation
            assert "Returns:" in text or "Yields:" in text or returns in (None, "None"), f"{face}.{name} returns what?"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_a_few_names_of_faces(notebook):
    names: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(notebook.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] in ("sarcnet", "virtual_cohort", "studies") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("sarcnet", "virtual_cohort"):
            names.setdefault(str(node.module), []).extend(alias.name for alias in node.names)
    for module, imported in names.items():
        assert module in FACES or module == "sarcnet", f"{notebook.name} reaches into {module}"
        assert len(imported) <= NAMES_MAX or module == "sarcnet", f"{notebook.name}: {imported} of {module}"


def test_the_package_does_not_grow():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "sarcnet").rglob("*.py")}
    assert sum(lines.values()) <= LINES_MAX, "who adds, simplifies"
