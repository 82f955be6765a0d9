"""Where the room between the model and the oracle is lost: in reading the slide, or in learning from few patients.

On a virtual cohort the six patterns of each tumour are known, so one can put Cox models between SarcNet and the oracle
that are spared one difficulty each. All of them know the network's clinical variables, learn on the same training folds
with a ridge penalty chosen within them, and are judged on the same patients:

- `cox_read`: knows which patterns matter. A ridge regression, taught the *true* patterns of the training patients,
  reads them from the mean of the very features that SarcNet has; Cox weighs them. What it has over SarcNet is the
  price of learning what to look for from outcomes alone.
- `cox_true`: is told the true patterns. What it has over `cox_read` is what a linear reader cannot get out of these
  features.
- the oracle. What it has over `cox_true` is the price of learning the weights from so few patients, and of what is not
  among the variables (missing values, an error in the recorded size, treatment).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.figures import PALETTE
from sarcnet.evaluation.comparators.cox import CLINICAL, SARCULATOR_VARIABLES, cox_risk
from sarcnet.evaluation.failure_log import FailureLog
from sarcnet.evaluation.metrics.bootstrap import Resampled
from sarcnet.features.store import read_features
from sarcnet.model.names.words import label
from virtual_cohort.experiments.headroom.share import ORACLE, best_without_slide

READ, TRUE = "cox_read", "cox_true"
LABEL_WIDTH = 30  # letters in a line of a model's name
LABELS = {READ: "Cox, patterns as read", TRUE: "Cox, true patterns"}
PENALTIES = tuple(10.0**power for power in np.arange(1, 6.5, 0.5))


def patterns_of(truth: pd.DataFrame) -> list[str]:
    """Columns of the truth that hold a pattern in standard units."""
    return [name for name in truth if str(name).startswith("z_")]


def mean_features(
    patients: pd.DataFrame, *, slides: pd.DataFrame, feature_files: Mapping[str, Path]
) -> tuple[np.ndarray, np.ndarray]:
    """Average the features of each patient's tiles.

    Args:
        patients: n patients (patient_id).
        slides: patient_id, slide_id.
        feature_files: slide_id -> feature file.

    Returns:
        (n, d) means, zeros where a patient has no tiles; and (n,) bool, who has any.
    """
    files = slides.groupby("patient_id")["slide_id"].agg(list).to_dict()
    means = []
    for patient in patients["patient_id"]:
        own = [read_features(feature_files[s]).features for s in files.get(patient, []) if s in feature_files]
        tiles = np.concatenate(own).astype(np.float64) if own else np.zeros((0, 0))
        means.append(tiles.mean(axis=0) if len(tiles) else None)
    seen = np.array([mean is not None for mean in means])
    width = next((len(mean) for mean in means if mean is not None), 0)
    return np.stack([np.zeros(width) if mean is None else mean for mean in means]), seen


def read_patterns(
    features: np.ndarray, seen: np.ndarray, *, centres: np.ndarray, patterns: np.ndarray, training: np.ndarray
) -> np.ndarray:
    """Patterns (n, k) as a ridge regression reads them that was taught on the training patients with features.

    The centre's mean over its training patients is taken off first, since stain and scanner shift it. The penalty is
    chosen by leave-one-out within the training patients. Who has no features gets the training mean.

    Args:
        features: (n, d).
        seen: (n,) who has features.
        centres: (n,) names.
        patterns: (n, k) true values.
        training: (n,) bool.

    Raises:
        SarcnetError: no training patient has features.
    """
    teach = training & seen
    if not teach.any():
        raise SarcnetError("no training patient has features to read patterns from.")
    x = features.copy()
    for name in np.unique(centres):
        own = centres == name
        x[own] -= features[own & teach].mean(axis=0) if (own & teach).any() else features[teach].mean(axis=0)
    reader = make_pipeline(StandardScaler(), RidgeCV(PENALTIES, alpha_per_target=True)).fit(x[teach], patterns[teach])
    return np.where(seen[:, None], reader.predict(x), patterns[teach].mean(axis=0))


def ablate(
    known: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    truth: pd.DataFrame,
    features: np.ndarray,
    seen: np.ndarray,
    variables: Sequence[str],
    horizon_months: float,
    seed: int,
    log: FailureLog,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Out-of-fold risks of every rung, and how well each pattern is read.

    Args:
        known: n training patients with known outcomes.
        folds: patient_id, repeat, fold.
        truth: one row a patient, with columns z_….
        features: (n, d) from `mean_features`.
        seen: (n,) from `mean_features`.
        variables: clinical variables that the patterns are added to.
        horizon_months: horizon of the risks.
        seed: root of the generators.
        log: keeps a sentence for each fold in which a rung cannot be fitted.

    Returns:
        patient_id, centre, model, repeat, fold, risk with models cox_read, cox_true, and cox_true_without_<pattern>; and a
        frame pattern, repeat, r2 (out of fold).
    """
    names = patterns_of(truth)
    true = truth.set_index("patient_id").loc[known["patient_id"], names].to_numpy(float)  # (n, k)
    base = known.reset_index(drop=True)
    centres, place = known["centre"].to_numpy(str), {p: i for i, p in enumerate(known["patient_id"])}
    made, errors = [], []
    for (repeat, fold), rows in folds[folds["patient_id"].isin(place)].groupby(["repeat", "fold"]):
        held = np.array([place[patient] for patient in rows["patient_id"]])
        training = ~np.isin(np.arange(len(known)), held)
        rungs = {TRUE: (true, names)}
        read = log(
            f"{READ}, repeat {repeat}, fold {fold}", read_patterns,
            features, seen, centres=centres, patterns=true, training=training,
        )  # fmt: skip
        if read is not None:
            errors.append(pd.DataFrame((read - true)[held] ** 2, columns=names).assign(repeat=repeat))
            rungs[READ] = (read, names)
        rungs |= {f"{TRUE}_without_{left}": (true, [name for name in names if name != left]) for left in names}
        for model, (values, used) in rungs.items():
            table = base.join(pd.DataFrame(values, columns=names))
            risk = log(
                f"{model}, repeat {repeat}, fold {fold}", cox_risk, table[training], table.iloc[held],
                horizon_months=horizon_months, seed=seed, variables=variables, further=used,
            )  # fmt: skip
            frame = table.loc[held, ["patient_id", "centre"]].reset_index(drop=True)
            made.append(frame.assign(model=model, repeat=repeat, fold=fold, risk=np.nan if risk is None else risk))
    if not errors:
        return pd.concat(made, ignore_index=True), pd.DataFrame(columns=["repeat", "pattern", "r2"])
    mean_square = pd.concat(errors).groupby("repeat")[names].mean()
    r2 = (1 - mean_square / true.var(axis=0)).rename_axis(columns="pattern").stack().rename("r2").reset_index()
    return pd.concat(made, ignore_index=True), r2


