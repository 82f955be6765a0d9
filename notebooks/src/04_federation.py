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
#     settings: sarcnet.federated.settings:FederationSettings
# ---

# %% [markdown]
# # 04 · The patients stay, the model travels
#
# **Question.** In notebook 03 all patients lay in one place. Can two hospitals train the same model *without* either
# of them showing the other a single patient, and what does that cost?
#
# In this notebook we will
#
# - give each hospital a folder with its own patients, which only its own program opens,
# - let both agree on what to standardise with, by exchanging sums,
# - train by *federated averaging*: train at home, send the change of the weights, add the mean change, again,
# - compare the result with each hospital alone and with the pooled model, on the same folds,
# - read the ledger that was kept of every message: what left the hospitals, and what did not.
#
# The published study trained SarcNet with federated learning between the same two centres; how many rounds, which
# averaging and which software is not public. What follows is **our choice**, written as an app for
# [Flower](https://flower.ai), an open framework for federated learning.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of the run
rounds: int = 30  # how often the hospitals' models are averaged
local_epochs: int = 2  # passes over its own patients a hospital makes in one round
federation_engine: str = "ray"  # ray (Flower's simulation) or inprocess (the same app without Ray, for smoke runs)
message_dtype: str = "float16"  # type of a round's weights as they travel: float16 (half the bytes) or float32 (exact)
compared_strategies: list[str] = ["finetuned", "cyclic"]  # names, other strategies trained beside FedAvg
jobs: int = 2  # processor cores the simulation may use

# %%
import inspect
import json

import pandas as pd
import seaborn as sns
from flwr.simulation import run_simulation
from IPython.display import Code, Markdown, display
from matplotlib.figure import Figure

from sarcnet.cohort import Followup, endpoint_named
from sarcnet.compendium import Stage, hospital_colours
from sarcnet.evaluation import FailureLog, evaluation_set
from sarcnet.evaluation.calibration import agreement_table, agreements, deviations
from sarcnet.evaluation.metrics import auc_of, weight_table

# %%
from sarcnet.federated import FederationConfig, FederationSettings, LocalFederation, run_in_process, write_hospital
from sarcnet.federated.analysis import Rounds, compare_strategies, loss_curves, predict_rounds, score_by
from sarcnet.federated.app import Server, list_contents, make_client_app, traffic, train
from sarcnet.federated.privacy import attack_membership, inspect_gradient, merge_counts, suppressed_counts
from sarcnet.model import assemble_patients, predict_out_of_fold, read_bags, save_stack
from sarcnet.model.names import column_words, label
from sarcnet.model.training import Protocol

stage = Stage.open("04_federation", FederationSettings, vars())
log = FailureLog()  # keeps a sentence for what these patients cannot tell

# %% [markdown]
# ## 1 · A folder for each hospital
#
# We simulate: both hospitals are programs on this machine. To keep the simulation honest, each gets a folder with
# its own training patients, its own tile features and its own part of the folds, and its program is told the path
# of that folder and of no other. The server, which averages, gets no folder at all. Between real hospitals the same
# program would run, with the path written in the configuration of the hospital's own node.

# %%
protocol = Protocol.from_dict(json.loads(stage.input("03_model/protocol.json").read_text()))
display(Markdown(endpoint_named(protocol.outcome).note))
training = pd.read_parquet(stage.input("00_cohort/training.parquet"))
known = training.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
fold_table = pd.read_parquet(stage.input("03_model/folds.parquet"))
features = {path.stem: path for path in stage.inputs("02_features/features/*.h5").values()}

# %%
tables = {"patients": known, "slides": slides, "folds": fold_table, "features": features, "outcome": protocol.outcome}
hospitals = {
    centre: write_hospital(stage.dir / "hospitals" / centre, centre=centre, **tables) for centre in protocol.centres
}
held = {centre: ", ".join(sorted(path.name for path in folder.iterdir())) for centre, folder in hospitals.items()}
pd.DataFrame({"patients": known.groupby("centre").size(), "in the folder": pd.Series(held)})

