"""The model as a nomogram: points for each variable and for the slide, and the risk that their sum stands for.

A nomogram is possible because the score is a sum. It shows the mean of all networks: points are log-odds, measured from
each variable's most favourable value and stretched so that the widest variable spans 100 (Iasonos et al., Journal of
Clinical Oncology 2008). The risk of a sum is the mean of the networks' risks at that score, for a patient who is as
likely to die of something else as the average one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.attribution.response import clinical_scores, grid_of
from sarcnet.model.clinical import CATEGORIES, clinical_columns, clinical_values
from sarcnet.model.patients import Patients
from sarcnet.model.predict import TrainedStack, predict_scores, scores_to_risks

IMAGE = "slide"
IMAGE_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RISKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
POINTS = 100.0
TICKS = {"age_years": (20, 40, 60, 80), "size_mm": (10, 30, 50, 100, 150, 200, 300)}


@dataclass(frozen=True)
class Nomogram:
    """`axes`: by variable, a frame with columns label and points. `risks`: total points at which a risk is reached
    (columns risk, points). `per_point`: log-odds of a point. `floor`: score at 0 points."""

    axes: Mapping[str, pd.DataFrame]
    risks: pd.DataFrame
    per_point: float
    floor: float

    def points(self, score: float) -> float:
        """Total points of a score."""
        return (score - self.floor) / self.per_point


def nomogram_of(model: TrainedStack, patients: Patients, table: pd.DataFrame, *, variables: Sequence[str]) -> Nomogram:
    """Read the points off the mean network.

    Args:
        model: the stack.
        patients: those whose range of image scores is shown.
        table: their rows of patients.csv, in the same order.
        variables: clinical variables of the model, all of them.

    Returns:
        Points of every row, and the risks that their sums stand for.

    Raises:
        SarcnetError: slide and clinic are not added, so there are no points to add either.
    """
    if (fusion := model.network.shape.fusion) != "late":
        raise SarcnetError(
            f"There is no nomogram of a model with {fusion} fusion: its score is no sum of slide and clinic."
        )
    parts = {name: _clinical_axis(model, table, name) for name in variables}
    scores = predict_scores(model.network, patients).astype(np.float64)
    image = (scores - clinical_scores(model, patients.clinical)).mean(axis=1)[patients.bags.sizes > 0]
    if len(image):
        quantiles = np.quantile(image, IMAGE_QUANTILES)
        labels = [f"{100 * q:.0f} %" for q in IMAGE_QUANTILES]
        parts[IMAGE] = pd.DataFrame({"label": labels, "part": quantiles})
    nobody = float(clinical_scores(model, _nobody(model)).mean(dtype=np.float64))
    widest = max((frame["part"].max() - frame["part"].min() for frame in parts.values()), default=0.0)
    per_point = max(widest, 1e-9) / POINTS
    floor = nobody + sum(frame["part"].min() for frame in parts.values())
    axes = {
        name: frame.assign(points=(frame["part"] - frame["part"].min()) / per_point)[["label", "points"]]
        for name, frame in parts.items()
    }
    ceiling = floor + sum(frame["part"].max() - frame["part"].min() for frame in parts.values())
    grid = np.linspace(floor, ceiling, 400)
    stacked = np.repeat(grid[:, None], model.network.shape.members, axis=1).astype(np.float32)
    curve = scores_to_risks(model, stacked).mean(axis=1)
    reached = [risk for risk in RISKS if curve[0] <= risk <= curve[-1]]
    at = np.interp(reached, curve, (grid - floor) / per_point)
    return Nomogram(axes, pd.DataFrame({"risk": reached, "points": at}), per_point, floor)


def _clinical_axis(model: TrainedStack, table: pd.DataFrame, variable: str) -> pd.DataFrame:
    """label, part: mean over the networks of what each shown value adds to an average patient's score, log-odds."""
    values = grid_of(table, variable)
    if variable in TICKS:
        low, high = min(values), max(values)  # type: ignore[type-var]
        values = [v for v in TICKS[variable] if low <= v <= high] or values  # type: ignore[operator]
    empty = table.iloc[:1].assign(**dict.fromkeys(model.protocol.clinical_variables, None))
    rows = pd.concat([empty.assign(**{variable: value}) for value in values], ignore_index=True)
    clinical = clinical_values(rows, variables=model.protocol.clinical_variables).astype(np.float32)
    recorded = np.array([not name.endswith("_missing") for name in _columns(model)])
    found = clinical_scores(model, np.where(recorded, clinical, np.float32(0)))
    part = (found.astype(np.float64) - clinical_scores(model, _nobody(model))).mean(axis=1)
    labels = [str(v).replace("_", " ") if variable in CATEGORIES else f"{v:g}" for v in values]
    return pd.DataFrame({"label": labels, "part": part})


def _nobody(model: TrainedStack) -> np.ndarray:
    """(1, p): a patient of average values who lacks none of them."""
    missing = [name.endswith("_missing") for name in _columns(model)]
    return np.where(missing, 0.0, np.nan).astype(np.float32)[None]


def _columns(model: TrainedStack) -> tuple[str, ...]:
    return clinical_columns(model.protocol.clinical_variables)
