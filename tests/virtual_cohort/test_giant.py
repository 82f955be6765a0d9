"""Giant slides: seamless, the same whatever is painted at once, real files, and memory that does not grow with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace

import numpy as np
import openslide
import pandas as pd
import pytest
import pyvips
import tifffile

from sarcnet.compendium.errors import SarcnetError
from virtual_cohort.rendering import giant_slide
from virtual_cohort.rendering.giant import level_sizes, write_giant
from virtual_cohort.rendering.giant_slide import LOOK, SCANNER, GiantSlide
from virtual_cohort.rendering.layout import FAT, GLASS, GRID_UM, TUMOUR, Layout
from virtual_cohort.rendering.plane import JITTER_CELLS, PIECE, Plane, Window

SLIDE = GiantSlide(1400, 1250, seed=4, look=replace(LOOK, histotype=2))  # myxofibrosarcoma: long vessels cross blocks
PLANE = Plane(1, "p", LOOK, 8000.0, 6000.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("giant")
    for side in (1024, 4096):
        write_giant(folder / f"{side}.svs", slide=SLIDE, truth=folder / f"{side}.parquet", block_px=side)
    return folder


def test_painted_in_blocks_or_at_once_the_file_is_the_same_byte_for_byte(written):
    assert (written / "1024.svs").read_bytes() == (written / "4096.svs").read_bytes()
    assert sorted(file.name for file in written.iterdir()) == [
        *("1024.parquet", "1024.svs", "4096.parquet", "4096.svs")
    ]


def test_every_nucleus_is_in_the_truth_once_and_dark_on_the_slide(written):
    tables = [
        pd.read_parquet(written / f"{side}.parquet").sort_values(["y_um", "x_um"]).reset_index(drop=True)
        for side in (1024, 4096)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0]["class"]) >= {"tumour", "endothelium", "lymphocyte"}
    own = tables[0].query("`class` == 'tumour' and area_um2 > 30")
    assert len(own) > 200
    picture = SLIDE.block(top=0, left=0, side=2048).picture
    dark = -np.log10((picture[..., 0].astype(float) + 1) / 256)
    y, x = (
        np.clip((own[name] / 0.5).astype(int), 0, size - 1)
        for name, size in zip(("y_um", "x_um"), dark.shape, strict=False)
    )
    assert (dark[y, x] > np.quantile(dark, 0.75)).mean() > 0.9


def test_pixels_are_those_of_the_slide_painted_at_once_but_for_the_jpeg(written):
    whole = SLIDE.block(top=0, left=0, side=2048).picture
    with openslide.OpenSlide(written / "1024.svs") as slide:
        read = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert read.shape == whole.shape == (1250, 1400, 3)
    assert np.abs(read.astype(int) - whole).mean() < 6
    assert np.array_equal(SLIDE.block(top=1024, left=1024, side=1024).picture, whole[1024:, 1024:])


def test_fat_and_its_border_are_seamless():
    slide = GiantSlide(6144, 6144, seed=39)
    whole, block = slide.block(top=1024, left=4096, side=2048), slide.block(top=1024, left=5120, side=1024)
    assert (block.layout.region == FAT).sum() > 500
    assert np.array_equal(block.picture, whole.picture[:1024, 1024:])


def test_three_readers_see_the_same_pixels_at_each_level(written):
    path = written / "1024.svs"
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == 0.5
        assert slide.level_dimensions == ((1400, 1250), (350, 312))
        for level, size in enumerate(slide.level_dimensions):
            reference = np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))
            assert np.array_equal(tifffile.imread(path, key=level), reference)
            assert np.array_equal(pyvips.Image.new_from_file(str(path), page=level).numpy()[..., :3], reference)
            if level:
                exact = np.asarray(slide.read_region((0, 0), 0, (1400, 1248)).convert("RGB")).astype(float)
                coarse = exact.reshape(312, 4, 350, 4, 3).mean(axis=(1, 3))
                apart = [np.abs(np.roll(coarse, shift, axis=1) - reference).mean() for shift in (-1, 0, 1)]
                assert apart[1] < 0.5 * min(apart[0], apart[2])  # a pixel aside would show


@pytest.mark.parametrize(
    ("size", "levels"),
    [((80_000, 60_000), [80_000, 20_000, 5_000, 1_250, 312]), ((500, 300), [500]), ((5_000, 40), [5_000, 1_250])],
)
def test_levels_follow_in_steps_of_four(size, levels):
    assert [width for width, _ in level_sizes(*size)] == levels


def test_a_part_of_the_plane_is_what_the_whole_has_there():
    whole, part = Window(-20, 30, 260, 300), Window(40, 100, 90, 70)
    large, small = PLANE.layout(whole), PLANE.layout(part)
    for name in Layout.__dataclass_fields__:
        assert np.array_equal(getattr(large, name)[part.of(whole)], getattr(small, name)), name
    assert not np.array_equal(PLANE.layout(Window(40, 200, 90, 70)).vigour, small.vigour)


def test_noise_has_mean_nought_and_deviation_one_at_every_place():
    parts = np.stack([PLANE.noise(f"n{k}", Window(-3, 5, 24, 24), cells=8.0) for k in range(800)])
    assert np.abs(parts.mean(axis=0)).max() < 5 / np.sqrt(800)
    assert np.abs(parts.std(axis=0) - 1).max() < 0.13


def test_cellularity_means_nuclei_per_mm2():
    """Expected density 0.5 + 0.6 · vigour of the look's, as on ordinary slides."""
    window = Window(4 * PIECE, 4 * PIECE, 8 * PIECE, 8 * PIECE)
    wide = window.around(JITTER_CELLS)
    layout = PLANE.layout(wide)
    seen = 0
    for row in range(4, 12):
        for column in range(4, 12):
            nuclei = PLANE.nuclei((row, column), layout=layout, window=wide)
            gy, gx = ((nuclei[name] / GRID_UM).astype(int) for name in ("y_um", "x_um"))
            regions = layout.region[gy - wide.top, gx - wide.left]
            assert np.array_equal(regions, nuclei["region"])
            assert (regions != GLASS).all()
            seen += int((regions == TUMOUR).sum())
    inner = layout.region[window.of(wide)] == TUMOUR
    share = 0.5 + 0.6 * layout.vigour[window.of(wide)]
    assert abs(seen / (share[inner].sum() * GRID_UM**2 * 1e-6 * LOOK.cellularity_per_mm2) - 1) < 0.05


