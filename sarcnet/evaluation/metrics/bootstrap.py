r"""Intervals and differences by resampling patients, in pairs: every model is judged on the same resamples.

Patients are drawn with replacement within strata: centre (its size was given, not observed) by whether a metastasis
was seen, since an AUC is a statement about cases and controls, however many there are. The censoring is estimated
again in each resample, because it is part of the estimate. Not resampled is the
training: an interval says how much the AUC would vary with other patients *judged*, for the models at hand, not with
other patients *learnt from*.

P values of differences invert the BCa interval, so that P is below 0.05 exactly where the 95 % interval excludes 0. With
fewer than ten cases or controls no interval is given, only the counts.

The AUC averaged over R repeats is one bilinear form in the weights, :math:`u^\top \bar K v / (1^\top u\, 1^\top v)`,
where :math:`\bar K_{ij}` is the share of repeats in which case :math:`i` has the higher risk than control :math:`j`.
So all resamples of all repeats are one matrix product a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.stats import norm

from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import METASTASIS, Followup, check, weighted_auc, weights

CHUNK = 500
PAIRS_MAX = 4_000_000  # cases times controls above which sorting beats the matrix product in memory
LEAST = 10  # cases, and controls, below which a resampled spread cannot be trusted
NO_SPREAD = "no spread in the resamples: no interval"
NAN = float("nan")
ROUNDING = 1e-9  # differences of AUCs below this are rounding
Method = Literal["bca", "percentile"]


def p_text(p: float, *, floor: float = 0.0) -> str:
    """A P value with its sign; where it is as small as the method can see (`floor`), or below 0.001, the sign is "<"."""
    bound = max(0.001, np.ceil(floor * 1000) / 1000)
    return f"< {bound:.3f}" if p < 0.001 or p <= floor else f"= {p:.3f}"


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `p` is two-sided for "no difference" (NaN for a plain AUC).

    Where no interval can be given, `low` and `high` are NaN and `note` says why. `p_floor` is the smallest P that so many
    resamples can give.
    """

    value: float
    low: float
    high: float
    p: float = NAN
    note: str = ""
    p_floor: float = 0.0

    @property
    def p_text(self) -> str:
        """P with its sign."""
        return p_text(self.p, floor=self.p_floor)

    def text(self, form: str) -> str:
        """Value with its interval, or with the reason why there is none; `form` formats a number, for example ".3f"."""
        return f"{self.value:{form}} ({self.note or f'{self.low:{form}} to {self.high:{form}}'})"

    def __str__(self) -> str:
        return self.text(".3f")

    @property
    def signed(self) -> str:
        """As text with signs, for a difference."""
        return self.text("+.3f")

    def where(self, value: float, *, below: str, above: str, neither: str) -> str:
        """The words that fit the interval: it lies below the value, above it, or neither (also where there is none)."""
        return below if self.high < value else above if self.low > value else neither

    @property
    def bounds(self) -> dict[str, float]:
        """`low` and `high` where there is an interval, else empty: keywords of ``stage.number``."""
        return {"low": self.low, "high": self.high} if np.isfinite([self.low, self.high]).all() else {}


def too_few(cases: int, controls: int) -> str:
    """Why no interval is given for so few patients; empty where there are enough."""
    if min(cases, controls) >= LEAST:
        return ""
    return f"{cases} cases, {controls} controls: too few for an interval"


