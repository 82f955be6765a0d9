"""A trained stack on disk and its predictions taken apart."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.crossval import fold_matrix, make_folds
from sarcnet.model.patients import Patients
from sarcnet.model.predict import contributions, predict_risks, predict_scores, scores_to_risks
from sarcnet.model.protocol import Protocol
from sarcnet.model.store import load_stack, save_stack
from sarcnet.model.training.experiment import CrossValidated, Variant, cross_validate


def trained(data: SimpleNamespace, **branches: bool) -> tuple[CrossValidated, Patients]:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    return cross_validate(data.protocol(), patients=patients, folds=folds, variant=Variant("m", **branches)), patients


def test_stored_and_read_back_predicts_the_same(data: SimpleNamespace, tmp_path: Path) -> None:
    result, patients = trained(data)
    files = {"weights": tmp_path / "m.safetensors", "description": tmp_path / "m.json"}
    save_stack(result.trained, **files)
    again = load_stack(**files)
    assert again.members == result.trained.members
    assert again.protocol == result.trained.protocol
    np.testing.assert_array_equal(predict_risks(again, patients), predict_risks(result.trained, patients))


def test_the_network_has_a_risk_of_its_own_at_each_edge(data: SimpleNamespace) -> None:
    result, patients = trained(data)
    scores, protocol = predict_scores(result.trained.network, patients), result.trained.protocol
    edges = [edge for edge in protocol.hazard_edges_months if edge <= protocol.horizon_months]
    risks = [scores_to_risks(result.trained, scores, clinical=patients.clinical, horizon_months=edge) for edge in edges]
    assert (np.diff(np.stack(risks), axis=0) > 0).all()
    np.testing.assert_array_equal(risks[-1], predict_risks(result.trained, patients))
    share = np.log1p(-risks[0]) / np.log1p(-risks[-1])
    assert np.ptp(share[:, 0]) > 1e-3, "no power of the risk at the horizon, the same for everybody, gives them"


def test_damaged_or_mixed_up_files_are_refused(data: SimpleNamespace, tmp_path: Path) -> None:
    result, _ = trained(data)
    files = {"weights": tmp_path / "m.safetensors", "description": tmp_path / "m.json"}
    save_stack(result.trained, **files)
    content = files["weights"].read_bytes()
    files["weights"].write_bytes(content[:-1] + b"x")
    with pytest.raises(SarcnetError, match="not the file"):
        load_stack(**files)
    files["description"].write_text(json.dumps({"format": "other"}))
    with pytest.raises(SarcnetError, match="no description"):
        load_stack(**files)
    files["description"].write_text("{")
    with pytest.raises(SarcnetError, match="cannot be read"):
        load_stack(**files)


@pytest.mark.parametrize("branches", [{}, {"image": False}, {"clinical": False}], ids=["both", "clinical", "image"])
def test_contributions_sum_to_the_score(data: SimpleNamespace, branches: dict[str, bool]) -> None:
    result, patients = trained(data, **branches)
    scores = predict_scores(result.trained.network, patients)
    parts = contributions(result.trained, patients)
    np.testing.assert_allclose(parts.scores["score"], scores.mean(axis=1), atol=1e-5)
    tiles = parts.tiles.groupby("patient_id")["contribution"].sum().reindex(patients.patient_ids).fillna(0.0)
    columns = parts.clinical.groupby("patient_id")["contribution"].sum().reindex(patients.patient_ids)
    np.testing.assert_allclose(tiles + columns, scores.mean(axis=1), atol=1e-5)


def test_contributions_of_the_members_that_left_the_patient_out(data: SimpleNamespace) -> None:
    result, patients = trained(data)
    folds = make_folds(data.make_table()[0], folds=3, repeats=1, seed=7)
    left_out = fold_matrix(folds, patient_ids=patients.patient_ids, members=result.trained.members) == 1
    parts = contributions(result.trained, patients, use=left_out)
    scores = predict_scores(result.trained.network, patients)
    np.testing.assert_allclose(parts.scores["score"], scores[left_out], atol=1e-5)
    np.testing.assert_allclose(parts.tiles.groupby("patient_id")["attention"].sum(), 1.0, rtol=1e-5)


def test_protocol_travels_as_json_and_refuses_strangers(data: SimpleNamespace) -> None:
    protocol = data.protocol()
    assert Protocol.from_dict(json.loads(json.dumps(protocol.to_dict()))) == protocol
    with pytest.raises(SarcnetError, match=r"unknown entries \['color'\], missing entries \['seed'\]"):
        Protocol.from_dict({k: v for k, v in protocol.to_dict().items() if k != "seed"} | {"color": 1})
    with pytest.raises(SarcnetError, match="choose adamw or sgd"):
        data.protocol(optimizer="lbfgs")
