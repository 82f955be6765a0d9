"""Calibration of a model in every series: curve, intercept, slope, ICI, and groups of predicted risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.evaluation.metrics.calibration import Calibration, by_group, calibrate
from sarcnet.evaluation.predictions import EvaluationSet
from sarcnet.evaluation.resampling import Resampling


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
    everyone: Sequence[EvaluationSet],
    *,
    model: str,
    horizon_months: float,
    endpoint: Endpoint,
    groups: int,
    resampling: Resampling,
) -> Calibrations:
    """Calibration of `model` (its mean risk over the repeats) in each series.

    Args:
        everyone: the series.
        model: name of the model in question.
        horizon_months: horizon of the outcome, in months.
        endpoint: what counts as the event, and its words.
        groups: number of groups of equal size by predicted risk.
        resampling: settings of the bootstrap; its log gets a sentence for whatever cannot be computed.

    Returns:
        Calibrations by series.
    """
    found = Calibrations({}, {}, {}, death="competes" if endpoint.competing else "is an event")
    ways = [(True, found.lived), (False, found.net)] if endpoint.competing else [(True, found.lived)]
    for series in (item for item in everyone if model in item.risks and len(item)):
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
