"""The slow, obvious forms of the metrics, pair by pair and patient by patient. Tests hold the fast ones to them."""

from __future__ import annotations

import numpy as np

from sarcnet.evaluation.auc import CENSORED, DEATH, METASTASIS, Followup


def slow_uncensored(fitted: Followup, *, centre: str, month: float, just_before: bool) -> float:
    """Kaplan–Meier estimate of remaining uncensored at `month` (or just before it) among patients of one centre."""
    own = [i for i in range(len(fitted)) if fitted.centre[i] == centre]
    probability = 1.0
    for time in sorted({fitted.months[i] for i in own if fitted.event[i] == CENSORED}):
        if time < month or (time == month and not just_before):
            lost = sum(fitted.months[i] == time and fitted.event[i] == CENSORED for i in own)
            events_then = sum(fitted.months[i] == time and fitted.event[i] != CENSORED for i in own)
            at_risk = sum(fitted.months[i] >= time for i in own) - events_then
            probability *= 1 - lost / at_risk
    return probability


def slow_auc(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """The double sum of :mod:`sarcnet.evaluation.auc`, written out."""
    above = total = 0.0
    for i in range(len(followup)):
        if not (followup.event[i] == METASTASIS and followup.months[i] <= horizon_months):
            continue
        u = 1 / slow_uncensored(followup, centre=followup.centre[i], month=followup.months[i], just_before=True)
        for j in range(len(followup)):
            centre = followup.centre[j]
            if followup.months[j] > horizon_months:
                v = 1 / slow_uncensored(followup, centre=centre, month=horizon_months, just_before=False)
            elif followup.event[j] == DEATH:
                v = 1 / slow_uncensored(followup, centre=centre, month=followup.months[j], just_before=True)
            else:
                continue
            above += u * v * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            total += u * v
    return above / total
