"""The ladder between model and oracle: each rung knows what it should, and no patient helps to predict itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.evaluation import ladder
from sarcnet.evaluation.attempts import Attempts
from sarcnet.evaluation.bootstrap import Resampled
from sarcnet.evaluation.judge import judge
from sarcnet.evaluation.series import series
from sarcnet.features.store import write_features

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
            "histotype": "ups",
            "mfs_months": np.minimum(months, lost),
            "mfs_event": (months <= lost).astype(int),
        }
    )
    truth = pd.DataFrame({"patient_id": known["patient_id"], "z_seen": z[:, 0], "z_hidden": z[:, 1]})
    features = z[:, :1] * np.array([[1.0, -1.0, 0.5]]) + 0.2 * g.standard_normal((N, 3))
    features[centre == "CLB"] += 5.0
    folds = pd.DataFrame({"patient_id": known["patient_id"], "repeat": 0, "fold": np.arange(N) // 2 % 3})
    return {"known": known, "folds": folds, "truth": truth, "features": features, "seen": np.ones(N, bool)}


def test_each_rung_is_as_high_as_what_it_knows(study):
    risks, r2 = ladder.climb(**study, horizon_months=60.0, tried=Attempts())
    found = judge([series("s", study["known"], risks)], horizon_months=60.0, samples=200, level=0.95, seed=1).results[
        "s"
    ]
    clinical, read, true = (found.point[name] for name in (ladder.CLINICAL, ladder.READ, ladder.TRUE))
    assert clinical < 0.6
    assert clinical + 0.1 < read < true - 0.05
    reading = r2.set_index("pattern")["r2"]
    assert reading["z_seen"] > 0.85  # though the centres' features lie 5 apart
    assert reading["z_hidden"] < 0.1
    table = ladder.by_pattern(found, r2, names=["z_seen", "z_hidden"]).set_index("pattern")
    assert (table["low"] > 0).all()  # both patterns are worth something to whom is told them


def test_no_patient_helps_to_read_or_to_predict_itself(study):
    first, _ = ladder.climb(**study, horizon_months=60.0, tried=Attempts())
    changed = {**study, "known": study["known"].copy(), "truth": study["truth"].copy()}
    changed["known"].loc[0, ["mfs_months", "mfs_event"]] = (1.0, 1)
    changed["truth"].loc[0, "z_seen"] = 40.0
    second, _ = ladder.climb(**changed, horizon_months=60.0, tried=Attempts())
    own = (first["patient_id"] == "P000") & (first["model"] == ladder.READ)
    assert first.loc[own, "risk"].tolist() == second.loc[own, "risk"].tolist()
    others = (first["fold"] != 0) & (first["model"] == ladder.READ)
    assert not np.allclose(first.loc[others, "risk"], second.loc[others, "risk"])


def test_without_features_the_other_rungs_stand(study):
    tried = Attempts()
    bare = {**study, "features": np.zeros((N, 0)), "seen": np.zeros(N, bool)}
    risks, r2 = ladder.climb(**bare, horizon_months=60.0, tried=tried)
    assert r2.empty
    assert ladder.READ not in set(risks["model"])
    assert ladder.TRUE in set(risks["model"])
    assert "no training patient has features" in str(tried)


def test_features_of_several_slides_are_averaged_over_tiles(tmp_path):
    patients = pd.DataFrame({"patient_id": ["A", "B"]})
    slides = pd.DataFrame({"patient_id": ["A", "A", "B"], "slide_id": ["A1", "A2", "B1"]})
    files = {}
    for name, values in {"A1": [[1.0, 0.0]], "A2": [[3.0, 0.0], [5.0, 0.0]]}.items():
        files[name] = tmp_path / f"{name}.h5"
        n = len(values)
        write_features(files[name], features=np.array(values), coords=np.zeros((n, 2)), tiles=np.arange(n), attrs={})
    means, seen = ladder.mean_features(patients, slides=slides, feature_files=files)
    assert seen.tolist() == [True, False]
    assert means.tolist() == [[3.0, 0.0], [0.0, 0.0]]


def test_steps_add_up_to_the_room():
    names = ["sarculator_variables", "m", ladder.READ, ladder.TRUE, "oracle"]
    g = np.random.default_rng(0)
    point = dict(zip(names, (0.7, 0.74, 0.75, 0.8, 0.88), strict=True))
    draws = {name: value + 0.02 * g.standard_normal(50) for name, value in point.items()}
    found = Resampled(point, draws, 0.95)
    table = ladder.steps(found, model="m")
    assert table["to"].tolist() == names[1:]
    assert table["difference"].sum() == pytest.approx(0.18)
    assert "0.56 of the room" in ladder.sentence(found, model="m")
