# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   sarcnet:
#     settings: sarcnet.model.settings:ModelSettings
# ---

# %% [markdown]
# # 03 · One risk from slides and clinical variables
#
# **Question.** How likely is a patient to develop metastases within five years, judged from the tumour's slides and
# from what the clinician knows, and how well can we tell for patients the model has never seen?
#
# In this notebook we will
#
# - put the tiles of each patient into a *bag* and the clinical variables into a table,
# - cut follow-up time into intervals, so that patients who leave early count for as long as they were seen,
# - deal the patients into folds, so that every prediction we look at concerns a patient left out of training,
# - train a small network that finds out by itself which tiles matter, for all folds together,
# - compare it with the image alone, the clinical variables alone, and each hospital on its own.
#
# The published study, SarcNet, combined slides and clinical variables too; how is not public. What follows is **our
# choice**. Bags of tiles, multiple-instance learning and 4 folds (there with 5 repeats) are what the same two hospitals
# described for another task: telling lipomas from atypical lipomatous tumours (ESMO 2023, abstract 1955P).

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of folds, starting weights, batches and tiles shown
folds: int = 4  # folds of patients
repeats: int = 2  # times the patients are dealt into folds anew
clinical_variables: list[str] = ["age_years", "sex", "size_mm", "depth", "site", "histotype", "fnclcc_grade"]  # columns
horizon_months: float = 60.0  # months, horizon of the predicted risk
hazard_edges_months: list[float] = [6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0]  # months, upper edges of the intervals
aggregator: str = "abmil"  # rule by which a patient's tiles count: mean, abmil, chowder or transmil
fusion: str = "late"  # how image and clinic become one score: late, concatenation or gated
loss: str = "competing_hazards"  # competing_hazards, hazard (death censors) or cox (for comparison)
embedding_dim: int = 32  # numbers that describe a tile inside the network
epochs: list[int] = [30, 50, 40, 50]  # passes over the patients: pooled; image only; clinical only; hospital alone
early_stopping_share: float = 0.0  # share, 0 to 0.5, of the training patients that says when to stop; 0: never
learning_rate: float = 0.003  # step length of AdamW
weight_decay: list[float] = [2.0]  # pull of the weights towards 0, per step times learning_rate; several: tuned

# %%
import inspect
import logging
import warnings

import lightning
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from IPython.display import Code, Markdown, display

from sarcnet.cohort import Followup, describe_outcomes, read_endpoint
from sarcnet.compendium import Stage
from sarcnet.evaluation import FailureLog

# %%
from sarcnet.evaluation.metrics import auc_of, effective_number, weights
from sarcnet.model import ModelSettings, assemble_patients, cross_validate, read_bags, save_stack
from sarcnet.model.figures import clinical_weights, draw_risk_by_outcome, risk_table, stopping_text
from sarcnet.model.names import column_words, label
from sarcnet.model.training import Protocol, learning_curves_to_the_end, make_folds, prepare_training, study_variants

stage = Stage.open("03_model", ModelSettings, vars())
endpoint = read_endpoint(stage.input("00_cohort/outcome.json"))
log = FailureLog()  # keeps a sentence for what these patients cannot tell
display(Markdown(endpoint.note))

# %% [markdown]
# ## 1 · A bag of tiles for each patient
#
# A slide is far too large to be shown to a network as one picture, and nobody has marked where on it the tumour
# looks dangerous. What we know is one thing per *patient*: metastasis or not, and when. So all tiles of a patient,
# from one slide or several, go into one **bag**, and the bag carries the label. Learning from labelled bags of
# unlabelled members is called *multiple-instance learning*.
#
# We read the training series only. The validation series stays closed until notebook 05.

# %%
training = pd.read_parquet(stage.input("00_cohort/training.parquet"))
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
known = training.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)
feature_files = stage.inputs("02_features/features/*.h5")
bags = read_bags(feature_files.values(), slides=slides, patient_ids=list(known["patient_id"]))
tiles_seen = pd.DataFrame({"centre": known["centre"], "tiles in the bag": bags.sizes})
tiles_seen.groupby("centre")["tiles in the bag"].describe().round(1).astype({"count": int})

