"""Do the tiles that raise the score look different, by measures that a real slide allows too?

Tiles are compared within each patient, those of highest contribution against those of lowest, and the patient is the
unit: differences between patients (stage, stain, hospital) cannot pose as differences between tiles, and patients with
many tiles count once. Patterns are the measures of :mod:`sarcnet.morphometry.measure`, taken on the two ends of each
patient's tiles only, since measuring takes longer than predicting; or, where patients are simulated, the truth.

Two things could pose as a pattern of nuclei. Dead tissue: a necrotic tile has fewer and smaller nuclei, so a model that
looks for necrosis would seem to look at nuclei. Stroma: a tile half of which is collagen has fewer tumour nuclei. Each
effect is therefore given twice, as measured and with what goes along with the shares of necrosis and stroma taken out.
What is taken out may have been a true effect that runs through necrosis, so both stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from sarcnet.evaluation.metrics.bootstrap import p_text
from sarcnet.evaluation.metrics.multiple_testing import holm
from sarcnet.interpret.attribution.gradients import FEW_POINTS, parts_of
from sarcnet.interpret.attribution.sanity import shuffled_network
from sarcnet.interpret.resampling import mean_interval
from sarcnet.model.crossval import fold_matrix
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack
from sarcnet.morphometry.measure import MEASURES

CONFOUNDERS = ("necrosis_fraction", "stroma_fraction")
#: What the paper's abstract names: name, measure that stands for it, whether a virtual cohort knows its truth.
NAMED = {
    "atypia": "nuclear_area_um2",
    "cellularity": "cellularity_per_mm2",
    "anisokaryosis": "anisokaryosis_cv",
}
#: (plain effect shown, adjusted effect shown and, where both are, on the same side)
ANSWERS = {
    (True, True): "goes with the score",
    (True, False): "goes with the score, not shown beyond necrosis and stroma",
    (False, True): "shown only with necrosis and stroma taken out",
    (False, False): "not shown",
}
P_MAX, PATIENTS_MIN = 0.05, 10  # of a verdict: largest corrected P, fewest patients
BOTH_ENDS = 0.5  # share of the chosen tiles at either end: all of them


def gaps_by_patient(tiles: pd.DataFrame, *, share: float, patterns: Sequence[str]) -> pd.DataFrame:
    """For each patient and pattern: mean over the tiles of highest minus mean over those of lowest contribution.

    In units of the pattern's standard deviation over all tiles given, so that patterns compare; a pattern that is the same
    everywhere has none (NaN). Patients with fewer than two tiles at an end, or without the pattern there, are NaN.

    Args:
        tiles: patient_id, slide_id, tile, contribution and the patterns.
        share: of a patient's tiles that count as high, and as low.
        patterns: columns to compare.
    """
    rows = {}
    names = list(patterns)
    spread = tiles[names].std().replace(0, np.nan)
    for patient_id, own in tiles.groupby("patient_id", sort=True):
        count = int(len(own) * share)
        ordered = own.sort_values(["contribution", "slide_id", "tile"])
        ends = ordered.tail(count), ordered.head(count)
        high, low = (end[names].mean() if count >= 2 else pd.Series(np.nan, index=names) for end in ends)
        rows[patient_id] = (high - low) / spread
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def effects(gaps: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """Mean gap over patients, with an interval and a P from resampling patients: pattern, effect, low, high, p, n.

    low, high: percentile interval. p: how often a resampled mean lies on the other side of zero, two-sided, then
    raised by Holm's rule for the number of patterns looked at.
    """
    rows = []
    for name in gaps:
        values = gaps[name].dropna().to_numpy()
        interval = mean_interval(values, samples=samples, level=level, rng=rng)
        effect = values.mean() if len(values) else np.nan
        rows.append({"pattern": name, "effect": effect, **interval._asdict(), "n": len(values)})
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["p"].to_numpy()))


def effects_by_centre(
    gaps: pd.DataFrame, patients: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """:func:`effects` in each hospital: centre before its columns. patients: patient_id and centre."""
    centre = patients.set_index("patient_id")["centre"].reindex(gaps.index)
    tables = []
    for name, own in gaps.groupby(centre, sort=True):
        found = effects(own, samples=samples, level=level, rng=rng)
        found.insert(0, "centre", name)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def shuffled_contributions(
    model: TrainedStack, patients: Patients, *, folds: pd.DataFrame, networks: int, rng: np.random.Generator
) -> list[pd.DataFrame]:
    """Contributions of tiles in networks that have learnt nothing: the trained weights, shuffled within each array.

    Args:
        model: the explained stack.
        patients: n patients.
        folds: patient_id, repeat, fold; only members that left the patient out are asked.
        networks: how many are shuffled.
        rng: shuffles.

    Returns:
        One table per network: patient_id, slide_id, tile, contribution.
    """
    left_out = fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members) == 1
    shown = []
    for _ in range(networks):
        random = shuffled_network(model, names=tuple(model.network.parameter_arrays()), rng=rng)
        found = parts_of(random, patients, use=left_out, points=FEW_POINTS).found.tiles
        shown.append(found[["patient_id", "slide_id", "tile", "contribution"]])
    return shown


def random_effects(
    shuffled: Sequence[pd.DataFrame], tiles: pd.DataFrame, *, share: float, patterns: Sequence[str]
) -> pd.DataFrame:
    """Effects that networks show which have learnt nothing.

    A pattern that such networks "react to" as strongly as the trained one is a property of the pictures and the encoder,
    not of what was learnt (the sanity check of Adebayo et al., NeurIPS 2018).

    Args:
        shuffled: of :func:`shuffled_contributions`.
        tiles: slide_id, tile and the patterns; only these tiles are compared, ordered by the shuffled networks.
        share: of a patient's tiles that count as high, and as low.
        patterns: columns of `tiles`.

    Returns:
        (networks, patterns) mean gaps, one row a network.
    """
    pathology = tiles[["slide_id", "tile", *patterns]]
    rows = [
        gaps_by_patient(shown.merge(pathology, on=["slide_id", "tile"]), share=share, patterns=patterns).mean()
        for shown in shuffled
    ]
    return pd.DataFrame(rows).reset_index(drop=True)


def end_tiles(tiles: pd.DataFrame, *, per_end: int) -> pd.DataFrame:
    """Tiles of highest and of lowest contribution of each patient.

    Args:
        tiles: patient_id, slide_id, tile, contribution, …; ties go by slide and tile.
        per_end: tiles at each end; fewer, but as many at both ends, when the patient has less than twice as many tiles.

    Returns:
        These rows with their index and in their order. Patients with one tile have none.
    """
    ordered = tiles.sort_values(["contribution", "slide_id", "tile"])
    by_patient = ordered.groupby("patient_id", sort=False)
    place, size = by_patient.cumcount(), by_patient["tile"].transform("size")
    count = np.minimum(per_end, size // 2)
    chosen = (place < count) | (place >= size - count)
    return tiles.loc[chosen[chosen].index.sort_values()]


@dataclass(frozen=True)
class MeasuredEffects:
    """Effects of the measured patterns between the ends of each patient's tiles, in standard deviations of these tiles.

    plain: pattern, effect, low, high, p (Holm over all patterns), n patients.
    adjusted: the same without what goes along with CONFOUNDERS within patients; the confounders themselves are NaN.
    by_centre: `plain` in each hospital, with the column centre.
    shuffled: (networks, patterns) the plain effects in networks with shuffled weights, without intervals.
    """

    plain: pd.DataFrame
    adjusted: pd.DataFrame
    by_centre: pd.DataFrame
    shuffled: pd.DataFrame = field(default_factory=pd.DataFrame)


def measured_effects(
    measured: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    samples: int,
    level: float,
    rng: np.random.Generator,
    shuffled: Sequence[pd.DataFrame] = (),
    patterns: Sequence[str] = tuple(MEASURES),
) -> MeasuredEffects:
    """Effects of the patterns, plain, adjusted and by hospital.

    Args:
        measured: of `morphometry.measure_tiles` on :func:`end_tiles`: patient_id, slide_id, tile, contribution, patterns.
        patients: patient_id, centre.
        samples: resamples of the patients.
        level: coverage of the intervals.
        rng: draws the resamples.
        shuffled: of :func:`shuffled_contributions`.
        patterns: columns of `measured` to compare.

    Returns:
        Effects plain, adjusted, in each hospital and in the shuffled networks.
    """
    gaps = gaps_by_patient(measured, share=BOTH_ENDS, patterns=patterns)
    others = [name for name in patterns if name not in CONFOUNDERS]
    cleaned = gaps_by_patient(without(measured, patterns=others), share=BOTH_ENDS, patterns=others)
    return MeasuredEffects(
        plain=effects(gaps, samples=samples, level=level, rng=rng),
        adjusted=effects(cleaned.reindex(columns=list(patterns)), samples=samples, level=level, rng=rng),
        by_centre=effects_by_centre(gaps, patients, samples=samples, level=level, rng=rng),
        shuffled=random_effects(shuffled, measured, share=BOTH_ENDS, patterns=patterns),
    )


def without(tiles: pd.DataFrame, *, patterns: Sequence[str], confounders: Sequence[str] = CONFOUNDERS) -> pd.DataFrame:
    """`tiles` with each pattern less what least squares within patients explain by the confounders.

    Slopes are common to all patients; each patient keeps an own mean, so differences between patients play no part.
    """
    cleaned = tiles.copy()
    for name in patterns:
        complete = tiles[["patient_id", name, *confounders]].dropna()
        own = complete[[name, *confounders]] - complete.groupby("patient_id")[[name, *confounders]].transform("mean")
        design = own[list(confounders)].to_numpy(float)
        slopes = np.linalg.lstsq(design, own[name].to_numpy(float), rcond=None)[0]
        explained = pd.Series(design @ slopes, index=complete.index)
        cleaned[name] = tiles[name].astype(float).sub(explained.reindex(tiles.index))
    return cleaned


@dataclass(frozen=True)
class Verdict:
    """What is said of one pattern that the paper names: `answer` in one or two words, a sentence with the numbers, and
    `effect` in standard deviations, None unless it goes with the score.
    """

    pattern: str
    answer: str
    sentence: str
    effect: float | None = None


def verdicts(
    found: MeasuredEffects,
    *,
    shuffled: pd.DataFrame,
    true: pd.DataFrame | None = None,
    known: pd.DataFrame | None = None,
) -> list[Verdict]:
    """For each of NAMED one of ANSWERS, or that it cannot be judged.

    "Goes with the score" needs all three: a P below P_MAX after Holm, an effect that at most P_MAX of the shuffled
    networks reach, and an interval without zero on the same side after adjustment.

    Args:
        found: of :func:`measured_effects`.
        shuffled: (networks, patterns) of :func:`random_effects`.
        true: effects of the true patterns on the same tiles, where they are known; same columns as `found.plain`.
        known: of `probe_features`, how well the features know the measure.

    Returns:
        One verdict per pattern, in the order of NAMED.
    """
    plain, adjusted = found.plain.set_index("pattern"), found.adjusted.set_index("pattern")
    verdicts_of_patterns = []
    for name, measure in NAMED.items():
        row, cleaned = plain.loc[measure], adjusted.loc[measure]
        shown = bool(row["p"] < P_MAX and reached_by(row, shuffled[measure]) <= P_MAX)
        stays = cleaned["low"] * cleaned["high"] > 0 and cleaned["effect"] * row["effect"] > 0
        answer = ANSWERS[shown, bool(stays) if shown else bool(cleaned["p"] < P_MAX)]
        more = [f"with necrosis and stroma taken out {_interval(cleaned)}"]
        if (truth := _row(true, measure)) is not None:
            more.append(f"by the truth of the same tiles {_interval(truth)}")
        probe = _row(known, measure)
        verdict = verdict_of(
            name,
            ", ".join(MEASURES[measure]),
            row,
            shuffled=shuffled[measure],
            tests=len(plain),
            answer=answer,
            more=more,
        )
        if verdict.answer == answer and probe is not None and not np.isnan(probe["r2"]):
            reads = f"R² {probe['r2']:.2f} ({probe['low']:.2f} to {probe['high']:.2f})"
            verdict = replace(verdict, sentence=f"{verdict.sentence} A probe reads it from the features with {reads}.")
        verdicts_of_patterns.append(verdict if shown else replace(verdict, effect=None))
    return verdicts_of_patterns


def reached_by(row: pd.Series, shuffled: pd.Series) -> float:
    """Share of the networks with shuffled weights whose effects (networks,) are as large as that of this row."""
    return float((shuffled.abs() >= abs(row["effect"])).mean())


def verdict_of(
    name: str,
    what: str,
    row: pd.Series,
    *,
    shuffled: pd.Series,
    tests: int,
    answer: str,
    more: Sequence[str] = (),
) -> Verdict:
    """The verdict on one pattern, in the form that measured and true patterns share.

    Args:
        name: of the pattern, as in the paper.
        what: is measured or counted.
        row: effect, low, high, p, n of the pattern.
        shuffled: (networks,) its effects in networks with shuffled weights.
        tests: patterns for which P is corrected.
        answer: by the numbers; replaced where fewer than PATIENTS_MIN patients have the pattern.
        more: what else the sentence says, in parts.

    Returns:
        The verdict, with the effect.
    """
    if row["n"] < PATIENTS_MIN or np.isnan(row["low"]):
        answer = "cannot be judged"
        why = f"{int(row['n'])} patients have enough tiles and nuclei at both ends"
        return Verdict(name, answer, f"**{name}** ({what}): **{answer}**, {why}.")
    way = "more" if row["effect"] > 0 else "less"
    parts = [
        f"Tiles that raise the score show {way} of it by {_interval(row)} standard deviations in {int(row['n'])} patients, "
        f"P {p_text(row['p'])} for {tests} patterns",
        f"{reached_by(row, shuffled):.0%} of {len(shuffled)} networks with shuffled weights reach that",
        *more,
    ]
    return Verdict(name, answer, f"**{name}** ({what}): **{answer}**. {'; '.join(parts)}.", float(row["effect"]))


def _row(table: pd.DataFrame | None, pattern: str) -> pd.Series | None:
    if table is None or pattern not in set(table["pattern"]):
        return None
    return table[table["pattern"] == pattern].iloc[0]


def _interval(row: pd.Series) -> str:
    return f"{row['effect']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
