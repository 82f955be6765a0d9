"""Figures of notebook 03: learning curves, predicted risk by outcome, clinical weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sarcnet.cohort.endpoint import Endpoint
from sarcnet.cohort.outcome import Followup
from sarcnet.model.clinical import clinical_columns
from sarcnet.model.names.words import column_words, label
from sarcnet.model.predict import TrainedStack

#: Okabe–Ito colours: told apart with any colour vision.
CURVE_COLOURS = {"training patients": "#0072B2", "stopping patients": "#009E73", "held-out patients": "#D55E00"}
CURVE_COLUMNS = {
    "training_loss": "training patients",
    "stopping_loss": "stopping patients",
    "heldout_loss": "held-out patients",
}
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


def learning_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """By model and epoch, long: model, epoch, patients, loss (mean over members), low, high (their range).

    Stopping patients are there where early stopping was on; a member whose training has ended keeps its last loss up to
    the last epoch of its own model, never beyond.
    """
    long = (
        _to_the_end(curves)
        .rename(columns=CURVE_COLUMNS)
        .melt(id_vars=["model", "epoch"], value_vars=list(CURVE_COLOURS), var_name="patients", value_name="loss")
    )
    groups = long.dropna(subset="loss").groupby(["model", "epoch", "patients"], sort=False)["loss"]
    return groups.agg(loss="mean", low="min", high="max").reset_index()


def _to_the_end(curves: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for model, own in curves.groupby("model", sort=False):
        losses = own.pivot(index="epoch", columns="member", values=list(CURVE_COLUMNS)).ffill()
        parts.append(losses.stack("member", future_stack=True).reset_index().assign(model=model))
    return pd.concat(parts, ignore_index=True)


def draw_learning_curves(curves: pd.DataFrame, *, models: Sequence[str]) -> Figure:
    """One panel a model: loss against epoch, line = mean over members, band = range over members; with early stopping a
    tick at the foot for each member's epoch."""
    summary = learning_curves(curves)
    fig, axes = plt.subplots(
        1, len(models), figsize=(2.6 * len(models), 2.8), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, model in zip(axes[0], models, strict=True):
        for patients, colour in CURVE_COLOURS.items():
            rows = summary[(summary["model"] == model) & (summary["patients"] == patients)]
            if len(rows):
                ax.plot(rows["epoch"] + 1, rows["loss"], color=colour, label=patients)
                ax.fill_between(rows["epoch"] + 1, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        own = curves[curves["model"] == model]
        if own["stopping_loss"].notna().any():
            sns.rugplot(x=own.loc[own["kept"], "epoch"] + 1, ax=ax, color="0.2", height=0.05, label="epoch kept")
        ax.set(xlabel="epoch")
        ax.set_title(label(model), fontsize="medium")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes[0, 0].set_ylabel("loss per patient\n(negative log-likelihood)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize="small")
    return fig


def say_when_stopped(curves: pd.DataFrame, *, tuning: pd.DataFrame) -> str:
    """Sentences on the epochs kept and the weight decay chosen. curves, tuning: of one model."""
    kept = curves.loc[curves["kept"], "epoch"] + 1
    if curves["stopping_loss"].notna().any():
        said = f"By their stopping patients the networks kept epochs {kept.min()} to {kept.max()} (median {kept.median():g})."
    else:
        said = (
            "The last epoch is used whatever the curve says: choosing the best here would be choosing by the patients "
            "left out."
        )
    if tuning.empty:
        return said
    counts = tuning.loc[tuning["chosen"], "weight_decay"].value_counts().sort_index()
    chosen = ", ".join(f"{value:g} by {count}" for value, count in counts.items())
    return f"{said} Inner cross-validation chose the weight decay {chosen} of {counts.sum()} networks."


def draw_risk_by_outcome(
    oof: pd.DataFrame,
    *,
    patients: pd.DataFrame,
    models: Sequence[str],
    horizon_months: float,
    notes: Mapping[str, str],
    endpoint: Endpoint,
) -> Figure:
    """One panel a model: out-of-fold risk (mean over repeats) of each patient by outcome.

    notes: model → a line under its title.
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
    """patient_id, centre, model, risk (mean over repeats), outcome at the horizon."""
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
    """Log-odds of the hazard per standard deviation: column, member, weight.

    Columns without spread among the training patients of some member are left out. Empty when the fusion is not late:
    then a variable has no weight of its own.
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


def draw_clinical_weights(weights: pd.DataFrame) -> Figure:
    """Every member's weight of every clinical column (one dot a member), ordered by the mean."""
    order = weights.groupby("column")["weight"].mean().sort_values(ascending=False).index
    fig, ax = plt.subplots(figsize=(6.0, 0.28 * len(order) + (1.0 if len(order) else 1.6)), layout="constrained")
    if weights.empty:
        ax.text(0.5, 0.5, "hidden fusion: no variable has a weight of its own", ha="center", transform=ax.transAxes)
        ax.set_xticks([])
    for place, name in enumerate(order):
        values = weights.loc[weights["column"] == name, "weight"].to_numpy()
        ax.scatter(values, place + _spread(len(values)), s=9, color="#0072B2", alpha=0.6, linewidths=0)
    ax.set_yticks(range(len(order)), [column_words(name) for name in order])
    ax.invert_yaxis()
    ax.axvline(0, color="0.5", linewidth=0.8)
    ax.set(xlabel="log-odds of the hazard\nper standard deviation", ylabel="")
    return fig