# %% [markdown]
# Each row is a hospital: the number of patients (*count*) and how many tiles a bag holds. Bags differ in size, so
# whatever the network does to them must not depend on the number or the order of tiles. A patient without a
# readable slide has an empty bag and still takes part with the clinical variables.

# %%
without_outcome, without_slide = len(training) - len(known), int((bags.sizes == 0).sum())
display(Markdown(
    f"{len(known)} patients take part; {without_outcome} of the training series have no outcome and are left out; "
    f"{without_slide} have no readable slide. A tile is {bags.feature_dim} numbers from the encoder `{bags.encoder}`."
), Markdown(describe_outcomes(known, endpoint=endpoint, horizon_months=horizon_months).to_the_horizon))

# %% [markdown]
# ## 2 · Time in intervals
#
# Many patients are still free of metastasis when they are last seen. Throwing them away would waste them; calling
# them healthy would be wrong. We ask instead, interval by interval: *of those who entered this interval free of
# metastasis, how many had one in it?* This share is the **hazard** $h_k$ of interval $k$, and a patient counts for
# the intervals in which he or she was watched.
#
# The network gives each patient a score $\eta$, and the score shifts the hazard of every interval,
#
# $$\log\frac{h_k}{1-h_k} = \alpha_k + \eta,$$
#
# so a higher score always means a higher risk. It is trained by the likelihood of what was seen, that is by making
#
# $$-\sum_k \left[ m_k \log h_k + (r_k - m_k) \log(1 - h_k) \right]$$
#
# small, where $r_k$ says that the patient was at risk in interval $k$ and $m_k$ that metastasis came in it. Each term is
# small where the hazard was high for those who had a metastasis and low for those who had none.
#
# Some patients, the old above all, die of something else before any metastasis. Counting them as lost would give the
# risk in a world where nobody dies of anything else. A patient asks another question: *what will happen to me?* So
# death without metastasis gets a hazard $g_k$ of its own, which hangs on the clinical variables and is trained by the
# same kind of loss. To have a metastasis in interval $k$ one must have come that far, $S_{k-1}$, and then metastasis must
# come before death, half of the time where an interval holds both:
#
# $$\text{risk by 5 years} = \sum_{k:\,t_k \le 60} S_{k-1} \, h_k \, (1 - g_k / 2), \qquad
# S_k = \prod_{j \le k} (1 - h_j)(1 - g_j).$$
#
# This is the **cumulative incidence**, the sum of Aalen and Johansen. With `loss: hazard` death is left out, and the risk
# is $1 - \prod (1 - h_k)$. With `outcome: mfs` nothing competes, so that both losses are the same single hazard, of
# metastasis or death, and this risk is one minus metastasis-free survival.
#
# Both losses are plain sums over patients, so they can be summed over hospitals that share no patients. The loss of
# Cox's model cannot: it compares each patient who has a metastasis with all others still at risk, *of both hospitals*.
# `loss: cox` trains with it for comparison where all patients lie in one place; a federation refuses it (Andreux et
# al., arXiv 2006.08997).
#
# One convention is ours: a patient last seen inside an interval counts for it when at least half of it was watched.

# %%
protocol = Protocol.of(
    stage.settings, outcome=endpoint.name, centres=known["centre"].unique(), encoder=bags.encoder,
    feature_dim=bags.feature_dim,
)
patients = assemble_patients(
    known, bags=bags, clinical_variables=clinical_variables, hazard_edges_months=hazard_edges_months
)
at_risk, events, deaths = (np.asarray(getattr(patients.outcome, name)) for name in ("at_risk", "event", "death"))
hazard_table = pd.DataFrame({"to_months": hazard_edges_months, "at_risk": at_risk.sum(axis=0).astype(int),
                             "events": events.sum(axis=0).astype(int)})