def percentile_interval(value: float, draws: np.ndarray, *, tails: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Ends of an interval at these shares of the resamples (B,), widened where it would not hold the value itself.

    NaN twice where the resamples have no spread between these ends or none is finite.
    """
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return NAN, NAN
    low, high = np.quantile(draws, tails)
    low, high = float(min(low, value)), float(max(high, value))
    return (low, high) if high - low > ROUNDING else (NAN, NAN)


@dataclass(frozen=True)
class Resampled:
    """AUCs of all models on the patients at hand (`point`) and on each of B resamples (`draws`, (B,) each).

    without: the AUCs with each of the n patients left out in turn, (n,) each; empty where not computed.
    strata: (n,) stratum of each patient, for `without`.
    cases, controls: patients that count as such.
    """

    point: dict[str, float]
    draws: dict[str, np.ndarray]
    level: float
    without: dict[str, np.ndarray] = field(default_factory=dict)
    strata: np.ndarray | None = None
    cases: int = LEAST
    controls: int = LEAST

    def estimate(self, model: str, *, method: Method = "bca") -> Estimate:
        """AUC of a model with its interval (BCa where patients were left out in turn, else percentile)."""
        return self._estimate(self.point[model], self.draws[model], self.without.get(model), method)

    def difference(self, model: str, other: str, *, method: Method = "bca") -> Estimate:
        """AUC of `model` minus AUC of `other`, with its interval and the P value that belongs to this interval."""
        left = self.without[model] - self.without[other] if self.without else None
        value = self.point[model] - self.point[other]
        return self._estimate(value, self.draws[model] - self.draws[other], left, method, against=0.0)

    def minus(self, other: Resampled, *, model: str) -> Estimate:
        """AUC of `model` here minus its AUC on other patients, whose resamples are independent of these."""
        count = min(len(self.draws[model]), len(other.draws[model]))
        value = self.point[model] - other.point[model]
        if note := too_few(other.cases, other.controls):
            return Estimate(value, NAN, NAN, note=note)
        return self._estimate(value, self.draws[model][:count] - other.draws[model][:count], None, "percentile")

    def influence(self, model: str) -> np.ndarray:
        """(n,) empirical influence of each patient on the AUC: the jackknife's, centred within strata.

        Their squares sum to the variance of the AUC, with what estimating the censoring contributes to it (the
        infinitesimal jackknife; Efron 1982). Differences of two models' influences are those of their difference.
        """
        if self.strata is None:
            raise SarcnetError("No patient was left out in turn, so no influence is known.")
        return influence(self.without[model], strata=self.strata)

    def _estimate(
        self,
        value: float,
        draws: np.ndarray,
        without: np.ndarray | None,
        method: Method,
        *,
        against: float | None = None,
    ) -> Estimate:
        if note := too_few(self.cases, self.controls):
            return Estimate(value, NAN, NAN, note=note)
        draws, tail = draws[np.isfinite(draws)], (1 - self.level) / 2
        bias = acceleration = 0.0
        if method == "bca" and without is not None and self.strata is not None and len(draws):
            bias, acceleration = bca_constants(value, draws, influence(without, strata=self.strata))
        tails = bca_tails(np.array([tail, 1 - tail]), bias=bias, acceleration=acceleration)
        low, high = percentile_interval(value, draws, tails=tails)
        if np.isnan(low):
            return Estimate(value, low, high, 1.0 if value == against else NAN, NO_SPREAD)
        if against is None:
            return Estimate(value, low, high)
        p = p_value(draws - against, bias=bias, acceleration=acceleration)
        # An interval that had to be widened to hold the value may hold the hypothesis too; P then says so as well.
        p = max(p, 2 * tail) if low <= against <= high else p
        return Estimate(value, low, high, p, p_floor=2 / (len(draws) + 1))


def influence(without: np.ndarray, *, strata: np.ndarray) -> np.ndarray:
    """(n,) contributions whose squares sum to the variance, from values with each patient left out in turn (n,).

    Within a stratum of m patients: sqrt((m − 1) / m) times (mean of the values left out − own). Strata of one
    contribute nothing.
    """
    found = np.zeros(len(without))
    for name in np.unique(strata):
        rows = strata == name
        m = int(rows.sum())
        own = without[rows]
        found[rows] = np.nan_to_num(np.sqrt((m - 1) / m) * (np.nanmean(own) - own)) if np.isfinite(own).any() else 0.0
    return found


def bca_constants(value: float, draws: np.ndarray, influences: np.ndarray) -> tuple[float, float]:
    r"""Bias :math:`z_0` and acceleration :math:`a` of a BCa interval (Efron, JASA 1987).

    :math:`z_0` from the share of resamples below the value (equal ones count half), :math:`a` from the skewness of
    the influences over all strata (Davison and Hinkley 1997, section 5.3).
    """
    below = ((draws < value).sum() + 0.5 * (draws == value).sum()) / len(draws)
    below = min(max(below, 1 / (len(draws) + 1)), 1 - 1 / (len(draws) + 1))
    spread = (influences**2).sum() ** 1.5
    return float(norm.ppf(below)), float((influences**3).sum() / (6 * spread)) if spread > 0 else 0.0


def bca_tails(tails: np.ndarray, *, bias: float, acceleration: float) -> np.ndarray:
    r"""Shares of the resamples at which the interval with these nominal tails ends.

    .. math:: \Phi\left(z_0 + \frac{z_0 + z_\alpha}{1 - a (z_0 + z_\alpha)}\right)
    """
    z = bias + norm.ppf(tails)
    return norm.cdf(bias + z / (1 - acceleration * z))


def p_value(draws: np.ndarray, *, bias: float, acceleration: float) -> float:
    """Two-sided P of "the value is 0": the largest 1 − level at which the BCa interval of these resamples excludes 0.

    It inverts :func:`bca_tails` and the quantiles, and is not below 2 / (B + 1), which is as far as B resamples can see.
    """
    ordered, places = np.sort(draws), np.linspace(0, 1, len(draws))
    upto, begin = np.searchsorted(ordered, 0.0, side="right"), np.searchsorted(ordered, 0.0, side="left")
    shares = []
    for first, end in ((upto - 1, upto), (begin - 1, begin)):  # between which two resamples 0 lies, from either side
        if first < 0 or end >= len(ordered):
            shares.append(float(first >= 0))
        elif 0.0 in (ordered[first], ordered[end]):
            shares.append(float(places[first] if ordered[first] == 0 else places[end]))
        else:
            shares.append(float(np.interp(0.0, ordered[[first, end]], places[[first, end]])))
    z = norm.ppf(np.clip(shares, 1e-300, 1 - 1e-16)) - bias
    divisor = 1 + acceleration * z
    nominal = np.where(divisor > 0, z / np.where(divisor > 0, divisor, 1.0), np.sign(z) * np.inf) - bias
    p = 2 * min(norm.cdf(nominal[0]), norm.sf(nominal[1]))
    return float(min(1.0, max(p, 2 / (len(draws) + 1))))


def strata_of(followup: Followup) -> np.ndarray:
    """(n,) centre by whether a metastasis was seen."""
    seen = np.where(followup.event == METASTASIS, " / metastasis", " / none")
    return np.char.add(followup.centre.astype(str), seen)


def resample_counts(strata: np.ndarray, *, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(B, n) how often each of n patients is drawn, with replacement within each stratum."""
    counts = np.zeros((samples, len(strata)), dtype=np.int32)
    for name in np.unique(strata):
        rows = np.flatnonzero(strata == name)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return counts


def resample_auc(
    risks: Mapping[str, np.ndarray],
    followup: Followup,
    *,
    horizon_months: float,
    samples: int,
    level: float,
    rng: np.random.Generator,
    strata: np.ndarray | None = None,
) -> Resampled:
    """Paired bootstrap of the AUC at the horizon.

    Args:
        risks: for each model (n, R): the risks in R repeats of the cross-validation; their AUCs are averaged.
        followup: the n patients.
        samples: B.
        level: of the intervals, for example 0.95.
        rng: draws the patients.
        strata: (n,) within which patients are drawn; None for :func:`strata_of`.

    Raises:
        SarcnetError: no AUC exists for these patients, or a risk is missing; all such models are named.
    """
    check(followup, horizon_months=horizon_months)
    poor = [f"{model} ({int(np.isnan(values).sum())})" for model, values in risks.items() if np.isnan(values).any()]
    if poor:
        raise SarcnetError(f"Risks are missing (NaN), by model and number: {', '.join(poor)}; no comparison is fair.")
    strata = strata_of(followup) if strata is None else strata
    tables = {model: _higher(np.asarray(values, dtype=float), followup) for model, values in risks.items()}

    def aucs(counts: np.ndarray | None) -> dict[str, np.ndarray]:
        case, control = weights(followup, horizon_months=horizon_months, counts=counts)
        return {model: _mean_auc(risks[model], tables[model], case=case, control=control) for model in risks}

    counts = resample_counts(strata, samples=samples, rng=rng)
    chunks = [aucs(counts[begin : begin + CHUNK]) for begin in range(0, samples, CHUNK)]
    n = len(followup)
    point = {model: float(values[0]) for model, values in aucs(None).items()}
    draws = {model: np.concatenate([chunk[model] for chunk in chunks]) for model in risks}
    case, control = weights(followup, horizon_months=horizon_months)
    sizes = int((case > 0).sum()), int((control > 0).sum())
    return Resampled(point, draws, level, aucs(np.ones((n, n)) - np.eye(n)), strata, *sizes)


@dataclass(frozen=True)
class _Higher:
    """cases (c,): patients with a metastasis; share (c, n): repeats in which each has the higher risk than another."""

    cases: np.ndarray
    share: np.ndarray


def _higher(values: np.ndarray, followup: Followup) -> _Higher | None:
    """The comparisons of all pairs, risks (n, R); None when there are too many to hold."""
    cases = np.flatnonzero(followup.event == METASTASIS)
    if len(cases) * len(values) > PAIRS_MAX:
        return None
    share = np.zeros((len(cases), len(values)))
    for column in values.T:
        share += (column[cases, None] > column[None, :]) + 0.5 * (column[cases, None] == column[None, :])
    return _Higher(cases, share / values.shape[1])


def _mean_auc(values: np.ndarray, higher: _Higher | None, *, case: np.ndarray, control: np.ndarray) -> np.ndarray:
    """(B,) AUCs of risks (n, R) under weights (B, n), averaged over the repeats; NaN without case or control."""
    if higher is None:
        return np.mean([weighted_auc(column, case=case, control=control) for column in values.T], axis=0)
    columns = np.flatnonzero(control.any(axis=0))
    won = case[:, higher.cases] @ higher.share[:, columns]  # (B, controls)
    total = case.sum(axis=1) * control.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, np.einsum("bj,bj->b", won, control[:, columns]) / total, np.nan)
