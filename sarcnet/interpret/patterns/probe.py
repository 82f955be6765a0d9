"""What the features of a tile can know of a pattern, beside what the model uses of it.

A sparse linear probe (lasso, Tibshirani, J R Stat Soc B 1996;58:267-288) predicts each pattern of a tile from the features
that the model gets. Alain and Bengio, arXiv:1610.01644, on such probes: a probe says what can be read, not what is read.
A pattern that no probe finds, the model cannot have used by itself; a pattern that is found and has no effect on the
contributions was there for the taking and left.

Patients are kept apart: a probe is fitted and its penalty chosen on some patients and judged on others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.linear_model import lasso_path
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.model.bags import Bags

PENALTIES = 12  # tried, evenly on a log scale
SMALLEST_PENALTY = 0.03  # of the one that leaves no feature
INNER_SHARE = 0.25  # of the training patients, on whom the penalty is chosen
TILES_MIN, PATIENTS_MIN = 60, 15
#: Measures that are worth a probe: those that the paper names, and what could pose as them.
PROBED = (
    "cellularity_per_mm2",
    "nuclear_area_um2",
    "anisokaryosis_cv",
    "chromatin_od",
    "necrosis_fraction",
    "stroma_fraction",
)
FOLDS = 4
TILES_PER_JOB = 200  # that are worth another process


def probe_features(
    bags: Bags,
    tiles: pd.DataFrame,
    *,
    patterns: Sequence[str] = PROBED,
    samples: int,
    level: float,
    rng: np.random.Generator,
    folds: int = FOLDS,
    jobs: int = 1,
) -> pd.DataFrame:
    """R² of each pattern of tiles that the probe has not seen, of patients that it has not seen.

    Args:
        bags: features (d numbers) of all tiles of the cohort.
        tiles: patient_id, slide_id, tile and the patterns; a tile without a pattern (NaN) takes no part in its probe.
        patterns: columns of `tiles`.
        samples: resamples of the patients.
        level: coverage of the intervals.
        folds: parts that the patients are split into.
        rng: for the folds and the bootstrap.
        jobs: processes, at most one for TILES_PER_JOB tiles; the result does not depend on it.

    Returns:
        pattern, r2 (1 - squared error over squared distance from the training mean; may be negative), low, high, n_tiles,
        n_patients, n_features (median number that the probes use). Too few tiles or patients: NaN.

    Raises:
        SarcnetError: a tile has no features in `bags`.
    """
    features = features_of(tiles, bags)
    seeds = rng.integers(2**31, size=len(patterns))
    draws = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=len(patterns))]
    groups = tiles["patient_id"].to_numpy()
    done = Parallel(n_jobs=max(1, min(jobs, len(tiles) // TILES_PER_JOB)))(
        delayed(_predicted)(features, tiles[name].to_numpy(float), groups, folds=folds, seed=int(seed))
        for name, seed in zip(patterns, seeds, strict=True)
    )
    rows = []
    for name, (errors, used), generator in zip(patterns, done, draws, strict=True):
        low = high = r2 = np.nan
        if len(errors):
            sums = errors.groupby("patient_id")[["error", "spread"]].sum().to_numpy()
            r2 = 1 - sums[:, 0].sum() / sums[:, 1].sum()
            many = sums[generator.integers(len(sums), size=(samples, len(sums)))].sum(axis=1)
            low, high = np.quantile(1 - many[:, 0] / many[:, 1], [(1 - level) / 2, (1 + level) / 2])
        row = {"pattern": name, "r2": r2, "low": low, "high": high, "n_tiles": len(errors)}
        rows.append(row | {"n_patients": errors["patient_id"].nunique(), "n_features": used})
    return pd.DataFrame(rows)


def features_of(tiles: pd.DataFrame, bags: Bags) -> np.ndarray:
    """(n, d) float32: the features of these tiles (slide_id, tile), row by row.

    Raises:
        SarcnetError: a tile has no features in `bags`.
    """
    place = pd.Series(np.arange(len(bags.tiles)), index=pd.MultiIndex.from_frame(bags.tiles[["slide_id", "tile"]]))
    rows = place.reindex(pd.MultiIndex.from_frame(tiles[["slide_id", "tile"]]))
    faults = ErrorCollector()
    for slide_id, tile in rows[rows.isna()].index[:5]:
        faults.add(f"Tile {tile} of slide {slide_id} has no features: take tiles and features from the same run.")
    faults.raise_if_any("These tiles cannot be probed")
    return bags.features[rows.to_numpy(int)]


def _predicted(
    features: np.ndarray, target: np.ndarray, groups: np.ndarray, *, folds: int, seed: int
) -> tuple[pd.DataFrame, float]:
    """Squared error and squared distance from the training mean of each tile, and the median number of features used."""
    known = np.flatnonzero(np.isfinite(target))
    x, y, patients = features[known].astype(np.float64), target[known], groups[known]
    nothing = pd.DataFrame({"patient_id": [], "error": [], "spread": []})
    if len(known) < TILES_MIN or len(np.unique(patients)) < max(PATIENTS_MIN, folds) or y.std() == 0:
        return nothing, np.nan
    error, spread, used = np.empty(len(y)), np.empty(len(y)), []
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(x, y, patients):
        fitted, mean, count = _fitted(x[train], y[train], patients[train], seed=seed)
        error[test] = (y[test] - x[test] @ fitted[1:] - fitted[0]) ** 2
        spread[test] = (y[test] - mean) ** 2
        used.append(count)
    return pd.DataFrame({"patient_id": patients, "error": error, "spread": spread}), float(np.median(used))


def _fitted(x: np.ndarray, y: np.ndarray, patients: np.ndarray, *, seed: int) -> tuple[np.ndarray, float, int]:
    """Intercept and weights of the lasso whose penalty is best for a quarter of these patients, mean of y, features used."""
    inner, judge = next(GroupShuffleSplit(1, test_size=INNER_SHARE, random_state=seed).split(x, y, patients))
    middle, scale = x[inner].mean(axis=0), x[inner].std(axis=0)
    scale[scale == 0] = 1
    centre = y[inner].mean()
    spread = y[inner].std() or 1.0
    z = np.asfortranarray((x[inner] - middle) / scale)
    _, weights, _ = lasso_path(z, (y[inner] - centre) / spread, eps=SMALLEST_PENALTY, alphas=PENALTIES, tol=1e-3)
    weights = weights * spread / scale[:, None]  # (d, penalties), in units of y over those of x
    told = (x[judge] - middle) @ weights + centre
    best = int(((y[judge][:, None] - told) ** 2).mean(axis=0).argmin())
    chosen = weights[:, best]
    return np.concatenate([[centre - middle @ chosen], chosen]), float(y.mean()), int((chosen != 0).sum())
