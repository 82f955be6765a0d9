"""The ladder between model and oracle: each rung knows what it should, and no patient helps to predict itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.evaluation.comparators import cox as comparators
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import auc
from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.model_comparison import compare_models
from sarcnet.evaluation.predictions import EvaluationSet, evaluation_set
from sarcnet.evaluation.sensitivity.alternatives import without_image
from sarcnet.features.store import write_features
from virtual_cohort.experiments.headroom.share import best_without_slide, headroom_text
from virtual_cohort.experiments.oracle_ablation import ladder as oracle_ablation

N = 240


@pytest.fixture
def study() -> dict:
    """Fate follows two patterns; features show the first clearly, the second not at all, and the centre's stain."""
    g = np.random.default_rng(3)
    z = g.standard_normal((N, 2))
    centre = np.where(np.arange(N) % 2, "CLB", "IB")
    hazard = np.exp(1.2 * z[:, 0] + 1.2 * z[:, 1])
    months, lost = g.exponential(70 / hazard), g.uniform(61, 140, N)
    known = pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(N)],
            "centre": centre,
            "age_years": g.normal(63, 12, N),
            "size_mm": g.lognormal(4.4, 0.4, N),
            "depth": np.where(g.random(N) < 0.1, None, "deep"),
            "fnclcc_grade": pd.array(g.choice([1, 2, 3], N), dtype="Int64"),
            "histotype": "UPS",
            "mfs_months": np.minimum(months, lost),
            "mfs_event": (months <= lost).astype(int),
        }
    )
    truth = pd.DataFrame({"patient_id": known["patient_id"], "z_seen": z[:, 0], "z_hidden": z[:, 1]})
    features = z[:, :1] * np.array([[1.0, -1.0, 0.5]]) + 0.2 * g.standard_normal((N, 3))
    features[centre == "CLB"] += 5.0
    folds = pd.DataFrame({"patient_id": known["patient_id"], "repeat": 0, "fold": np.arange(N) // 2 % 3})
    setting = {"variables": ["size_mm", "fnclcc_grade", "histotype", "depth"], "horizon_months": 60.0, "seed": 1}
    return {"known": known, "folds": folds, "truth": truth, "features": features, "seen": np.ones(N, bool)} | setting


def test_each_rung_is_as_high_as_what_it_knows(study):
    risks, r2 = oracle_ablation.ablate(**study, log=FailureLog())
    rivals = comparators.out_of_fold(
        study["known"], study["folds"], horizon_months=60.0, seed=1, clinical_variables=study["variables"]
    )
    risks = pd.concat([risks, rivals])
    found = compare_models(
        [evaluation_set("s", study["known"], risks)],
        horizon_months=60.0,
        resampling=Resampling(samples=200, level=0.95, seed=1),
    ).results["s"]
    clinical, read, true = (
        found.point[name] for name in (comparators.CLINICAL, oracle_ablation.READ, oracle_ablation.TRUE)
    )
    assert clinical < 0.6
    assert clinical + 0.1 < read < true - 0.05
    reading = r2.set_index("pattern")["r2"]
    assert reading["z_seen"] > 0.85  # though the centres' features lie 5 apart
    assert reading["z_hidden"] < 0.1
    table = oracle_ablation.by_pattern(found, r2, names=["z_seen", "z_hidden"]).set_index("pattern")
    assert (table["low"] > 0).all()  # both patterns are worth something to whom is told them


def test_no_patient_helps_to_read_or_to_predict_itself(study):
    first, _ = oracle_ablation.ablate(**study, log=FailureLog())
    changed = {**study, "known": study["known"].copy(), "truth": study["truth"].copy()}
    changed["known"].loc[0, ["mfs_months", "mfs_event"]] = (1.0, 1)
    changed["truth"].loc[0, "z_seen"] = 40.0
    second, _ = oracle_ablation.ablate(**changed, log=FailureLog())
    own = (first["patient_id"] == "P000") & (first["model"] == oracle_ablation.READ)
    assert first.loc[own, "risk"].tolist() == second.loc[own, "risk"].tolist()
    others = (first["fold"] != 0) & (first["model"] == oracle_ablation.READ)
    assert not np.allclose(first.loc[others, "risk"], second.loc[others, "risk"])


def test_without_features_the_other_rungs_stand(study):
    log = FailureLog()
    bare = {**study, "features": np.zeros((N, 0)), "seen": np.zeros(N, bool)}
    risks, r2 = oracle_ablation.ablate(**bare, log=log)
    assert r2.empty
    assert oracle_ablation.READ not in set(risks["model"])
    assert oracle_ablation.TRUE in set(risks["model"])
    assert "no training patient has features" in log.summary_text()


def test_features_of_several_slides_are_averaged_over_tiles(tmp_path):
    patients = pd.DataFrame({"patient_id": ["A", "B"]})
    slides = pd.DataFrame({"patient_id": ["A", "A", "B"], "slide_id": ["A1", "A2", "B1"]})
    files = {}
    for name, values in {"A1": [[1.0, 0.0]], "A2": [[3.0, 0.0], [5.0, 0.0]]}.items():
        files[name] = tmp_path / f"{name}.h5"
        n = len(values)
        write_features(files[name], features=np.array(values), coords=np.zeros((n, 2)), tiles=np.arange(n), attrs={})
    means, seen = oracle_ablation.mean_features(patients, slides=slides, feature_files=files)
    assert seen.tolist() == [True, False]
    assert means.tolist() == [[3.0, 0.0], [0.0, 0.0]]


NAMES = ["sarculator_variables", "cox_clinical", "m", oracle_ablation.READ, oracle_ablation.TRUE, "oracle"]


def resampled(*aucs: float, spread: float) -> Resampled:
    g = np.random.default_rng(0)
    point = dict(zip(NAMES, aucs, strict=True))
    return Resampled(point, {name: value + spread * g.standard_normal(400) for name, value in point.items()}, 0.95)


def test_steps_add_up_to_the_room():
    found = resampled(0.7, 0.72, 0.74, 0.75, 0.8, 0.88, spread=0.02)
    table = oracle_ablation.steps(found, model="m")
    assert table["to"].tolist() == NAMES[1:]
    assert table["difference"].sum() == pytest.approx(0.18)
    assert "0.50 of the room between Cox, all clinical variables" in oracle_ablation.sentence(found, model="m")


def test_a_step_is_called_a_gain_a_loss_or_neither_as_its_interval_says():
    up = oracle_ablation.steps(resampled(0.70, 0.72, 0.74, 0.76, 0.78, 0.80, spread=0.002), model="m")["meaning"]
    down = oracle_ablation.steps(resampled(0.80, 0.78, 0.76, 0.74, 0.72, 0.70, spread=0.002), model="m")["meaning"]
    vague = oracle_ablation.steps(resampled(0.70, 0.72, 0.74, 0.76, 0.78, 0.80, spread=0.05), model="m")["meaning"]
    assert up.tolist() == [
        "told by further clinical variables",
        "gained by the model",
        "in the features, not learnt from outcomes",
        "not readable from these features",
        "too few patients to learn from, or not recorded",
    ]
    assert down.tolist() == [
        "lost with further clinical variables",
        "the model is worse than clinical variables alone",
        "the model sees more than the patterns read",
        "patterns as read predict better than the true ones",
        "above the oracle, by chance",
    ]
    assert set(vague) == {"no difference shown"}


@pytest.mark.parametrize(
    ("true", "model", "oracle", "base", "said"),
    [
        (0.80, 0.76, 0.88, 0.72, ["0.50 of the room", "hold more than the model found"]),
        (0.80, 0.84, 0.88, 0.72, ["0.50 of the room", "found more than these patterns tell"]),
        (0.80, 0.80, 0.88, 0.72, ["0.50 of the room", "neither is shown to be better"]),
        (0.70, 0.76, 0.88, 0.72, ["no more than Cox, all clinical variables"]),
        (0.80, 0.76, 0.71, 0.72, ["there is no room to share out"]),
    ],
)
def test_the_sentence_follows_the_numbers(true, model, oracle, base, said):
    text = oracle_ablation.sentence(resampled(0.7, base, model, 0.75, true, oracle, spread=0.004), model="m")
    assert all(part in text for part in said), text
    assert "perfect" not in text


def test_without_a_rung_there_is_no_sentence():
    found = resampled(0.7, 0.72, 0.74, 0.75, 0.8, 0.88, spread=0.02)
    assert (
        oracle_ablation.sentence(Resampled({"m": 0.7}, {"m": found.draws["m"]}, 0.95), model="m")
        == "The ladder lacks a rung."
    )


def test_patients_without_an_image_are_counted_and_left_out(study):
    g = np.random.default_rng(2)
    risk, seen = g.random((N, 2)), np.arange(N) % 4 > 0
    risk[~seen] = 0.4
    crossed = EvaluationSet("s", study["known"], {"image_only": risk})
    text = without_image(crossed, seen, horizon_months=60.0)
    followup = crossed.followup.select(np.flatnonzero(seen))
    own = np.mean([auc(risk[seen, k], followup, horizon_months=60.0) for k in range(2)])
    assert "60 of 240 patients have no image" in text
    assert f"among the 180 others its AUC is {own:.3f}" in text
    assert without_image(crossed, np.ones(N, bool), horizon_months=60.0) == "All 240 patients have an image."


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (Estimate(0.5, 0.2, 0.8), "the slide adds to what is known without it"),
        (Estimate(0.2, -0.2, 0.6), "it is not shown that the slide adds anything"),
        (Estimate(-0.5, -0.9, -0.1), "the model does worse than one without a slide"),
        (Estimate(0.5, -np.inf, np.inf), "more patients are needed"),
    ],
)
def test_the_share_is_judged_by_its_interval(share, said):
    text = headroom_text(share, level=0.95, base="clinical_only")
    assert said in text
    assert "clinical only, pooled, the best model without a slide" in text


def test_the_share_counts_from_the_best_model_without_a_slide():
    found = resampled(0.7, 0.72, 0.74, 0.75, 0.8, 0.88, spread=0.02)
    assert best_without_slide(found) == "cox_clinical"
    assert best_without_slide(resampled(0.73, 0.72, 0.74, 0.75, 0.8, 0.88, spread=0.02)) == "sarculator_variables"
    assert best_without_slide(Resampled({"m": 0.7}, {}, 0.95)) == ""
