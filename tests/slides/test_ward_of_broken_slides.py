"""A folder of slides broken in twenty-odd ways among good ones: each is named with cause and advice, the good ones
come out as if they were alone. And what no decoder may do to a study: crash, hang, or meet bytes it did not expect.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pyvips
import tifffile
from PIL import Image

from sarcnet.slides import cohort_tiling
from sarcnet.slides.cohort_tiling import sentence_of, tile_table
from sarcnet.slides.pool.crash_safe import Worker, WorkerCrash, map_isolated
from sarcnet.slides.reader import opening

PX = 480  # at 1 µm/px: 16 tiles


def levels(path: Path, *pages: np.ndarray) -> None:
    """An Aperio-like file whose levels are these pictures, whatever they show."""
    text = f"Aperio Image Library v12\n{pages[0].shape[1]}x{pages[0].shape[0]}|AppMag = 10|MPP = 1.0"
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(
                page,
                tile=(128, 128),
                compression="zlib",
                photometric="rgb",
                description=text,
                metadata=None,
                software="",
            )


def cut(whole: bytes, share: float) -> bytes:
    return whole[: int(share * len(whole))]


def spoil(whole: bytes, *shares: float) -> bytes:
    data = bytearray(whole)
    for share in shares:
        at = int(share * len(data))
        data[at : at + 200] = b"\xff" * 200
    return bytes(data)


@pytest.fixture
def ward(tmp_path, write_slide, stained, monkeypatch) -> dict[str, Path]:
    """slide_id -> file, all in tmp_path/CLB; ids of slides that can be used begin with "good"."""
    folder = tmp_path / "CLB"
    folder.mkdir()
    pixels = stained(PX, PX, tissue=(20, 20, PX, PX))
    good = write_slide("CLB/good1.svs", pixels, mpp=1.0)
    write_slide("CLB/good2.tif", pixels, mpp=1.0, aperio=False)
    write_slide("CLB/good3.svs", pixels, mpp=1.0, pyramid=False)
    whole, single = good.read_bytes(), (folder / "good3.svs").read_bytes()
    made = {
        "empty": b"",
        "letter": b"Dear colleague, please find attached",
        "archive": b"PK\x03\x04" + bytes(200),
        "cut05": cut(whole, 0.05),
        "cut60": cut(whole, 0.6),
        "cut97": cut(whole, 0.97),
        "header": b"II*\0" + b"\xff" * 2000,
        "holes": spoil(single, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    }
    for name, content in made.items():
        (folder / f"{name}.svs").write_bytes(content)
    Image.fromarray(pixels).save(folder / "picture.svs", format="PNG")
    tifffile.imwrite(folder / "strips.svs", pixels, photometric="rgb")
    write_slide("CLB/unmeasured.svs", pixels, mpp=None)
    write_slide("CLB/screen.tif", pixels, mpp=25400 / 72, aperio=False)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    image.tiffsave(str(folder / "oblong.tif"), tile=True, compression="deflate", xres=1000, yres=1100)
    write_slide("CLB/giant.svs", np.full((64, 60_000, 3), 200, np.uint8), mpp=4.9)
    write_slide("CLB/blank.svs", stained(PX, PX, tissue=None), mpp=1.0)
    write_slide("CLB/shadow.svs", np.full((PX, PX, 3), 150, np.uint8), mpp=1.0)
    write_slide("CLB/small.svs", stained(100, 100, tissue=(0, 0, 100, 100)), mpp=1.0)
    write_slide("CLB/smooth.svs", np.full((PX, PX, 3), (205, 130, 185), np.uint8), mpp=1.0)
    levels(folder / "shapes.svs", pixels, pixels[:120, :200])
    levels(folder / "shuffled.svs", (0.6 * pixels).astype(np.uint8), pixels[::2, ::2], pixels[::4, ::4])
    (folder / "directory.svs").mkdir()
    os.mkfifo(folder / "pipe.svs")
    (tmp_path / "elsewhere.svs").write_bytes(whole)
    (folder / "outside.svs").symlink_to(tmp_path / "elsewhere.svs")
    (folder / "dangling.svs").symlink_to(folder / "nowhere.svs")
    (folder / "locked.svs").write_bytes(whole)
    allowed = os.access  # the tests may run as root, who may read everything
    monkeypatch.setattr(opening.os, "access", lambda path, mode: "locked" not in str(path) and allowed(path, mode))
    return {path.stem: path for path in sorted(folder.iterdir())} | {"missing": folder / "missing.svs"}


EXPECTED = {
    "archive": "not a slide that OpenSlide knows",
    "blank": "No tissue",
    "cut05": "",  # what OpenSlide says of a truncated file depends on what is left of it
    "cut60": "",
    "cut97": "",
    "dangling": "a link to a file that is not there",
    "directory": "is a folder, not a file",
    "empty": "0 bytes",
    "giant": "more than any glass",
    "header": "",
    "holes": "cannot be decoded",
    "letter": "44 65 61 72",
    "locked": "may not be read",
    "missing": "is not there",
    "oblong": "not square",
    "outside": "leads out of the hospital's folder",
    "picture": "not a slide that OpenSlide knows (it begins with the bytes 89 50 4e 47)",
    "pipe": "is a device or pipe",
    "screen": "no microscope slide",
    "shadow": "No tissue",
    "shapes": "another shape",
    "shuffled": "show different pictures",
    "small": "smaller than one tile",
    "smooth": "blurred",
    "strips": "no readable pyramid",
    "unmeasured": "does not say how many micrometres",
}


def test_each_broken_slide_is_named_with_cause_and_advice_and_the_rest_goes_on(ward, tile, tmp_path):
    results, report = tile(ward, tmp_path)
    failed = report[report["status"] == "failed"].set_index("slide_id")
    assert set(failed.index) == set(EXPECTED)
    assert len(failed) >= 20
    for slide_id, said in EXPECTED.items():
        row = failed.loc[slide_id]
        assert said in row["cause"], row["cause"]
        assert ward[slide_id].name in row["cause"]
        assert row["cause"].endswith(".")
        assert row["advice"].endswith(".")
        assert str(tmp_path) not in row["cause"] + row["advice"]
    good = report[report["status"] == "ok"]
    assert set(good["slide_id"]) == {"good1", "good2", "good3"}
    assert f"{len(EXPECTED)} failed" in sentence_of(report)
    assert {path.stem for path in (tmp_path / "p").iterdir()} == {"good1", "good2", "good3"}
    alone, _ = tile({name: path for name, path in ward.items() if name.startswith("good")}, tmp_path / "alone")
    pd.testing.assert_frame_equal(tile_table(results), tile_table(alone))


CRASHING = """
import ctypes
from sarcnet.slides import slide_result

