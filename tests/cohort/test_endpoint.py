"""The two outcomes: what is counted as an event, in the tables, in the models and in the words of every figure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sarcnet.cohort import followup
from sarcnet.cohort.endpoint import ENDPOINTS, Endpoint, endpoint_named, read_endpoint
from sarcnet.cohort.outcome import with_outcome
from sarcnet.cohort.read import Cohort
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.figures import hospital_colours
from sarcnet.compendium.params import read_profile
from sarcnet.evaluation.calibration.by_series import calibration_of
from sarcnet.evaluation.clinical_value import decisions as clinical_value
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.figures import risk as figures_risk
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.subgroups.risk_groups import fates as outcomes_at
from sarcnet.evaluation.subgroups.risk_groups import survival_of
from sarcnet.model.figures import outcome as model_figures
from sarcnet.model.protocol import Protocol
from sarcnet.model.settings import ModelSettings

DEMO = Path(__file__).resolve().parents[2] / "papermill_params" / "demo.yaml"
NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "00_cohort.py"
MFS, METASTASIS = ENDPOINTS["mfs"], ENDPOINTS["metastasis"]


@pytest.fixture
def patients() -> pd.DataFrame:
    """120 patients of two hospitals with events of all three kinds, and three without an outcome."""
    generator = np.random.default_rng(7)
    n = 120
    months, event = generator.uniform(2, 100, n).round(1), generator.choice([0.0, 1.0, 2.0], n, p=[0.3, 0.5, 0.2])
    table = pd.DataFrame({"mfs_months": months, "mfs_event": event, "centre": np.tile(["CLB", "IB"], n // 2)})
    table.loc[[3, 50, 99], ["mfs_months", "mfs_event"]] = np.nan
    return table.assign(
        patient_id=[f"P{i}" for i in range(n)], series=np.where(np.arange(n) < 80, "training", "validation")
    )


def words(figure: Figure) -> str:
    """Everything written on a figure."""
    figure.canvas.draw()
    said = " | ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_text())
    plt.close(figure)
    return said


def check_words(said: str, endpoint: Endpoint) -> None:
    """The event is named; under mfs no metastasis stands alone and nothing competes."""
    if endpoint is METASTASIS:
        assert "metastasis" in said.lower()
        assert "metastasis or death" not in said.lower()
        return
    assert "metastasis or death" in said.lower() or "metastasis-free survival" in said.lower()
    left = re.sub(
        "metastasis or death|had a metastasis or died|metastasis-free survival|without metastasis", "", said.lower()
    )
    assert "metasta" not in left
    assert "compet" not in left
    assert "death without" not in said.lower()


def test_death_becomes_the_event_in_both_series_and_nothing_else_changes(patients):
    cohort = Cohort("private", patients, pd.DataFrame())
    coded = cohort.coded_for(MFS)
    assert (coded.training["mfs_event"] == 1).sum() == cohort.training["mfs_event"].isin([1, 2]).sum()
    assert (coded.validation["mfs_event"] == 1).sum() == cohort.validation["mfs_event"].isin([1, 2]).sum()
    assert set(coded.patients["mfs_event"].dropna()) == {0.0, 1.0}
    assert coded.patients["mfs_event"].isna().sum() == 3
    pd.testing.assert_frame_equal(coded.patients.drop(columns="mfs_event"), patients.drop(columns="mfs_event"))
    pd.testing.assert_frame_equal(cohort.coded_for(METASTASIS).patients, patients)
    assert (patients["mfs_event"] == 2).any(), "the cohort itself is left as it is"


def test_with_death_as_an_event_incidence_is_one_minus_survival(patients):
    coded = with_outcome(MFS.code(patients)).assign(centre="one")
    outcomes = followup.describe_outcomes(coded, endpoint=MFS)
    incidence = outcomes.cumulative_incidence
    assert set(incidence["event"]) == {"metastasis or death"}
    free = outcomes.free_at(5.0)["one"][0]
    at_five = incidence[incidence["years"] <= 5.0]["incidence"].iloc[-1]
    assert at_five == pytest.approx(1 - free, abs=1e-3)
    competing = followup.describe_outcomes(patients.assign(centre="one"), endpoint=METASTASIS).cumulative_incidence
    assert set(competing["event"]) == {"metastasis", "death without metastasis"}
    assert competing[(competing["event"] == "metastasis") & (competing["years"] <= 5)]["incidence"].iloc[-1] < at_five


def figure_of_the_notebook(outcomes: followup.Outcomes) -> Figure:
    """F1 as the cells of notebook 00 draw it; its left panel is asserted there to be the package's own estimate."""
    cells = [cell.source for cell in jupytext.read(NOTEBOOK).cells if cell.cell_type == "code"]
    imports = next(cell for cell in cells if "import KaplanMeierFitter" in cell)
    first = next(k for k, cell in enumerate(cells) if "KaplanMeierFitter(label" in cell)
    names = {"outcomes": outcomes, "known": outcomes.known, "endpoint": outcomes.endpoint}
    names["colours"] = hospital_colours(outcomes.known["centre"])
    names["stage"] = SimpleNamespace(figure=lambda *args, **kwargs: None)
    exec("\n".join([imports, *cells[first : first + 2]]), names)
    return names["fig"]


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_figures_of_the_cohort_name_the_event(patients, endpoint):
    known = with_outcome(endpoint.code(patients))
    outcomes = followup.describe_outcomes(known, endpoint=endpoint)
    check_words(words(figure_of_the_notebook(outcomes)), endpoint)
    check_words(outcomes.caption, endpoint)
    said = outcomes.text
    check_words(said, endpoint)
    assert ("died without one" in said) == (endpoint is METASTASIS)
    columns = set(outcomes.follow_up.columns)
    assert ("death without metastasis" in columns) == (endpoint is METASTASIS)
    assert endpoint.event in columns