# %% [markdown]
# The hospitals are of unequal size; remember that when we come to averaging.
#
# ## 2 · The plan
#
# Everything the hospitals must agree on is the *protocol* of notebook 03 (which variables, which network, which
# folds), the number of rounds, and how long each trains at home in a round. Fewer, longer rounds mean less traffic, but
# the hospitals' models drift further apart between two averages.
#
# Rounds × local epochs is the number of times each patient is seen. **Equally many views are not equal progress.** A
# training step is taken for each batch, and a hospital has fewer batches than all hospitals together; the average of the
# hospitals' steps counts as one; and the optimiser (AdamW) is reset in every round. After as many views as the pooled
# training has, the federation has learnt less, and its risks lie closer to each other. So the number of rounds is not
# derived from the epochs of the pooled training: it was chosen on other virtual cohorts, by a rule that was fixed before
# they were simulated ([how long to train](../docs/training-length.md)).

# %%
plan = FederationConfig(protocol, rounds=rounds, local_epochs=local_epochs, message_dtype=message_dtype)
display(Markdown(
    f"{rounds} rounds × {local_epochs} local epochs = {rounds * local_epochs} views of each patient "
    f"(pooled: {protocol.epochs}). {protocol.folds} folds × {protocol.repeats} repeats = {len(plan.members)} networks, "
    f"all in the same messages. " + plan.training_steps(known["centre"])
))

# %% [markdown]
# **Why all folds travel together.** A cross-validation trains one network for each fold and repeat. Flower's
# simulation runs each hospital in a process of [Ray](https://www.ray.io), which takes many seconds to start: one
# start for each fold would cost more than the training. As in notebook 03 all networks lie side by side in one array,
# members first, so one start and one message serve them all. Each network is still trained on its own training
# patients only, and averaged by its own numbers.
#
# **Why half the digits are enough.** Weights are computed with 24 binary digits, but travel with 11 (`float16`): the
# model goes out rounded, each hospital's *change* comes back rounded, and the server adds the changes to its own
# weights, which are never rounded. So errors do not pile up, and a message has half the size.
#
# **Why first some sums.** The network looks at *standardised* features, so both hospitals need one mean and one
# spread. Before the first round each sends, for every network, three numbers a feature: count, sum and sum of
# squares of its training patients. Added up they give exactly the pooled mean and spread. The number of patients
# and of metastases in each time interval, summed in the same way, gives the starting hazard.
#
# **Why weight by n.** In a round each hospital $k$ trains the model on its own patients and returns what this did to
# the weights, the change $\Delta_k$. The server adds the mean change,
#
# $$\theta \leftarrow \theta + \sum_k \frac{n_k}{\sum_j n_j}\,\Delta_k ,$$
#
# with $n_k$ the training patients (McMahan et al., AISTATS 2017). The pooled loss is a mean over *patients*, so a
# hospital counts for as many as it has; counting hospitals alike would make a patient of the smaller one weigh
# more. If each made a single plain gradient step on all its patients, this average would *be* the pooled
# step; a test of this repository holds us to that.
#
# **Why not Cox.** A patient's term in Cox's partial likelihood compares that patient with all others still at risk
# at that moment, those of other hospitals included: it cannot be written as a sum of hospitals' terms. The hazard in
# intervals that notebook 03 chose can, without loss (Andreux et al., arXiv 2006.08997).

# %% [markdown]
# **The program at a hospital** is a Flower `ClientApp`. It answers six questions of the server, and this is all it can be
# asked; `train` is asked in every round. Shown is the source of what runs below, and of what a hospital's node runs.

# %%
Code(inspect.getsource(make_client_app) + "\n\n" + inspect.getsource(train), language="python")

# %% [markdown]
# **The program at the server** is a Flower `ServerApp`. It waits for the hospitals, adds up their statistics, runs the
# rounds, and asks for two last sums.

# %%
Code(inspect.getsource(Server.app) + "\n" + inspect.getsource(Server.run), language="python")

