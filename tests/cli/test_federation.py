"""What hospitals and the coordinating site prepare by command: a hospital's folder, and the settings of a run."""

from __future__ import annotations

import dataclasses
import json
import stat
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from sarcnet.cli import main
from sarcnet.cli.federation import make_protocol, write_plan
from sarcnet.cli.hospital import create_folder
from sarcnet.cohort.endpoint import endpoint_named, read_endpoint
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.study import Study
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.deployed_server import read_run_config
from sarcnet.federated.hospital_folder import read_centre, write_hospital
from sarcnet.model.crossval import make_folds

PLAN = {
    "out": "/srv/sarcnet/out",
    "strategy": "fedavg",
    "secure_sum": False,
    "deadline_s": 60.0,
    "start_deadline_s": 9.0,
}


@pytest.fixture
def smoke(tmp_path) -> Study:
    """The smoke profile, whose run is in a folder of the test."""
    study = Study.load("smoke")
    return dataclasses.replace(study, values={**study.values, "run_dir": str(tmp_path / "run")})


def finish(study: Study, name: str, outputs: dict[str, Path]) -> None:
    """Leave the record of a finished notebook."""
    folder = study.run_dir / name
    folder.mkdir(parents=True)
    written = {key: {"path": str(path), "sha256": "-"} for key, path in outputs.items()}
    record = {"inputs": {}, "patterns": {}, "sources": {}, "outputs": written}
    (folder / "stage.json").write_text(json.dumps(record))


def finish_both(study: Study, cohort, *, centres=("CLB", "IB"), outcome="metastasis") -> None:
    study.run_dir.mkdir()
    tables = {"training.parquet": cohort.table[cohort.table["centre"].isin(centres)], "slides.parquet": cohort.slides}
    for name, table in tables.items():
        table.to_parquet(study.run_dir / name)
    (study.run_dir / "outcome.json").write_text(json.dumps(endpoint_named(outcome).to_dict()))
    finish(study, "00_cohort", {name: study.run_dir / name for name in (*tables, "outcome.json")})
    finish(study, "02_features", {f"features/{path.name}": path for path in cohort.features.values()})


def content(folder: Path) -> dict[str, object]:
    tables: dict[str, object] = {}
    for path in folder.glob("*.parquet"):
        tables[path.name] = pd.read_parquet(path).drop(columns="centre", errors="ignore").to_csv()
    return tables | {path.name: path.read_bytes() for path in (folder / "features").iterdir()}


@pytest.mark.parametrize("alone", [True, False])
def test_a_hospital_creates_by_itself_what_the_simulation_gives_it(cohort, smoke, tmp_path, capsys, alone):
    """Whether or not it ever saw another hospital's patients."""
    finish_both(smoke, cohort, centres=("IB",) if alone else ("CLB", "IB"))
    create_folder(smoke, centre=None if alone else "IB", into=tmp_path / "hospital")
    folds = make_folds(cohort.table, folds=2, repeats=1, seed=2025)  # of both, under the smoke profile
    expected = write_hospital(
        tmp_path / "expected", centre="IB", patients=cohort.table, slides=cohort.slides, folds=folds,
        features=cohort.features,
    )  # fmt: skip
    assert content(tmp_path / "hospital") == content(expected)
    assert read_centre(tmp_path / "hospital") == "IB"
    assert "IB: 31 patients in 2 folds × 1 repeats; 31 of them with features, of 31 slides" in capsys.readouterr().out


