"""The exercises of the teaching guide are parameters files that run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sarcnet.compendium.study import Study

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.search(r"runs/(\w+)", block)[1])
def test_exercise_is_a_profile(block, tmp_path):
    path = tmp_path / "lesson.yaml"
    path.write_text(block, encoding="utf-8")
    study = Study.load(str(path))  # refuses unknown keys, wrong types and values out of range
    assert study.values["run_dir"].startswith("runs/lesson_")


def test_there_are_exercises_and_the_named_places_exist():
    assert len(BLOCKS) == 5
    for profile in re.findall(r"PROFILE=(\w+)", GUIDE):
        assert (ROOT / "papermill_params" / f"{profile}.yaml").is_file()
    notebook = (ROOT / "notebooks" / "src" / "06_interpretability.py").read_text(encoding="utf-8")
    for heading in ("Turn one knob", "What the features can know"):
        assert heading in GUIDE
        assert re.search(rf"^# ## \d+ · {heading}", notebook, re.MULTILINE)


def test_questions_leave_open_what_a_run_decides():
    assert "true patterns beats" not in GUIDE
    assert "Is it shown to be better" in GUIDE
