"""TCGA-SARC becomes a cohort: who is in, when the metastasis came, whose slide it is; transfers that break go on."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from sarcnet.cli.main import main
from sarcnet.cohort import gdc, tcga, tcga_folders
from sarcnet.cohort.read import read_cohort
from sarcnet.compendium.errors import SarcnetError

LIMB = "Connective, subcutaneous and other soft tissues of lower limb and hip"
CASES = (  # case, site, diagnosis, alive or dead, day of death, last day, day of metastasis, noted at diagnosis
    ("TCGA-DX-A001", LIMB, "Leiomyosarcoma, NOS", "Dead", "900", "900", "365", ""),
    ("TCGA-DX-A002", LIMB, "Undifferentiated sarcoma", "Dead", "700", "690", "", "No Metastasis"),
    ("TCGA-DX-A003", LIMB, "Fibromyxosarcoma", "Alive", "", "1461", "", ""),
    ("TCGA-3B-A004", LIMB, "Leiomyosarcoma, NOS", "Alive", "", "800", "", "Metastasis, NOS"),
    ("TCGA-3B-A005", "Retroperitoneum", "Leiomyosarcoma, NOS", "Alive", "", "800", "", ""),
    ("TCGA-X6-A006", LIMB, "Dedifferentiated liposarcoma", "Alive", "", "800", "", ""),
    ("TCGA-X6-A007", LIMB, "Leiomyosarcoma, NOS", "Alive", "", "800", "0", ""),
)


def write_export(folder: Path) -> Path:
    """The GDC's three tables for a handful of invented cases."""
    folder.mkdir()
    clinical, seen, details = [], [], []
    for case, site, diagnosis, vital, death, last, metastasis, noted in CASES:
        row = dict.fromkeys(tcga.TABLES["clinical.tsv"], "'--")
        row |= {
            tcga.CASE: case,
            "demographic.age_at_index": "60",
            "demographic.gender": "female",
            "demographic.vital_status": vital,
            "demographic.days_to_death": death or "'--",
            "diagnoses.classification_of_tumor": "primary",
            "diagnoses.diagnosis_id": f"{case}-d",
            "diagnoses.metastasis_at_diagnosis": noted or "'--",
            "diagnoses.primary_diagnosis": diagnosis,
            "diagnoses.residual_disease": "RX",
            "diagnoses.site_of_resection_or_biopsy": site,
        }
        clinical += [row, row]  # one row a treatment
        seen.append({tcga.CASE: case, "follow_ups.days_to_follow_up": last})
        if metastasis:
            kind = "follow_ups.progression_or_recurrence_type"
            seen.append({tcga.CASE: case, "follow_ups.days_to_recurrence": metastasis, kind: "Distant"})
            seen.append({tcga.CASE: case, "follow_ups.days_to_progression": "100", kind: "Locoregional"})
        for way, centimetres in (("Pathologic", "7.5"), ("Radiologic", "9")):
            details.append(
                {
                    tcga.CASE: case,
                    "diagnoses.diagnosis_id": f"{case}-d",
                    "pathology_details.measurement_type": way,
                    "pathology_details.tumor_length_measurement": centimetres,
                    "pathology_details.tumor_depth_descriptor": "Deep",
                    "pathology_details.necrosis_present": "No",
                }
            )
    for name, rows in (("clinical.tsv", clinical), ("follow_up.tsv", seen), ("pathology_detail.tsv", details)):
        table = pd.DataFrame(rows).reindex(columns=list(tcga.TABLES[name]))
        table.fillna("'--").to_csv(folder / name, sep="\t", index=False)
    return folder


@pytest.fixture
def export(tmp_path) -> Path:
    return write_export(tmp_path / "export")


@pytest.fixture
def grades(tmp_path) -> Path:
    path = tmp_path / "grades.csv"
    path.write_text("patient,fnclcc,histotype\nTCGA-DX-A001,3,UPS\nTCGA-DX-A002,2,\n")
    return path


@pytest.fixture
def slides() -> dict[str, bytes]:
    return {f"{case[0]}-01Z-00-DX1.AB12-{i}.svs": os.urandom(5000 + i) for i, case in enumerate(CASES)}