@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")  # seaborn 0.13 on matplotlib 3.11
@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_figures_of_the_models_name_the_event(patients, endpoint):
    known = with_outcome(endpoint.code(patients))
    oof = known[["patient_id", "centre"]].assign(model="sarcnet_pooled", risk=np.linspace(0.1, 0.9, len(known)))
    figure = model_figures.draw_risk_by_outcome(
        oof, patients=known, models=["sarcnet_pooled"], horizon_months=60.0, notes={}, endpoint=endpoint
    )
    check_words(words(figure), endpoint)


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_figures_of_the_evaluation_name_the_event(patients, endpoint):
    known = with_outcome(endpoint.code(patients))
    risk = np.clip(np.linspace(0.1, 0.9, len(known)) - 0.002 * known["mfs_months"].to_numpy(), 0.02, 0.98)
    series, log = EvaluationSet("cross-validation", known, {"sarcnet_fedavg": risk[:, None]}), FailureLog()
    shared = {"horizon_months": 60.0, "endpoint": endpoint}
    groups = {"model": "sarcnet_fedavg", "cut": 0.4, "months_shown": [0.0, 24.0, 60.0]}
    survival = survival_of([series], **groups, tested=["cross-validation"], endpoint=endpoint, log=log)
    check_words(words(figures_risk.draw_survival(survival, **shared)), endpoint)
    few = {"resampling": Resampling(samples=40, level=0.95, seed=1, log=log)}
    found = calibration_of([series], model="sarcnet_fedavg", groups=3, **shared, **few)
    assert list(found.table["death"]) == (["competes", "censored"] if endpoint is METASTASIS else ["is an event"])
    spread = {series.name: series.with_risk("sarcnet_fedavg")}
    check_words(words(figures_risk.draw_calibration(found, spread, level=0.95, **shared)), endpoint)
    curve = clinical_value.decisions_of(series, ["sarcnet_fedavg"], horizon_months=60.0, **few)
    figure = figures_risk.draw_decision(curve, marked=[0.4], n=len(known), name="all", level=0.95, endpoint=endpoint)
    check_words(words(figure), endpoint)
    fates = set(outcomes_at(known, **shared))
    assert fates <= set(figures_risk.outcome_colours(endpoint))
    assert (METASTASIS.competing in fates) == (endpoint is METASTASIS)


def protocol(**changes: object) -> Protocol:
    shape = {"centres": ["CLB", "IB"], "encoder": "tiny", "feature_dim": 4}
    settings = ModelSettings(**{**read_profile(DEMO), **changes})
    return Protocol.of(settings, outcome="mfs", **shape)


def test_without_a_competing_event_the_loss_is_a_single_hazard():
    assert (protocol().outcome, protocol().loss) == ("mfs", "hazard")
    assert protocol(loss="cox").loss == "cox"
    with pytest.raises(SarcnetError, match="nothing competes: set loss to hazard"):
        Protocol.from_dict({**protocol().to_dict(), "loss": "competing_hazards"})
    assert Protocol.from_dict({**protocol().to_dict(), "outcome": "metastasis", "loss": "competing_hazards"})


def test_the_truth_holds_the_risk_of_the_chosen_outcome():
    truth = pd.DataFrame({"patient_id": ["a"], "risk_5y_true": [0.3], "mfs_risk_5y_true": [0.4]})
    assert METASTASIS.truth(truth).to_dict("list") == {"patient_id": ["a"], "risk_5y_true": [0.3]}
    assert MFS.truth(truth).to_dict("list") == {"patient_id": ["a"], "risk_5y_true": [0.4]}


@pytest.mark.parametrize("content", ["", "[]", '{"outcome": "relapse"}', "{}", "null"])
def test_a_file_that_names_no_outcome_is_a_sentence(tmp_path, content):
    (tmp_path / "outcome.json").write_text(content)
    with pytest.raises(SarcnetError, match="outcome"):
        read_endpoint(tmp_path / "outcome.json")


def test_the_chosen_outcome_is_written_and_read_again(tmp_path):
    for name in ENDPOINTS:
        (tmp_path / "outcome.json").write_text(json.dumps(endpoint_named(name).to_dict()))
        assert read_endpoint(tmp_path / "outcome.json") is ENDPOINTS[name]
    assert {one.true_risk for one in ENDPOINTS.values()} == {"risk_5y_true", "mfs_risk_5y_true"}
