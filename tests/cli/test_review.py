"""`sarcnet review`: from a finished run to a sheet, and from filled sheets to tables; `sarcnet qupath`: to files."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from sarcnet.cli.main import main
from sarcnet.cli.qupath import run_qupath
from sarcnet.cli.review import run_export
from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.review.design import QUESTIONS
from sarcnet.interpret.review.parse import read_key
from virtual_cohort.experiments.simulated_readers import SimulatedReader, fill_sheet


@pytest.fixture
def finished(tmp_path, write_slide, stained):
    """A run of four patients with one slide of 512 px and four tiles each, as notebooks 00, 02 and 06 leave it."""
    run_dir = tmp_path / "run"
    generator = np.random.default_rng(0)
    slides, features, rows = {}, {}, []
    for number in range(4):
        name = f"X-T{number}-S1"
        pixels = stained(512, 512, tissue=(0, 0, 512, 512), seed=number)
        slides[f"slides/X/{name}"] = {"path": str(write_slide(f"{name}.tif", pixels, mpp=0.5))}
        path = run_dir / "02_features" / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file.attrs.update(mpp_level0=0.5, tile_um=112.0, tile_px=224)
        features[f"features/{name}.h5"] = {"path": str(path)}
        for tile, (x, y) in enumerate(((0, 0), (224, 0), (0, 224), (224, 224))):
            rows.append(
                (f"X-T{number}", "X", name, tile, float(x), float(y), 0.25, *(generator.normal(size=1).repeat(2)))
            )
    table = run_dir / "06_interpretability" / "contributions.parquet"
    table.parent.mkdir()
    columns = ["patient_id", "centre", "slide_id", "tile", "x_px", "y_px", "attention", "contribution", "strength"]
    pd.DataFrame(rows, columns=columns).to_parquet(table)
    outputs = {"00_cohort": slides, "02_features": features, "06_interpretability": {table.name: {"path": str(table)}}}
    for name, own in outputs.items():
        folder = run_dir / name
        folder.mkdir(exist_ok=True)
        record = {"inputs": {}, "patterns": {}, "sources": {}, "outputs": own, "data_kind": "simulated"}
        (folder / "stage.json").write_text(json.dumps(record))
    return run_dir


def test_a_run_becomes_a_sheet_and_filled_sheets_become_tables(finished, tmp_path, capsys):
    settings = {"tiles": 9, "repeats": 3, "checks": 2, "patient_tiles_max": 3, "seed": 7}
    assert run_export(finished, into=tmp_path / "review", **settings) == 0
    assert "9 tiles of 4 patients (9 were asked for), 3 of them twice, 2 checks" in capsys.readouterr().out
    assert "Data: simulated" in (tmp_path / "review" / "for_pathologists" / "sheet.html").read_text(encoding="utf-8")
    key = read_key(tmp_path / "review" / "key.csv")
    with pytest.raises(SarcnetError, match="is there already"):
        run_export(finished, into=tmp_path / "review", **settings)
    truth = pd.DataFrame({name: np.arange(len(key)) % 4 for name in QUESTIONS}, index=key["item_id"])
    sheets = [tmp_path / "A.csv", tmp_path / "B.csv"]
    for path in sheets:
        fill_sheet(SimulatedReader(path.stem, 0.9), key, truth, path=path, rng=np.random.default_rng(1))
    sheets[1].write_text(sheets[1].read_text() + f"{key['sheet_id'][0]},B,QQQQQ,1,1,1,1,1,\n")
    into = tmp_path / "results"
    command = ["review", "import", str(tmp_path / "review" / "key.csv"), *map(str, sheets), "--into", str(into)]
    assert main([*command, "--bootstrap-samples", "100"]) == 0
    said = capsys.readouterr().out
    assert "unknown tile: 1 (the row is left out): B.csv row 16, QQQQQ" in said
    answers = pd.read_csv(into / "answers.csv")
    assert len(answers) == 2 * 14 * 5
    assert answers["strength"].notna().sum() == 2 * 12 * 5
    assert {path.stem for path in into.iterdir()} == {
        "answers", "comments", "problems", "checks", "agreement", "association",
    }  # fmt: skip
    assert main(["review", "import", str(tmp_path / "nowhere.csv"), str(sheets[0]), "--into", str(into)]) == 2
    assert "The key nowhere.csv cannot be read" in capsys.readouterr().err


def test_an_unfinished_run_is_named(tmp_path):
    absent = r"of \S+ would run, because it has not finished yet"
    with pytest.raises(SarcnetError, match=rf"(?s)3 faults.*00_cohort {absent}.*06_interpretability {absent}"):
        run_export(tmp_path, into=tmp_path / "x", tiles=6, repeats=1, checks=1, patient_tiles_max=1, seed=1)


def test_slides_of_a_run_are_written_for_qupath_and_unknown_ones_are_named(finished, tmp_path, capsys):
    assert run_qupath(finished, ["X-T1-S1", "X-T2-S1"], into=tmp_path / "q", nuclei_min=8) == 0
    assert "X-T1-S1: 4 tiles of 1 slides" in capsys.readouterr().out
    endings = ("tiles.geojson", "nuclei.geojson", "overlay.png", "overlay.ome.tif", "html")
    expected = {f"{name}.{ending}" for name in ("X-T1-S1", "X-T2-S1") for ending in endings}
    assert {path.name for path in (tmp_path / "q").iterdir()} == expected
    assert "Data: simulated" in (tmp_path / "q" / "X-T1-S1.html").read_text(encoding="utf-8")
    with pytest.raises(SarcnetError, match=r"(?s)2 faults.*Y has no explained tiles.*Z has no explained tiles"):
        run_qupath(finished, ["X-T1-S1", "Y", "Z"], into=tmp_path / "q", nuclei_min=8)
