"""Tumours painted again with one knob turned: only the knob turns, only strangers' networks answer, the truth stands beside."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import runtime_for
from sarcnet.model.bags import Bags
from sarcnet.model.hazard import intervals
from sarcnet.model.patients import Patients
from sarcnet.slides.tiling import TileRules
from virtual_cohort.cohort import look_of
from virtual_cohort.experiments import counterfactual as cf
from virtual_cohort.experiments import rerender
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.patients.simulate import virtual_patients

RULES = TileRules(112.0, 224, 8.0, 0.6, 0.2, 0.5, 0.8, 60.0, 0.2)


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return virtual_patients(3, centre=CENTRES["CLB"], series="training", count=6).truth


def test_turning_by_nothing_changes_nothing(truth):
    for row in truth.to_dict("records"):
        same = asdict(rerender.turned(row, knob="mitoses", by=0.0))
        assert same == pytest.approx(asdict(look_of(row)))


@pytest.mark.parametrize("knob", list(rerender.KNOBS))
def test_a_knob_turns_alone_and_upwards(truth, knob):
    row = truth.to_dict("records")[1]
    before, after = asdict(look_of(row)), asdict(rerender.turned(row, knob=knob, by=3.0))
    changed = [name for name in before if after[name] != pytest.approx(before[name])]
    assert len(changed) == 1
    assert changed[0].startswith(knob)
    assert after[changed[0]] > before[changed[0]]


def test_every_tumour_gets_every_knob_and_control(truth):
    made = rerender.variants(truth, patients=truth["patient_id"][:2], steps=(-1.0, 1.0))
    assert len(made) == 2 * (1 + 2 * (len(rerender.KNOBS) + len(rerender.CONTROLS)))
    stains = {v.step: v.stain_strength for v in made if v.knob == rerender.STAIN}
    assert stains == {-1.0: pytest.approx(0.85), 1.0: pytest.approx(1.15)}
    assert len({v.section for v in made if v.knob == rerender.ELSEWHERE}) == 2
    assert {v.section for v in made if v.knob != rerender.ELSEWHERE} == {"counterfactual"}


def test_patients_are_spread_over_the_image_score():
    scores = pd.DataFrame({"patient_id": [f"P{k}" for k in range(9)], "image": range(9), "n_tiles": [0, *[5] * 8]})
    assert rerender.chosen_patients(scores, count=3) == ["P1", "P5", "P8"]
    assert len(rerender.chosen_patients(scores, count=50)) == 8


def test_a_variant_takes_the_way_of_a_slide_and_comes_out_the_same_twice(truth):
    base, *_, other = rerender.variants(truth, patients=truth["patient_id"][:1], steps=(2.0,))
    painter = rerender.Rerenderer(seed=3, rules=RULES, encoder="mobilenetv2_imagenet", side_um=260.0)
    runtime = runtime_for(encoder_named(painter.encoder))
    first, again = (painter.features(base, runtime=runtime) for _ in range(2))
    assert first.shape[1] == 1280
    assert len(first) >= 2
    assert np.array_equal(first, again)
    elsewhere = painter.features(other, runtime=runtime)
    assert first.shape != elsewhere.shape or not np.array_equal(first, elsewhere)
    assert [len(f) for f in rerender.paint_and_encode(painter, [base], jobs=1)] == [len(first)]


def test_only_networks_that_do_not_know_the_patient_answer(truth, monkeypatch):
    ids = tuple(truth["patient_id"][:2])
    nothing = Bags(ids, np.zeros((0, 1), np.float32), np.zeros(3, np.int64), pd.DataFrame())
    outcome = intervals(np.array([10.0, 70.0]), np.array([1.0, 0.0]), edges_months=[60.0])
    patients = Patients(nothing, np.zeros((2, 1), np.float32), outcome, ("CLB", "CLB"))
    folds = pd.DataFrame({"patient_id": ids, "repeat": 0, "fold": [0, 1]})
    made = [
        v
        for v in rerender.variants(truth, patients=ids, steps=(1.0,))
        if v.knob in (rerender.BASE, "mitoses", "hyperchromasia")
    ]
    features = [np.full((2, 1), k, np.float32) for k in range(len(made))]
    features[-1] = np.zeros((0, 1), np.float32)

    class Model:
        members = tuple(type("Member", (), {"repeat": 0, "fold": k})() for k in range(2))
        network = None
        protocol = SimpleNamespace(outcome="metastasis")

    def scores(network, varied):
        mean = [varied.bags.of(k).mean() if len(varied.bags.of(k)) else 0.0 for k in range(len(varied))]
        return np.column_stack([np.array(mean), 100 + np.array(mean)])  # member 1 says 100 more

    monkeypatch.setattr(cf, "predict_scores", scores)
    monkeypatch.setattr(cf, "scores_to_risks", lambda model, values, **_: values / 1000)
    monkeypatch.setattr(
        cf, "fold_matrix", lambda folds, patient_ids, members: np.array([[1, 0], [0, 1]])
    )  # member k left patient k out
    ages = pd.Series([60.0, 60.0], index=list(ids))
    table = cf.respond(Model(), patients, made, features, folds=folds, truth=truth, ages=ages, horizon_months=60.0)
    assert table["score"].tolist()[:5] == [0, 1, 2, 103, 104]
    assert np.isnan(table["risk"].iloc[-1])  # without a tile nothing is invented
    by_knob = table[table["patient_id"] == ids[0]].set_index("knob")["true_risk"]
    assert by_knob["mitoses"] > by_knob[rerender.BASE]
    assert by_knob["hyperchromasia"] == by_knob[rerender.BASE]  # changes the picture, no fate


@pytest.fixture
def table() -> pd.DataFrame:
    """Ten patients whose score rises by 0.3 a step of necrosis (give or take), and not at all with the stain."""
    g = np.random.default_rng(1)
    rows = []
    for k in range(10):
        base = g.normal()
        rows.append((f"P{k}", rerender.BASE, 0.0, base, 0.4, 0.4))
        for step in (-1.5, 1.5):
            rows.append(
                (f"P{k}", "necrosis", step, base + 0.3 * step + 0.01 * g.normal(), 0.4 + 0.1 * step, 0.4 + 0.2 * step)
            )
            rows.append((f"P{k}", rerender.STAIN, step, base + 0.01 * g.normal(), 0.4 + 0.001 * g.normal(), 0.4))
    rows.append(("P10", rerender.BASE, 0.0, np.nan, np.nan, 0.4))
    rows.append(("P10", "necrosis", 1.5, 1.0, 0.9, 0.9))
    return pd.DataFrame(rows, columns=["patient_id", "knob", "step", "score", "risk", "true_risk"])


def test_responses_and_slopes_are_found(table):
    found = cf.responses(table, samples=500, level=0.95, rng=np.random.default_rng(0)).set_index(["knob", "step"])
    up = found.loc[("necrosis", 1.5)]
    assert up["n"] == 10  # P10 cannot be compared with itself as it is
    assert up["model"] == pytest.approx(0.15)
    assert up["truth"] == pytest.approx(0.3)
    slope = cf.slopes(table, samples=500, level=0.95, rng=np.random.default_rng(0)).set_index("knob")
    assert slope.loc["necrosis", "low"] < 0.3 < slope.loc["necrosis", "high"]
    assert slope.loc["necrosis", "slope"] == pytest.approx(0.3, abs=0.01)
    said = cf.verdicts(slope.reset_index())
    assert any("necrosis" in s and "% of the true" in s for s in said)
    assert any("stain" in s and "no response is shown" in s for s in said)
    assert any("mitoses" in s and "too few to say" in s for s in said)


def test_the_experiment_goes_before_what_tiles_suggest(table):
    slope = cf.slopes(table, samples=500, level=0.95, rng=np.random.default_rng(0))
    said = cf.conclusions(slope, associated={"necrosis": 0.5, "mitoses": 0.5})
    assert said[0].startswith("**necrosis: used**")
    assert "60% of the truth" in said[0]
    assert said[1] == "**mitoses: not tested**, 0 tumours could be painted again, too few to say."
    still = slope.assign(low=-0.1, high=0.1, slope=0.0)
    for effect, told in ((0.5, "tiles that raise the score show more of it"), (-0.5, "show less of it")):
        (only,) = cf.conclusions(still, associated={"necrosis": effect})
        assert only.startswith("**necrosis: not shown to be used**")
        assert told in only
    (alone,) = cf.conclusions(still, associated={"necrosis": None})
    assert "tiles" not in alone
    (hardly,) = cf.conclusions(slope.assign(slope=0.02, low=0.01, high=0.03, n=10), associated={"anisokaryosis": 0.5})
    assert "hardly used" in hardly


def test_a_response_against_the_truth_is_called_so(table):
    slope = cf.slopes(table, samples=500, level=0.95, rng=np.random.default_rng(0))
    turned = slope[slope["knob"] == "necrosis"].assign(slope=-0.3, low=-0.4, high=-0.2)
    (line,) = cf.conclusions(turned, associated={"necrosis": None})
    assert line.startswith("**necrosis: used the wrong way**")
    (line,) = cf.verdicts(turned)
    assert "against the true +0.50" in line
    few = turned.assign(slope=0.3, low=0.2, high=0.4, n=cf.TUMOURS_MIN - 1)
    assert "4 tumours could be painted again, too few to say" in cf.verdicts(few)[0]
    assert "not tested" in cf.conclusions(few, associated={"necrosis": None})[0]
    (line,) = cf.verdicts(turned.assign(slope=0.3, low=0.2, high=0.4))
    assert "60% of the true +0.50" in line