@pytest.fixture
def manifest(tmp_path, slides) -> Path:
    rows = [(f"id-{name}", name, hashlib.md5(data).hexdigest(), len(data), "released") for name, data in slides.items()]
    rows.append(("frozen", "TCGA-DX-A001-01A-01-TS1.AB12.svs", "0", 1, "released"))
    path = tmp_path / "manifest.tsv"
    pd.DataFrame(rows, columns=list(gdc.COLUMNS)).to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture
def server(slides):
    """Serves the slides; ends every first answer in the middle, as networks do. `log` holds the Range of each request."""
    log: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/id-")[2]
            data, asked = slides[name], self.headers.get("Range")
            start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
            first = not any(seen == name for seen, _ in log)
            log.append((name, asked))
            self.send_response(206 if asked else 200)
            self.end_headers()
            self.wfile.write(data[start : start + 2000] if first else data[start:])

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        running.log = log
        yield running
        running.shutdown()


def test_the_study_s_patients_and_their_outcomes(export, grades):
    found = tcga.select(tcga.read_export(export), grades=tcga.read_grades(grades), centre_patients_min=2)
    table = found.patients.set_index("patient_id")
    assert list(table.index) == ["TCGA-3B-A004", "TCGA-DX-A001", "TCGA-DX-A002", "TCGA-DX-A003"]
    assert table.loc["TCGA-DX-A001", ["mfs_months", "mfs_event"]].tolist() == [11.99, 1]  # not the relapse of day 100
    assert table.loc["TCGA-DX-A002", ["mfs_months", "mfs_event"]].tolist() == [23.0, 2]
    assert table.loc["TCGA-DX-A003", ["mfs_months", "mfs_event"]].tolist() == [48.0, 0]
    assert table.loc["TCGA-3B-A004", ["mfs_months", "mfs_event"]].isna().all()  # noted, but never dated
    assert table.loc["TCGA-DX-A001", ["histotype", "fnclcc_grade"]].tolist() == ["UPS", "3"]  # the review goes first
    assert table["size_mm"].unique().tolist() == [75.0]  # the pathologist, not the radiologist
    assert table["necrosis_fraction"].unique().tolist() == [0.0]
    assert table["margins"].isna().all()  # RX
    assert table["centre"].to_dict() == {"TCGA-3B-A004": "OTHERS", **dict.fromkeys(table.index[1:], "DX")}
    reasons = found.left_out.set_index("patient_id")["reason"]
    assert reasons["TCGA-3B-A005"] == "site: Retroperitoneum"
    assert reasons["TCGA-X6-A006"] == "histotype: Dedifferentiated liposarcoma"
    assert reasons["TCGA-X6-A007"].startswith("metastasis on the day of diagnosis")
    assert len(found.patients) + len(found.left_out) == len(CASES)  # nobody vanishes
    doubts = found.doubts.set_index("patient_id")["doubt"]
    assert "without a day" in doubts["TCGA-3B-A004"].iloc[0]
    assert doubts["TCGA-DX-A003"] == "empty: fnclcc_grade"


def test_cohort_is_read_by_the_notebooks_reader(export, grades, manifest, slides, tmp_path):
    source = tmp_path / "gdc-client" / "some-uuid"
    source.mkdir(parents=True)
    names = list(slides)
    (source / names[0]).write_bytes(slides[names[0]])
    (source / names[1]).write_bytes(slides[names[1]][:-1])
    given = {"manifest": manifest, "into": tmp_path / "cohort", "grades": grades, "slides": source.parent}
    _, files, faults = tcga_folders.lay_out(export, **given, centre_patients_min=2)
    assert files["there"].sum() == 1
    assert len(faults.sentences) == 1
    assert "5,000 bytes instead of 5,001" in faults.sentences[0]
    cohort = read_cohort(tmp_path / "cohort", kind="public")
    assert len(cohort.patients) == 4
    assert cohort.slides[["slide_id", "patient_id", "centre", "stain"]].to_numpy().tolist() == [
        ["TCGA-DX-A001-01Z-00-DX1", "TCGA-DX-A001", "DX", "HE"]
    ]
    missing = gdc.read_manifest(tmp_path / "cohort" / "missing_slides.tsv")
    assert missing["patient_id"].tolist() == ["TCGA-3B-A004", "TCGA-DX-A002", "TCGA-DX-A003"]