def test_only_the_owner_reads_the_folder_and_the_run_shares_no_file_with_it(cohort, smoke, tmp_path):
    finish_both(smoke, cohort)
    create_folder(smoke, centre="CLB", into=tmp_path / "hospital")
    for path in (tmp_path / "hospital", *(tmp_path / "hospital").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or path.stat().st_nlink == 1


def test_a_folder_is_renewed_but_never_over_something_else(cohort, smoke, tmp_path):
    finish_both(smoke, cohort)
    create_folder(smoke, centre="IB", into=tmp_path / "hospital")
    (tmp_path / "hospital" / "error.txt").write_text("of the last run")
    create_folder(smoke, centre="CLB", into=tmp_path / "hospital")
    assert set(pd.read_parquet(tmp_path / "hospital" / "patients.parquet")["centre"]) == {"CLB"}
    assert not (tmp_path / "hospital" / "error.txt").exists()
    (tmp_path / "hospital" / "thesis.docx").write_text("years of work")
    with pytest.raises(SarcnetError, match=r"holds thesis\.docx, which is no part of a hospital's folder"):
        create_folder(smoke, centre="CLB", into=tmp_path / "hospital")
    assert (tmp_path / "hospital" / "thesis.docx").exists()


def test_the_outcome_of_the_profile_goes_into_folder_and_plan(cohort, smoke, tmp_path):
    mfs = dataclasses.replace(smoke, values={**smoke.values, "outcome": "mfs"})
    finish_both(mfs, cohort, outcome="mfs")
    create_folder(mfs, centre="CLB", into=tmp_path / "hospital")
    assert read_endpoint(tmp_path / "hospital" / "outcome.json").name == "mfs"
    protocols = [make_protocol(study, hospitals=["CLB", "IB"]) for study in (smoke, mfs)]
    assert [(protocol.outcome, protocol.loss) for protocol in protocols] == [
        ("metastasis", "competing_hazards"),
        ("mfs", "hazard"),
    ]


def test_what_is_missing_is_said_at_once(cohort, smoke, tmp_path):
    with pytest.raises(SarcnetError, match="2 faults") as error:
        create_folder(smoke, centre="IB", into=tmp_path / "hospital")
    assert "sarcnet run smoke --upto 02_features" in str(error.value)
    finish_both(smoke, cohort)
    with pytest.raises(SarcnetError, match=r"has patients of CLB, IB, not of '': name one with --centre"):
        create_folder(smoke, centre=None, into=tmp_path / "hospital")
    with pytest.raises(SarcnetError, match="not of 'LYON'"):
        create_folder(smoke, centre="LYON", into=tmp_path / "hospital")


def test_the_settings_of_a_run_are_the_profiles(smoke, tmp_path, capsys):
    write_plan(smoke, hospitals=["IB", "CLB"], into=tmp_path / "run.toml", **PLAN)
    settings = tomllib.loads((tmp_path / "run.toml").read_text())
    protocol = make_protocol(smoke, hospitals=["CLB", "IB"])
    expected = FederationConfig(
        protocol, rounds=2, local_epochs=2, deadline_s=60.0, start_deadline_s=9.0, message_dtype="float16"
    )
    assert read_run_config(settings) == (expected, Path("/srv/sarcnet/out"))
    assert (protocol.centres, protocol.encoder, protocol.feature_dim) == (("CLB", "IB"), "mobilenetv2_imagenet", 1280)
    assert (protocol.folds, protocol.repeats, protocol.epochs, protocol.seed) == (2, 1, 4, 2025)
    assert (protocol.weight_decay, protocol.weight_decay_grid) == (2.0, ())
    assert "CLB, IB; 2 rounds × 2 local epochs of fedavg, 2 networks, float16" in capsys.readouterr().out


def test_a_secure_sum_is_written_whole(smoke, tmp_path):
    chosen = PLAN | {"secure_sum": True}
    write_plan(smoke, hospitals=["A", "B", "C"], into=tmp_path / "run.toml", **chosen)
    plan, _ = read_run_config(tomllib.loads((tmp_path / "run.toml").read_text()))
    assert (plan.secure_sum, plan.message_dtype) == (True, "float32")
    with pytest.raises(SarcnetError, match="needs 3 hospitals"):
        write_plan(smoke, hospitals=["A", "B"], into=tmp_path / "other.toml", **chosen)
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hospitals": ["A", "B", "A"]}, "The hospitals are A, B, A: name each once"),
        ({"out": "results"}, "give a full path on the SuperLink's machine"),
        ({"strategy": "fedsgd"}, "There is no strategy 'fedsgd'"),
    ],
)
def test_a_plan_that_cannot_work_is_a_sentence(smoke, tmp_path, changed, said):
    with pytest.raises(SarcnetError, match=said):
        write_plan(smoke, **{"hospitals": ["A", "B"], "into": tmp_path / "run.toml", **PLAN, **changed})


def test_the_command_line_reaches_both(monkeypatch, tmp_path, capsys):
    into = tmp_path / "run.toml"
    assert (
        main.main(["federation", "plan", "smoke", "--hospitals", "A", "B", "--out", "/out", "--into", str(into)]) == 0
    )
    assert tomllib.loads(into.read_text())["out"] == "/out"
    absent = tmp_path / "smoke.yaml"
    absent.write_text(f"run_dir: {tmp_path / 'nothing'}\n")
    assert main.main(["hospital", "create", str(absent), "--into", str(tmp_path / "hospital")]) == 2
    assert "nothing would run, because it has not finished yet" in capsys.readouterr().err