hazard_table["hazard"] = hazard_table["events"] / hazard_table["at_risk"].where(hazard_table["at_risk"] > 0)
hazard_table.insert(0, "from_months", [0.0, *hazard_edges_months[:-1]])
hazard_table.assign(competing_deaths=deaths.sum(axis=0).astype(int)).round(3)

# %% [markdown]
# Read a row as: so many patients were watched through this interval, so many of them had a metastasis in it, and so
# many patients died without one. In the
# simulated cohorts, as in published series, the hazard is highest early on.
#
# ## 3 · Folds: every prediction is for a patient left out
#
# A network with thousands of weights can learn its training patients by heart. What counts is how it does on
# others. We therefore deal the patients into folds, train on all but one, predict the one left out, and take turns.
# Dealing is by *patient*, never by slide or tile, and within each hospital by event, so that every fold holds its
# share of both. As the deal itself is a matter of luck, we repeat it.

# %%
fold_table = make_folds(known, folds=folds, repeats=repeats, seed=seed)
dealt = fold_table.merge(known[["patient_id", "mfs_event"]], on="patient_id")
dealt[endpoint.event] = dealt["mfs_event"].eq(1).map({True: "seen", False: "not seen"})
first = dealt[dealt["repeat"] == 0]
first.pivot_table(index=["centre", endpoint.event], columns="fold", values="patient_id", aggfunc="count")

# %% [markdown]
# The first repeat: patients of each hospital, with and without a metastasis, in each fold. Within a row the numbers
# differ by one at most.
#
# ## 4 · The network
#
# Each tile $x_t$ is standardised on the training patients and squeezed to a few numbers, $h_t = \mathrm{relu}(W
# \hat x_t + b)$. Which tiles should count is learnt by *gated attention* (Ilse, Tomczak & Welling, ICML 2018):
#
# $$a_t = \operatorname{softmax}_t \; u^\top \left( \tanh(V h_t) \odot \sigma(U h_t) \right), \qquad
# \eta = \underbrace{\sum_t a_t \, (w^\top h_t - r)}_{\text{image}}
# + \underbrace{\sum_j v_j \, \hat c_j}_{\text{clinical}} .$$
#
# The attention $a_t$ of a patient's tiles sums to one. $\hat c_j$ are the clinical variables, standardised likewise; a
# missing value is set to the mean, and a column beside it says that it was missing. $r$ is what the average patient's
# image adds, so a tile above it raises the risk and one below lowers it. Nothing else happens between image and clinic
# (*late fusion*): the score is a **sum**, and notebook 06 can say exactly how much each tile and each variable
# contributed.
#
# Other rules can be chosen, each one file with its equation and source. `aggregator`: `mean`, where every tile counts
# alike; `chowder`, where only the most and the least suspicious ones do; `transmil`, where tiles look at each other
# before they vote. `fusion`: `concatenation`, where a hidden layer sees image and clinic side by side, so that one can
# change what the other means; `gated`, where a learnt gate says how far to believe either. With `transmil` and with the
# last two fusions the score is no sum any more and cannot be taken apart exactly.
#
# Small numbers of patients ask for modesty: few hidden numbers, a strong pull of all weights towards zero (weight
# decay), a fresh handful of tiles shown in every epoch. The network starts from equal attention and zero effect, so
# it has to *earn* any departure from the average risk.

# %% [markdown]
# ## 5 · All folds trained together
#
# Training fold after fold would read the same tiles again and again. Here all networks of a model form one *stack*:
# a batch of patients is read once, the products of all networks are one large matrix product, and each network's
# loss counts its own training patients only. No network shares a weight with another, so each learns exactly what
# it would have learnt alone (a test holds us to that).
#
# Five models in all, with the same folds and the same starting weights: *SarcNet, pooled* sees everything;
# *image only* and *clinical only* have one branch switched off; *SarcNet, … alone* is trained at one hospital, as
# that hospital would have to without a federation.
#
# The models do not train equally long. One hospital has fewer batches in an epoch than both together, and the image
# branch, held back by weight decay, learns more slowly than the clinical one. A comparison with a model that was stopped
# early would favour the other. So each length was chosen on other virtual cohorts by one rule: risks for patients left out
# must lie neither too close to each other nor too far apart (`docs/training-length.md`).
#
# When to stop, and how hard to pull the weights towards zero, must not be chosen by the patients left out: a choice is
# learning too, and would make them look better than new patients will. Two switches choose by training patients alone.
# With `early_stopping_share` a part of each network's training patients, dealt within hospital and event, trains nothing
# and is only watched; the network keeps the weights of the epoch in which it did best on them. With several values of
# `weight_decay` each network's training patients are dealt into three inner folds, every value is tried on them, and
# the network is trained with the best: a cross-validation inside the cross-validation (*nested*). Both are off by
# default: they cost patients and time, and with so few patients the choice itself is a matter of luck.

