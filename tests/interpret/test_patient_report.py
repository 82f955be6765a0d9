"""A page a patient: says how sure, warns twice, asks the network for nothing, and fits on one sheet."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.endpoint import ENDPOINTS, METASTASIS
from sarcnet.interpret.attribution.contributions import Explanation
from sarcnet.interpret.attribution.tiles import SeenTile
from sarcnet.interpret.export import patient_report as report
from sarcnet.interpret.export.heatmap import HeatMap

N = 60


@pytest.fixture
def registry() -> pd.DataFrame:
    """Sixty patients watched for ten years; the odd ones of the lower half had a metastasis after a year."""
    k = np.arange(N)
    event = ((k < 30) & (k % 2 == 1)).astype(int)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in k],
            "centre": "CLB",
            "age_years": 60.0,
            "depth": None,
            "mfs_months": np.where(event == 1, 12.0, 120.0),
            "mfs_event": event,
        }
    )


@pytest.fixture
def explained(registry) -> Explanation:
    ids = registry["patient_id"]
    tiles = pd.DataFrame(
        {"patient_id": np.repeat(ids.iloc[1:].to_numpy(), 3), "contribution": np.tile([0.2, -0.1, 0.4], N - 1)}
    )
    patients = pd.DataFrame(
        {
            "patient_id": ids, "centre": "CLB", "n_tiles": [0, *[3] * (N - 1)], "image": 0.5, "clinical": 0.25,
            "score": 0.75, "risk": np.arange(N) / 100, "baseline_risk": 0.4,
        }
    )  # fmt: skip
    clinical = pd.DataFrame({"patient_id": np.repeat(ids.to_numpy(), 2), "centre": "CLB"})
    clinical["variable"], clinical["contribution"] = np.tile(["age_years", "depth"], N), np.tile([0.2, 0.05], N)
    return Explanation(tiles, clinical, patients, repeats=1, method="a sum", score_gap=0.0, risk_gap=0.0)


@pytest.fixture
def pages(explained, registry, tmp_path, monkeypatch):
    """Writes pages of some patients and gives their text; all but the first patient have a slide."""
    picture = np.full((40, 50, 3), 230, np.uint8)
    heat = HeatMap("s", "t", picture, 20.0, np.where(np.arange(50) < 20, 0.3, np.nan) * np.ones((40, 1)), 0.3)

    def see(rows: pd.DataFrame, *, files, geometry) -> list[SeenTile]:
        return [SeenTile(row, np.zeros((8, 8, 3), np.uint8), 112.0) for _, row in rows.iterrows()]

    monkeypatch.setattr(report, "see_tiles", see)

    def write(chosen: list[str], *, explained=explained, registry=registry, **changed) -> list[str]:
        settings = {
            "registry": registry, "maps": dict.fromkeys(chosen[1:], heat), "files": {}, "geometry": {}, "true_risks": None,
            "data_kind": "simulated", "model": "sarcnet_pooled", "horizon_months": 60.0, "level": 0.95,
            "endpoint": METASTASIS,
        }  # fmt: skip
        paths = report.write_patient_reports(tmp_path, explained, chosen, **(settings | changed))
        assert [path.stem for path in paths] == sorted(chosen)
        return [path.read_text(encoding="utf-8") for path in paths]

    return write


def test_patients_alike_are_the_nearest_and_counted_right(explained, registry):
    found = report.patients_alike(explained.patients, registry, risk=0.10, horizon_months=60.0, level=0.95, apart="P10")
    assert (found.n, found.of) == (29, 59)  # half of the others at most: all of them are not the most similar ones
    assert found.low_risk == 0.0
    assert found.high_risk == pytest.approx(0.29)
    events = [k for k in range(30) if k != 10 and k % 2 == 1]
    assert found.observed == pytest.approx(len(events) / 29)  # nobody is lost, so it is a plain share
    assert found.low < found.observed < found.high


@pytest.mark.parametrize(
    ("known", "said"), [(21, "Of the 10 patients"), (60, "Of the 29 patients"), (200, "Of the 40")]
)
def test_the_most_similar_are_never_everybody(pages, explained, registry, known, said):
    rows = np.arange(known) % N
    many = explained.patients.iloc[rows].assign(patient_id=[f"Q{k}" for k in range(known)])
    outcomes = registry.iloc[rows].assign(patient_id=many["patient_id"].to_numpy())
    clinical, tiles = explained.clinical.iloc[:0], explained.tiles.iloc[:0]
    changed = replace(explained, patients=many, clinical=clinical, tiles=tiles)
    [html] = pages(["Q5"], explained=changed, registry=outcomes)
    assert said in html
    assert f"out of {known - 1} others" in html


def test_twenty_others_are_needed_to_speak_of_similar_ones(pages, registry):
    def page_where(known: int) -> str:
        return pages(
            ["P05"], registry=registry.assign(mfs_months=registry["mfs_months"].where(registry.index < known))
        )[0]

    assert "too few patients of similar risk" in page_where(8)
    assert "too few patients of similar risk" in page_where(20)  # 19 others
    assert "Of the 10 patients with the most similar predicted risk" in page_where(21)


def test_page_says_what_stands_in_the_tables(pages, registry):
    html = pages(["P00", "P20"], true_risks=pd.Series(0.33, index=registry["patient_id"]))[1]
    assert html.count("Simulated data. Not for clinical use.") == 2
    assert "Patient P20, CLB" in html
    assert ">20%<" in html
    assert "the true risk is known: 33%" in html
    assert "<td>depth</td><td>not recorded</td>" in html
    assert "<td>age</td><td>60 years</td>" in html
    assert re.findall(r'class="n">([^<]+)<', html) == ["+0.50", "+0.20", "+0.05"]  # slide, then by size
    assert len(re.findall(r'<img src="data:image/jpeg', html)) == 1 + 3  # the map; three tiles, none shown twice


def test_patient_without_a_slide_has_a_page(pages):
    assert "There is no slide that could be used" in pages(["P00", "P20"])[0]


def test_real_patients_are_not_called_simulated_and_names_are_escaped(pages, explained, registry):
    named = explained.patients.assign(centre="<script>")
    html = pages(["P20"], explained=replace(explained, patients=named), data_kind="private")[0]
    assert "Private data. Not for clinical use." in html
    assert "true risk" not in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_page_prints_on_one_sheet_and_asks_for_nothing(pages, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here to print with")
    html, path = pages(["P00", "P20"])[1], tmp_path / "P20.html"
    assert not re.search(r"(src|href)=['\"](?!data:)", html)
    pdf = tmp_path / "page.pdf"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--print-to-pdf={pdf}",
    ]
    subprocess.run([*command, path.as_uri()], check=True, capture_output=True, timeout=900)
    assert re.findall(rb"/Count (\d+)", pdf.read_bytes()) == [b"1"]


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_page_names_the_event(pages, endpoint):
    html = pages(["P30"], endpoint=endpoint)[0]
    assert f"risk of {endpoint.event} within 5 years" in html
    assert f"% {endpoint.had} by then" in html
