"""Predicted risk by outcome, when training stopped, and the weights of the clinical variables (notebook 03)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.outcome import Followup
from sarcnet.model.clinical import clinical_columns
from sarcnet.model.names.words import label
from sarcnet.model.predict import TrainedStack

FREE_COLOUR, EVENT_COLOUR = "#56B4E9", "#D55E00"


def outcome_by(patients: pd.DataFrame, *, horizon_months: float, endpoint: Endpoint) -> pd.Series:
    """Outcome at the horizon by patient_id in the endpoint's words: event, free of it (also when dead by then, where death
    is no event), or missing (lost before).

    patients: patient_id, mfs_months, mfs_event. For pictures only: an AUC must not leave out the censored.
    """
    seen = Followup.of(patients)
    kinds = [seen.is_case(horizon_months), seen.is_control(horizon_months)]
    outcome = np.select(kinds, [endpoint.event, endpoint.free], default="")
    return pd.Series(outcome, index=patients["patient_id"], name="outcome").replace("", np.nan)


def stopping_text(curves: pd.DataFrame, *, tuning: pd.DataFrame) -> str:
    """Say which epochs the networks of one model kept and which weight decay was chosen.

    Args:
        curves: `CrossValidated.curves` of the model.
        tuning: `CrossValidated.tuning` of the model.

    Returns:
        Sentences.
    """
    kept = curves.loc[curves["kept"], "epoch"] + 1
    if curves["stopping_loss"].notna().any():
        text = f"By their stopping patients the networks kept epochs {kept.min()} to {kept.max()} (median {kept.median():g})."
    else:
        text = (
            "The last epoch is used whatever the curve says: choosing the best here would be choosing by the patients "
            "left out."
        )
    if tuning.empty:
        return text
    counts = tuning.loc[tuning["chosen"], "weight_decay"].value_counts().sort_index()
    chosen = ", ".join(f"{value:g} by {count}" for value, count in counts.items())
    return f"{text} Inner cross-validation chose the weight decay {chosen} of {counts.sum()} networks."


def draw_risk_by_outcome(
    oof: pd.DataFrame,
    *,
    patients: pd.DataFrame,
    models: Sequence[str],
    horizon_months: float,
    notes: Mapping[str, str],
    endpoint: Endpoint,
) -> Figure:
    """Draw one panel per model: out-of-fold risk (mean over repeats) of each patient by outcome.

    Args:
        oof: patient_id, centre, model, repeat, risk.
        patients: patient_id, mfs_months, mfs_event.
        models: names, one panel each.
        horizon_months: horizon of the risks and the outcome.
        notes: model → a line under its title.
        endpoint: words for the outcome.

    Returns:
        The figure.
    """
    table = risk_table(oof, patients=patients, horizon_months=horizon_months, endpoint=endpoint).dropna(
        subset="outcome"
    )
    fig, axes = plt.subplots(
        1, len(models), figsize=(2.0 * len(models), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, model in zip(axes[0], models, strict=True):
        _strips(ax, table[table["model"] == model], endpoint=endpoint)
        ax.set_title(f"{label(model)}\n{notes.get(model, '')}".strip(), fontsize="medium")
    axes[0, 0].set_ylabel(
        f"predicted {horizon_months:g}-month risk\nof {endpoint.event}\n(out of fold, mean over repeats)"
    )
    return fig


def risk_table(oof: pd.DataFrame, *, patients: pd.DataFrame, horizon_months: float, endpoint: Endpoint) -> pd.DataFrame:
    """Set each patient's mean risk beside the outcome. For pictures only: an AUC must not leave out the censored.

    Args:
        oof: patient_id, centre, model, repeat, risk.
        patients: patient_id, mfs_months, mfs_event.
        horizon_months: horizon of the outcome.
        endpoint: words for the outcome.

    Returns:
        patient_id, centre, model, risk (mean over repeats), outcome at the horizon (missing where lost before).
    """
    mean = oof.groupby(["model", "patient_id", "centre"], as_index=False, sort=False)["risk"].mean()
    return mean.join(outcome_by(patients, horizon_months=horizon_months, endpoint=endpoint), on="patient_id")


def _strips(ax: Axes, rows: pd.DataFrame, *, endpoint: Endpoint) -> None:
    colours = {endpoint.free: FREE_COLOUR, endpoint.event: EVENT_COLOUR}
    labels = {name: f"{fill(name, 14)}\nn = {int((rows['outcome'] == name).sum())}" for name in colours}
    shown = rows.assign(label=rows["outcome"].map(labels))
    palette = {labels[name]: colour for name, colour in colours.items()}
    order = list(palette)
    sns.boxplot(shown, x="label", y="risk", order=order, fill=False, color="0.15", width=0.5, showfliers=False, ax=ax)
    for place, (text, colour) in enumerate(palette.items()):
        risk = shown.loc[shown["label"] == text, "risk"].to_numpy()
        ax.scatter(place + _spread(len(risk)), risk, s=6, color=colour, alpha=0.6, linewidths=0)
    ax.set(xlabel="", ylim=(0, 1.02))
    ax.tick_params(axis="x", labelsize="x-small")


def _spread(count: int) -> np.ndarray:
    """(count,) places within ±0.12 that lie apart from their neighbours: a fixed jitter, nothing is drawn by chance."""
    golden = 0.6180339887498949
    return (np.arange(count) * golden % 1 - 0.5) * 0.24


def clinical_weights(trained: TrainedStack) -> pd.DataFrame:
    """Read the clinical branch's weights: log-odds of the hazard per standard deviation.

    Args:
        trained: the networks of one model.

    Returns:
        column, member, weight; without the columns that do not vary among the training patients of some member. Empty
        when the fusion is not late: then a variable has no weight of its own.
    """
    network = trained.network
    if network.shape.fusion != "late":
        return pd.DataFrame({"member": [], "column": [], "weight": []})
    names = clinical_columns(trained.protocol.clinical_variables)
    weights = network.clinical_weight.detach().numpy()  # (E, p)
    frame = pd.DataFrame(weights, columns=list(names))
    varies = (network.clinical_inverse_std.numpy() > 0).all(axis=0)
    long = frame.loc[:, varies].rename_axis("member").reset_index()
    return long.melt(id_vars="member", var_name="column", value_name="weight")