# %% [markdown]
# Now both are handed to Flower. `run_simulation` is Flower's own: it starts a process of Ray for each hospital and
# carries the messages between them. Smoke runs take `run_in_process` instead, which calls the same two apps without Ray; the
# weights are equal to the last bit, which a test of this repository holds us to. `prepared` keeps Flower's log in a
# file and ends Ray's processes.

# %%
federation = LocalFederation(plan, hospitals=hospitals, rounds_folder=stage.dir / "rounds")
start = run_simulation if federation_engine == "ray" else run_in_process
with federation.prepared(federation_engine, cpus=jobs) as flower_settings:
    start(federation.server_app, federation.client_app, **flower_settings)
run = federation.result

# %% [markdown]
# Each round is kept as it ends: were the power to fail now, a second run would go on behind the last finished
# round. Where did the time go? Starting the programs is the price of simulating two hospitals on one machine; it is
# paid once, whatever the number of folds and rounds.

# %%
work = run.rounds.groupby("hospital")["seconds"].mean()
ended = int(run.rounds["round"].max())  # before the last planned round where early stopping is on
starting = run.seconds.get("ray start", 0.0) + run.seconds["meeting"]
display(Markdown(
    f"Starting: {starting:.1f} s (Ray {run.seconds.get('ray start', 0.0):.1f} s, then until both hospitals answered "
    f"{run.seconds['meeting']:.1f} s). Statistics: {run.seconds['statistics']:.1f} s. "
    f"{ended - run.resumed_after} rounds now, {run.resumed_after} from an earlier run: {run.seconds['rounds']:.1f} s. "
    f"A round's training: " + ", ".join(f"{name} {value:.2f} s" for name, value in work.items()) + "."
))

# %% [markdown]
# ## 3 · Better round by round?
#
# The server itself cannot tell: it has no patient. Each hospital reports two losses with its weights, on the patients
# it trained on and on those it held out. Because this is a simulation, we can do more and predict the held-out
# patients of *both* hospitals with the model of each round. The score is the AUC at the horizon: how often a patient
# with a metastasis by then has a higher risk than one without; 0.5 is a coin. Patients lost before the horizon are
# represented by those watched longer; notebook 05 explains this. It is averaged over the repeats.

# %%
bags = read_bags(features.values(), slides=slides, patient_ids=list(known["patient_id"]))
patients = assemble_patients(
    known, bags=bags, clinical_variables=protocol.clinical_variables, hazard_edges_months=protocol.hazard_edges_months
)


def auc_at_horizon(rows: pd.DataFrame) -> float:
    return auc_of(rows, horizon_months=protocol.horizon_months, log=log)


by_round = predict_rounds(run, patients, folds=fold_table)
oof = predict_out_of_fold(run.model, patients, folds=fold_table)
scores = score_by(by_round, by=["round"], outcome=known, score=auc_at_horizon)

# %% [markdown]
# Beside it we put the models of notebook 03: pooled, and each hospital alone. The folds are the same, so every model
# is asked about patients it has not seen, and about the same ones.

# %%
others = pd.read_parquet(stage.input("03_model/oof.parquet"))
compared = ["sarcnet_pooled", *(f"local_{centre}" for centre in protocol.centres)]
everybody = pd.concat([oof, others[others["model"].isin(compared)]], ignore_index=True)
overall = score_by(everybody, by=["model"], outcome=known, score=auc_at_horizon).set_index("model")["score"]
curves = pd.read_parquet(stage.input("03_model/training_curves.parquet"))
losses = loss_curves(run.rounds, curves, local_epochs=local_epochs)
sent_bytes_by_round = traffic(run.messages)

# %% [markdown]
# A figure of three panels. *Left*, the averaged model after each round, with the models of notebook 03 as lines: pooled is
# what could be had without borders, a hospital alone what it would have without the other.