def steps(resampled: Resampled, *, model: str) -> pd.DataFrame:
    """One row a step of the ladder up to the oracle: from, to, what the data say of it, AUC, difference, interval.

    What is said depends on the interval: a gain where it lies above zero, a loss where it lies below, else neither.
    """
    ladder = (
        (SARCULATOR_VARIABLES, CLINICAL, "told by further clinical variables", "lost with further clinical variables"),
        (CLINICAL, model, "gained by the model", "the model is worse than clinical variables alone"),
        (model, READ, "in the features, not learnt from outcomes", "the model sees more than the patterns read"),
        (READ, TRUE, "not readable from these features", "patterns as read predict better than the true ones"),
        (TRUE, ORACLE, "too few patients to learn from, or not recorded", "above the oracle, by chance"),
    )
    rows = []
    for lower, upper, gained, lost in ladder:
        if {lower, upper} <= set(resampled.point):
            gap = resampled.difference(upper, lower)
            meaning = gained if gap.low > 0 else lost if gap.high < 0 else "no difference shown"
            rows.append({"from": lower, "to": upper, "meaning": meaning, "auc": resampled.point[upper],
                         "difference": gap.value, "low": gap.low, "high": gap.high})  # fmt: skip
    return pd.DataFrame(rows, columns=["from", "to", "meaning", "auc", "difference", "low", "high"])


def by_pattern(resampled: Resampled, r2: pd.DataFrame, *, names: Sequence[str]) -> pd.DataFrame:
    """One row a pattern: r2 with which it is read (mean over repeats), and the AUC that goes when it is withheld."""
    rows = []
    for name in names:
        without = f"{TRUE}_without_{name}"
        if {TRUE, without} <= set(resampled.point):
            gap = resampled.difference(TRUE, without)
            read = float(r2.loc[r2["pattern"] == name, "r2"].mean())
            rows.append({"pattern": name.removeprefix("z_"), "r2": read, "worth": gap.value, "low": gap.low,
                         "high": gap.high})  # fmt: skip
    return pd.DataFrame(rows, columns=["pattern", "r2", "worth", "low", "high"])


