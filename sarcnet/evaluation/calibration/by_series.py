"""Calibration of every model in every series: curves and their numbers, and in words whether risks are too high or too low.

Predicted and observed risk are compared in the large (O/E, the ratio of their means; Riley et al., BMJ 2016;353:i3140) and by
the slope of the calibration line (:mod:`sarcnet.evaluation.metrics.calibration`). A deviation is stated where the interval
excludes the ideal value, and its absence never: an interval that holds the ideal value is reported with what else it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.incidence import pseudo_values
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.comparators.cox import FNCLCC
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.auc import auc, check, check_probability
from sarcnet.evaluation.metrics.bootstrap import LEAST, Estimate
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.calibration import Calibration, by_group, calibrate, line
from sarcnet.evaluation.metrics.resampling import Resampling
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.model.names.words import in_order, label


@dataclass(frozen=True)
class Calibrations:
    """Of one model: against Aalen–Johansen (`lived`) and Kaplan–Meier (`net`) by series, and groups against the former."""

    lived: dict[str, Calibration]
    net: dict[str, Calibration]
    groups: dict[str, pd.DataFrame]
    death: str = "competes"  # what it is for `lived`

    @property
    def table(self) -> pd.DataFrame:
        """One row a series and way to treat death: mean predicted, observed, intercept, slope, ICI (text with interval)."""
        rows = [
            (name, how, f"{c.predicted:.3f}", f"{c.observed:.3f}", str(c.intercept), str(c.slope), str(c.ici))
            for how, found in ((self.death, self.lived), ("censored", self.net))
            for name, c in found.items()
        ]
        columns = ["series", "death", "predicted (mean)", "observed", "intercept (0)", "slope (1)", "ICI (0)"]
        return pd.DataFrame(rows, columns=columns)


def calibration_of(
    evaluation_sets: Sequence[EvaluationSet],
    *,
    model: str,
    horizon_months: float,
    endpoint: Endpoint,
    groups: int,
    resampling: Resampling,
) -> Calibrations:
    """Calibration of `model` (its mean risk over the repeats) in each series.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        model: name of the model whose mean risk over the repeats is judged.
        horizon_months: horizon of the outcome, in months.
        endpoint: what counts as the event, and its words.
        groups: number of groups of equal size by predicted risk.
        resampling: settings of the bootstrap; its log gets a sentence, with the reason, for what cannot be computed.

    Returns:
        Calibrations by series.
    """
    found = Calibrations({}, {}, {}, death="competes" if endpoint.competing else "is an event")
    ways = [(True, found.lived), (False, found.net)] if endpoint.competing else [(True, found.lived)]
    for series in (item for item in evaluation_sets if model in item.risks and len(item)):
        risk, followup = series.with_risk(model)["risk"].to_numpy(float), series.followup
        counts = resampling.counts("calibration", series)
        for competing, kept in ways:
            made = resampling.log(
                f"{series.name}, calibration",
                calibrate,
                risk,
                followup,
                horizon_months=horizon_months,
                competing=competing,
                level=resampling.level,
                counts=counts,
            )
            if made is not None:
                kept[series.name] = made
        table = resampling.log(
            f"{series.name}, groups of risk",
            by_group,
            risk,
            followup,
            horizon_months=horizon_months,
            groups=groups,
            competing=True,
            level=resampling.level,
        )
        if table is not None:
            found.groups[series.name] = table
    return found


@dataclass(frozen=True)
class Agreement:
    """Predicted against observed risk of one model in one series, at the horizon and with death competing.

    ratio: observed over predicted; its interval takes the predicted mean as given. brier, auc: means over the repeats.
    enough: False where the intervals are not to be shown, for want of cases or of patients known to be free.
    """

    series: str
    model: str
    n: int
    events: int
    predicted: float
    observed: float
    ratio: Estimate
    slope: Estimate
    intercept: Estimate
    brier: float
    auc: float
    enough: bool

    @property
    def verdict(self) -> str:
        """A few sentences, see :func:`verdict`."""
        return verdict(self)


def agreement(series: EvaluationSet, model: str, *, horizon_months: float, level: float) -> Agreement:
    """Judge a model's mean risk over the repeats, in the hospitals that were followed to the horizon.

    Raises:
        SarcnetError: a risk is missing or no probability; fewer than three different risks; no AUC exists.
    """
    judged = series.followup.is_judged(horizon_months)
    followup = series.followup.select(judged)
    check(followup, horizon_months=horizon_months)
    risk = check_probability(series.with_risk(model)["risk"].to_numpy(float))[judged]
    if len(np.unique(risk)) < 3:
        raise SarcnetError(f"{label(model)} has {len(np.unique(risk))} different risks; a line needs three at least.")
    cases, controls = (int(kind(horizon_months).sum()) for kind in (followup.is_case, followup.is_control))
    each = [
        (brier(r, followup, horizon_months=horizon_months), auc(r, followup, horizon_months=horizon_months))
        for r in series.risks[model][judged].T
    ]
    observed = pseudo_values(followup, horizon_months=horizon_months, competing=True)
    mean = max(float(observed.mean()), 1e-12)
    error = float(observed.std(ddof=1)) / np.sqrt(len(observed)) / mean  # of the logarithm
    ratio, width = mean / float(risk.mean()), float(norm.ppf((1 + level) / 2)) * error
    return Agreement(
        series=series.name,
        model=model,
        n=len(followup),
        events=cases,
        predicted=float(risk.mean()),
        observed=float(observed.mean()),
        ratio=Estimate(ratio, ratio * np.exp(-width), ratio * np.exp(width)),
        slope=line(risk, observed, slope=True, level=level),
        intercept=line(risk, observed, slope=False, level=level),
        brier=float(np.mean([score for score, _ in each])),
        auc=float(np.mean([area for _, area in each])),
        enough=min(cases, controls) >= LEAST,
    )


def agreements(
    evaluation_sets: Sequence[EvaluationSet], *, horizon_months: float, level: float, log: FailureLog
) -> list[Agreement]:
    """Every model that predicts probabilities, in every series; `log` gets a sentence for what cannot be judged.

    Args:
        evaluation_sets: the patients of each series with their outcomes and the risks of every model.
        horizon_months: horizon of the outcome, in months.
        level: coverage of the intervals, for example 0.95.
        log: gets a sentence for each series, model or measure that cannot be computed, with the reason.

    Returns:
        One entry per series and model that can be judged.
    """
    found = []
    for series in (item for item in evaluation_sets if len(item)):
        for model in in_order([name for name in series.risks if name != FNCLCC]):
            what = f"{series.name}, predicted against observed"
            found.append(log(what, agreement, series, model, horizon_months=horizon_months, level=level))
    return [made for made in found if made is not None]


def agreement_table(found: Sequence[Agreement]) -> pd.DataFrame:
    """One row a series and model, as people read it.

    Args:
        found: from :func:`agreements`.

    Returns:
        Table of text.
    """
    rows = [
        {
            "series": made.series,
            "model": label(made.model),
            "n": made.n,
            "events": made.events,
            "predicted (mean)": f"{made.predicted:.3f}",
            "observed": f"{made.observed:.3f}",
            "O/E (1)": _text(made.ratio, made),
            "slope (1)": _text(made.slope, made),
            "intercept (0)": _text(made.intercept, made),
            "Brier score": f"{made.brier:.3f}",
            "AUC": f"{made.auc:.3f}",
        }
        for made in found
    ]
    return pd.DataFrame(rows)


def _text(estimate: Estimate, made: Agreement) -> str:
    if not made.enough:
        return f"{estimate.value:.2f} (too few for an interval)"
    return f"{estimate.value:.2f} ({_bound(estimate.low)} to {_bound(estimate.high)})"


def _bound(value: float) -> str:
    """Two decimals, or three where two would put it on an ideal value that it does not reach."""
    text = f"{value:.2f}"
    return f"{value:.3f}" if text in ("1.00", "0.00", "-0.00") else text


def verdict(made: Agreement) -> str:
    """One model in one series, in a few sentences; what they say follows from the intervals."""
    lead = (
        f"{label(made.model)}, {made.series} (n = {made.n}, {made.events} events): mean predicted risk "
        f"{made.predicted:.3f}, observed {made.observed:.3f}"
    )
    if not made.enough:
        return (
            f"{lead}. Fewer than {LEAST} events, or patients known to be free of one: too few to judge the calibration."
        )
    level = _judged(
        made.ratio,
        low="the risks are too high on average (the model **overestimates**)",
        high="the risks are too low on average (the model **underestimates**)",
        n=made.n,
    )
    spread = _judged(
        made.slope,
        low="the risks are **too extreme**: differences between patients are overstated",
        high="the risks are **too timid**: they lie too close to each other",
        n=made.n,
    )
    return (
        f"{lead}, O/E {_text(made.ratio, made)}: {level}. Slope {_text(made.slope, made)}: {spread}. "
        f"Intercept {_text(made.intercept, made)}."
    )


def _judged(estimate: Estimate, *, low: str, high: str, n: int) -> str:
    """What the interval of a quantity says whose ideal value is 1."""
    left = f"{_bound(estimate.low)} to {_bound(estimate.high)}"
    none = f"no deviation from 1 shown with {n} patients, which leaves {left} possible"
    return estimate.where(1, below=low, above=high, neither=none)


def deviations(found: Sequence[Agreement]) -> str:
    """The models whose O/E or slope deviates, series by series.

    Args:
        found: from :func:`agreements`.

    Returns:
        Sentences.
    """
    said = []
    for name in dict.fromkeys(made.series for made in found):
        own = [made for made in found if made.series == name and made.enough]
        kinds = {
            "Overestimates": [m for m in own if m.ratio.high < 1],
            "Underestimates": [m for m in own if m.ratio.low > 1],
            "Too timid": [m for m in own if m.slope.low > 1],
            "Too extreme": [m for m in own if m.slope.high < 1],
        }
        parts = [f"{kind}: {'; '.join(label(m.model) for m in them)}." for kind, them in kinds.items() if them]
        silent = len(own) - len({m.model for them in kinds.values() for m in them})
        rest = f"No deviation shown for {silent} of {len(own)} models." if own else "Too few patients for any verdict."
        said.append(f"**{name.capitalize()}.** {' '.join([*parts, rest])}")
    return " ".join(said)


def change(before: Agreement, after: Agreement) -> str:
    """What a correction did to the same model's risks on the same patients, better or worse.

    Args:
        before: before the correction.
        after: after it, same patients.

    Returns:
        A sentence.
    """
    parts = []
    for name, own, ideal in (("O/E", "ratio", 1.0), ("slope", "slope", 1.0), ("intercept", "intercept", 0.0)):
        first, second = getattr(before, own).value, getattr(after, own).value
        nearer = "nearer to" if abs(second - ideal) < abs(first - ideal) else "not nearer to"
        parts.append(f"{name} from {first:.2f} to {second:.2f}, {nearer} {ideal:g}")
    score = "smaller, so better" if after.brier < before.brier else "not smaller, so no better"
    parts.append(f"Brier score from {before.brier:.3f} to {after.brier:.3f}, {score}")
    return f"On the {after.series} series: {'; '.join(parts)}."
