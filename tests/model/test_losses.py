"""The losses: Cox's against a plain loop and lifelines, why it does not split, and how a baseline is found for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter

from sarcnet.compendium.faults import SarcnetError
from sarcnet.federated.plan import Plan
from sarcnet.model.crossval import make_folds
from sarcnet.model.experiment import Variant, cross_validate
from sarcnet.model.hazard import hazard_counts, intervals
from sarcnet.model.losses import cox_loss, fit_baseline

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
        Plan(data.protocol(loss="cox"), rounds=1, local_epochs=1)
    with pytest.raises(SarcnetError, match="loss is 'brier': choose competing_hazards, hazard, cox"):
        data.protocol(loss="brier")