# %%
blue, up_colour, down_colour = "#0072B2", "#D55E00", "#56B4E9"
fig = Figure(figsize=(11.5, 4.2), layout="constrained")  # shown once all panels are drawn
left, middle, right = fig.subplots(1, 3)
fig.get_layout_engine().set(w_pad=0.12)
fig.suptitle(f"{len(known)} patients of {len(protocol.centres)} hospitals, {len(plan.members)} networks", fontsize="medium")
sns.lineplot(scores, x="round", y="score", color=blue, marker="o", markersize=4, markeredgewidth=0, ax=left,
             label="federated, after the round")
alone = hospital_colours(compared[1:])
left.axhline(overall["sarcnet_pooled"], color="black", lw=1.2, label=f"pooled ({overall['sarcnet_pooled']:.3f})")
for name in compared[1:]:  # above the pooled model's line and broken, so that neither hides the other
    words = f"alone: {name.removeprefix('local_')} ({overall[name]:.3f})"
    left.axhline(overall[name], color=alone[name], ls="--", lw=1.6, zorder=3, label=words)
score_name = f"AUC at {protocol.horizon_months:g} months, out of fold"
left.set(xlabel="round", ylabel=score_name, xlim=(0.5, ended + 0.5), title="Tells patients apart")

# %% [markdown]
# *Middle*, the losses; pooled training is drawn at the same number of epochs. The federated losses are measured at each
# hospital after its own epochs, before averaging. *Right*, the messages: every round costs the same, there as well as back.

# %%
shades = {curve: blue if curve.startswith("federated") else "black" for curve in losses["curve"].unique()}
dashes = {curve: "" if "held-out" in curve else (1, 1) for curve in shades}
sns.lineplot(losses, x="round", y="loss", hue="curve", style="curve", palette=shades, dashes=dashes, ax=middle)
middle.set(xlabel="round (pooled: as many epochs)", ylabel="negative log-likelihood per patient", title="Learns")
mib = sent_bytes_by_round.pivot(index="round", columns=["hospital", "direction"], values="bytes") / 2**20
width = 0.8 / len(protocol.centres)
for k, name in enumerate(sorted(protocol.centres)):
    x, up = mib.index + (k - (len(protocol.centres) - 1) / 2) * width, mib[name, "from the hospital"]
    words = ["_", "_"] if k else ["from a hospital", "to a hospital"]
    right.bar(x, up, width * 0.9, color=up_colour, label=words[0])
    right.bar(x, mib[name, "to the hospital"], width * 0.9, bottom=up, color=down_colour, label=words[1])
right.set(xlabel="round (0: sums; last: evaluation)", ylabel="MiB in a round")

# %%
right.set_title(f"Crossed the wire\n(bars in each round: {', '.join(sorted(protocol.centres))})", fontsize="small")
for ax in (left, middle, right):
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
drawn = {"scores": scores, "overall": overall, "losses": losses, "traffic": sent_bytes_by_round}
stage.figure("F6_federation", fig, data=drawn,
             caption=f"Federated training round by round: n = {len(known)} patients, {len(protocol.centres)} "
                     f"hospitals, {len(plan.members)} networks in each message.")

# %% [markdown]
# **Round by round.** Down goes the common model, up comes each hospital's change to it, with the number of patients by
# which it is weighted. Watch the lengths of the changes: they shrink as the hospitals come to agree, or stay long where
# they pull in different directions.