def test_impossible_slides_are_refused_together_before_anything_is_written(tmp_path):
    bad = GiantSlide(10, -5, look=replace(LOOK, histotype=9, necrosis_fraction=1.5), scanner=replace(SCANNER, mpp=0.3))
    with pytest.raises(SarcnetError) as caught:
        write_giant(tmp_path / "bad.svs", slide=bad)
    for said in ("width_px is 10", "height_px is -5", "mpp is 0.3", "histotype is 9", "necrosis_fraction is 1.5"):
        assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_the_first_block(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1_000_000))
    with pytest.raises(SarcnetError, match=r"needs up to 3\.12 GB, and .* has 0\.00 GB free"):
        write_giant(tmp_path / "new" / "full.svs", slide=GiantSlide(80_000, 60_000))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_slide_leaves_nothing_behind_and_an_old_one_untouched(tmp_path, monkeypatch):
    (tmp_path / "x.svs").write_bytes(b"old")
    monkeypatch.setattr(giant_slide.GiantSlide, "block", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_giant(tmp_path / "x.svs", slide=SLIDE)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.svs", b"old")]


PEAK = """
import sys
from pathlib import Path
from studies.benchmarks.peak_memory import peak_mb
from virtual_cohort.rendering.giant import write_giant
from virtual_cohort.rendering.giant_slide import GiantSlide
write_giant(Path(sys.argv[1]), slide=GiantSlide(1024, int(sys.argv[2])), block_px=1024)
print(peak_mb())
"""


def test_memory_does_not_grow_with_the_slide(tmp_path):
    """Peak of a process each: six times the pixels, a twentieth more memory at most."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    peaks = [
        float(
            subprocess.run(
                [sys.executable, "-c", PEAK, str(tmp_path / f"{height}.svs"), str(height)],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout.split()[-1]
        )
        for height in (1024, 6144)
    ]
    assert peaks[1] < 1.05 * peaks[0] + 10  # MB
