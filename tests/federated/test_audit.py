"""Nothing per patient leaves a hospital: in what is sent, in what a client can read, and in what a failure says."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from sarcnet.cohort.endpoint import endpoint_named
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import write_json
from sarcnet.federated.app import client_app as at_hospital
from sarcnet.federated.app.evaluation_sums import RISK_BINS, RISK_GROUPS
from sarcnet.federated.app.ledger import Ledger, sizes, totals, traffic
from sarcnet.federated.app.records import check_axes, describe_axes, instructions, stack_shape, to_record
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_centre, read_hospital, without_names, write_hospital


@pytest.fixture
def run(cohort, make_plan):
    return simulate(
        make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="inprocess"
    )


def test_every_array_has_members_first_and_no_patient_or_tile_axis(run, cohort, make_plan):
    shape = stack_shape(make_plan().protocol)
    allowed = {
        shape.members,
        shape.feature_dim,
        shape.clinical_dim,
        shape.embedding_dim,
        shape.attention_dim,
        shape.intervals,
    }
    patients = cohort.patients()
    counted = {len(patients), len(patients.bags.features)}
    for centre in ("CLB", "IB"):
        own = patients.of_centre(centre)
        counted |= {len(own), len(own.bags.features)}
    bins = {RISK_BINS, RISK_GROUPS}
    assert not counted & (allowed | bins), (
        "the cohort of the test must not have as many patients as the network has features"
    )
    arrays = dict(sizes(run.messages))
    assert len(arrays) > 15
    for name, size in arrays.items():
        judged = name.startswith("evaluation.")
        assert size[0] == (make_plan().protocol.repeats if judged else shape.members), name
        assert set(size[1:]) <= (allowed | bins if judged else allowed), name


@pytest.mark.parametrize("size", [(23, 11), (2, 23), (2, 5, 23), ()], ids=str)
def test_an_array_of_patients_is_not_sent(size, make_plan):
    with pytest.raises(FederationError, match="could count patients or tiles"):
        check_axes([("risk", size)], shape=stack_shape(make_plan().protocol))


def test_axes_have_names(make_plan):
    shape = stack_shape(make_plan().protocol)
    assert describe_axes((2, 5, 11), shape=shape) == "member × embedding × feature"
    assert describe_axes((2, 23), shape=shape) == "member × UNKNOWN"


def test_a_client_that_would_send_patients_is_stopped_at_the_hospital(cohort, make_plan, monkeypatch):
    monkeypatch.setattr(
        at_hospital, "image_score_sums", lambda stack, patients, weights: (weights[:, 0], weights[:, 1])
    )
    with pytest.raises(
        FederationError, match=r"Hospital CLB .*These arrays are not sent: total \(23,\), count \(23,\)"
    ):
        simulate(make_plan(), hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="inprocess")


def test_the_ledger_holds_every_message(run):
    table = run.messages
    kinds = table.groupby(["round", "message"])[["from", "to"]].apply(
        lambda g: sorted(set(zip(g["from"], g["to"], strict=True)))
    )
    both_ways = [("CLB", "server"), ("IB", "server"), ("server", "CLB"), ("server", "IB")]
    assert {key: ways for key, ways in kinds.items() if key[1] != "query.hello"} == {
        (0, "query.statistics"): both_ways,
        (1, "train"): both_ways,
        (2, "train"): both_ways,
        (3, "query.centring"): both_ways,
        (3, "query.evaluation"): both_ways,
    }
    assert table["bytes"].gt(0).all()
    assert not table.isna().any().any()
    assert traffic(table)["bytes"].sum() == table["bytes"].sum()


def test_the_ledger_counts_bytes(make_plan):
    InProcessGrid(at_hospital.app, nodes=1)  # lets this process write messages
    array = np.zeros((2, 11), np.float64)
    content = RecordDict({"arrays": to_record({"w": array}), "config": ConfigRecord({"text": "né", "number": 1})})
    ledger = Ledger()
    ledger.record(Message(content, 2, "train"), round=1, sender="server", receiver="CLB", kind="train")
    by_name = ledger.frame().set_index("name")
    assert by_name.loc["w", "shape"] == "2 × 11"
    assert 0 <= by_name.loc["w", "bytes"] - array.nbytes < 200  # numpy's header
    assert by_name.loc[["text", "number"], "bytes"].tolist() == [3, 8]
    assert by_name.loc["text", "sha256"] == hashlib.sha256("né".encode()).hexdigest()


def test_what_a_hospital_sent_can_be_shown_by_its_digest(run):
    """The averaged weights go to both hospitals alike, each sends its own."""
    weights = run.messages[(run.messages["message"] == "train") & (run.messages["name"] == "tile_weight")]
    assert weights.groupby(["round", "to"])["sha256"].nunique().loc[1].to_dict() == {"CLB": 1, "IB": 1, "server": 2}
    down = weights[weights["from"] == "server"]
    assert down.groupby("round")["sha256"].nunique().tolist() == [1, 1]
    assert down["sha256"].nunique() == 2
    assert weights["sha256"].str.len().eq(64).all()


def test_totals_add_up(run):
    total = totals(run.messages)
    assert total["bytes"].sum() == run.messages["bytes"].sum()
    # who are you, statistics, two rounds of training, centring, evaluation
    assert total["messages"].tolist() == [6, 6, 6, 6]


def test_a_hospital_folder_holds_that_hospital_only(cohort):
    folders = cohort.hospitals()
    for centre, folder in folders.items():
        own = set(cohort.table.loc[cohort.table["centre"] == centre, "patient_id"])
        assert {f.stem.removeprefix("slide-") for f in (folder / "features").iterdir()} == own
        for table in ("patients", "slides", "folds"):
            assert set(pd.read_parquet(folder / f"{table}.parquet")["patient_id"]) == own


def test_a_client_needs_its_own_folder_only(cohort, make_plan):
    """With every other file of the cohort gone, a hospital still does its part."""
    plan, folders = make_plan(), cohort.hospitals()
    clients = simulate_client(folders["IB"])
    shutil.rmtree(folders["CLB"])
    shutil.rmtree(cohort.folder / "features")
    question = RecordDict({"config": instructions(plan.protocol)})
    reply = clients(question, "query.statistics")
    assert (
        reply.content.array_records["arrays"]["patients"].numpy().sum() == 31
    )  # each of two folds trains on the other


def simulate_client(folder):
    from sarcnet.federated.engines.simulation import folder_by_partition

    grid = InProcessGrid(at_hospital.make_client_app(mods=[folder_by_partition([str(folder)])]), nodes=1)
    return lambda content, kind: grid.send_and_receive([Message(content, 2, kind)])[0]


def test_an_error_leaves_without_names(cohort, make_plan):
    folder = cohort.hospitals()["CLB"]
    table = pd.read_parquet(folder / "patients.parquet")
    table.loc[4, "depth"] = "profound"
    table.to_parquet(folder / "patients.parquet")
    reply = simulate_client(folder)(RecordDict({"config": instructions(make_plan().protocol)}), "query.statistics")
    assert "profound" in reply.error.reason
    assert "CLB-004" not in reply.error.reason
    assert "CLB-004" in (folder / "error.txt").read_text()  # the hospital's own people can look


def test_names_of_patients_slides_and_paths_are_taken_out(cohort):
    folder = cohort.hospitals()["IB"]
    text = without_names(f"slide-IB-003.h5 of IB-003 in {folder} is damaged", folder=folder)
    assert text == "(slide).h5 of (patient) in the hospital's folder is damaged"


def test_a_folder_of_two_hospitals_is_refused(cohort):
    folder = write_hospital(
        cohort.folder / "mixed",
        centre="CLB",
        patients=cohort.table,
        slides=cohort.slides,
        folds=cohort.folds(),
        features=cohort.features,
    )
    cohort.table.to_parquet(folder / "patients.parquet")
    with pytest.raises(SarcnetError, match="one folder is for one hospital"):
        read_centre(folder)


def test_features_of_another_encoder_are_refused(cohort, make_plan):
    folder = cohort.hospitals()["CLB"]
    with pytest.raises(SarcnetError, match="have 11 features, the protocol says 12"):
        read_hospital(folder, protocol=make_plan(feature_dim=12).protocol)


def test_a_hospital_whose_events_are_coded_for_another_outcome_is_refused(cohort, make_plan):
    folder = cohort.hospitals()["CLB"]
    agreed = make_plan(outcome="mfs", loss="hazard").protocol
    with pytest.raises(
        SarcnetError, match=r"coded for the outcome 'metastasis' .* predicts 'mfs' .metastasis or death."
    ):
        read_hospital(folder, protocol=agreed)
    write_json(folder / "outcome.json", endpoint_named("mfs").to_dict())
    read_hospital(folder, protocol=agreed)
    table = pd.read_parquet(folder / "patients.parquet")
    table.assign(mfs_event=2).to_parquet(folder / "patients.parquet")
    with pytest.raises(SarcnetError, match=r"mfs_event \[.*2.*\], which the outcome 'mfs' does not know"):
        read_hospital(folder, protocol=agreed)
    (folder / "outcome.json").unlink()
    with pytest.raises(SarcnetError, match="not known which event"):
        read_hospital(folder, protocol=agreed)


def test_a_hospital_without_patients_cannot_take_part(cohort):
    tables = {"patients": cohort.table, "slides": cohort.slides, "folds": cohort.folds(), "features": cohort.features}
    with pytest.raises(SarcnetError, match="no patient of centre 'Lyon'"):
        write_hospital(cohort.folder / "Lyon", centre="Lyon", **tables)