# %%
steps = Rounds(
    run.rounds, scores=scores, traffic=sent_bytes_by_round, score_name=score_name,
    note=f"{stage.data_kind} data, {len(plan.members)} networks",
)
fig = steps.strip(sorted({1, (1 + ended) // 2, ended}))
stage.figure("F6_rounds", fig, data=run.rounds, caption="What the server sends and what each hospital sends back in some "
             "rounds, and the loss on each hospital's held-out patients.")
steps.panel()

# %% [markdown]
# The same by hospital. Each row is a model, each column the patients it is asked about; no model has been trained on
# the patients it is asked about.

# %%
by_hospital = score_by(everybody, by=["model", "centre"], outcome=known, score=auc_at_horizon)
table = by_hospital.pivot(index="model", columns="centre", values="score").assign(all=overall)
display(table.loc[["sarcnet_fedavg", *compared]].rename(index=label).round(3), Markdown(log.summary_text()))
weight_table({"training series": Followup.of(known)}, horizon_months=protocol.horizon_months)

# %% [markdown]
# The second table says what these AUCs rest on: how many patients are known to be cases or controls, and to how many
# equally weighted ones they amount (*effective*) after standing for those lost (notebook 05). A hospital that was not
# followed to the horizon is named above; its patients are then judged neither as cases nor as controls.

# %%
gap = overall["sarcnet_fedavg"] - overall["sarcnet_pooled"]
best_alone = overall[compared[1:]].fillna(0).idxmax()
n_judged = int(Followup.of(known).is_judged(protocol.horizon_months).sum())
for name, value in overall.items():
    stage.number(f"auc_{name}", value, n=n_judged, unit="AUC")
display(Markdown(
    f"Federated minus pooled: **{gap:+.3f}**. Federated minus the best single hospital ({label(best_alone)}): "
    f"**{overall['sarcnet_fedavg'] - overall[best_alone]:+.3f}**."
))

# %% [markdown]
# Small differences like these have an uncertainty, which notebook 05 computes; here we only look at their
# size.
#
# **Has it learnt as much?** The AUC sees the order of the risks only, and the order is found early. How far the risks
# have moved apart is seen by the *slope* of the calibration line: above 1 they still lie too close to each other, below 1
# they lie too far apart. *O/E* is the observed over the mean predicted risk; the Brier score, smaller is better, looks at
# order and numbers at once. Notebook 05 explains them.

# %%
some = by_round[by_round["round"].isin({1 + (ended - 1) * part // 4 for part in range(4)})]
at_rounds = some.assign(model=[f"after round {number:02d}" for number in some["round"]])
judged = evaluation_set("cross-validation", known, pd.concat([oof, others, at_rounds], ignore_index=True))
calibrated = agreements([judged], horizon_months=protocol.horizon_months, level=0.95, log=log)
numbers = agreement_table(calibrated).set_index("model").drop(columns=["series", "n", "events"])
display(numbers)

# %%
finished = [made for made in calibrated if not made.model.startswith("after round")]
for made in finished:
    bounds = {"low": made.slope.low, "high": made.slope.high} if made.enough else {}
    stage.number(f"slope_{made.model}", made.slope.value, **bounds, n=made.n, unit="calibration slope")
    stage.number(f"brier_{made.model}", made.brier, n=made.n, unit="Brier score")
display(Markdown(f"What the 95 % intervals show. {deviations(finished)}"))

# %% [markdown]
# **Could the hospitals have found this AUC themselves?** Yes, without a simulation. Each predicts its own held-out
# patients and sends two histograms of risk: patients with a metastasis by the horizon, and patients without. Added
# up, they give the AUC of the binned risks, and with it bounds for the AUC itself. The correction for patients lost
# early depends on each hospital's own follow-up, so nothing else needs to be sent.

# %%
area, off = run.evaluation.auc
stage.number("auc_from_histograms", area, low=area - off, high=area + off, n=n_judged, unit="AUC")
display(Markdown(
    f"From histograms: {area:.3f}, within {off:.3f} either way. From all patients in one place: "
    f"{overall['sarcnet_fedavg']:.3f}."
))

# %% [markdown]
# ## 4 · Other ways to combine
#
# Averaging is one strategy among many. Each below gives every patient as many views as FedAvg does. *cyclic*: one
# model goes from hospital to hospital, in turn (Chang et al., JAMIA 2018). *finetuned*: for the last fifth of the
# rounds each hospital trains the common model on its own, and predicts its own patients with its own model. The list
# is a parameter; fedprox, fedadam, fedyogi, scaffold and two robust means are ready. As Ray has been started once, these run
# without it.

# %%
others_run = compare_strategies(
    plan, compared_strategies, hospitals=hospitals, rounds_folder=stage.dir / "rounds", patients=patients, folds=fold_table
)
ways = pd.concat([oof, others_run.oof], ignore_index=True)
way_scores = score_by(ways, by=["model", "centre"], outcome=known, score=auc_at_horizon)
strategies = way_scores.pivot(index="model", columns="centre", values="score")
strategies["all"] = score_by(ways, by=["model"], outcome=known, score=auc_at_horizon).set_index("model")["score"]
sent_bytes = {"sarcnet_fedavg": int(run.messages["bytes"].sum()), **others_run.bytes}
strategies.assign(MiB=pd.Series(sent_bytes) / 2**20).rename(index=label).round(3)

# %% [markdown]
# One cohort with one seed: read this as "about alike" or "clearly worse", not as a ranking. We did not choose among
# strategies by these numbers; FedAvg was fixed beforehand. Where the hospitals' models differ, *all* mixes risks of
# two models, and the columns by hospital are the fairer ones.
#
# ## 5 · The message ledger
#
# The server writes down every array, number and setting of every message as it passes. As all messages go through it,
# the ledger is complete. First the sizes: one row for each kind of array that a hospital *sends*.

# %%
travels = list_contents(run.messages, shape=run.model.network.shape, repeats=protocol.repeats)
sent = travels[(travels["direction"] == "from a hospital") & (travels["axes"] != "a single value")]
sent.set_index(["message", "name"])[["axes", "shape", "bytes"]]

# %% [markdown]
# Read the column *axes*: every array has the networks ("member") first, and after that only axes of the network:
# features, embedding, intervals. **No axis counts patients or tiles.** The program at the hospital checks that before
# anything is sent and refuses otherwise; a test fails if it should ever not.

# %%
total = run.messages["bytes"].sum() / 2**20
per_round = sent_bytes_by_round[sent_bytes_by_round["round"] == 1].groupby("direction")["bytes"].mean() / 2**20
stage.number("traffic_mib", total, unit="MiB")
display(Markdown(
    f"In all {total:.1f} MiB crossed the wire. In a round a hospital received {per_round['to the hospital']:.2f} MiB "
    f"and sent {per_round['from the hospital']:.2f} MiB, for {len(plan.members)} networks: "
    f"{1024 * per_round['from the hospital'] / len(plan.members):.0f} KiB for each."
))

# %% [markdown]
# **What was not sent:** slides, tiles, features of tiles, clinical values, outcomes, names, predictions. When a
# hospital's program fails, even the sentence it sends has its patients' names taken out.
#
# **And Table 1?** A paper begins with a table of who the patients are. Its counts can be added over hospitals as well, but
# a count of two may point at two persons. So each hospital hides its counts from 1 to 4 before it sends them, and where
# one hidden count could be told by subtraction, the next smallest with it.

# %%
sent_counts = {
    name: suppressed_counts(pd.read_parquet(folder / "patients.parquet"), "sex", "site", "histotype")
    for name, folder in hospitals.items()
}
merged = merge_counts(sent_counts, patients=known.groupby("centre").size().to_dict())
shown = pd.DataFrame(sent_counts).astype("Int64").astype(object).fillna("hidden").join(merged)
shown.rename(index=lambda name: name.replace("_", " "))

# %% [markdown]
# *low* and *high* are what is known of the sum: equal where no hospital hid its count, and bounds where one did. The true
# sum always lies between them, which a test of this repository holds us to.
#
# ## 6 · What can still be inferred
#
# Not sharing patients is not the same as revealing nothing.
#
# - With *two* hospitals each can subtract its own contribution from an average and is left with the other's. Hiding
#   contributions in a sum (secure aggregation) needs at least three hospitals to help; then `FederationConfig(secure_sum=True)`
#   lets the server read sums only, and with two it refuses.
# - The statistics are sums over groups of patients. The groups of two folds differ by one fold, so the difference
#   of two sums is the sum over one fold: mean features of a few dozen patients. With many repeats, or folds of very
#   few patients, such differences come down to small groups. Counts of metastases in an interval, and of held-out
#   patients in a bin of risk, can be small numbers.
# - Weights remember. Let us try that. Somebody who has a patient's record asks: *was this patient trained on?* The
#   guess is the model's loss, which tends to be lower for a trained patient (Yeom et al., CSF 2018).

# %%
attack = attack_membership(run.model, patients, folds=fold_table)
stage.number("membership_auc", attack.auc, n=len(known), unit="AUC")
display(Markdown(
    f"A trained patient has a lower loss than a held-out one in **{100 * attack.auc:.0f} %** of pairs (50 % is a coin; "
    f"{attack.trained} trained and {attack.heldout} held-out losses over {len(run.model.members)} networks)."
))

# %% [markdown]
# And an *update* can say more than a model. Suppose a hospital took one step on a single patient and sent it. The
# change of the clinical weights is one number, the error, times the patient's standardised values: whoever sees the
# update divides, and reads the record. From a step on many patients only a mixture comes out.

# %%
read_off = inspect_gradient(run.model, patients, row=0, group=min(32, len(patients)))
words = {"from_one": "from one patient", "from_group": "from a group"}
read_off["column"] = read_off["column"].map(column_words)
read_off.rename(columns=words).set_index("column").round(2).head(8)

# %% [markdown]
# *true* are the first patient's standardised values, *from one patient* is read off a step on this patient alone,
# *from a group* by the same division off a step on up to 32 patients: it is a mixture of theirs. This is why a hospital
# trains whole epochs on all its patients before it answers.
#
# Only deliberate noise (differential privacy) bounds what can be learnt, at a price. The package can add it at the
# hospital, where it protects a *patient*, or at the server, where it protects a *hospital's* part, and accounts for
# it (`sarcnet/federated/privacy/accountant.py`); `make privacy-tradeoff` draws the price. Nothing in this run
# has such noise: do not call this federation "private" without saying what against.
#
# ## 7 · Kept for the notebooks to come

# %%
weights, description = stage.output("models/sarcnet_fedavg.safetensors"), stage.output("models/sarcnet_fedavg.json")
save_stack(run.model, weights=weights, description=description)
by_hospital_and_round = run.rounds.drop(columns="seconds").merge(scores[["round", "score"]], on="round")
kept = {"oof": oof, "messages": run.messages, "rounds": by_hospital_and_round, "strategies": ways}
for name, frame in kept.items():
    stage.write_table(f"{name}.parquet", frame)

# %% [markdown]
# ## What we found

# %%
display(Markdown(
    f"Without sharing a patient, {' and '.join(protocol.centres)} trained a model with an AUC of "
    f"**{overall['sarcnet_fedavg']:.3f}** on patients left out; pooled it was {overall['sarcnet_pooled']:.3f}, alone "
    + ", ".join(f"{overall[name]:.3f} ({name.removeprefix('local_')})" for name in compared[1:])
    + f". It took {ended} rounds and {total:.1f} MiB. The data are {stage.data_kind}."
))

# %% [markdown]
# ## Limits
#
# One machine stands for two hospitals: networks that fail, clocks, firewalls and people are missing here.
# `make federation` trains this model with separate programs, keys and certificates, and
# `make fault-injection` breaks them on purpose. Both hospitals answer every round, or the
# run ends with a
# sentence. The folds are dealt by one rule at both hospitals; which patient is in
# which fold never leaves. The number of rounds was chosen on other virtual cohorts ([how long to
# train](../docs/training-length.md)), never on these patients. It suits hospitals of this size: smaller ones take fewer
# steps in a round and need more rounds.
# How federated and pooled training compare with more hospitals, or with hospitals less alike than these, is not shown
# here but in [docs/heterogeneity.md](../docs/heterogeneity.md), on simulated features.
#
# ## Next
#
# [05 · Is it better, and how sure are we?](05_evaluation.ipynb) sets all models beside the pathologist's grade, with
# intervals, and opens the validation series.

# %%
stage.close()
