"""The losses: Cox's against a plain loop and lifelines, why it does not split, and how a baseline is found for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter

from sarcnet.cohort.incidence import incidence_at
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.federated.config import FederationConfig
from sarcnet.model.crossval import make_folds, make_members, training_weights
from sarcnet.model.hazard import hazard_counts, intervals
from sarcnet.model.losses import cox_loss, fit_baseline
from sarcnet.model.patients import Patients, assemble_patients
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.experiment import Variant, cross_validate
from sarcnet.model.training.lightning_module import fit
from studies.bags import make_bags

EDGES = [6.0, 12.0, 24.0]


def drawn(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """months (rounded, so with ties), cause, scores (n, 2), weights (n, 2) of 0 and 1."""
    g = np.random.default_rng(3)
    months = np.maximum(np.round(g.exponential(20, n)), 1)
    return months, g.integers(0, 3, n), g.normal(size=(n, 2)), (g.random((n, 2)) < 0.7).astype(float)


def terms(months: np.ndarray, cause: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    tensors = (torch.from_numpy(np.asarray(a, dtype=float)) for a in (score, months, cause, weight))
    score_, months_, cause_, weight_ = tensors
    return cox_loss(score_, months=months_, cause=cause_, weight=weight_).numpy()


def test_cox_loss_is_the_partial_likelihood_said_slowly() -> None:
    months, cause, score, weight = drawn()
    found = terms(months, cause, score, weight)
    for e in range(2):
        for i in range(len(months)):
            at_risk = [j for j in range(len(months)) if months[j] >= months[i] and (weight[j, e] or j == i)]
            slow = np.log(sum(np.exp(score[j, e]) for j in at_risk)) - score[i, e] if cause[i] == 1 else 0.0
            assert found[i, e] == pytest.approx(slow, abs=1e-9)


def test_cox_loss_is_smallest_where_lifelines_puts_it() -> None:
    g = np.random.default_rng(1)
    x = g.normal(size=200)
    months, cause = g.exponential(30 * np.exp(-0.7 * x)), (g.random(200) < 0.7).astype(int)
    frame = {"x": x, "months": months, "seen": cause}
    fitted = CoxPHFitter().fit(pd.DataFrame(frame), "months", "seen").params_["x"]
    slopes = fitted + np.array([-0.01, 0.0, 0.01])
    total = terms(months, cause, x[:, None] * slopes, np.ones((200, 3))).sum(axis=0)
    assert total[1] == total.min()
    assert total[0] == pytest.approx(total[2], abs=0.02)


def test_cox_losses_of_two_hospitals_do_not_add_to_the_pooled_one() -> None:
    months, cause, score, _ = drawn()
    everybody, half = np.ones((40, 2)), slice(0, 20)
    apart = sum(terms(months[s], cause[s], score[s], everybody[s]).sum() for s in (half, slice(20, None)))
    assert terms(months, cause, score, everybody).sum() - apart > 5


def test_a_patient_left_out_has_no_part_in_the_terms_of_others() -> None:
    months, cause, score, weight = drawn()
    moved = np.where(weight == 0, score + 50, score)
    np.testing.assert_array_equal(
        terms(months, cause, moved, weight)[weight > 0], terms(months, cause, score, weight)[weight > 0]
    )


def test_baseline_is_the_share_of_events_at_equal_scores_and_meets_the_observed_number_otherwise() -> None:
    months, cause, score, weight = drawn(400)
    outcome = intervals(months, cause, edges_months=EDGES)
    flat = fit_baseline(np.zeros((400, 2)), outcome, weights=weight)
    np.testing.assert_allclose(flat, hazard_counts(outcome, weight).log_odds, atol=1e-8)
    alpha = fit_baseline(score, outcome, weights=weight)
    h = 1 / (1 + np.exp(-(alpha[None] + score[:, :, None])))
    expected = (weight[:, :, None] * outcome.at_risk[:, None, :] * h).sum(axis=0)
    seen = (weight[:, :, None] * outcome.event[:, None, :]).sum(axis=0)
    np.testing.assert_allclose(expected, seen, atol=0.51)  # the half events


def test_a_model_trained_by_cox_loss_finds_the_signal_and_predicts_calibrated_risks(data: SimpleNamespace) -> None:
    table, patients = data.make_patients(60, 80)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(loss="cox", epochs=15, batch_patients=70)
    oof = cross_validate(protocol, patients=patients, folds=folds, variant=Variant("m")).oof
    case = ((table["mfs_event"] == 1) & (table["mfs_months"] <= 60)).to_numpy()
    control = (table["mfs_months"] > 60).to_numpy()
    risk = oof.set_index("patient_id")["risk"].reindex(table["patient_id"]).to_numpy()
    assert (risk[case][:, None] > risk[control][None]).mean() > 0.7
    assert risk[case | control].mean() == pytest.approx(case.sum() / (case | control).sum(), abs=0.1)


def test_a_federation_refuses_cox_and_an_unknown_loss_is_named(data: SimpleNamespace) -> None:
    with pytest.raises(SarcnetError, match="does not split over hospitals"):
        FederationConfig(data.protocol(loss="cox"), rounds=1, local_epochs=1)
    with pytest.raises(SarcnetError, match="loss is 'brier': choose competing_hazards, hazard, cox"):
        data.protocol(loss="brier")


def mortal(*, n: int = 500, seed: int = 2) -> pd.DataFrame:
    """Patients of two hospitals whose metastases hang on tumour size and whose other deaths hang on age, steeply."""
    g = np.random.default_rng(seed)
    age, size = g.uniform(40, 90, n), g.uniform(20, 200, n)
    metastasis = g.exponential(1 / (0.008 * np.exp(0.3 * (np.sqrt(size) - 10))))
    death, lost = g.exponential(1 / (0.01 * np.exp(0.1 * (age - 70)))), g.uniform(30, 130, n)
    months = np.minimum(np.minimum(metastasis, death), lost)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "centre": np.where(np.arange(n) < 0.4 * n, "CLB", "IB"),
            "age_years": age,
            "size_mm": size,
            "mfs_months": months,
            "mfs_event": np.select([months == metastasis, months == death], [1, 2], 0),
        }
    )


def assembled(table: pd.DataFrame) -> Patients:
    bags = make_bags({p: np.zeros((1, 2)) for p in table["patient_id"]})
    return assemble_patients(table, bags=bags, clinical_variables=VARIABLES, hazard_edges_months=EDGES_60)


VARIABLES, EDGES_60 = ("age_years", "size_mm"), (6.0, 12.0, 24.0, 36.0, 48.0, 60.0)
CLINIC = Variant("clinical_only", image=False)


def test_trained_risks_are_the_incidence_lived_by_young_and_old_where_those_of_one_cause_are_too_high(
    data: SimpleNamespace,
) -> None:
    table = mortal()
    patients, folds = assembled(table), make_folds(table, folds=3, repeats=1, seed=7)
    old, risks = table["age_years"].to_numpy() > 75, {}
    for loss in ("competing_hazards", "hazard"):
        protocol = data.protocol(
            loss=loss,
            clinical_variables=VARIABLES,
            hazard_edges_months=EDGES_60,
            feature_dim=2,
            epochs=12,
            batch_patients=60,
            learning_rate=0.05,
        )
        oof = cross_validate(protocol, patients=patients, folds=folds, variant=CLINIC).oof
        risks[loss] = oof.set_index("patient_id")["risk"].reindex(table["patient_id"]).to_numpy()
    gaps = {}
    for group, own in (("young", ~old), ("old", old)):
        rows = table[own]
        followup = Followup(rows["mfs_months"].to_numpy(), rows["mfs_event"].to_numpy(), rows["centre"].to_numpy())
        lived = incidence_at(followup, horizon_months=60.0, competing=True)[0]
        for loss, risk in risks.items():
            gaps[group, loss] = risk[own].mean() - lived
    assert abs(gaps["old", "competing_hazards"]) < 0.07
    assert abs(gaps["young", "competing_hazards"]) < 0.07
    assert gaps["old", "hazard"] > 0.12


def test_one_step_at_each_hospital_averages_to_the_pooled_step_with_death_competing(data: SimpleNamespace) -> None:
    table = mortal(n=120)
    patients, members = assembled(table), make_members("m", folds=3, repeats=1)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(
        clinical_variables=VARIABLES, hazard_edges_months=EDGES_60, feature_dim=2, epochs=1, optimizer="sgd",
        batch_patients=1000, weight_decay=0.0,
    )  # fmt: skip

    def weights(own: Patients) -> np.ndarray:
        return training_weights(folds, patient_ids=own.patient_ids, centres=own.centres, members=members)

    statistics = training_statistics(patients, weights=weights(patients), image=False)
    stepped, counts = [], []
    for own in (patients, patients.of_centre("CLB"), patients.of_centre("IB")):
        stack = build_stack(protocol, members=members, image=False)
        apply_statistics(stack, statistics)
        fit(stack, own, weights=weights(own), protocol=protocol)
        stepped.append(stack.parameter_arrays())
        counts.append(weights(own).sum(axis=0))
    assert np.abs(stepped[0]["death_weight"][:, 0]).min() > 1e-3  # age
    for name, pooled in stepped[0].items():
        share = (counts[1] / counts[0])[:, None]
        np.testing.assert_allclose(share * stepped[1][name] + (1 - share) * stepped[2][name], pooled, atol=1e-6)
