"""The benchmark of the two readers reads what it says it reads, and only where both give the same pixels."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.slides.reader.jpeg_tiles import JpegTiles
from studies.benchmarks.slides.memory import write_texture
from studies.benchmarks.slides.readers import compare, corners, rows, run


@pytest.fixture
def texture(tmp_path):
    write_texture(tmp_path / "t.svs", side_px=1440, block_px=720)
    return tmp_path / "t.svs"


def test_a_line_for_one_thread_and_one_for_two(texture):
    places = corners(texture, tiles=20)
    assert places[:2] == [(0, 0), (224, 0)]
    assert places[6] == (0, 224)
    one = run(texture, places, threads=1, direct=True)
    touched = 18 + 2  # by three rows of six tiles of 224 px and two more; two others are compared on opening
    assert one.decoded == (touched + 2) * 240**2 / (20 * 224**2)
    assert np.isnan(run(texture, places, threads=2, direct=False).decoded)
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in rows(texture, tiles=20, repeats=1)]
    assert cells == [["t", "1", "20"], ["t", "2", "20"]]


def test_readers_that_differ_are_not_timed(texture, monkeypatch):
    places = corners(texture, tiles=3)
    assert compare(texture, places)
    region = JpegTiles.region
    monkeypatch.setattr("sarcnet.slides.reader.jpeg_tiles._agree", lambda *_, **__: True)
    monkeypatch.setattr(JpegTiles, "region", lambda self, *place: region(self, *place) ^ 1)
    with pytest.raises(RuntimeError, match="differ"):
        rows(texture, tiles=3, repeats=1)


def test_a_slide_left_to_openslide_is_said_to_be(write_slide, stained):
    path = write_slide("plain.svs", stained(500, 500, tissue=(0, 0, 500, 500)))
    assert "left to OpenSlide" in rows(path, tiles=2, repeats=1)[0]