# %%
results = {
    variant.name: cross_validate(protocol, patients=patients, folds=fold_table, variant=variant, progress=True)
    for variant in study_variants(protocol.centres, epochs=epochs)
}
models = list(results)
oof = pd.concat([result.oof for result in results.values()], ignore_index=True)
curves = pd.concat([result.curves for result in results.values()], ignore_index=True)
oof.groupby("model", sort=False)["risk"].describe().rename(index=label).round(3).astype({"count": int})

# %% [markdown]
# For each model the out-of-fold risks: one for each patient and repeat. Their mean should lie near the share of
# patients with a metastasis by the horizon; how widely they spread says how far the model dares to depart from it.

# %%
members, sizes = results["sarcnet_pooled"].trained.members, {}
for name, array in results["sarcnet_pooled"].trained.network.parameter_arrays().items():
    sizes[name] = array[0].size
display(Markdown(
    f"One network has {sum(sizes.values()):,} weights, {sizes['tile_weight']:,} of them in the embedding $W$ of the tiles; "
    f"{folds} folds × {repeats} repeats make {len(members)} networks for each model."
))

# %% [markdown]
# **What trains.** PyTorch Lightning runs the loop; we tell it in a `LightningModule` what a step is, what the loss is and
# how fast each weight may move. This is its whole source, as it ran above.

# %%
module, batches = prepare_training(results["sarcnet_pooled"], patients, folds=fold_table)
Code(inspect.getsource(type(module)), language="python")

# %% [markdown]
# The first network of *SarcNet, pooled* once more, alone, with Lightning's own `Trainer`. The notebook stops here unless it
# learns the weights that it learnt in the stack. Only the baseline $\alpha_k$ is left out of this: after training the image's
# mean $r$ is taken off the score and added to it.

# %%
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=".*LeafSpec|The figure layout has changed")  # Lightning 2.6; seaborn
torch.set_num_threads(1)
trainer = lightning.Trainer(accelerator="cpu", max_epochs=module.protocol.epochs, logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, enable_model_summary=False)
trainer.fit(module, batches)
alone, stacked = module.stack.parameter_arrays(), results["sarcnet_pooled"].trained.network.parameter_arrays()
gaps = {name: float(abs(alone[name][0] - stacked[name][0]).max()) for name in alone if name != "log_odds"}
assert max(gaps.values()) < (1e-2 if loss == "cox" else 1e-3), gaps  # Cox sums over many patients: coarser
print(f"Largest difference of a weight, alone and in the stack: {max(gaps.values()):.1e}")

# %% [markdown]
# A learning curve shows the loss, the mean of $-\log$ of the probability the network gave to what happened, on the
# patients trained on and, watched but never used, on those left out: 0 would be a seer, and a model that knows only the
# average hazard starts where the curves start. While both fall the network learns something general; where the second
# turns up it has begun to learn by heart.

# %%
curve = learning_curves_to_the_end(curves)
colours = {"training patients": "#0072B2", "stopping patients": "#009E73", "held-out patients": "#D55E00"}
grid = sns.relplot(curve.assign(epoch=curve["epoch"] + 1), kind="line", x="epoch", y="loss", hue="patients", palette=colours,
                   col="model", col_order=models, errorbar=("pi", 100), height=2.8, aspect=0.9, facet_kws={"sharex": False})
