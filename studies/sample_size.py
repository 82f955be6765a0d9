r"""How many patients a prediction model needs: the numbers of docs/statistical-analysis-plan.md.

Development, time-to-event: criteria (i) to (iii) of Riley et al. (Statistics in Medicine 2019;38:1276-1296), as their
program pmsampsize computes them. Validation: precision of O/E, calibration slope and AUC after Riley et al. (Statistics in
Medicine 2021;40:4230-4251); the formulae are those of a binary outcome, so that patients lost before the horizon lie
between being counted (too precise) and being left out (too imprecise). The plan's table is printed by
`make sample-size`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from sarcnet.evaluation.report.write import PESSIMISTIC, for_shrinkage, largest_r2

Z = float(norm.ppf(0.975))
OPTIMISM_R2, MARGIN_OF_RISK = 0.05, 0.05  # targets of criteria (ii) and (iii)


@dataclass(frozen=True)
class Expected:
    """A series as planned. Means over 40 simulated studies (seeds 7001 to 7040), none of which is a profile's.

    Attributes:
        patients: in the series.
        events: metastases until the end of follow-up.
        years: person-years.
        cases: metastases by 60 months.
        lost: censored before 60 months.
        risk: probability of metastasis by 60 months.
    """

    patients: int
    events: float
    years: float
    cases: float
    lost: float
    risk: float


TRAINING = Expected(patients=611, events=266.9, years=2406.2, cases=266.1, lost=85.8, risk=0.448)
VALIDATION = Expected(patients=217, events=94.4, years=643.7, cases=94.3, lost=58.0, risk=0.444)
COX_SNELL = {"clinical comparator": (11, 0.234), "clinical branch": (19, 0.241)}  # parameters, R² of a Cox model
LOGIT_RISK = (-0.19, 1.30)  # mean and SD of the logit of the clinical branch's risk
AUC = {"SarcNet": 0.797, "Sarculator": 0.778}  # abstract of the study


def for_optimism(parameters: int, *, r2: float, largest: float) -> int:
    """Patients that keep apparent minus adjusted Nagelkerke R² at 0.05 or below (criterion ii)."""
    return for_shrinkage(parameters, r2=r2, shrinkage=r2 / (r2 + OPTIMISM_R2 * largest))


def width_of_overall_risk(series: Expected, *, years: float) -> float:
    """Half-width of the 95 % interval of the overall risk by then, constant hazard (criterion iii)."""
    rate = series.events / series.years
    return float(years * np.exp(-rate * years) * Z * np.sqrt(rate / series.years))


def auc_error(auc: float, *, cases: float, controls: float) -> float:
    """Standard error of an AUC (Hanley and McNeil, Radiology 1982;143:29-36)."""
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (cases - 1) * (first - auc**2) + (controls - 1) * (second - auc**2)
    return float(np.sqrt(spread / (cases * controls)))


def log_oe_error(patients: float, *, risk: float) -> float:
    """Standard error of ln(O/E)."""
    return float(np.sqrt((1 - risk) / (patients * risk)))


def slope_error(patients: float, *, logit: tuple[float, float]) -> float:
    """Standard error of the calibration slope of a calibrated model whose logit of risk is normal (mean, SD)."""
    at = logit[0] + logit[1] * norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    weight = 1 / (2 + np.exp(at) + np.exp(-at))  # p (1 − p)
    zero, one, two = (float((weight * at**k).mean()) for k in (0, 1, 2))
    return float(np.sqrt(zero / (patients * (zero * two - one**2))))


def power(difference: float, *, error: float) -> float:
    """Power of a two-sided 5 % test; for non-inferiority `difference` is the margin and the truth 0."""
    return float(norm.cdf(difference / error - Z))


def paired_error(series: Expected, *, correlation: float) -> float:
    """Standard error of the difference of two AUCs of about SarcNet's size, on the same patients."""
    single = auc_error(AUC["SarcNet"], cases=series.cases, controls=series.patients - series.lost - series.cases)
    return float(single * np.sqrt(2 * (1 - correlation)))


def as_markdown(*, margin: float) -> str:
    """The tables of the plan.

    Args:
        margin: of non-inferiority, in AUC.
    """
    largest = largest_r2(events=TRAINING.events, patients=TRAINING.patients)
    lines = [
        "| development | parameters | R² (Cox–Snell) | (i) shrinkage 0.9 | (ii) optimism 0.05 |",
        "|---|---|---|---|---|",
    ]
    for name, (parameters, expected) in COX_SNELL.items():
        for how, r2 in (("expected", expected), ("pessimistic", PESSIMISTIC * largest)):
            needed = (for_shrinkage(parameters, r2=r2), for_optimism(parameters, r2=r2, largest=largest))
            said = [f"{n} ({'met' if n <= TRAINING.patients else 'not met'})" for n in needed]
            lines.append(f"| {name} | {parameters} | {r2:.3f}, {how} | {said[0]} | {said[1]} |")
    half = width_of_overall_risk(TRAINING, years=5)
    met = "met" if half <= MARGIN_OF_RISK else "not met"
    lines += [
        "",
        f"(iii) Overall risk at five years: 95 % half-width {half:.3f}, wanted {MARGIN_OF_RISK:g} ({met}).",
        "",
    ]
    lines += ["| validation, 95 % half-width | all patients counted | the lost left out |", "|---|---|---|"]
    counted, known = VALIDATION.patients, VALIDATION.patients - VALIDATION.lost
    rows = {
        "ln(O/E)": (log_oe_error(counted, risk=VALIDATION.risk), log_oe_error(known, risk=VALIDATION.risk)),
        "calibration slope": tuple(slope_error(n, logit=LOGIT_RISK) for n in (counted, known)),
        "AUC of 0.797": (
            auc_error(AUC["SarcNet"], cases=counted * VALIDATION.risk, controls=counted * (1 - VALIDATION.risk)),
            auc_error(AUC["SarcNet"], cases=VALIDATION.cases, controls=known - VALIDATION.cases),
        ),
    }
    lines += [f"| {name} | {Z * low:.3f} | {Z * high:.3f} |" for name, (low, high) in rows.items()]
    lines += ["", "| power in the training series | correlation of the two AUCs | power |", "|---|---|---|"]
    gain = AUC["SarcNet"] - AUC["Sarculator"]
    for name, effect, correlations in (
        (f"primary, true difference {gain:.3f}", gain, (0.8, 0.9)),
        (f"non-inferiority, margin {margin:g}, true difference 0", margin, (0.95, 0.98)),
    ):
        lines += [
            f"| {name} | {r:g} | {power(effect, error=paired_error(TRAINING, correlation=r)):.2f} |"
            for r in correlations
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    from sarcnet.compendium.params import read_profile
    from sarcnet.compendium.paths import resolve

    print(as_markdown(margin=read_profile(resolve("papermill_params/demo.yaml"))["noninferiority_margin_auc"]))
