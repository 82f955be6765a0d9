"""Writes checklists, model card and data card as Markdown, every statement filled in from the run's results."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from sarcnet.cohort.endpoint import endpoint_named
from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.executed import executed_path
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.readme import table as markdown_table
from sarcnet.evaluation.calibration.by_series import Calibrations
from sarcnet.evaluation.metrics.auc import METASTASIS, Followup
from sarcnet.evaluation.metrics.bootstrap import Estimate, p_text
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.report.checklists import Item, read_checklist
from sarcnet.model.clinical import clinical_columns
from sarcnet.model.names.words import label

EVENTS_FOR_VALIDATION = 100  # Collins et al., Statistics in Medicine 2016;35:214-226
PESSIMISTIC = 0.15  # share of the largest possible R² where nothing is known (Riley et al., BMJ 2020;368:m441)
SHRINKAGE = 0.9  # wanted by criterion (i) of Riley et al., Statistics in Medicine 2019;38:1276-1296
ABSENT = "not computed"
FOLDER = Path(__file__).parent
CARDS = ("model_card", "data_card")


def facts(
    *,
    kind: str,
    training: EvaluationSet,
    validation: EvaluationSet,
    protocol: Mapping[str, Any],
    aucs: pd.DataFrame,
    calibrations: Calibrations,
    tests: pd.DataFrame,
    cut: float,
    settings: Mapping[str, Any],
    n_unknown: int,
    verdict: str,
) -> dict[str, str]:
    """Everything that the report's texts may name, as text.

    What only the authors of a study can know (registration, blinding, whether the validation series was opened before)
    is stated for simulated data alone; for other data the text asks for it.

    Args:
        kind: "simulated", "public" or "private".
        training: the training series with its cross-validated risks.
        validation: the validation series; may be empty.
        protocol: protocol.json of notebook 03.
        aucs: of all series (see tables.auc_table).
        calibrations: of the series that could be judged.
        tests: variable and p of the subgroups.
        cut: predicted risk from which a patient is called high risk.
        settings: parameters of notebook 05.
        n_unknown: training patients without a known outcome.
        verdict: the sentences of "What we found".

    Returns:
        Text of each fact by name.
    """
    endpoint = endpoint_named(protocol["outcome"])
    horizon, chief = float(protocol["horizon_months"]), training.primary_model
    events, lost = _counts(training.followup, horizon_months=horizon)
    later_events, later_lost = _counts(validation.followup, horizon_months=horizon)
    centres = sorted(training.patients["centre"].unique())
    variables = list(protocol["clinical_variables"])
    missing = float(training.patients[variables].isna().mean().max()) if variables else 0.0
    by_centre = [f"{name} {_estimate(aucs, series=f'{training.name}, {name}', model=chief)}" for name in centres]
    return {
        "kind": f"{kind} data",
        "horizon": f"{horizon:g} months",
        "outcome": endpoint.event,
        "outcome_definition": endpoint.definition,
        "competing": " and with death as a competing event" if endpoint.competing else "",
        "margin": f"{settings['noninferiority_margin_auc']:g}",
        "centres": ", ".join(centres),
        "n_training": str(len(training)),
        "n_validation": str(len(validation)),
        "n_unknown": str(n_unknown),
        "events_training": str(events),
        "events_validation": str(later_events),
        "lost_training": str(lost),
        "lost_validation": str(later_lost),
        "share_events": f"{events / max(len(training), 1):.0%} of the training patients",
        "enough_training": enough_to_develop(training, variables),
        "enough_validation": enough_to_validate(later_events),
        "clinical_variables": ", ".join(variables) or "no clinical variables",
        "missing": f"{missing:.0%}",
        "folds": str(protocol["folds"]),
        "repeats": str(protocol["repeats"]),
        "encoder": str(protocol["encoder"]),
        "samples": str(settings["bootstrap_samples"]),
        "level": f"{settings['interval_level']:.0%}",
        "cut": f"{cut:.2f}",
        "chief": label(chief),
        "auc_cv": _estimate(aucs, series=training.name, model=chief),
        "auc_validation": _estimate(aucs, series=validation.name, model=chief),
        "auc_by_centre": "; ".join(by_centre),
        "calibration_cv": _calibration(calibrations, training),
        "calibration_validation": _calibration(calibrations, validation),
        "heterogeneity": "; ".join(f"{row.variable} P {p_text(row.p)} (exploratory)" for row in tests.itertuples())
        or ABSENT,
        "verdict": verdict,
        **_of_kind(simulated=kind == "simulated"),
        **_validation_series(training, validation, simulated=kind == "simulated"),
    }


def _of_kind(*, simulated: bool) -> dict[str, str]:
    """What is known of a simulation, and has to be stated by the authors of any other study: simulated.yaml, other.yaml."""
    name = "simulated.yaml" if simulated else "other.yaml"
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def validation_sentence(training: EvaluationSet, validation: EvaluationSet, *, kind: str) -> str:
    """Whose patients the validation series holds, and what kind of validation that makes it; `kind` as in :func:`facts`.

    Args:
        training: the training series.
        validation: the validation series; may be empty.
        kind: kind of data: "simulated", "public" or "private".

    Returns:
        The sentence.
    """
    return _validation_series(training, validation, simulated=kind == "simulated")["validation_series_sentence"]


def _validation_series(training: EvaluationSet, validation: EvaluationSet, *, simulated: bool) -> dict[str, str]:
    """How the validation series relates to the training series, by hospital: temporal, external, or both."""
    ours, theirs = (set(item.patients["centre"]) for item in (training, validation))
    later = "collected afterwards" if simulated else "marked as validation in patients.csv"
    if not theirs:
        return {
            "validation_series": "no patients",
            "validation_series_sentence": "There is no validation series: nothing but cross-validation supports the model.",
        }
    inside, outside = ", ".join(sorted(theirs & ours)), ", ".join(sorted(theirs - ours))
    if not outside:
        same = "the same hospitals" if theirs == ours else f"some of the training hospitals ({inside})"
        kind = (
            "a temporal validation"
            if simulated
            else "not external by hospital; whether it is later in time is not recorded"
        )
        return {
            "validation_series": f"{later}, {same}",
            "validation_series_sentence": f"Patients of {same}, {later}: {kind}.",
        }
    if not inside:
        return {
            "validation_series": f"other hospitals ({outside})",
            "validation_series_sentence": f"Patients of {outside}, which had no training patient: external by hospital.",
        }
    return {
        "validation_series": f"training hospitals ({inside}) and other hospitals ({outside})",
        "validation_series_sentence": f"Patients of {inside} ({later}) and of {outside}, which had no training patient: partly "
        "external by hospital.",
    }


def _estimate(rows: pd.DataFrame, *, series: str, model: str) -> str:
    own = rows[(rows["series"] == series) & (rows["model"] == model)]
    if own.empty:
        return ABSENT
    row = own.iloc[0]
    return str(Estimate(row["auc"], row["low"], row["high"], note=row["note"]))


def _calibration(calibrations: Calibrations, series: EvaluationSet) -> str:
    """Slope, intercept, ICI, mean predicted and observed risk in one series."""
    found = calibrations.lived.get(series.name)
    if found is None:
        return ABSENT
    return (
        f"slope {found.slope}, intercept {found.intercept}, ICI {found.ici}, mean predicted risk {found.predicted:.3f}, "
        f"observed {found.observed:.3f}, n = {len(series)}"
    )


def _counts(followup: Followup, *, horizon_months: float) -> tuple[int, int]:
    """Events by the horizon, and patients lost before it."""
    return int(followup.is_case(horizon_months).sum()), int(followup.is_lost(horizon_months).sum())


def enough_to_validate(events: int) -> str:
    """Events of a validation series against the usual minimum (Collins et al., Statistics in Medicine 2016;35:214-226)."""
    if events >= EVENTS_FOR_VALIDATION:
        return f"at least the usual {EVENTS_FOR_VALIDATION} events (Collins et al., Stat Med 2016)."
    return f"fewer than the usual {EVENTS_FOR_VALIDATION} events (Collins et al., Stat Med 2016), so estimates are imprecise."


def largest_r2(*, events: float, patients: int) -> float:
    """Largest Cox–Snell R² that a model can have with so many events per patient (Riley et al., Stat Med 2019;38:1276-1296)."""
    rate = events / patients
    return float(-np.expm1(2 * rate * (np.log(rate) - 1)))


def for_shrinkage(parameters: int, *, r2: float, shrinkage: float = SHRINKAGE) -> int:
    """Patients that keep the expected shrinkage of the coefficients at `shrinkage` or above (criterion i)."""
    return int(np.ceil(parameters / ((shrinkage - 1) * np.log1p(-r2 / shrinkage))))


def enough_to_develop(training: EvaluationSet, variables: Sequence[str]) -> str:
    """Whether the series is large enough for the clinical variables alone, by Riley's shrinkage criterion.

    There is no such rule for the image branch of a network, and the sentence says so.
    """
    parameters = len(clinical_columns(variables))
    events = int((training.followup.event == METASTASIS).sum())
    if not events:
        return "No event, so no sample size can be computed."
    r2 = PESSIMISTIC * largest_r2(events=events, patients=len(training))
    needed = for_shrinkage(max(parameters, 1), r2=r2)
    verdict = "reached" if len(training) >= needed else "not reached"
    return (
        f"For the {parameters} parameters of the clinical variables alone, a shrinkage of 0.9 needs {needed} patients (Riley "
        f"et al., Stat Med 2019, Nagelkerke R² {PESSIMISTIC:g} assumed): {verdict}. There is no such rule for the image branch."
    )


def filled(text: str, known: Mapping[str, str]) -> str:
    """`text` with its {names} replaced by facts.

    Raises:
        SarcnetError: a name that is no fact; all of them are listed.
    """
    faults = ErrorCollector()
    for _, name, _, _ in string.Formatter().parse(text):
        if name is not None and name not in known:
            faults.add(
                f"the report names the fact '{name}', which there is not; use one of {', '.join(sorted(known))}."
            )
    faults.raise_if_any("A statement of the report cannot be filled")
    return text.format_map(dict(known)).strip()


def checklist(items: Sequence[Item], known: Mapping[str, str]) -> str:
    """A checklist as a Markdown table: item, topic, answer, and the section of the executed notebook that holds it."""
    rows = []
    for item in items:
        places = {name: executed_path("../..", name).as_posix() for name, _ in item.where}
        links = [f'[{name[:2]}]({places[name]}), "{heading}"' for name, heading in item.where]
        rows.append([item.number, item.topic, filled(item.answer, known), "; ".join(links) or "—"])
    return markdown_table(["item", "topic", "answer", "where"], rows)


def write_report(folder: Path, known: Mapping[str, str]) -> list[Path]:
    """Write tripod_ai.md, probast_ai.md, model_card.md and data_card.md into `folder`; returns their paths.

    Args:
        folder: folder to write into.
        known: facts by name, from :func:`facts`.

    Returns:
        Their paths.
    """
    lead = f"{known['kind']}, our wording; statements are filled in from the run's numbers.".capitalize()
    texts = {
        "tripod_ai.md": f"# TRIPOD+AI\n\n{lead}\n\n{checklist(read_checklist('tripod_ai'), known)}\n",
        "probast_ai.md": f"# PROBAST+AI, by domain\n\n{lead}\n\n{checklist(read_checklist('probast_ai'), known)}\n",
        **{f"{name}.md": filled((FOLDER / f"{name}.md").read_text(encoding="utf-8"), known) + "\n" for name in CARDS},
    }
    return [_write(folder / name, text) for name, text in texts.items()]


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame], *, kind: str) -> list[Path]:
    """Write each table as Markdown (headed by the kind of data) and as CSV; empty ones say so.

    In Markdown a P value (column `p`, or one that starts with "P (") is "< 0.010" where it is not above the smallest that the
    resamples can give (column `p_floor`, which only the CSV shows), and "< 0.001" below that.

    Args:
        folder: folder to write into.
        tables: tables by name.
        kind: kind of data: "simulated", "public" or "private".

    Returns:
        Their paths.
    """
    paths = []
    for name, frame in tables.items():
        whole = frame.reset_index() if frame.index.name or frame.index.dtype == object else frame
        shown = whole.drop(columns="p_floor", errors="ignore")  # what P says in words, and the CSV in numbers
        floors = whole.get("p_floor", pd.Series(0.0, index=whole.index))
        rows = [
            [_cell(value, str(c), p_floor=floor) for c, value in zip(shown.columns, row, strict=True)]
            for row, floor in zip(shown.to_numpy(object), floors, strict=True)
        ]
        body = markdown_table([str(c) for c in shown.columns], rows) if len(shown) else "Nothing could be computed."
        title = f"# {name.replace('_', ' ')} ({kind} data)"
        paths.append(_write(folder / f"{name}.md", f"{title}\n\n{body}\n"))
        paths.append(_write(folder / f"{name}.csv", whole.to_csv(index=False)))
    return paths


def _cell(value: object, column: str, *, p_floor: float) -> str:
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        if column == "p" or column.startswith("P ("):
            return p_text(float(value), floor=p_floor).removeprefix("= ")
        return f"{value:.3f}"
    return str(value)


def _write(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
