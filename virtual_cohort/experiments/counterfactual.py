"""What if this tumour had larger nuclei? The same slide painted again with one knob turned, and what the model says.

Only a virtual cohort allows it. Everything but the knob keeps its random numbers: tissue, stain, scanner and noise stay,
so the change of the risk is due to the knob. Beside the model's change stands that of the true risk, by the hazard from
which the patients' fates were drawn. The clinical variables stay as the registry has them: it is the image's own effect.

Three comparisons must show nothing, or little: hyperchromasia, which changes the picture but no fate; the strength of
the stain, which is the laboratory's; and another part of the same tumour, which says how much the choice of the section
alone moves the risk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sarcnet.cohort.endpoint import endpoint_named
from sarcnet.compendium.figures import PALETTE
from sarcnet.compendium.progress import track
from sarcnet.interpret.resampling import mean_interval
from sarcnet.model.bags import Bags
from sarcnet.model.crossval import fold_matrix, mean_over
from sarcnet.model.hazard import Intervals
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_scores, scores_to_risks
from sarcnet.slides.settings import TilingSettings
from sarcnet.slides.tiling import TileRules
from virtual_cohort.experiments.rerender import (
    BASE,
    CONTROLS,
    ELSEWHERE,
    KNOBS,
    STAIN,
    Rerenderer,
    Variant,
    chosen_patients,
    paint_and_encode,
    variants,
)
from virtual_cohort.patients.outcome import LOG_HR, true_risk

TUMOURS_MIN = 5  # painted again, before anything is said of a knob
MODEL, TRUTH, PER_ROW = PALETTE[0], "black", 4  # of the figure
TITLES = {**KNOBS, STAIN: "stain strength (control)", ELSEWHERE: "another part (control)"}
HARDLY = 0.1  # of the true effect: below it a pattern is hardly used


def respond(
    model: TrainedStack,
    patients: Patients,
    made: Sequence[Variant],
    features: Sequence[np.ndarray],
    *,
    folds: pd.DataFrame,
    truth: pd.DataFrame,
    ages: pd.Series,
    horizon_months: float,
) -> pd.DataFrame:
    """What the model and the truth say to each variant.

    Only networks that were not trained on the patient are asked, as in the evaluation.

    Args:
        model: the explained stack.
        patients: training series, with the clinical values that stay.
        made: from `variants`.
        features: (T, d) of each of them.
        folds: patient_id, repeat, fold.
        truth: one row a patient: linear_predictor.
        ages: years at diagnosis by patient_id.
        horizon_months: horizon of both risks.

    Returns:
        One row a variant: patient_id, centre, knob, step, n_tiles, score, risk (mean over the networks; NaN without
        tiles), true_risk.
    """
    names = [f"{k}" for k in range(len(made))]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in features])]).astype(np.int64)
    flat = np.concatenate(list(features))
    where = pd.DataFrame({"slide_id": np.repeat(names, np.diff(offsets)), "tile": 0, "x_px": 0, "y_px": 0})
    rows = [patients.patient_ids.index(variant.patient_id) for variant in made]
    bags = Bags(tuple(names), flat, offsets, where, patients.bags.encoder)
    varied = Patients(bags, patients.clinical[rows], _outcomes(patients, rows), tuple(v.centre for v in made))
    scores = predict_scores(model.network, varied)  # (v, E)
    dealt = fold_matrix(folds, patient_ids=patients.patient_ids, members=model.members)[rows] == 1
    has = np.diff(offsets) > 0
    eta = truth.set_index("patient_id")["linear_predictor"]
    table = pd.DataFrame([{n: getattr(v, n) for n in ("patient_id", "centre", "knob", "step")} for v in made])
    shift = [LOG_HR.get(f"z_{v.knob}", 0.0) * v.step for v in made]
    true = true_risk(
        eta.loc[table["patient_id"]].to_numpy(float) + np.array(shift),
        age_years=ages.loc[table["patient_id"]].to_numpy(float),
        horizon_years=horizon_months / 12,
        outcome=endpoint_named(model.protocol.outcome).name,
    )
    return table.assign(
        n_tiles=np.diff(offsets),
        score=np.where(has, mean_over(scores, dealt), np.nan),
        risk=np.where(has, mean_over(scores_to_risks(model, scores, clinical=varied.clinical), dealt), np.nan),
        true_risk=true,
    )


def _outcomes(patients: Patients, rows: Sequence[int]) -> Intervals:
    return Intervals(patients.outcome.at_risk[rows], patients.outcome.event[rows])


def responses(table: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """Mean change of the risk against the tumour as it is, over patients, with intervals from resampling patients.

    Returns:
        One row a knob and step: knob, step, n (patients with tiles in both), model, low, high, truth (mean change of
        the true risk of the same patients), score (mean change of the log-odds).
    """
    base = table[table["knob"] == BASE].set_index("patient_id")
    rows = []
    for (knob, step), own in table[table["knob"] != BASE].groupby(["knob", "step"], sort=False):
        own = own.set_index("patient_id")
        gap = own[["risk", "score", "true_risk"]] - base.loc[own.index, ["risk", "score", "true_risk"]]
        gap = gap.dropna()
        low, high, _ = mean_interval(gap["risk"].to_numpy(), samples=samples, level=level, rng=rng)
        rows.append({"knob": knob, "step": step, "n": len(gap), "model": gap["risk"].mean(), "low": low, "high": high,
                     "truth": gap["true_risk"].mean(), "score": gap["score"].mean()})  # fmt: skip
    return pd.DataFrame(rows)


def slopes(table: pd.DataFrame, *, samples: int, level: float, rng: np.random.Generator) -> pd.DataFrame:
    """Change of the log-odds for one standard unit of each knob: least squares within each patient, then the mean.

    Returns:
        One row a knob: knob, n, slope, low, high (from resampling patients), truth (its log hazard ratio).
    """
    base = table[table["knob"] == BASE].set_index("patient_id")["score"]
    rows = []
    for knob in (*KNOBS, STAIN):
        own = table[table["knob"] == knob].dropna(subset=["score"])
        gap = own["score"].to_numpy() - base.loc[own["patient_id"]].to_numpy()
        step = own["step"].to_numpy(float)
        sums = pd.DataFrame({"who": own["patient_id"].to_numpy(), "xy": step * gap, "xx": step**2}).dropna()
        each = sums.groupby("who")[["xy", "xx"]].sum()
        values = (each["xy"] / each["xx"]).to_numpy()
        low, high, _ = mean_interval(values, samples=samples, level=level, rng=rng)
        mean = values.mean() if len(values) else np.nan
        rows.append({"knob": knob, "n": len(values), "slope": mean, "low": low, "high": high,
                     "truth": LOG_HR.get(f"z_{knob}", 0.0)})  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(found: pd.DataFrame) -> list[str]:
    """A sentence a knob: does the risk move when it alone is turned, and how does that compare with the truth?"""
    said = []
    for row in found.itertuples():
        name = KNOBS.get(row.knob, "the strength of the stain")
        size = f"{row.slope:+.2f} ({row.low:+.2f} to {row.high:+.2f}) log-odds a standard unit, n = {row.n}"
        if np.isnan(row.low) or row.n < TUMOURS_MIN:
            said.append(f"**{name}**: {row.n} tumours could be painted again, too few to say.")
        elif row.low <= 0 <= row.high:
            said.append(f"**{name}**: {size}; no response is shown (truth {row.truth:+.2f}).")
        elif not row.truth:
            said.append(f"**{name}**: {size}; the risk moves, though no fate hangs on it.")
        else:
            share = row.slope / row.truth
            said.append(
                f"**{name}**: {size}; {share:.0%} of the true {row.truth:+.2f}."
                if share > 0
                else f"**{name}**: {size}; against the true {row.truth:+.2f}."
            )
    return said


def conclusions(found: pd.DataFrame, *, associated: Mapping[str, float | None]) -> list[str]:
    """Whether the model really uses each pattern: what the experiment says goes before what tiles suggest.

    found: from `slopes`. associated: by knob, how much more of the pattern tiles that raise the score show; None where
    none is shown.
    """
    said = []
    for knob, effect in associated.items():
        row = found.set_index("knob").loc[knob]
        bounds = f"({row['low']:+.2f} to {row['high']:+.2f})"
        size = f"{row['slope']:+.2f} {bounds} log-odds a standard unit in {row['n']:.0f} tumours"
        if np.isnan(row["low"]) or row["n"] < TUMOURS_MIN:
            answer, why = "not tested", f"{row['n']:.0f} tumours could be painted again, too few to say"
        elif row["low"] > 0 or row["high"] < 0:
            share = row["slope"] / row["truth"] if row["truth"] else np.nan
            answer = "used the wrong way" if share < 0 else "hardly used" if share < HARDLY else "used"
            why = f"turned alone it moves the risk by {size}"
            if share < 0:
                why += f", against the true {row['truth']:+.2f}"
            elif share > 0:
                why += f", {share:.0%} of the truth"
        else:
            answer = "not shown to be used"
            why = f"turned alone it moves the risk by {size}"
            if effect is not None:
                way = "more" if effect > 0 else "less"
                why += f"; tiles that raise the score show {way} of it, so something that goes along with it may count"
        said.append(f"**{KNOBS[knob]}: {answer}**, {why}.")
    return said


def draw_counterfactual(found: pd.DataFrame, *, level: float, horizon_months: float) -> Figure:
    """Mean change of the risk at the horizon when one knob is turned: the model's with its interval, and the true one.

    found: from :func:`responses`.
    """
    names = [name for name in (*KNOBS, *CONTROLS) if name in set(found["knob"])]
    rows = -(-len(names) // PER_ROW)
    figure, axes = plt.subplots(rows, PER_ROW, figsize=(11.0, 2.7 * rows), sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.axis("off")
    for ax, name in zip(axes.ravel(), names, strict=False):
        own = found[found["knob"] == name].sort_values("step")
        step = np.append(own["step"], 0.0)
        order = np.argsort(step)
        model, truth = (100 * np.append(own[column], 0.0)[order] for column in ("model", "truth"))
        ax.axhline(0, color="0.8", linewidth=1)
        ax.plot(step[order], truth, "--", color=TRUTH, linewidth=1.2, label="true risk")
        ax.plot(step[order], model, color=MODEL, linewidth=1.8, label="model")
        ax.errorbar(
            own["step"], 100 * own["model"], color=MODEL, fmt="o", markersize=4,
            yerr=100 * np.abs(own[["low", "high"]].to_numpy().T - own["model"].to_numpy()),
        )  # fmt: skip
        ax.set_title(TITLES[name], fontsize="small")
        ax.grid(axis="y", alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"change of {horizon_months / 12:g}-year risk\n(percentage points)")
    for ax in axes[-1]:
        ax.set_xlabel("turned by (standard units)")
    axes[0][0].legend(fontsize="x-small", loc="upper left")
    figure.suptitle(f"{int(found['n'].max())} tumours painted again, {level:.0%} intervals", fontsize="medium")
    return figure


@dataclass(frozen=True)
class KnobExperiment:
    """answers: of :func:`respond`; responses: of :func:`responses`; slopes: of :func:`slopes`."""

    answers: pd.DataFrame
    responses: pd.DataFrame
    slopes: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """A sentence for each knob."""
        return verdicts(self.slopes)

    def conclusions(self, associated: Mapping[str, float | None]) -> list[str]:
        """Whether the model really uses each pattern; see :func:`conclusions`."""
        return conclusions(self.slopes, associated=associated)

    def draw(self, *, level: float, horizon_months: float) -> Figure:
        """The figure of :func:`draw_counterfactual`."""
        return draw_counterfactual(self.responses, level=level, horizon_months=horizon_months)


def turn_knobs(
    model: TrainedStack,
    patients: Patients,
    *,
    image_scores: pd.DataFrame,
    registry: pd.DataFrame,
    truth: pd.DataFrame,
    folds: pd.DataFrame,
    count: int,
    seed: int,
    tiling: Mapping[str, Any],
    encoder: str,
    horizon_months: float,
    samples: int,
    level: float,
    rng: Callable[[str], np.random.Generator],
    jobs: int,
    steps: Sequence[float] = (-1.5, 1.5),
) -> KnobExperiment:
    """Paint tumours again with one knob turned at a time, and ask the model and the hazard.

    Args:
        model: the explained stack.
        patients: training series.
        image_scores: patient_id, image, n_tiles; tumours are chosen evenly over the image score.
        registry: patient_id, age_years.
        truth: one row per patient: latents and linear_predictor.
        folds: patient_id, repeat, fold.
        count: tumours painted again.
        seed: of the cohort.
        tiling: parameters of notebook 01.
        encoder: name of the encoder of notebook 02.
        horizon_months: of the risks.
        samples: resamples of the tumours.
        level: coverage of the intervals.
        rng: a name ("counterfactual", "slopes") to the generator of its resamples.
        jobs: processes that paint and encode.
        steps: by how many standard units each knob is turned.

    Returns:
        Tables, a figure and sentences.
    """
    rules = TileRules.of(TilingSettings(**tiling))
    painter = Rerenderer(seed=seed, rules=rules, encoder=encoder)
    variations = variants(truth, patients=chosen_patients(image_scores, count=count), steps=steps)
    pictures = paint_and_encode(painter, variations, jobs=jobs)
    features = list(track(pictures, total=len(variations), what="slides painted again"))
    answers = respond(
        model, patients, variations, features, folds=folds, truth=truth, horizon_months=horizon_months,
        ages=registry.set_index("patient_id")["age_years"],
    )  # fmt: skip
    return KnobExperiment(
        answers,
        responses(answers, samples=samples, level=level, rng=rng("counterfactual")),
        slopes(answers, samples=samples, level=level, rng=rng("slopes")),
    )
