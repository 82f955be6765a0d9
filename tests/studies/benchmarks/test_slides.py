"""The slide benchmark: what workers print is what the table says, and what fails keeps its row."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sarcnet.compendium.errors import SarcnetError
from studies.benchmarks.slides import run
from studies.benchmarks.slides.measurement import TOOLS, Measured, Tool, other_colours
from studies.benchmarks.slides.report import page
from studies.benchmarks.slides.run import WORKERS, environment, measure, run_worker

SIDE_PX = 2048


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> dict:
    from studies.benchmarks.slides.make_slide import make_slide
    from studies.benchmarks.slides.tiles import task_of

    path = tmp_path_factory.mktemp("bench") / "small.svs"
    make_slide(path, side_px=SIDE_PX, block_px=512)
    return task_of(path, tiles=6) | {"batch_tiles": 4, "jobs": 2, "repeats": 2, "copies": 2}


def _script(folder: Path, text: str) -> Path:
    path = folder / "worker.py"
    path.write_text(text, encoding="utf-8")
    return path


def _row(tool: str, *, read_s: float, slide: str = "rendered", **changed) -> Measured:
    seconds = {"tissue": [1.0, 9.0, 2.0], "read_1": [read_s], "encoder": [1.0], "end_to_end": [1.25]}
    row = Measured(
        tool, slide, "1.2", seconds, dict.fromkeys(seconds, 100), {"read_2": "a loop"}, [[1.0, 2.0, 3.0]], 321.4
    )
    for name, value in changed.items():
        setattr(row, name, value)
    return row


def test_the_slide_is_tissue_in_a_frame_of_glass(task):
    import openslide

    corners = np.array(task["corners"])
    with openslide.OpenSlide(task["slide"]) as slide:
        assert slide.dimensions == (SIDE_PX, SIDE_PX)
        assert slide.properties["openslide.vendor"] == "aperio"
        assert task["mpp"] == 0.25
        assert 2.0 in slide.level_downsamples
        glass = np.asarray(slide.read_region((0, 0), 0, (100, 100)).convert("RGB"))
        assert glass.min() > 235
    assert len(corners) == 6
    frame = round(0.1 * SIDE_PX)
    assert (corners > frame - 448 / 2 - 64).all()  # a tile is kept when half of it is tissue, as the mask sees it
    assert (corners + 448 < SIDE_PX - frame + 448 / 2 + 64).all()


def test_a_copy_has_every_other_level_and_the_same_pixels(task, tmp_path):
    import openslide

    from studies.benchmarks.slides.make_slide import skip_levels

    skip_levels(Path(task["slide"]), copy=tmp_path / "copy.svs")
    with openslide.OpenSlide(task["slide"]) as slide, openslide.OpenSlide(tmp_path / "copy.svs") as copy:
        assert copy.level_downsamples == slide.level_downsamples[::2]
        assert copy.properties["openslide.mpp-x"] == "0.25"
        for level in range(copy.level_count):
            places = [((600, 600), level, (100, 100)), ((600, 600), 2 * level, (100, 100))]
            found, want = (np.asarray(s.read_region(*p)) for s, p in zip((copy, slide), places, strict=True))
            assert np.array_equal(found, want)


def test_sarcnet_and_the_naive_loop_measure_the_same_tiles(task):
    rows = [
        run_worker(Path(sys.executable), WORKERS / script, task, tool=tool, slide="rendered")
        for tool, script in (("sarcnet", "sarcnet_extraction.py"), ("naive loop", "naive_loop.py"))
    ]
    assert [row.failed for row in rows] == ["", ""]
    for row in rows:
        assert row.counts["read_1"] == row.counts["end_to_end"] == 2 * 6
        assert {len(values) for values in row.seconds.values()} == {2}
        assert row.peak_mb > 30
        assert np.shape(row.colours) == (6, 3)
    assert set(rows[0].seconds) == {"tissue", "read_1", "read_2", "encoder", "end_to_end", "tiling"}
    assert set(rows[1].seconds) == {"tissue", "read_1", "end_to_end"}
    assert rows[1].why_not == {"read_2": "a loop"}
    assert other_colours(rows) == []


def test_every_tool_has_a_script_and_exact_pins_or_a_reason():
    for tool in TOOLS:
        assert bool(tool.script) != bool(tool.absent)
        if tool.script:
            compile((WORKERS / tool.script).read_text(encoding="utf-8"), tool.script, "exec")
        assert all("==" in pin for pin in tool.requirements)


def test_a_tool_that_reads_other_pixels_is_told():
    rows = [_row("sarcnet", read_s=1.0), _row("Peer", read_s=1.0, colours=[[1.0, 2.0, 13.0]])]
    assert len(other_colours(rows)) == 1
    assert "Peer" in other_colours(rows)[0]
    assert "10.0 grey levels" in other_colours(rows)[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit('no such slide')", "ended with code 1: no such slide"),
        ("print('identify')", "printed no result"),
        ('print(\'{"version": "1"}\')', "printed no result (KeyError: 'seconds')"),
        ("", "printed no result"),
    ],
)
def test_a_worker_that_fails_becomes_a_row_with_the_reason(tmp_path, text, reason):
    row = run_worker(Path(sys.executable), _script(tmp_path, text), {}, tool="Peer", slide="rendered")
    assert row.failed.startswith(reason)


def test_a_worker_that_prints_the_wrong_kind_is_refused(tmp_path):
    result = {"version": "1", "seconds": [], "counts": {}, "why_not": {}, "colours": [], "peak_mb": 1.0}
    script = _script(tmp_path, f"print({json.dumps(json.dumps(result))})")
    row = run_worker(Path(sys.executable), script, {}, tool="Peer", slide="rendered")
    assert row.failed == "printed a result with wrong seconds"


def test_a_tool_that_cannot_be_installed_keeps_its_row(tmp_path, task, monkeypatch):
    monkeypatch.setattr(run, "_install", _no_network)
    broken = Tool("Peer", "peer.py", ("peer==1.0",))
    with pytest.raises(SarcnetError, match="no network"):
        environment(broken, tmp_path)
    tools = [broken, Tool("Other", absent="on GitHub only")]
    rows = measure({"rendered": Path(task["slide"])}, folder=tmp_path, tiles=2, repeats=1, tools=tools)
    assert [(row.tool, row.failed) for row in rows] == [("Peer", "no network"), ("Other", "on GitHub only")]


def _no_network(command: list[str], tool: Tool) -> None:
    raise SarcnetError("no network")


def test_an_environment_is_made_once_and_anew_with_other_pins(tmp_path, monkeypatch):
    commands: list[list[str]] = []

    def install(command: list[str], tool: Tool) -> None:
        commands.append(command)
        (tmp_path / "peer").mkdir(exist_ok=True)

    monkeypatch.setattr(run, "_install", install)
    python = environment(Tool("Peer", "peer.py", ("peer==1.0",)), tmp_path)
    assert python == tmp_path / "peer" / "bin" / "python"
    environment(Tool("Peer", "peer.py", ("peer==1.0",)), tmp_path)
    assert len(commands) == 2
    assert commands[1][-1] == "peer==1.0"
    environment(Tool("Peer", "peer.py", ("peer==1.1",)), tmp_path)
    assert len(commands) == 4


def test_the_page_states_medians_ratios_and_promises():
    rows = [
        _row("sarcnet", read_s=0.5),
        _row("naive loop", read_s=1.0),
        _row("Peer", read_s=0.4),
        _row("Disturbed", read_s=2.0, others_cores=0.8),
        Measured("Gone", "rendered", failed="no | network."),
    ]
    text = page(rows, slides={"rendered": Path("somewhere/x.svs")}, tiles=100, repeats=3, side_px=40_000)
    assert "| rendered | sarcnet 1.2 | 2.00 | 100 | 200 | 2.0 | – | 80 | 0.80 | 321 |" in text
    assert "| rendered | naive loop | 2.00 | 100 | 100 | 1.0 |" in text
    assert "| rendered | Gone | not measured: no / network | | | | | | | |" in text
    assert "| rendered | end to end ≥ 0.9 of the encoder alone | 0.80 | no |" in text
    assert "| rendered | reading on one thread ≥ 1.5 × the naive loop | 2.00 | yes |" in text
    assert "| rendered | reading on one thread ≥ Peer | 0.80 | no |" in text
    assert "| rendered | tissue + coordinates ≤ 2 s | 2.00 | yes |" in text
    assert "| rendered | the encoder alone | | | | | | 100 | 1.00 | |" in text
    assert text.count("has no number for reading on two cores: a loop.") == 4
    assert "While Disturbed was measured on the rendered slide, other programs took 0.80 of" in text
    assert text.count("other programs took") == 1
    assert text.count("20.0 ms of a core in sarcnet's encoder and 5.0 ms in its reader") == 1
    assert "no more than 0.80 of the encoder alone" in text
    assert "No real slide was given" in text
    assert "somewhere" not in text