def test_broken_transfers_are_continued_and_checked(export, manifest, slides, server, tmp_path):
    given = {"manifest": manifest, "into": tmp_path / "cohort", "download": True, "centre_patients_min": 2}
    address = f"http://127.0.0.1:{server.server_address[1]}"
    _, files, faults = tcga_folders.lay_out(export, **given, server=address)
    assert not faults
    assert files["there"].all()
    assert all(
        (tmp_path / "cohort" / row.centre / "slides" / row.filename).read_bytes() == slides[row.filename]
        for row in files.itertuples()
    )
    first = files.iloc[0]["filename"]
    assert [asked for name, asked in server.log if name == first] == [None, "bytes=2000-"]
    requests = len(server.log)
    tcga_folders.lay_out(export, **given, server=address)
    assert len(server.log) == requests  # nothing is fetched twice
    spoilt = files.iloc[0]
    (tmp_path / "cohort" / spoilt["centre"] / "slides" / first).unlink()
    slides[first] = b"\0" * len(slides[first])
    _, files, faults = tcga_folders.lay_out(export, **given, server=address)
    assert "its checksum is" in faults.sentences[0]
    assert not files.set_index("filename").loc[first, "there"]


def test_no_network_is_a_sentence(manifest, tmp_path, monkeypatch):
    row = next(gdc.read_manifest(manifest).itertuples())
    with pytest.raises(SarcnetError, match=r"0 of 5,0.. bytes came .*try again"):
        gdc.fetch(row, goal=tmp_path / "x.svs", server="http://127.0.0.1:9")


def test_a_full_disk_is_refused_before_the_first_byte(export, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(tcga_folders.shutil, "disk_usage", lambda _: type("", (), {"free": 1000})())
    with pytest.raises(SarcnetError, match=r"4 slides still to fetch .* choose another disk"):
        tcga_folders.lay_out(export, manifest=manifest, into=tmp_path / "cohort", download=True)


def test_all_faults_of_an_export_at_once(export):
    (export / "follow_up.tsv").unlink()
    table = pd.read_csv(export / "clinical.tsv", sep="\t", dtype=str)
    table.drop(columns=["demographic.gender"]).to_csv(export / "clinical.tsv", sep="\t", index=False)
    with pytest.raises(SarcnetError, match=r"2 faults") as told:
        tcga.read_export(export)
    assert "follow_up.tsv is missing" in str(told.value)
    assert "'demographic.gender' is missing" in str(told.value)


def test_grades_that_are_none_are_named(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text("patient,fnclcc\nA,4\nB,2\nB,2\n")
    with pytest.raises(SarcnetError, match=r"row 2 \(A\): fnclcc is '4'") as told:
        tcga.read_grades(path)
    assert "B comes more than once" in str(told.value)


def test_command_says_what_to_do_next(export, manifest, tmp_path, capsys):
    given = [str(export), "--manifest", str(manifest), "--into", str(tmp_path / "c")]
    assert main(["cohort", "tcga", *given]) == 0
    said = capsys.readouterr().out
    assert "4 patients (OTHERS 4), 1 with metastasis; 3 left out" in said
    assert "0 of 4 slides are there" in said
    assert "make reproduce PROFILE=tcga_sarc" in said
    assert main(["cohort", "tcga", str(tmp_path), *given[1:]]) == 2


def test_the_real_export_gives_the_patients_of_the_docs():
    folder = os.environ.get("SARCNET_SHARED_DATA")
    if not folder:
        pytest.skip("SARCNET_SHARED_DATA names no folder with the GDC's export")
    clinical = Path(folder) / "clinical"
    found = tcga.select(
        tcga.read_export(clinical / "gdc_tcga_sarc_2025-12-31"),
        grades=tcga.read_grades(clinical / "tcga_sarc_fnclcc_metastasis_206.csv"),
    )
    assert len(found.patients) == 84
    assert len(found.left_out) == 177
    assert (found.patients["mfs_event"] == 1).sum() == 38
    years = found.patients.loc[found.patients["mfs_event"] == 1, "mfs_months"].astype(float) / 12
    assert years.quantile([0.25, 0.5, 0.75]).round(2).tolist() == [0.47, 0.81, 1.3]
