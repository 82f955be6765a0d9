"""How fast the paired bootstrap is, against loops that compute the same numbers: ``python -m studies.benchmarks.bootstrap``.

611 patients as in the published training series. The first rival resamples patient by patient with the package's own
plain AUC, the second with scikit-survival's (no competing deaths and one centre then, since it knows neither).
Numbers are asserted to be equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from sarcnet.compendium.seeds import rng
from sarcnet.evaluation.metrics.auc import Followup, auc
from sarcnet.evaluation.metrics.bootstrap import resample_auc, resample_counts, strata_of

HORIZON_MONTHS = 60.0
PATIENTS, REPEATS = 611, 5


def patients(seed: int, *, plain: bool) -> tuple[dict[str, np.ndarray], Followup]:
    """Two models' risks (n, 5) and the follow-up of 611 patients; `plain`: one centre, nobody dies of something else."""
    generator = rng(seed, "bench")
    risk = generator.normal(size=PATIENTS)
    metastasis = generator.exponential(90 * np.exp(-risk))
    death = np.full(PATIENTS, np.inf) if plain else generator.exponential(500, PATIENTS)
    lost = generator.uniform(20, 180, PATIENTS)
    months = np.minimum(np.minimum(metastasis, death), lost)
    event = np.select([months == metastasis, months == death], [1, 2], 0)
    centre = np.full(PATIENTS, "CLB") if plain else np.where(np.arange(PATIENTS) < 221, "CLB", "IB")
    models = {
        name: risk[:, None] + generator.normal(scale=noise, size=(PATIENTS, REPEATS))
        for name, noise in (("one", 0.8), ("two", 1.0))
    }
    return models, Followup(months, event, centre)


def looped(
    risks: dict[str, np.ndarray],
    followup: Followup,
    counts: np.ndarray,
    *,
    metric: Callable[[np.ndarray, Followup], float],
) -> np.ndarray:
    """(B,) differences, one resample, model and repeat at a time."""
    found = []
    for own in counts:
        rows = np.repeat(np.arange(len(own)), own)
        watched = followup.select(rows)
        one, two = (np.mean([metric(column[rows], watched) for column in risk.T]) for risk in risks.values())
        found.append(one - two)
    return np.asarray(found)


def by_scikit_survival(risk: np.ndarray, followup: Followup) -> float:
    """scikit-survival's AUC at the horizon."""
    from sksurv.metrics import cumulative_dynamic_auc
    from sksurv.util import Surv

    outcome = Surv.from_arrays(followup.event == 1, followup.months)
    return float(cumulative_dynamic_auc(outcome, outcome, risk, [HORIZON_MONTHS])[0][0])


def by_this_package(risk: np.ndarray, followup: Followup) -> float:
    """The plain AUC of this package."""
    return auc(risk, followup, horizon_months=HORIZON_MONTHS)


def compare(seed: int, *, samples: int, loops: int) -> list[str]:
    """Sentences with times and ratios; `loops` of the `samples` resamples are looped over.

    Raises:
        AssertionError: the two ways do not give the same numbers.
    """
    said = []
    for name, metric, plain in (
        ("own plain AUC", by_this_package, False),
        ("scikit-survival", by_scikit_survival, True),
    ):
        risks, followup = patients(seed, plain=plain)
        begin = time.perf_counter()
        found = resample_auc(
            risks, followup, horizon_months=HORIZON_MONTHS, samples=samples, level=0.95, rng=rng(seed, "boot")
        )
        fast = time.perf_counter() - begin
        counts = resample_counts(strata_of(followup), samples=samples, rng=rng(seed, "boot"))[:loops]
        begin = time.perf_counter()
        slow = looped(risks, followup, counts, metric=metric)
        each = (time.perf_counter() - begin) / loops
        np.testing.assert_allclose((found.draws["one"] - found.draws["two"])[:loops], slow, atol=1e-9)
        said.append(
            f"{samples} paired differences, {PATIENTS} patients, {REPEATS} repeats: {fast:.1f} s; looping over {name} "
            f"{each * samples:.0f} s (from {loops}): {each * samples / fast:.0f} times as long, the same numbers."
        )
    return said


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--loops", type=int, default=20, help="resamples looped over")
    parser.add_argument("--seed", type=int, default=2025)
    given = parser.parse_args()
    print("\n".join(compare(given.seed, samples=given.samples, loops=given.loops)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
