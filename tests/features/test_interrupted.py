"""Killed in the middle of a slide and run again: nothing finished is encoded twice, and the bytes are those of a quiet run. And
several processes on one folder share the work instead of colliding.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sarcnet.features.partial_features import PartialFeatures

SLIDES, TILES, BATCH = 2, 24, 2
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from sarcnet.features.encoders.encoder import Encoder
from sarcnet.features.extraction import extract_cohort
from sarcnet.features.identity import Extraction, SlideTiles

folder, log, pause, jobs = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

class Slow:
    encoder = Encoder("slow", 3, 16, (0.0,) * 3, (1.0,) * 3, "", "")
    identity = ("slow", "1")

    def encode(self, tiles):
        features = tiles.mean((1, 2)).astype(np.float32)
        time.sleep(pause)
        with open(log, "a") as file:
            for row in features:
                file.write(f"{row.astype(np.float16).tobytes().hex()}\\n")
        return features

x, y = np.meshgrid(np.arange(6) * 16, np.arange(4) * 16)
tiles = pd.DataFrame({"tile": range(24), "x_px": x.ravel(), "y_px": y.ravel()})
slides = [SlideTiles(f"S{k}", folder.parent / f"S{k}.svs", 0.5, tiles) for k in range(2)]
what = Extraction(tile_um=8.0, tile_px=16, tiles_max=100, batch_tiles=2)
draw = lambda slide_id: np.random.default_rng(0)
print("ready", flush=True)
for row in extract_cohort(slides, encoder=Slow(), extraction=what, generator=draw, folder=folder, jobs=jobs):
    print(row["slide_id"], row["status"], row["batches_resumed"], flush=True)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(folder name, pause in seconds, jobs) -> a process that encodes two slides, and the log of encoded tiles."""
    import pyvips

    home = tmp_path_factory.mktemp("interrupted")
    (home / "program.py").write_text(PROGRAM)
    for k in range(SLIDES):
        pixels = np.random.default_rng(k).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
        text = "Aperio Image Library v12\n100x80|AppMag = 20|MPP = 0.5"
        image.set_type(pyvips.GValue.gstr_type, "image-description", text)
        image.tiffsave(str(home / f"S{k}.svs"), tile=True, tile_width=64, tile_height=64, compression="deflate")

    def begin(name: str, *, pause: float = 0.0, jobs: int = 1) -> tuple[subprocess.Popen, Path, Path]:
        log = home / f"{name}.log"
        command = [sys.executable, str(home / "program.py"), str(home / name), str(log), str(pause), str(jobs)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True), home / name, log

    return begin


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.h5"))}


def encoded(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def wait_for(log: Path, tiles: int) -> None:
    deadline = time.monotonic() + 300
    while len(encoded(log)) < tiles:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def quiet(start) -> tuple[dict[str, str], set[str]]:
    """Digests of the files, and the tiles that were encoded, of a run that nothing disturbed."""
    process, folder, log = start("quiet")
    assert process.communicate()[0].splitlines()[1:] == ["S0 ok 0", "S1 ok 0"]
    assert len(digests(folder)) == SLIDES
    assert len(encoded(log)) == len(set(encoded(log))) == SLIDES * TILES
    return digests(folder), set(encoded(log))


def test_killed_and_run_again_it_gives_the_same_bytes_and_repeats_nothing(start, quiet):
    process, folder, log = start("killed", pause=0.02)
    wait_for(log, TILES + 9)  # the first slide is finished, the second is not
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not any(path.name.startswith(".S") for path in folder.glob(".*")), "half a feature file was left"
    process, folder, log = start("killed")
    said = process.communicate()[0].splitlines()
    assert said[1] == "S0 ok 0"  # was finished: taken as it is
    assert int(said[2].split()[2]) >= 3  # batches of the second slide were taken up
    assert digests(folder) == quiet[0]
    tiles = encoded(log)
    assert set(tiles) == quiet[1]
    # a batch that was being encoded when the process died may be encoded again; what was kept never is
    assert len(tiles) - len(set(tiles)) <= BATCH
    work = folder.with_name(f".{folder.name}.work")
    assert not list(work.glob("*.journal"))


def test_two_processes_share_a_folder_and_encode_every_tile_once(start, quiet):
    started = [start("shared", pause=0.01, jobs=1) for _ in range(2)]
    for process, *_ in started:
        said = process.communicate()[0].splitlines()
        assert process.returncode == 0
        assert [line.split()[:2] for line in said[1:]] == [["S0", "ok"], ["S1", "ok"]]
    _, folder, log = started[0]
    assert digests(folder) == quiet[0]
    assert len(encoded(log)) == SLIDES * TILES


def test_a_torn_record_is_cut_off_and_the_ones_before_it_stay(tmp_path):
    path = tmp_path / "x.journal"
    made = PartialFeatures(path)
    for batch in (1, 0, 2):
        made.add(batch, rows=np.array([2 * batch, 2 * batch + 1]), features=np.full((2, 3), batch, np.float32))
    made.close()
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = PartialFeatures(path)
        assert len(found) == length * 3 // len(whole)
        assert path.stat().st_size == len(found) * len(whole) // 3
        found.close()
    path.write_bytes(whole[:-1] + b"\xff")
    torn = PartialFeatures(path)
    assert 2 not in torn
    torn.add(2, rows=np.array([4, 5]), features=np.full((2, 3), 2, np.float32))
    assert torn.rows().tolist() == [0, 1, 2, 3, 4, 5]
    assert [block[0, 0] for _, block in torn.blocks()] == [0, 1, 2]
    torn.close(remove=True)
    assert not path.exists()
