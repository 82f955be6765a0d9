"""The optional real slide: checked, laid out as a cohort, and honest about a missing network."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from sarcnet.compendium.errors import SarcnetError
from studies import example_slide


def test_another_file_is_refused(tmp_path):
    with pytest.raises(SarcnetError, match="is not the file that sarcnet knows"):
        example_slide.lay_out(tmp_path, slide=b"something else")
    assert not example_slide.is_there(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_layout_is_a_cohort_of_one_patient_without_outcome(tmp_path, monkeypatch):
    monkeypatch.setattr(example_slide, "SHA256", hashlib.sha256(b"slide").hexdigest())
    example_slide.lay_out(tmp_path, slide=b"slide")
    assert example_slide.is_there(tmp_path)
    assert json.loads((tmp_path / "cohort.json").read_text())["kind"] == "public"
    hospital = tmp_path / "HISTOLAB"
    with (hospital / "patients.csv").open() as patients, (hospital / "slides.csv").open() as slides:
        patient, slide = next(csv.DictReader(patients)), next(csv.DictReader(slides))
    assert patient["patient_id"] == slide["patient_id"]
    assert (patient["mfs_months"], patient["mfs_event"], patient["fnclcc_grade"]) == ("", "", "")
    assert (hospital / slide["file"]).read_bytes() == b"slide"


def test_without_network_it_says_so(monkeypatch):
    def no_network(command: list[str], **options: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="ERROR: No matching distribution found")

    monkeypatch.setattr(subprocess, "run", no_network)
    with pytest.raises(SarcnetError, match=r"could not fetch .*No matching distribution.* Are you online\?"):
        example_slide.fetch()


def test_second_call_fetches_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example_slide, "SHA256", hashlib.sha256(b"slide").hexdigest())
    monkeypatch.setattr(example_slide, "resolve", lambda name: tmp_path / name)
    monkeypatch.setattr(example_slide, "fetch", lambda: b"slide")
    assert example_slide.main() == 0
    monkeypatch.setattr(example_slide, "fetch", lambda: pytest.fail("fetched again"))
    assert example_slide.main() == 0
    assert "is there" in capsys.readouterr().out


def test_checksum_is_that_of_the_real_file():
    folder = os.environ.get("SARCNET_SHARED_DATA")
    if not folder:
        pytest.skip("SARCNET_SHARED_DATA names no folder of real slides")
    slide = (Path(folder) / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    assert hashlib.sha256(slide).hexdigest() == example_slide.SHA256
