"""Slides and folders that the user may not open, tried by a user who really may not: as root the program gives its
rights away first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sarcnet.compendium.freshness import read_record
from sarcnet.compendium.params import Settings
from sarcnet.compendium.stage import Stage

PROGRAM = """
import json, math, os, sys
from pathlib import Path

import pandas as pd
from sarcnet.slides.cohort_tiling import report_table, tile_cohort
from sarcnet.slides.tiling import TileRules

base, nobody = Path(sys.argv[1]), 65534
rules = TileRules(112.0, 56, 8.0, 0.6, 0.2, 0.5, 0.8, 5.0, 0.2)


def report(names, folder):
    slides = pd.DataFrame({"slide_id": names, "patient_id": "P", "centre": "A", "mpp_override": math.nan})
    files = {name: base / "A" / f"{name}.svs" for name in names}
    places = {"work": base / folder / "w", "pictures": base / folder / "p"}
    results = list(tile_cohort(slides, files=files, rules=rules, jobs=0, **places))
    return report_table(results, slides)[["slide_id", "status", "cause", "advice"]].to_dict("records")


report(["good"], "warm")  # loads all that Python loads late, while it may
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(nobody)
    os.setuid(nobody)
print(json.dumps(report(json.loads(sys.argv[2]), "out")))
"""


@pytest.fixture
def hospital(write_slide, stained) -> Iterator[Path]:
    """A folder that everybody may enter (pytest's own is closed), with slides of the same name as their folder."""
    base = Path(tempfile.mkdtemp(prefix="sarcnet-rights-"))
    whole = write_slide("whole.svs", stained(480, 480, tissue=(20, 20, 480, 480)), mpp=1.0)
    for name in ("good", "locked", "unlisted/slide", "closed/slide", "unsearchable/slide"):
        path = base / "A" / f"{name}.svs"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(whole, path)
    (base / "out").mkdir()
    rights = {"": 0o755, "out": 0o777, "A/locked.svs": 0, "A/unlisted": 0o111, "A/closed": 0, "A/unsearchable": 0o444}
    for name, mode in rights.items():
        (base / name).chmod(mode)
    yield base
    for name in rights:
        (base / name).chmod(0o755)
    shutil.rmtree(base)


def test_what_may_not_be_opened_is_named_and_the_rest_goes_on(hospital):
    names = ["locked", "unlisted/slide", "closed/slide", "good", "unsearchable/slide"]
    (hospital / "out" / "w").mkdir()
    for name in names:
        for place in ("w", "p"):
            (hospital / "out" / place / name).parent.mkdir(parents=True, exist_ok=True)
    for path in hospital.joinpath("out").rglob("*"):
        path.chmod(0o777)
    command = [sys.executable, "-c", PROGRAM, str(hospital), json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    rows = {row["slide_id"]: row for row in json.loads(done.stdout)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "locked": "failed",
        "unlisted/slide": "ok",  # a folder that may be entered but not listed is enough for a slide that is named
        "closed/slide": "failed",
        "good": "ok",
        "unsearchable/slide": "failed",
    }
    assert rows["locked"]["cause"] == "locked.svs may not be read."
    assert rows["locked"]["advice"] == "Give the user who runs sarcnet the right to read it."
    for name in ("closed", "unsearchable"):
        row = rows[f"{name}/slide"]
        assert row["cause"].startswith("slide.svs may not be reached (Permission denied): a folder above it, such as ")
        assert name in row["cause"]
        assert "right to enter the folders" in row["advice"]
        assert str(hospital) not in row["cause"] + row["advice"]


def test_a_slide_that_may_not_be_read_is_left_off_a_stage_s_record_and_an_own_file_is_a_fault(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "slide.svs").write_bytes(b"slide")
    stage = Stage.open("00_cohort", Settings, {"run_dir": str(tmp_path / "run"), "seed": 1})
    stage.output("slides/A/S1", path=tmp_path / "slide.svs")
    stage.output("table.csv").write_text("a,b")
    allowed = stage._book.sha256
    forbidden = {"slide.svs"}

    def sha256(path: Path) -> str:
        if path.name in forbidden:
            raise PermissionError(13, "Permission denied")
        return allowed(path)

    monkeypatch.setattr(stage._book, "sha256", sha256)
    stage.close()
    assert list(read_record(stage.dir)["outputs"]) == ["table.csv"]
    assert "slide.svs may not be read, so it is not on record." in capsys.readouterr().out
    forbidden.add("table.csv")
    with pytest.raises(Exception, match=r"table\.csv was announced, but .* may not be read"):
        stage.close()
