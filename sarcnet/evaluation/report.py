"""The report of a run: checklists, model card and data card as Markdown, every statement filled from the run's results."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sarcnet.compendium.faults import Faults
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.readme import table as markdown_table
from sarcnet.evaluation.appraisal import Calibrations
from sarcnet.evaluation.auc import CENSORED, METASTASIS, Followup
from sarcnet.evaluation.bootstrap import Estimate
from sarcnet.evaluation.checklists import Item
from sarcnet.evaluation.probast import PROBAST_AI
from sarcnet.evaluation.series import Series
from sarcnet.evaluation.tables import label
from sarcnet.evaluation.tripod import TRIPOD_AI

EVENTS_WANTED = 100
ABSENT = "not computed"
SIMULATED = "Patients, slides and outcomes are simulated; no statement is about a real patient."


def _estimate(rows: pd.DataFrame, *, series: str, model: str) -> str:
    own = rows[(rows["series"] == series) & (rows["model"] == model)]
    return ABSENT if own.empty else str(Estimate(*own[["auc", "low", "high"]].iloc[0].astype(float)))


def _counts(followup: Followup, *, horizon_months: float) -> tuple[int, int]:
    """Metastases by the horizon, and patients lost before it."""
    early = followup.months <= horizon_months
    return int((early & (followup.event == METASTASIS)).sum()), int((early & (followup.event == CENSORED)).sum())


def facts(
    *,
    kind: str,
    training: Series,
    validation: Series,
    protocol: Mapping[str, Any],
    aucs: pd.DataFrame,
    calibrations: Calibrations,
    tests: pd.DataFrame,
    cut: float,
    settings: Mapping[str, Any],
    n_unknown: int,
    verdict: str,
) -> dict[str, str]:
    """Everything the report's texts may name, as text.

    Args:
        kind: "simulated", "public" or "private".
        aucs: of all series (see tables.auc_table).
        tests: variable and p of the subgroups.
        settings: parameters of notebook 05.
        verdict: the sentences of "What we found".
    """
    horizon, chief = float(protocol["horizon_months"]), training.chief
    events, lost = _counts(training.followup, horizon_months=horizon)
    later_events, later_lost = _counts(validation.followup, horizon_months=horizon)
    centres = sorted(training.patients["centre"].unique())
    made = calibrations.lived.get(training.name)
    simulated = kind == "simulated"
    variables = list(protocol["clinical_variables"])
    missing = float(training.patients[variables].isna().mean().max()) if variables else 0.0
    by_centre = [f"{name} {_estimate(aucs, series=f'{training.name}, {name}', model=chief)}" for name in centres]
    return {
        "kind": f"{kind} data",
        "simulated": SIMULATED if simulated else "",
        "horizon": f"{horizon:g} months",
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
        "enough_training": _enough(events),
        "enough_validation": _enough(later_events),
        "dates": "Simulated patients have no dates." if simulated else "Not part of patients.csv: state them.",
        "not_recorded": "Simulated: nobody assessed anything." if simulated else "Not recorded: state it.",
        "ethics": "None needed: nobody is real." if simulated else "To be stated by who holds the data.",
        "sharing": "The cohort is made anew from its seed." if simulated else "The cohort stays where it is.",
        "applicability": SIMULATED if simulated else "To patients like those of these hospitals.",
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
        "slope": str(made.slope) if made else ABSENT,
        "intercept": str(made.intercept) if made else ABSENT,
        "ici": str(made.ici) if made else ABSENT,
        "heterogeneity": "; ".join(f"{row.variable} P = {row.p:.2f}" for row in tests.itertuples()) or ABSENT,
        "verdict": verdict,
    }


def _enough(events: int) -> str:
    return "enough" if events >= EVENTS_WANTED else f"fewer than {EVENTS_WANTED}, so imprecise"


def filled(text: str, known: Mapping[str, str]) -> str:
    """`text` with its {names} replaced by facts.

    Raises:
        SarcnetError: a name that is no fact; all of them are listed.
    """
    faults = Faults()
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
        links = [f'[{name[:2]}](../../{name}/executed.ipynb), "{heading}"' for name, heading in item.where]
        rows.append([item.number, item.topic, filled(item.answer, known), "; ".join(links) or "—"])
    return markdown_table(["item", "topic", "answer", "where"], rows)


MODEL_CARD = """# Model card: {chief}

**Data.** {kind}. {simulated}

**What it does.** From tiles of a tumour's slides (encoder: {encoder}) and {clinical_variables} it predicts the
probability of metastasis within {horizon}. A higher number is always a higher risk.

**Made from.** {n_training} patients of {centres} ({events_training} metastases by the horizon), {folds} folds ×
{repeats} repeats.

**How good.** Cross-validated AUC {auc_cv}; {auc_by_centre}. On {n_validation} later patients of the same hospitals
{auc_validation} ({level} intervals, {samples} resamples). Calibration with death competing: slope {slope} (1 is
ideal), intercept {intercept} (0), ICI {ici} (0). Heterogeneity between subgroups: {heterogeneity}.

**Groups.** High risk is a predicted risk of {cut} or more, a quantile of the training patients' own risks.

**Not for.** Care of any patient; hospitals, scanners, stains and histotypes that were not trained on.

**What it found.** {verdict}
"""
DATA_CARD = """# Data card

**Kind.** {kind}. {simulated}

**Who.** {n_training} training and {n_validation} later patients of {centres}; {n_unknown} training patients without a
known outcome are not judged. Metastases by {horizon}: {events_training} and {events_validation}; lost before it:
{lost_training} and {lost_validation}.

**What of each.** The columns of `patients.csv` (schema: `sarcnet/cohort/schema.py`) and slides that OpenSlide opens.
At most {missing} of any predictor is missing.

**Where.** One folder a hospital; paths stay inside it. {sharing}

**Known gaps.** Dates: {dates} Assessors: {not_recorded} Ethics: {ethics}
"""


def write_report(folder: Path, known: Mapping[str, str]) -> list[Path]:
    """Write tripod_ai.md, probast_ai.md, model_card.md and data_card.md into `folder`; returns their paths."""
    lead = f"{known['kind']}, wording ours; statements are filled from the run's numbers.".capitalize()
    texts = {
        "tripod_ai.md": f"# TRIPOD+AI\n\n{lead}\n\n{checklist(TRIPOD_AI, known)}\n",
        "probast_ai.md": f"# PROBAST+AI, by domain\n\n{lead}\n\n{checklist(PROBAST_AI, known)}\n",
        "model_card.md": filled(MODEL_CARD, known) + "\n",
        "data_card.md": filled(DATA_CARD, known) + "\n",
    }
    return [_write(folder / name, text) for name, text in texts.items()]


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame], *, kind: str) -> list[Path]:
    """Write each table as Markdown (called by the kind of data) and as CSV; empty ones say so. Returns the paths."""
    paths = []
    for name, frame in tables.items():
        whole = frame.reset_index() if frame.index.name or frame.index.dtype == object else frame
        rows = [[_cell(value) for value in row] for row in whole.itertuples(index=False)]
        body = markdown_table([str(c) for c in whole.columns], rows) if len(whole) else "Nothing could be computed."
        title = f"# {name.replace('_', ' ')} ({kind} data)"
        paths.append(_write(folder / f"{name}.md", f"{title}\n\n{body}\n"))
        paths.append(_write(folder / f"{name}.csv", whole.to_csv(index=False)))
    return paths


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.3f}"
    return str(value)


def _write(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