for name, axis in grid.axes_dict.items():
    axis.set_title(label(name), fontsize="medium")
    if curves["stopping_loss"].notna().any():
        sns.rugplot(curves.query("kept and model == @name")["epoch"] + 1, ax=axis, color="0.2", height=0.05)
grid.set_ylabels("loss per patient\n(negative log-likelihood)").tight_layout()
summary = curve.groupby(["model", "epoch", "patients"], sort=False)["loss"].agg(loss="mean", low="min", high="max")
stage.figure("F5_learning_curves", grid.figure, data=summary.reset_index(),
             caption=f"Learning curves of {len(models)} models: mean and range over {len(members)} networks each, "
                     f"n = {len(known)} patients.")

# %%
by_epoch = curves.groupby(["model", "epoch"], sort=False)["heldout_loss"].mean().unstack("model")
by_epoch = by_epoch["sarcnet_pooled"].dropna()
best, last = by_epoch.min(), by_epoch.iloc[-1]
display(Markdown(
    f"Held-out loss of {label('sarcnet_pooled')}: {by_epoch.iloc[0]:.3f} in the first epoch, "
    f"{last:.3f} in the last, at its lowest {best:.3f} in epoch {by_epoch.idxmin() + 1}. "
    + stopping_text(curves[curves["model"] == "sarcnet_pooled"], tuning=results["sarcnet_pooled"].tuning)
))

# %% [markdown]
# ## 6 · Do patients with a metastasis get the higher risk?
#
# For each patient we average the out-of-fold risks over the repeats and set them out by what happened. Patients last
# seen before the horizon are not drawn, as we do not know where they belong; those who died before it without a
# metastasis count as free of one. The number under each model takes
# them into account: the **AUC at the horizon**, the chance that of two patients, one with a metastasis by then and one
# without, the first has the higher risk. Patients lost early are stood for by similar ones who were watched longer
# (inverse probability of censoring weights; notebook 05 explains them). 0.5 is a coin, 1 is perfect.

# %%
named = {"patients": known, "horizon_months": horizon_months, "endpoint": endpoint}
risks = risk_table(oof, **named).merge(known, on=["patient_id", "centre"])
aucs = {
    name: auc_of(rows, horizon_months=horizon_months, log=log) for name, rows in risks.groupby("model", sort=False)
}

# %%
notes = {name: f"AUC {value:.2f}" for name, value in aucs.items()}
fig = draw_risk_by_outcome(oof, **named, models=models, notes=notes)
stage.figure("F5_risk_by_outcome", fig, data=risks[["patient_id", "model", "risk", "outcome"]],
             caption=f"Out-of-fold risk of {endpoint.event} by outcome at {horizon_months:g} months, mean over "
                     f"{repeats} repeats, n = {len(known)} patients, of whom those watched too short are not drawn.")

# %% [markdown]
# A dot is a patient, the box holds the middle half. The further the two clouds of a model stand apart, the better
# it tells patients apart. Models trained at one hospital predict the patients of *both* hospitals here. These are first
# impressions without intervals: notebook 05 asks whether the differences are more than luck. It judges each repeat by
# itself and takes the mean, which is mostly a little lower: a risk averaged over repeats is steadier than one of them.

# %%
n_judged = int(Followup.of(known).is_judged(horizon_months).sum())
for name, value in aucs.items():
    stage.number(f"auc_oof_{name}", value, n=n_judged, unit="AUC")
case, control = (effective_number(weight)[0] for weight in weights(Followup.of(known), horizon_months=horizon_months))
display(Markdown("; ".join(f"{label(name)} {value:.3f}" for name, value in aucs.items()) + ". Each rests on "
                 f"{case:.1f} effective cases and {control:.1f} effective controls (notebook 05 says what that means)."))
display(Markdown(log.summary_text()))

# %% [markdown]
# ## 7 · What the clinical branch learnt
#
# The clinical half of the score is a weighted sum, so its weights can be read. Each dot is one network; dots close
# together mean that the folds agree.

