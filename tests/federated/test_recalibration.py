"""Recalibration by sums is that of all patients in one place, mends what it should, and refuses what it cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from sarcnet.cohort.incidence import pseudo_values
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.calibration.by_series import agreement
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.federated.analysis.recalibration import Correction, Sums, before_and_after, hospital_of, recalibrate, sums

TIMID = Correction(0.5, 0.5)
MODEL = "sarcnet_fedavg"


def patients(n: int, *, seed: int, predict: Correction, follow: float = 150.0) -> EvaluationSet:
    rng = np.random.default_rng(seed)
    risk = rng.uniform(0.05, 0.9, n)
    months, lost = 60 * np.log(rng.random(n)) / np.log1p(-risk), rng.uniform(20, follow, n)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(n)],
            "centre": np.where(rng.random(n) < 0.4, "CLB", "IB"),
            "mfs_months": np.minimum(months, lost),
            "mfs_event": (months <= lost).astype(int),
        }
    )
    return EvaluationSet("training", table, {MODEL: predict(risk)[:, None]})


def hospitals(series: EvaluationSet) -> dict:
    return {c: hospital_of(series.for_centre(c), MODEL, horizon_months=60.0) for c in ("CLB", "IB")}


def test_sums_of_two_hospitals_give_the_fit_of_everybody_in_one_place():
    series = patients(300, seed=1, predict=TIMID)
    found = recalibrate(hospitals(series)).correction
    risk, observed = [], []
    for centre in ("CLB", "IB"):
        own = series.for_centre(centre)
        risk.append(own.risks[MODEL][:, 0])
        observed.append(pseudo_values(own.followup, horizon_months=60.0, competing=True))
    assert np.allclose(
        np.concatenate(observed).mean(), pseudo_values(series.followup, horizon_months=60.0, competing=True).mean()
    )
    r, o = np.concatenate(risk), np.concatenate(observed)
    pooled = least_squares(lambda p: Correction(p[0], p[1])(r) - o, [0.0, 1.0], xtol=1e-12, ftol=1e-14, gtol=1e-12)
    assert [found.intercept, found.slope] == pytest.approx(pooled.x, abs=1e-5)


def test_what_a_hospital_answers_has_no_axis_of_patients():
    series = patients(53, seed=2, predict=TIMID)
    answers = [hospital(Correction()) for hospital in hospitals(series).values()]
    for answer in answers:
        assert np.shape(answer.loss) == ()
        assert (answer.gradient.shape, answer.curvature.shape) == ((2,), (2, 2))
    assert sum(answer.patients for answer in answers) == 53


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(3)
    risk, observed, at, step = rng.uniform(0.1, 0.9, 40), rng.uniform(-0.2, 1.2, 40), Correction(0.2, 0.8), 1e-6
    slope = (
        sums(risk, observed, Correction(0.2, 0.8 + step)).loss - sums(risk, observed, Correction(0.2, 0.8 - step)).loss
    )
    assert 2 * sums(risk, observed, at).gradient[1] == pytest.approx(slope / (2 * step), rel=1e-5)


def test_timid_and_too_high_risks_are_mended_on_patients_who_took_no_part():
    correction = recalibrate(hospitals(patients(1200, seed=6, predict=TIMID))).correction
    assert [correction.intercept, correction.slope] == pytest.approx([-1, 2], abs=0.3), "what undoes TIMID"
    fresh = patients(1200, seed=7, predict=TIMID)
    shown = before_and_after(fresh, MODEL, correction, name="mended")
    before, after = (agreement(shown, name, horizon_months=60.0, level=0.95) for name in (MODEL, "mended"))
    assert before.slope.low > 1
    assert before.ratio.high < 1
    assert after.slope.low < 1 < after.slope.high
    assert after.ratio.low < 1 < after.ratio.high
    assert after.brier < before.brier
    assert after.auc == pytest.approx(before.auc, abs=1e-12)


def test_true_risks_are_left_nearly_as_they_are():
    found = recalibrate(hospitals(patients(2000, seed=6, predict=Correction()))).correction
    assert [found.intercept, found.slope] == pytest.approx([0.0, 1.0], abs=0.12)


def test_what_cannot_be_mended_is_refused_by_name():
    series = patients(60, seed=7, predict=Correction())
    few = EvaluationSet("training, CLB", series.patients.head(9), {MODEL: series.risks[MODEL][:9]})
    with pytest.raises(SarcnetError, match="training, CLB has 9 patients; sums are sent over 10 or more"):
        hospital_of(few, MODEL, horizon_months=60.0)
    with pytest.raises(SarcnetError, match=r"CLB was not followed to 60 months"):
        hospital_of(patients(60, seed=8, predict=Correction(), follow=50.0), MODEL, horizon_months=60.0)
    backwards = patients(400, seed=9, predict=Correction(-0.5, -0.8))
    with pytest.raises(SarcnetError, match="reverses the order"):
        recalibrate(hospitals(backwards))
    with pytest.raises(SarcnetError, match="No hospital"):
        recalibrate({})


def test_answers_add():
    one = Sums(1.0, np.ones(2), np.eye(2), 3)
    two = one + one
    assert (two.loss, two.gradient.tolist(), two.curvature.tolist(), two.patients) == (2.0, [2, 2], [[2, 0], [0, 2]], 6)
