"""A rerun takes up finished slides, and gives what a fresh run gives."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from sarcnet.slides import slide_result
from sarcnet.slides.cohort_tiling import tile_table
from sarcnet.slides.pool.crash_safe import map_isolated
from sarcnet.slides.reader import reading, resampling
from sarcnet.slides.reader.reading import TileReader, UnreadableTile
from sarcnet.slides.slide_result import slide_key
from sarcnet.slides.tiling import TileRules


@pytest.fixture
def files(write_slide, stained):
    return {
        f"S{k}": write_slide(f"S{k}.svs", stained(700, 700, tissue=(50, 50, 600, 400 + 60 * k), seed=k))
        for k in range(3)
    }


@pytest.fixture
def run(files, tile):
    """run(folder, jobs=0) -> results, tiles, report without its seconds, checksums of the pictures."""

    def ran(folder, *, jobs: int = 0):
        results, report = tile(files, folder, jobs=jobs)
        pictures = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "p").iterdir()}
        shown = report[[column for column in report.columns if not column.startswith("seconds")]]
        return results, tile_table(results), shown, pictures

    return ran


def test_resumed_equals_fresh(run, tmp_path):
    _, tiles, report, pictures = run(tmp_path / "fresh")
    run(tmp_path / "again")
    next((tmp_path / "again" / "w").glob("S1-*.json")).unlink()  # as if killed before the slide's report
    (tmp_path / "again" / "p" / "S2.png").write_bytes(b"half a picture")
    results, tiles2, report2, pictures2 = run(tmp_path / "again")
    assert [result.resumed for result in results] == [True, False, False]
    pd.testing.assert_frame_equal(tiles, tiles2)
    pd.testing.assert_frame_equal(report, report2)
    assert pictures == pictures2


def test_a_copied_cohort_is_taken_up(files, tile, tmp_path):
    tile(files, tmp_path / "out")
    copies = {}
    for slide_id, path in files.items():
        copies[slide_id] = tmp_path / "moved" / path.name
        copies[slide_id].parent.mkdir(exist_ok=True)
        copies[slide_id].write_bytes(path.read_bytes())
        os.utime(copies[slide_id], (1, 1))
    results, _ = tile(copies, tmp_path / "out")
    assert [result.resumed for result in results] == [True] * 3


def test_a_failure_is_looked_at_again_when_the_file_was_replaced(files, tile, tmp_path, monkeypatch):
    """A repaired copy may differ in the middle only, which its key does not tell."""
    monkeypatch.setattr(slide_result, "file_key", lambda path: "the same size, head and tail")
    whole = files["S0"].read_bytes()
    files["S0"].write_bytes(whole[:200])
    only = {"S0": files["S0"]}
    assert tile(only, tmp_path / "out")[0][0].report["status"] == "failed"
    assert tile(only, tmp_path / "out")[0][0].resumed
    files["S0"].write_bytes(whole)
    os.utime(files["S0"], (1, 1))
    result = tile(only, tmp_path / "out")[0][0]
    assert (result.report["status"], result.resumed) == ("ok", False)


def test_a_slide_with_unreadable_tiles_is_looked_at_again_when_the_file_was_replaced(
    files, tile, rules, tmp_path, monkeypatch
):
    only, whole = {"S0": files["S0"]}, TileReader.tile
    mild = replace(rules, unreadable_share_max=1.0)
    hits = iter([True])

    def one_unreadable(reader, x_px, y_px):
        if next(hits, False):
            raise UnreadableTile("damaged")
        return whole(reader, x_px, y_px)

    monkeypatch.setattr(reading.TileReader, "tile", one_unreadable)
    first = tile(only, tmp_path / "out", rules=mild)[0][0]
    assert first.report["n_rejected_unreadable"] == 1
    assert tile(only, tmp_path / "out", rules=mild)[0][0].resumed
    os.utime(files["S0"], (1, 1))
    again = tile(only, tmp_path / "out", rules=mild)[0][0]
    assert not again.resumed
    assert again.report["n_rejected_unreadable"] == 0
    os.utime(files["S0"], (2, 2))
    assert tile(only, tmp_path / "out", rules=mild)[0][0].resumed, "nothing is wrong with it"


def test_processes_do_not_change_the_result(run, tmp_path):
    _, tiles, report, pictures = run(tmp_path / "one")
    _, tiles2, report2, pictures2 = run(tmp_path / "two", jobs=2)
    pd.testing.assert_frame_equal(tiles, tiles2)
    pd.testing.assert_frame_equal(report, report2)
    assert pictures == pictures2


def test_processes_on_the_same_slide_do_not_collide(files, rules, tmp_path):
    """As several runs on one folder would: all do the work or find it done, and nothing is left half written."""
    place = slide_result.OutputDirs(tmp_path / "w", tmp_path / "p")
    for folder in (place.work, place.pictures):
        folder.mkdir()
    task = ("S0", files["S0"], None, rules, math.nan, place)
    results = list(map_isolated(slide_result.run_slide, [task] * 9, jobs=3, seconds_max=60.0))
    assert {result.report["status"] for result in results} == {"ok"}
    assert len({result.report["picture_sha256"] for result in results}) == 1
    for result in results:
        assert np.array_equal(result.columns["x_px"], results[0].columns["x_px"])
    assert len(list(place.work.iterdir())) == 2  # report and tiles; no temporary file
    assert [path.name for path in place.pictures.iterdir()] == ["S0.png"]


@pytest.mark.parametrize("name", [field.name for field in fields(TileRules)])
def test_every_rule_is_part_of_the_key(files, rules, name):
    path = files["S0"]
    changed = replace(rules, **{name: getattr(rules, name) * 2})
    before, after = (slide_key(path, rules=each_rules, mpp_override=math.nan) for each_rules in (rules, changed))
    assert before != after


def test_file_override_code_and_resampler_are_part_of_the_key(files, rules, monkeypatch):
    path = files["S0"]
    keys = [slide_key(path, rules=rules, mpp_override=math.nan), slide_key(path, rules=rules, mpp_override=0.5)]
    with path.open("ab") as file:
        file.write(b"\0")
    keys.append(slide_key(path, rules=rules, mpp_override=math.nan))
    monkeypatch.setattr(slide_result, "code_key", lambda *modules: "other code")
    keys.append(slide_key(path, rules=rules, mpp_override=math.nan))
    monkeypatch.setattr(resampling, "RESAMPLED_BY", "another")
    keys.append(slide_key(path, rules=rules, mpp_override=math.nan))
    assert len(set(keys)) == 5
