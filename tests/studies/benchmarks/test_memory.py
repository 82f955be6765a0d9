"""The memory benchmark reads what it says it reads."""

from __future__ import annotations

from studies.benchmarks.slides.memory import read_tiles, write_texture


def test_as_many_tiles_are_read_as_asked_and_each_jpeg_tile_once(tmp_path):
    write_texture(tmp_path / "t.svs", side_px=2880, block_px=720)
    found = read_tiles(tmp_path / "t.svs", tiles=100)
    assert found["tiles"] == 100
    assert found["read_gb"] == 100 * 224 * 224 * 3 / 1e9
    touched = 12 * 8 + 4  # by eight rows of twelve tiles of 224 px and four more; three more are compared on opening
    assert touched <= found["decoded"] <= touched + 3
    assert found["peak_mb"] > 20
    assert read_tiles(tmp_path / "t.svs", tiles=10**6)["tiles"] == 12 * 12
