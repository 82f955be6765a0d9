"""Units as types: the checker that `make lint` runs refuses what mixes them."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
HEAD = """
from sarcnet.slides.reader.grid import tile_grid
from sarcnet.slides.reader.opening import SlideInfo
from sarcnet.slides.reader.reading import TileReader, plan
from sarcnet.slides.reader.units import Level0Px, LevelPx, Mpp, TilePx, Um, to_level0, um_per_px

def use(info: SlideInfo, reader: TileReader, um: Um, tile: TilePx, level: LevelPx, level0: Level0Px, mpp: Mpp) -> None:
"""
RIGHT = (
    "plan(info, tile_um=um, tile_px=tile)",
    "tile_grid(info, size_px=to_level0(um, mpp))",
    "reader.tile(level0, level0)",
    "um_per_px(um, tile)",
)
WRONG = (
    "plan(info, tile_um=112.0, tile_px=tile)",  # a bare number has no unit
    "plan(info, tile_um=level0, tile_px=tile)",  # pixels for micrometres
    "plan(info, tile_um=um, tile_px=224)",
    "tile_grid(info, size_px=um)",  # micrometres for pixels
    "reader.tile(um, level0)",
    "reader.tile(level0, level)",  # pixels of another level
    "reader.region(level, level0)",
    "to_level0(level0, mpp)",  # converted twice
    "to_level0(um, um)",
    "um_per_px(um, level0)",
)


def test_the_type_checker_refuses_what_mixes_units(tmp_path):
    snippet = tmp_path / "units_mixed.py"
    snippet.write_text(HEAD + "".join(f"    {line}\n" for line in RIGHT + WRONG))
    said, trouble, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(snippet)]
    )
    assert trouble == ""
    first = HEAD.count("\n") + 1 + len(RIGHT)
    refused = {int(number) - first for number in re.findall(r"units_mixed\.py:(\d+): error: .*\[arg-type\]", said)}
    assert refused == set(range(len(WRONG))), said
    assert said.count(": error:") == len(WRONG), said