def sentence(resampled: Resampled, *, model: str) -> str:
    """How far a Cox model that is told the patterns gets, and whether it or the model leads."""
    point = resampled.point
    if not {model, TRUE, ORACLE} <= set(point) or not (base := best_without_slide(resampled)):
        return "The ladder lacks a rung."
    room, reach = point[ORACLE] - point[base], point[TRUE] - point[base]
    if room <= 0:
        share = f"; {label(base)} ({point[base]:.3f}) already reaches the oracle here, so there is no room to share out"
    elif reach <= 0:
        share = f", no more than {label(base)}, the best model without a slide ({point[base]:.3f})"
    else:
        share = (
            f", {reach / room:.2f} of the room between {label(base)}, the best model without a slide, and the oracle"
        )
    gap = resampled.difference(TRUE, model)
    lead = (
        "so the patterns hold more than the model found"
        if gap.low > 0
        else "so the model found more than these patterns tell"
        if gap.high < 0
        else "so neither is shown to be better"
    )
    return (
        f"A Cox model that is told the true patterns reaches {point[TRUE]:.3f}{share}. Its difference from "
        f"{label(model)}: {gap.signed}, {lead}."
    )


@dataclass(frozen=True)
class Ladder:
    """The way up to the oracle: `steps` and `patterns` as tables, a figure, and a sentence."""

    steps: pd.DataFrame
    patterns: pd.DataFrame
    figure: Figure
    sentence: str


def ladder_of(
    resampled: Resampled, r2: pd.DataFrame, *, model: str, truth: pd.DataFrame, n: int, level: float
) -> Ladder:
    """Tables, figure and sentence of the compared rungs.

    Args:
        resampled: AUCs of the model, the comparators, the oracle and the rungs (`ablate`) on the same resamples.
        r2: how well each pattern is read (`ablate`).
        model: the model that the ladder leads over.
        truth: one row per patient, with columns z_….
        n: number of patients.
        level: coverage of the intervals.

    Returns:
        The ladder.
    """
    table = steps(resampled, model=model)
    patterns = by_pattern(resampled, r2, names=patterns_of(truth))
    figure = draw_ladder(table, patterns, n=n, level=level)
    return Ladder(table, patterns, figure, sentence(resampled, model=model))


def draw_ladder(steps: pd.DataFrame, patterns: pd.DataFrame, *, n: int, level: float) -> Figure:
    """The AUC from rung to rung up to the oracle with the interval of each step; and what each pattern is worth."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.2), width_ratios=(1.5, 1))
    first = steps.iloc[0]
    heights = [first["auc"] - first["difference"], *steps["auc"]]
    names = [first["from"], *steps["to"]]
    for place, row in enumerate(steps.itertuples(), start=1):
        start = row.auc - row.difference
        colour = PALETTE[0] if row.to.startswith("sarcnet") else PALETTE[1]
        left.barh(place, row.difference, left=start, color=colour, alpha=0.45, height=0.6)
        left.plot([start + row.low, start + row.high], [place, place], color=colour, linewidth=1.6)
        left.annotate(
            f"{row.difference:+.3f}  {row.meaning}", (0, place - 0.36), xycoords=("axes fraction", "data"),
            xytext=(4, 0), textcoords="offset points", va="bottom", fontsize="small",
        )  # fmt: skip
    left.plot(heights, range(len(heights)), "o", color="black", zorder=3)
    left.set_yticks(range(len(names)), [textwrap.fill(LABELS.get(name, label(name)), LABEL_WIDTH) for name in names])
    left.set_ylim(len(names) - 0.5, -0.6)
    left.set(xlabel=f"cross-validated AUC at 5 years ({level:.0%} interval of each step)", title=f"n = {n}")
    left.margins(x=0.08)
    left.locator_params(axis="x", nbins=6)
    left.grid(axis="x", alpha=0.3)
    for place, row in enumerate(patterns.itertuples()):
        right.plot([row.low, row.high], [place, place], color=PALETTE[0], linewidth=2)
        right.plot(row.worth, place, "o", color=PALETTE[0])
    ticks = [f"{row.pattern.replace('_', ' ')}\nread with R² {row.r2:.2f}" for row in patterns.itertuples()]
    right.set_yticks(range(len(ticks)), ticks)
    right.invert_yaxis()
    right.axvline(0, color="0.6", linewidth=1, linestyle=":")
    right.set(xlabel="AUC lost without this pattern", title="known exactly, one withheld")
    right.grid(axis="x", alpha=0.3)
    return figure
