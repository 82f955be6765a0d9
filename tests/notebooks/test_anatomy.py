"""Every notebook is built alike, so that a reader always knows where to look."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupytext
import pytest

from sarcnet.compendium.executed import RELATIVE_LINK

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("[0-9][0-9]_*.py"))
NAMES = ["00_cohort", "01_tiling", "02_features", "03_model", "04_federation", "05_evaluation", "06_interpretability"]


def cells(source: Path) -> list:
    return jupytext.read(source).cells


def code(source: Path) -> list[str]:
    return [cell.source for cell in cells(source) if cell.cell_type == "code"]


def prose(source: Path) -> str:
    return "\n".join(cell.source for cell in cells(source) if cell.cell_type == "markdown")


def test_the_seven_stages_are_there():
    assert [path.stem for path in SOURCES] == NAMES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_opens_with_a_question_and_closes_with_a_recap(source):
    text = prose(source)
    first = cells(source)[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "In this notebook we will" in text
    for heading in ("What we found", "Limits", "Next"):
        assert re.search(rf"^(?:#+ |\*\*){heading}", text, re.MULTILINE), f"{source.name} has no '{heading}'"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_parameters_cell_is_readable_by_papermill_and_people(source):
    tagged = [cell for cell in cells(source) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0].source.splitlines()
    assert len(lines) <= 15
    for line in lines:
        assert re.fullmatch(r"[a-z]\w*: (int|float|str|bool|list\[(?:int|float|str)\]) = [^=#]+  # [^=]+", line), (
            f"{source.name}: a parameter is written 'name: type = value  # unit, meaning', on one line; found: {line}"
        )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cells_are_short_and_call_the_package(source):
    for cell in code(source):
        assert len(cell.splitlines()) <= 15, f"{source.name}: a cell of {len(cell.splitlines())} lines:\n{cell}"
        for node in ast.walk(ast.parse(cell)):
            assert not isinstance(node, ast.ClassDef | ast.AsyncFunctionDef), f"{source.name} defines {node.name}"
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 6, f"{source.name}: {node.name} belongs into the package"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_prose_stands_between_cells_of_code(source):
    kinds = [cell.cell_type for cell in cells(source)]
    body = kinds[kinds.index("code") + 3 :]  # after parameters, imports and the opening of the stage
    runs = re.findall(r"c+", "".join(kind[0] for kind in body))
    assert max(map(len, runs), default=0) <= 2, (
        f"{source.name}: {max(map(len, runs))} code cells without a word between"
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_path_of_one_machine(source):
    assert not re.search(r"""["'(\s]/(?:home|Users|work|tmp|root|mnt)/""", source.read_text())


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_stage_is_opened_by_its_own_name_and_closed_last(source):
    text = "\n".join(code(source))
    assert f'Stage.open("{source.stem}"' in text
    assert "stage.close()" in code(source)[-1]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_inputs_come_from_earlier_notebooks(source):
    producers = re.findall(r"""stage\.inputs?\(\s*f?["'](\d\d_\w+)/""", "\n".join(code(source)))
    assert all(producer < source.stem for producer in producers), producers
    assert set(producers) <= set(NAMES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_links_lead_somewhere_and_the_last_words_lead_on(source):
    targets = RELATIVE_LINK.findall(prose(source))
    assert [target for target in targets if not (ROOT / "notebooks" / target).is_file()] == []
    following = [*NAMES[1:], None][NAMES.index(source.stem)]
    assert (f"{following}.ipynb" if following else "../README.md") in targets


def test_only_the_evaluation_opens_the_validation_series():
    readers = [path.stem for path in SOURCES if "00_cohort/validation.parquet" in path.read_text()]
    assert readers == ["05_evaluation"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_prose_is_caught_in_a_cell_of_code(source):
    caught = [line for cell in code(source) for line in cell.splitlines() if re.match(r"#\s*(#|$)", line)]
    assert caught == [], f"{source.name}: a '# %% [markdown]' is missing before {caught}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_prose_that_stands_in_every_run_does_not_say_whose_the_validation_patients_are(source):
    text = " ".join(prose(source).split())
    claims = (
        "from the same two hospitals",
        "comes from the same hospitals",
        "opened once",
        "once, here",
        "chosen beforehand",
    )
    assert [claim for claim in claims if claim in text] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_earlier_study_of_both_hospitals_is_said_to_have_had_another_task(source):
    text = " ".join(prose(source).split())
    cites = any(
        words in text for words in ("1955P", "the same two hospitals d", "An earlier study of the two hospitals")
    )
    assert not cites or ("lipomas" in text and "atypical lipomatous tumours" in text)
