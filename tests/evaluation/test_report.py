"""The report says what the run found, names sections that exist, and can be written for any run."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.endpoint import METASTASIS
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.calibration.by_series import Calibrations, calibration_of
from sarcnet.evaluation.metrics.bootstrap import resample_auc
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.report import write as report
from sarcnet.evaluation.tables import text as tables

FOR_AUTHORS = "To be stated by the authors of the study."
ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = {
    "horizon_months": 60.0, "folds": 4, "repeats": 2, "clinical_variables": ["size_mm"], "encoder": "tiny",
    "outcome": "metastasis",
}  # fmt: skip
SETTINGS = {"noninferiority_margin_auc": 0.05, "bootstrap_samples": 60, "interval_level": 0.95}
TRIPOD_AI, PROBAST_AI = report.read_checklist("tripod_ai"), report.read_checklist("probast_ai")
NO_CALIBRATION = Calibrations({}, {}, {})
NO_TESTS = pd.DataFrame(columns=["variable", "q", "freedom", "p"])


@pytest.fixture
def training(cohort) -> EvaluationSet:
    risk, followup = cohort(120, seed=1)
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(120)],
            "centre": followup.centre,
            "mfs_months": followup.months,
            "mfs_event": followup.event,
            "size_mm": np.where(np.arange(120) % 10, 50.0, np.nan),
        }
    )
    return EvaluationSet("cross-validation", patients, {"sarcnet_fedavg": risk[:, None]})


def known(
    training: EvaluationSet,
    *,
    calibrations=NO_CALIBRATION,
    kind: str = "simulated",
    aucs=None,
    validation: EvaluationSet | None = None,
    outcome: str = "metastasis",
) -> dict[str, str]:
    nobody = EvaluationSet("validation", training.patients.iloc[:0], {}) if validation is None else validation
    return report.facts(
        kind=kind,
        training=training,
        validation=nobody,
        protocol={**PROTOCOL, "outcome": outcome},
        aucs=tables.auc_table({}, sizes={}) if aucs is None else aucs,
        calibrations=calibrations,
        tests=NO_TESTS,
        cut=0.4,
        settings=SETTINGS,
        n_unknown=3,
        verdict="Found.",
    )


@pytest.mark.parametrize("item", [*TRIPOD_AI, *PROBAST_AI], ids=lambda item: item.number)
def test_each_item_names_facts_and_sections_that_exist(item, training):
    fields = {name for _, name, _, _ in string.Formatter().parse(item.answer) if name}
    assert fields <= set(known(training))
    for notebook, heading in item.where:
        source = (ROOT / "notebooks" / "src" / f"{notebook}.py").read_text(encoding="utf-8")
        headings = [line for line in source.splitlines() if line.startswith("# #")]
        assert any(heading in line for line in headings), f"{notebook} has no heading with '{heading}'"


def test_tripod_has_its_27_items_in_order():
    numbers = [int("".join(c for c in item.number if c.isdigit())) for item in TRIPOD_AI]
    assert sorted(set(numbers)) == list(range(1, 28))
    assert numbers == sorted(numbers)


def test_another_run_gives_another_report(training, tmp_path):
    counts = {"horizon_months": 60.0, "resampling": Resampling(samples=60, level=0.95, seed=1)}
    made = calibration_of([training], model="sarcnet_fedavg", endpoint=METASTASIS, groups=3, **counts)
    found = resample_auc(
        training.risks, training.followup, horizon_months=60.0, samples=60, level=0.95, rng=np.random.default_rng(1)
    )
    aucs = tables.auc_table({"cross-validation": found}, sizes={"cross-validation": 120})
    report.write_report(tmp_path, known(training, calibrations=made, aucs=aucs))
    card, list_ = ((tmp_path / name).read_text() for name in ("model_card.md", "tripod_ai.md"))
    auc, slope = found.estimate("sarcnet_fedavg"), made.lived["cross-validation"].slope
    assert str(auc) in card
    assert str(auc) in list_
    assert str(slope) in card
    assert "simulated" in card
    metastases = int(((training.followup.event == 1) & (training.followup.months <= 60)).sum())
    assert f"({metastases} events by the horizon)" in card
    assert "10%" in (tmp_path / "data_card.md").read_text()


def test_what_was_not_computed_is_not_invented(training, tmp_path):
    paths = report.write_report(tmp_path, known(training, kind="private"))
    assert sorted(path.name for path in paths) == ["data_card.md", "model_card.md", "probast_ai.md", "tripod_ai.md"]
    texts = {path.name: path.read_text() for path in paths}
    assert f"Cross-validated AUC {report.ABSENT}" in texts["model_card.md"]
    assert "simulated" not in "".join(texts.values()).lower().replace("simulated patients have no dates", "")
    assert FOR_AUTHORS in texts["tripod_ai.md"]


def of_private_cohort(training: EvaluationSet, folder: Path, **others: object) -> str:
    return "\n".join(
        path.read_text() for path in report.write_report(folder, known(training, kind="private", **others))
    )


@pytest.mark.parametrize(
    "claim", ["set beforehand", "opened once", "Registration | None", "None was made", "before anything"]
)
def test_what_only_the_authors_know_is_not_claimed_for_a_private_cohort(training, tmp_path, claim):
    assert claim not in of_private_cohort(training, tmp_path)


def test_registration_is_stated_for_a_simulation_and_asked_of_the_authors_of_a_study(training):
    assert known(training)["registration"] == "None: a simulation."
    assert known(training, kind="private")["registration"] == FOR_AUTHORS


@pytest.mark.parametrize(
    ("centres", "stated", "not_stated"),
    [
        (None, "the same hospitals", "which had no training patient"),
        (["ELSEWHERE"], "which had no training patient: external by hospital", "the same hospitals"),
        (["A", "ELSEWHERE"], "partly external by hospital", "the same hospitals"),
    ],
)
def test_the_validation_series_is_called_what_it_is(training, tmp_path, centres, stated, not_stated):
    patients = training.patients
    if centres is not None:
        named = [sorted(set(patients["centre"]))[0] if name == "A" else name for name in centres]
        patients = patients.assign(centre=np.resize(named, len(patients)))
    text = of_private_cohort(training, tmp_path, validation=EvaluationSet("validation", patients, training.risks))
    assert stated in text
    assert not_stated not in text
    assert "later patients" not in text


@pytest.mark.parametrize(
    ("kind", "centre", "stated"),
    [
        ("simulated", None, "a temporal validation"),
        ("private", None, "whether it is later in time is not recorded"),
        ("private", "ELSEWHERE", "external by hospital"),
    ],
)
def test_notebook_05_says_whose_the_validation_patients_are(training, kind, centre, stated):
    patients = training.patients if centre is None else training.patients.assign(centre=centre)
    sentence = report.validation_sentence(training, EvaluationSet("validation", patients, {}), kind=kind)
    assert sentence.endswith(f"{stated}.")
    notebook = (ROOT / "notebooks" / "src" / "05_evaluation.py").read_text(encoding="utf-8")
    assert "validation_sentence(crossed, held, kind=stage.data_kind)" in notebook


def test_calibration_is_not_said_to_be_weighted(training):
    answer = next(item.answer for item in TRIPOD_AI if item.number == "12e")
    weighted = report.filled(answer, known(training)).partition("weighted for censoring")[0]
    assert "calibration" not in weighted.lower()


def test_without_a_validation_series_the_report_says_so(training, tmp_path):
    assert "There is no validation series" in of_private_cohort(training, tmp_path)


@pytest.mark.parametrize(("events", "stated"), [(99, "fewer than the usual 100"), (100, "at least the usual 100")])
def test_a_validation_series_needs_events(events, stated):
    assert stated in report.enough_to_validate(events)


def test_the_sample_size_for_development_counts_the_columns_of_the_clinical_branch(training):
    variables = ["age_years", "sex", "size_mm", "depth", "site", "histotype", "fnclcc_grade"]
    wide = report.enough_to_develop(training, variables)
    assert "For the 19 parameters" in wide  # as docs/statistical-analysis-plan.md counts them
    assert "not reached" in wide
    large = EvaluationSet(training.name, pd.concat([training.patients] * 20, ignore_index=True), {})
    assert "not reached" not in report.enough_to_develop(large, variables)


def test_each_series_has_its_own_calibration_in_the_report(training, tmp_path):
    counts = {"horizon_months": 60.0, "resampling": Resampling(samples=60, level=0.95, seed=1)}
    bold = {"sarcnet_fedavg": np.clip(1.6 * (training.risks["sarcnet_fedavg"] - 0.5) + 0.5, 0.01, 0.99)}
    later = EvaluationSet("validation", training.patients, bold)
    made = calibration_of([training, later], model="sarcnet_fedavg", endpoint=METASTASIS, groups=3, **counts)
    slopes = [str(made.lived[name].slope) for name in ("cross-validation", "validation")]
    assert slopes[0] != slopes[1]
    paths = report.write_report(tmp_path, known(training, calibrations=made, validation=later))
    for name in ("model_card.md", "tripod_ai.md", "probast_ai.md"):
        text = next(path for path in paths if path.name == name).read_text()
        assert all(slope in text for slope in slopes)


def test_a_fact_that_there_is_not_is_named():
    with pytest.raises(SarcnetError, match="names the fact 'aucc', which there is not"):
        report.filled("{aucc}", {"auc": "0.8"})


def test_tables_are_written_twice_and_empty_ones_say_so(tmp_path):
    frame = pd.DataFrame({"value": [0.12345, np.nan]}, index=pd.Index(["a|b", "c"], name="model"))
    report.write_tables(tmp_path, {"some_table": frame, "empty": pd.DataFrame()}, kind="simulated")
    text = (tmp_path / "some_table.md").read_text()
    assert text.startswith("# some table (simulated data)")
    assert "| a\\|b | 0.123 |" in text
    report.write_tables(
        tmp_path, {"differences": pd.DataFrame({"p": [0.0004, 0.04], "low": [0.0004, 0.04]})}, kind="simulated"
    )
    assert "| < 0.001 | 0.000 |\n| 0.040 | 0.040 |" in (tmp_path / "differences.md").read_text()
    assert "Nothing could be computed." in (tmp_path / "empty.md").read_text()
    assert pd.read_csv(tmp_path / "some_table.csv")["value"].iloc[0] == pytest.approx(0.12345)


def test_a_p_at_the_floor_of_the_resamples_is_written_as_below_it_and_one_in_closed_form_is_not(tmp_path):
    floor = 2 / 201
    differences = pd.DataFrame({"p": [floor, 0.04, 1.0, np.nan], "p_floor": [floor, floor, floor, 0.0]})
    delong = pd.DataFrame({"P (exploratory)": [0.0004, 0.005]})
    report.write_tables(tmp_path, {"differences": differences, "delong": delong}, kind="simulated")
    text = (tmp_path / "differences.md").read_text()
    assert "| < 0.010 |\n| 0.040 |\n| 1.000 |\n|  |" in text
    assert "p_floor" not in text
    assert pd.read_csv(tmp_path / "differences.csv")["p"].iloc[0] == pytest.approx(floor)
    assert "| < 0.001 |\n| 0.005 |" in (tmp_path / "delong.md").read_text()


@pytest.mark.parametrize("outcome", ["metastasis", "mfs"])
def test_cards_and_checklists_name_the_event_that_was_predicted(outcome, training, tmp_path):
    report.write_report(tmp_path, known(training, outcome=outcome))
    card = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    everything = " ".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.iterdir()))
    dies = outcome == "mfs"
    assert ("metastasis or death within 60 months" in " ".join(card.split())) == dies
    assert ("death without metastasis is a competing event" in everything) == (not dies)
    assert ("with death as a competing event" in everything) == (not dies)
    assert ("first of metastasis and death of any cause" in everything) == dies
