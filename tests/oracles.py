"""The slow, obvious forms of the metrics, pair by pair and patient by patient. Tests hold the fast ones to them."""

from __future__ import annotations

import numpy as np

from sarcnet.cohort.outcome import CENSORED, DEATH, METASTASIS, Followup
from sarcnet.evaluation.metrics.brier import brier_and_null


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
    """The double sum of :mod:`sarcnet.evaluation.metrics.auc`, written out."""
    above = total = 0.0
    for i in range(len(followup)):
        if not (followup.event[i] == METASTASIS and followup.months[i] <= horizon_months):
            continue
        u = 1 / slow_uncensored(followup, centre=followup.centre[i], month=followup.months[i], just_before=True)
        for j in range(len(followup)):
            centre = followup.centre[j]
            if _free(followup, j, horizon_months):
                v = 1 / slow_uncensored(followup, centre=centre, month=horizon_months, just_before=True)
            elif followup.event[j] == DEATH:
                v = 1 / slow_uncensored(followup, centre=centre, month=followup.months[j], just_before=True)
            else:
                continue
            above += u * v * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            total += u * v
    return above / total


def slow_incidence(followup: Followup, *, month: float, competing: bool) -> float:
    """Aalen–Johansen (or one minus Kaplan–Meier, deaths censored) at `month`, one time after the other."""
    free, risen = 1.0, 0.0
    for time in sorted(set(followup.months)):
        if time > month:
            break
        at_risk = sum(m >= time for m in followup.months)
        then = [e for m, e in zip(followup.months, followup.event, strict=True) if m == time]
        metastases, deaths = then.count(METASTASIS), then.count(DEATH) if competing else 0
        risen += free * metastases / at_risk
        free *= 1 - (metastases + deaths) / at_risk
    return risen


def _free(followup: Followup, i: int, month: float) -> bool:
    """Whether patient i is known to be free of metastasis at `month`."""
    return followup.months[i] > month or (followup.months[i] == month and followup.event[i] == CENSORED)


def _uncensored_at(followup: Followup, i: int, month: float, *, just_before: bool) -> float:
    return slow_uncensored(followup, centre=followup.centre[i], month=month, just_before=just_before)


def slow_concordance(risk: np.ndarray, followup: Followup, *, upto_months: float, weighted: bool) -> float:
    """Both concordances of :mod:`sarcnet.evaluation.metrics.concordance`, pair by pair."""
    above = total = 0.0
    months, event = followup.months, followup.event
    for i in range(len(followup)):
        if event[i] != METASTASIS or months[i] > upto_months:
            continue
        for j in range(len(followup)):
            later = months[j] > months[i] or (months[j] == months[i] and event[j] == CENSORED)
            died = event[j] == DEATH and months[j] <= months[i]
            if not (later or died):
                continue
            weight = 1.0
            if weighted:
                own = _uncensored_at(followup, i, months[i], just_before=True)
                if died:
                    other = _uncensored_at(followup, j, months[j], just_before=True)
                else:
                    other = _uncensored_at(followup, j, months[i], just_before=False)
                if other == 0:
                    continue
                weight = 1 / (own * other)
            above += weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            total += weight
    return above / total


def slow_sums(called: np.ndarray, followup: Followup, *, horizon_months: float) -> tuple[float, float]:
    """Weighted numbers of cases and of controls among the patients `called` (n, weights of their own, for example 0 and 1)."""
    cases = controls = 0.0
    for i in range(len(followup)):
        if _free(followup, i, horizon_months):
            controls += called[i] / _uncensored_at(followup, i, horizon_months, just_before=True)
        elif followup.event[i] == METASTASIS:
            cases += called[i] / _uncensored_at(followup, i, followup.months[i], just_before=True)
        elif followup.event[i] == DEATH:
            controls += called[i] / _uncensored_at(followup, i, followup.months[i], just_before=True)
    return cases, controls


def slow_brier(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """The Brier score as two weighted sums."""
    cases, _ = slow_sums((1 - risk) ** 2, followup, horizon_months=horizon_months)
    _, controls = slow_sums(risk**2, followup, horizon_months=horizon_months)
    return (cases + controls) / len(risk)


def slow_net_benefit(risk: np.ndarray, followup: Followup, *, horizon_months: float, threshold: float) -> float:
    """Net benefit as true positives minus false positives at the odds of the threshold."""
    cases, controls = slow_sums((risk >= threshold).astype(float), followup, horizon_months=horizon_months)
    return (cases - threshold / (1 - threshold) * controls) / len(risk)


def slow_gray_score(months: np.ndarray, event: np.ndarray, group: np.ndarray) -> float:
    """Score of the first group in Gray's test: its metastases minus those expected of it."""
    score = 0.0
    names = sorted(set(group))
    for time in sorted({m for m, e in zip(months, event, strict=True) if e == METASTASIS}):
        staying, seen = [], []
        for name in names:
            own = Followup(months[group == name], event[group == name], group[group == name])
            at_risk = sum(m >= time for m in own.months)
            before = np.nextafter(time, 0)
            either = Followup(own.months, (own.event != CENSORED).astype(int), own.centre)
            free = 1 - slow_incidence(either, month=before, competing=False)
            left = 1 - slow_incidence(own, month=before, competing=True)
            staying.append(at_risk * left / free if at_risk else 0.0)
            seen.append(sum(m == time and e == METASTASIS for m, e in zip(own.months, own.event, strict=True)))
        score += seen[0] - sum(seen) * staying[0] / sum(staying)
    return score


def slow_local_line(risk: np.ndarray, observed: np.ndarray, *, at: float, span: float) -> float:
    """Local regression of degree 1 with tricube weights at one risk, by ordinary weighted least squares."""
    distance = np.abs(risk - at)
    width = np.sort(distance)[max(3, int(span * len(risk) + 1e-5)) - 1] * 1.0001
    weight = np.where(distance < width, (1 - np.minimum(distance / width, 1) ** 3) ** 3, 0.0)
    design = np.column_stack([np.ones(len(risk)), risk - at])
    return float(np.linalg.lstsq(design * np.sqrt(weight)[:, None], observed * np.sqrt(weight), rcond=None)[0][0])


def accuracy_index(risk: np.ndarray, followup: Followup, *, horizon_months: float) -> float:
    """Share by which the Brier score is better than that of giving everybody the same risk: 0 useless, 1 perfect."""
    score, null = brier_and_null(risk, followup, horizon_months=horizon_months)
    return 1 - score / null