def run_slide(slide_id, *rest):
    if slide_id == "crashes":
        ctypes.string_at(0)
    return slide_result.run_slide(slide_id, *rest)
"""


def test_a_crash_inside_a_library_costs_one_slide(tile, tmp_path, write_slide, stained, monkeypatch):
    (tmp_path / "crashing.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cohort_tiling, "run_slide", __import__("crashing").run_slide)
    slide = write_slide("CLB/a.svs", stained(PX, PX, tissue=(20, 20, PX, PX)), mpp=1.0)
    _, report = tile({"before": slide, "crashes": slide, "after": slide}, tmp_path, jobs=1)
    assert list(report["status"]) == ["ok", "failed", "ok"]
    assert "a.svs ended the process that decodes it (SIGSEGV" in report["cause"][1]
    assert "copy it again" in report["advice"][1]


def test_what_never_ends_is_ended_and_named():
    (slow,) = map_isolated(time.sleep, [(900,)], jobs=1, seconds_max=1.0)
    assert isinstance(slow, WorkerCrash)
    assert slow.overran
    assert slow.how == "SIGKILL"


def test_a_worker_goes_on_after_what_never_ended():
    worker = (
        Worker()
    )  # asked task by task, so that the start of a process on a crowded machine has all the time it needs
    try:
        assert worker.call(time.sleep, (0,), 600.0) is None
        assert worker.call(time.sleep, (900,), 1.0).overran
        assert worker.call(time.sleep, (0,), 600.0) is None
    finally:
        worker.stop()


def test_order_is_kept_errors_are_raised_and_last_words_are_heard():
    assert list(map_isolated(pow, [(2, k) for k in range(20)], jobs=3, seconds_max=900.0)) == [2**k for k in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(map_isolated(divmod, [(1, 1), (1, 0)], jobs=2, seconds_max=900.0))
    (lost,) = map_isolated(
        exec, [("import os, sys; print('out of tiles', flush=True); os._exit(7)",)], jobs=1, seconds_max=900.0
    )
    assert lost == WorkerCrash("exit code 7", False, "out of tiles")


def test_leaving_early_leaves_no_process_behind():
    results = map_isolated(os.getpid, [()] * 4, jobs=2, seconds_max=900.0)
    first = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
