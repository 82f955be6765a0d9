"""Do the tiles that raise the score look different, by measures that a real slide allows too?

The same comparison within patients as in :mod:`virtual_cohort.experiments.ground_truth`, with the measures of
:mod:`sarcnet.morphometry.measure` in place of the truth, on the two ends of each patient's tiles only, since measuring
takes longer than predicting.

Two things could pose as a pattern of nuclei. Dead tissue: a necrotic tile has fewer and smaller nuclei, so a model that
looks for necrosis would seem to look at nuclei. Stroma: a tile half of which is collagen has fewer tumour nuclei. Each
effect is therefore given twice, as measured and with what goes along with the shares of necrosis and stroma taken out.
What is taken out may have been a true effect that runs through necrosis, so both stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.morphometry.measure import MEASURES
from virtual_cohort.experiments.ground_truth import P_MAX, PATIENTS_MIN, effects, effects_by_centre, gaps_by_patient

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
BOTH_ENDS = 0.5  # share of the chosen tiles at either end: all of them


def end_tiles(tiles: pd.DataFrame, *, per_end: int) -> pd.DataFrame:
    """Of each patient the `per_end` tiles of highest and of lowest contribution; fewer, but as many at both ends, when the
    patient has less than twice as many tiles. Patients with one tile have none.

    tiles: patient_id, slide_id, tile, contribution, …; ties go by slide and tile. The rows keep their index and order.
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
    """

    plain: pd.DataFrame
    adjusted: pd.DataFrame
    by_centre: pd.DataFrame


def measured_effects(
    measured: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    samples: int,
    level: float,
    rng: np.random.Generator,
    patterns: Sequence[str] = tuple(MEASURES),
) -> MeasuredEffects:
    """Effects of the patterns, plain, adjusted and by hospital.

    Args:
        measured: of `morphometry.measure_tiles` on :func:`end_tiles`: patient_id, slide_id, tile, contribution, patterns.
        patients: patient_id, centre.
        samples, level: of the bootstrap over patients.
    """
    gaps = gaps_by_patient(measured, share=BOTH_ENDS, patterns=patterns)
    others = [name for name in patterns if name not in CONFOUNDERS]
    cleaned = gaps_by_patient(without(measured, patterns=others), share=BOTH_ENDS, patterns=others)
    return MeasuredEffects(
        plain=effects(gaps, samples=samples, level=level, rng=rng),
        adjusted=effects(cleaned.reindex(columns=list(patterns)), samples=samples, level=level, rng=rng),
        by_centre=effects_by_centre(gaps, patients, samples=samples, level=level, rng=rng),
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
        shuffled: (networks, patterns) of `against_truth.random_effects`.
        true: effects of the true patterns on the same tiles, where they are known; same columns as `found.plain`.
        known: of `concepts.probe`, how well the features know the measure.
    """
    plain, adjusted = found.plain.set_index("pattern"), found.adjusted.set_index("pattern")
    return [
        _verdict(
            name,
            plain.loc[measure],
            adjusted.loc[measure],
            shuffled[measure],
            _row(true, measure),
            _row(known, measure),
        )
        for name, measure in NAMED.items()
    ]


def _row(table: pd.DataFrame | None, pattern: str) -> pd.Series | None:
    if table is None or pattern not in set(table["pattern"]):
        return None
    return table[table["pattern"] == pattern].iloc[0]


def _verdict(
    name: str,
    plain: pd.Series,
    adjusted: pd.Series,
    shuffled: pd.Series,
    true: pd.Series | None,
    known: pd.Series | None,
) -> Verdict:
    measure = MEASURES[str(plain.name)]
    if plain["n"] < PATIENTS_MIN or np.isnan(plain["low"]):
        answer = "cannot be judged"
        return Verdict(name, answer, f"**{name}** {answer}: {int(plain['n'])} patients have it measured at both ends.")
    beyond = float((shuffled.abs() >= abs(plain["effect"])).mean())
    shown = bool(plain["p"] < P_MAX and beyond <= P_MAX)
    stays = adjusted["low"] * adjusted["high"] > 0 and adjusted["effect"] * plain["effect"] > 0
    answer = ANSWERS[shown, bool(stays) if shown else bool(adjusted["p"] < P_MAX)]
    way = "more" if plain["effect"] > 0 else "less"
    sentence = (
        f"**{name}** ({measure[0]}, {measure[1]}): **{answer}**. Tiles that raise the score show {way} of it by "
        f"{_interval(plain)} standard deviations in {int(plain['n'])} patients, P {_spoken(plain['p'])}; {beyond:.0%} of "
        f"{len(shuffled)} shuffled networks reach that; with necrosis and stroma taken out {_interval(adjusted)}"
    )
    if true is not None:
        sentence += f"; by the truth of the same tiles {_interval(true)}"
    if known is not None and not np.isnan(known["r2"]):
        low, high = known["low"], known["high"]
        sentence += f". A probe reads it from the features with R² {known['r2']:.2f} ({low:.2f} to {high:.2f})"
    return Verdict(name, answer, sentence + ".", float(plain["effect"]) if shown else None)


def _interval(row: pd.Series) -> str:
    return f"{row['effect']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"


def _spoken(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
