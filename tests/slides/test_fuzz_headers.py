"""Bytes of headers, directories and JPEG tables overwritten at seeded places: each file is read right or refused with
cause and advice. It never hangs, never fills the memory, and no tile that is kept holds glass that was not there.

By hand, with more of them: `python tests/slides/test_fuzz_headers.py 5000`.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvips

from sarcnet.slides.pool.crash_safe import WorkerCrash, map_isolated
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import TilePx, Um
from sarcnet.slides.slide_result import OutputDirs, run_slide
from sarcnet.slides.tiling import TileRules
from studies.benchmarks.peak_memory import peak_mb

RULES = TileRules(
    tile_um=64.0,
    tile_px=64,
    thumbnail_um_per_px=4.0,
    tissue_share_min=0.6,
    pen_share_max=1.0,
    fold_share_max=1.0,
    blank_share_max=0.8,
    sharpness_min=5.0,
    unreadable_share_max=0.2,
)
MPP = 1.0
SECONDS_MAX = 20.0
MEMORY_MAX_MB = 700  # a worker that does nothing needs 150
TILE_OFFSETS, TILE_BYTES, JPEG_TABLES = 324, 325, 347
MAY_DECODE_TO_ANYTHING = ("tables", "jpeg")  # no reader can tell a wrong picture from a right one
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a TIFF type


def write(path: Path, *, aperio: bool, px: int = 384) -> Path:
    """Tissue everywhere but for a rim of glass, JPEG tiles with tables of their own, three levels."""
    rng = np.random.default_rng(5)
    pixels = np.full((px, px, 3), 244, np.uint8)
    coarse = rng.normal(0, 25, (px // 8, px // 8)).repeat(8, 0).repeat(8, 1)[..., None]
    noise = coarse + rng.normal(0, 12, (px, px, 1))
    pixels += rng.integers(0, 5, (px, px, 1), dtype=np.uint8)  # so that no glass is flat
    pixels[64:, 64:] = np.clip(np.array([195, 120, 175]) + noise, 0, 225).astype(np.uint8)[64:, 64:]
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    if aperio:
        text = f"Aperio Image Library v12\n{px}x{px}|AppMag = 10|MPP = {MPP}"
        image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    options = {"tile": True, "tile_width": 128, "tile_height": 128, "pyramid": True, "compression": "jpeg", "Q": 90}
    image.tiffsave(str(path), xres=1000 / MPP, yres=1000 / MPP, **options)
    return path


def places(whole: bytes) -> dict[str, np.ndarray]:
    """Positions of the file's header and directories, of what their tags point to, of the tables that all tiles of a level
    are decoded with, and of the heads of JPEG tiles.
    """
    header, pointed, tables, jpeg = list(range(8)), [], [], []
    at = struct.unpack("<I", whole[4:8])[0]
    while at:
        entries = struct.unpack("<H", whole[at : at + 2])[0]
        end = at + 2 + 12 * entries
        header += range(at, end + 4)
        for entry in range(at + 2, end, 12):
            tag, kind, count, value = struct.unpack("<HHII", whole[entry : entry + 12])
            size = SIZES[kind] * count
            if size > 4:
                (tables if tag == JPEG_TABLES else pointed).extend(range(value, value + size))
            if tag == TILE_OFFSETS and count > 1:
                for offset in struct.unpack(f"<{count}I", whole[value : value + 4 * count]):
                    jpeg += range(offset, offset + 40)
        at = struct.unpack("<I", whole[end : end + 4])[0]
    found = {"header": header, "tags": pointed, "tables": tables, "jpeg": jpeg}
    return {name: np.array(positions) for name, positions in found.items()}


def damaged(whole: bytes, where: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[str, bytes]:
    """What was done, and the file."""
    data = bytearray(whole)
    region = str(rng.choice(list(where)))
    deed = str(rng.choice(["flip", "zeros", "ones", "random", "swap"]))
    for _ in range(int(rng.integers(1, 4))):
        at, length = int(rng.choice(where[region])), int(rng.choice([1, 2, 4, 8]))
        if deed == "flip":
            data[at] ^= 1 << int(rng.integers(8))
        elif deed == "swap":
            other = int(rng.choice(where[region]))
            data[at : at + 4], data[other : other + 4] = data[other : other + 4], data[at : at + 4]
        else:
            fill = {"zeros": bytes(length), "ones": b"\xff" * length, "random": rng.bytes(length)}[deed]
            data[at : at + length] = fill
    return f"{region}, {deed}", bytes(data[: len(whole)])


def examined(name: str, path: Path, whole: Path, place: OutputDirs) -> dict[str, object]:
    """What becomes of a damaged slide, and how many of its kept tiles show what the whole slide does not."""
    result = run_slide(name, path, None, RULES, math.nan, place)
    ends = Counter(same=0, other=0, white=0, unreadable=0)
    if result.columns is not None:
        corners = zip(result.columns["x_px"], result.columns["y_px"], strict=True)
        ends.update(_compared(path, whole, [(float(x), float(y)) for x, y in corners]))
    return {**result.report, **ends, "memory_mb": peak_mb()}


def _compared(path: Path, whole: Path, corners: list[tuple[float, float]]) -> Iterator[str]:
    """Of each tile whether it is the same on both slides. Where a damaged number of µm/px makes tiles of another size, the
    pixels of level 0 are compared.
    """
    um, px = Um(RULES.tile_um), TilePx(RULES.tile_px)
    handle, info = open_slide(path, mpp_override=MPP)
    good, true_info = open_slide(whole)
    with (
        TileReader(handle, info, plan(info, tile_um=um, tile_px=px)) as reader,
        TileReader(good, true_info, plan(true_info, tile_um=um, tile_px=px)) as truth,
    ):
        for x, y in corners:
            try:
                tile = reader.tile(x, y)
            except UnreadableTile:
                yield "unreadable"
                continue
            if np.array_equal(tile, truth.tile(x, y)):
                yield "same"
            else:
                yield "white" if invented_glass(tile) else "other"


def invented_glass(tile: np.ndarray) -> bool:
    """Whether a block of 16 × 16 px is one and the same near-white, as nothing on these slides is."""
    blocks = tile.reshape(tile.shape[0] // 16, 16, tile.shape[1] // 16, 16, 3)
    flat = np.ptp(blocks, axis=(1, 3)).max(axis=-1) == 0
    return bool((flat & (blocks.min(axis=(1, 3, 4)) > 240)).any())


def fuzz(folder: Path, *, variants: int, jobs: int = 2, first: int = 0) -> list[tuple[str, Path, dict | WorkerCrash]]:
    """(deed, file, what became of it) of each variant; files that became nothing special are removed."""
    wholes = [write(folder / f"whole{k}.tif", aperio=bool(k)) for k in (0, 1)]
    data = [(path.read_bytes(), places(path.read_bytes())) for path in wholes]
    place = OutputDirs(folder / "w", folder / "p")
    for made in (place.work, place.pictures):
        made.mkdir(exist_ok=True)
    deeds, tasks = [], []
    for seed in range(first, first + variants):
        deed, content = damaged(*data[seed % 2], np.random.default_rng(seed))
        path = folder / f"fuzz{seed}.svs"
        path.write_bytes(content)
        deeds.append(deed)
        tasks.append((path.stem, path, wholes[seed % 2], place))
    module = __import__("test_fuzz_headers")
    results = map_isolated(module.examined, tasks, jobs=jobs, seconds_max=SECONDS_MAX)
    return [(deed, task[1], result) for deed, task, result in zip(deeds, tasks, results, strict=True)]


def summary(found: list[tuple[str, Path, dict | WorkerCrash]]) -> Counter:
    """How many variants came to what end."""
    ends: Counter = Counter()
    for deed, _, result in found:
        region = deed.split(",")[0]
        if isinstance(result, WorkerCrash):
            ends[region, "hung" if result.overran else f"crashed by {result.how}"] += 1
        elif result["status"] == "failed":
            ends[region, "refused"] += 1
        elif result["white"] or result["other"]:
            ends[region, "read, another picture"] += 1
        else:
            ends[region, "read right"] += 1
    return ends


def test_invented_glass_is_told_from_tissue():
    tile = np.random.default_rng(0).integers(100, 250, (64, 64, 3), dtype=np.uint8)
    assert not invented_glass(tile)
    tile[16:32, 32:48] = 255
    assert invented_glass(tile)


@pytest.fixture
def importable(monkeypatch):
    """So that the processes beside this one find `examined`."""
    here = os.fspath(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", here)
    monkeypatch.syspath_prepend(here)


def test_every_damaged_header_is_read_right_or_refused_in_words(importable, tmp_path):
    found = fuzz(tmp_path, variants=300)
    for deed, path, result in found:
        assert not isinstance(result, WorkerCrash), (deed, path.name, result)
        assert result["memory_mb"] < MEMORY_MAX_MB, deed
        if not deed.startswith(MAY_DECODE_TO_ANYTHING):
            assert (result["white"], result["other"]) == (0, 0), (deed, path.name)
        assert result["status"] in ("ok", "failed")
        if result["status"] == "failed":
            assert path.name in result["cause"], deed
            assert str(tmp_path) not in result["cause"] + result["advice"]
            assert result["cause"].endswith(".")
            assert result["advice"].endswith(".")
            assert "please report" not in result["advice"], result["cause"]
    ends = Counter()
    for (_, end), count in summary(found).items():
        ends[end] += count
    assert ends["read right"] >= 100
    assert ends["refused"] >= 60
    assert ends["read, another picture"] <= 40


@pytest.mark.parametrize("tags", [(TILE_BYTES,), (TILE_OFFSETS,), (TILE_OFFSETS, TILE_BYTES)])
def test_a_tile_whose_entry_is_zero_is_left_out_and_counted(tmp_path, tags):
    """TIFF lets a tile be absent (no bytes), and OpenSlide then shows nothing there; here that is not taken for glass."""
    path = write(tmp_path / "whole.svs", aperio=True, px=512)
    place = OutputDirs(tmp_path, tmp_path)
    clean = run_slide("clean", path, None, RULES, math.nan, place)
    data = bytearray(path.read_bytes())
    first = struct.unpack("<I", data[4:8])[0]
    for entry in range(first + 2, first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0], 12):
        tag, _, _, array = struct.unpack("<HHII", data[entry : entry + 12])
        if tag in tags:
            data[array + 20 : array + 24] = bytes(4)  # the sixth of 16, in the middle
    (tmp_path / "hole.svs").write_bytes(data)
    hole = examined("hole", tmp_path / "hole.svs", path, place)
    assert hole["n_kept"] == clean.report["n_kept"] - 4
    assert hole["n_rejected_unreadable"] == clean.report["n_rejected_unreadable"] + 4
    assert (hole["same"], hole["white"], hole["other"]) == (hole["n_kept"], 0, 0)


if __name__ == "__main__":
    here = os.fspath(Path(__file__).parent)
    os.environ["PYTHONPATH"] = here
    sys.path.insert(0, here)
    ends: Counter = Counter()
    peak_mb, batch = 0.0, 500
    for start in range(0, int(sys.argv[1]), batch):
        with tempfile.TemporaryDirectory() as name:
            outcome = fuzz(Path(name), variants=batch, first=start)
        ends += summary(outcome)
        for deed, path, result in outcome:
            if isinstance(result, WorkerCrash):
                print(path.name, deed, result)
                continue
            peak_mb = max(peak_mb, result["memory_mb"])
            unseen = (result["white"] or result["other"]) and not deed.startswith(MAY_DECODE_TO_ANYTHING)
            if unseen or "please report" in result["advice"]:
                print(path.name, deed, result["same"], result["other"], result["white"], result["cause"])
    for (region, end), count in sorted(ends.items()):
        print(f"{count:6} {region:8} {end}")
    print("peak memory of a process, MB:", round(peak_mb))