# %%
clinical = clinical_weights(results["sarcnet_pooled"].trained)
order = clinical.groupby("column")["weight"].mean().sort_values(ascending=False).index
fig, ax = plt.subplots(figsize=(6.0, 0.28 * len(order) + 1.6), layout="constrained")
if len(clinical):
    sns.stripplot(clinical.assign(column=clinical["column"].map(column_words)), x="weight", y="column", hue="member",
                  order=[column_words(name) for name in order], palette=["#0072B2"] * clinical["member"].nunique(),
                  dodge=True, jitter=False, size=3, alpha=0.6, legend=False, ax=ax)
    ax.axvline(0, color="0.5", linewidth=0.8)
else:
    ax.text(0.5, 0.5, "hidden fusion: no variable has a weight of its own", ha="center", transform=ax.transAxes)
ax.set(xlabel="log-odds of the hazard\nper standard deviation", ylabel="")
stage.figure("F5_clinical_weights", fig, data=clinical,
             caption=f"Clinical weights of the {len(members)} networks of {label('sarcnet_pooled')}, "
                     f"n = {len(known)} patients.")

# %% [markdown]
# To the right of zero a variable raises the risk, to the left it lowers it, each given all the others *and the
# image*: a weight near zero does not say that a variable is unimportant, only that the rest already knows it.
#
# ## 8 · A score that can be taken apart
#
# The score is a sum of one part for each tile and each clinical column. We check that the parts really add up to
# it, for each patient under the networks not trained on that patient.

# %%
parts = results["sarcnet_pooled"].parts(patients)
additive = "sum" in parts
gap = abs(parts["sum"] - parts["score"]).max() if additive else float("nan")
spread = parts.std(numeric_only=True)
display(Markdown(
    f"Largest gap between a score and the sum of its parts: {gap:.1e}. Over the patients the image's part varies by "
    f"{spread['image']:.2f} (standard deviation, in log-odds), the clinical part by {spread['clinical']:.2f}."
    if additive else f"With `{aggregator}` and `{fusion}` fusion the score is no sum of parts: nothing to add up."
))

# %% [markdown]
# ## 9 · Kept for the notebooks to come
#
# Weights are stored as plain numbers (safetensors) with a description in JSON: loading them executes nothing. The
# protocol holds every setting, so the federation in notebook 04 trains the same network on the same folds.

# %%
for name, result in results.items():
    weights, description = stage.output(f"models/{name}.safetensors"), stage.output(f"models/{name}.json")
    save_stack(result.trained, weights=weights, description=description)
stage.write_table("folds.parquet", fold_table[["patient_id", "repeat", "fold"]])
stage.write_table("oof.parquet", oof)
stage.write_table("training_curves.parquet", curves)
tuning = pd.concat([result.tuning for result in results.values()], ignore_index=True)
if len(tuning):
    stage.write_table("tuning.parquet", tuning)
protocol_file = stage.write_json("protocol.json", protocol.to_dict())

# %% [markdown]
# ## What we found

# %%
ranked = sorted(aucs, key=aucs.get, reverse=True)
display(Markdown(
    f"For patients left out of training, image and clinic together reach an AUC of **{aucs['sarcnet_pooled']:.2f}**, "
    f"the image alone {aucs['image_only']:.2f}, the clinical variables alone {aucs['clinical_only']:.2f}. "
    f"Ordered from best to worst: {'; '.join(label(name) for name in ranked)}. "
    f"The data are {stage.data_kind}; notebook 05 adds intervals and comparators."
))

# %% [markdown]
# **Limits.** Epochs, weight decay and size of the network, where not tuned, were set on other virtual cohorts, never on these
# patients, but they are settings all the same. Where deaths without metastasis are few, what the model says about them
# is mostly their average. One hazard serves both hospitals. The encoder knows photographs,
# not tumours, unless another one was chosen in notebook 02.
#
# **Next.** Here all patients lay in one place. In
# [04 · The patients stay, the model travels](04_federation.ipynb) they stay in their hospitals, and only weights travel.

# %%
stage.close()
