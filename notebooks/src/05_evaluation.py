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
#     settings: sarcnet.evaluation.settings:EvaluationSettings
# ---

# %% [markdown]
# # 05 · Is it better, and how sure are we?
#
# **Question.** Does the multimodal model tell the patients who will develop metastases from those who will not better
# than the grade and a clinical score do, does federation cost anything, and what can so few patients prove at all?
#
# In this notebook we will
#
# - define the yardstick: an AUC at five years that copes with patients who left early or died of something else,
# - set comparators beside the models: the FNCLCC grade, and a Cox model refitted on the variables of the Sarculator's
#   metastasis nomogram,
# - give every AUC, and every *difference* between two, an interval, by resampling patients,
# - open the validation series, which no notebook before this one may read,
# - ask for whom it works, whether the risks are true as numbers, and whether they would change a decision.
#
# The published study reports cross-validated AUCs of 0.797 (95 % interval 0.762–0.833) for SarcNet, 0.778
# (0.743–0.814) for the Sarculator and 0.706 (0.670–0.743) for the grade, and says of the validation series only that
# SarcNet was "still on-par" (abstract, Scientific Reports, 21 October 2025). Its outcome is called 5-year metastasis-free
# survival; whether death counts is not said. Those are real patients; ours are named on every figure.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of the resamples
bootstrap_samples: int = 2000  # resamples of the patients
interval_level: float = 0.95  # coverage of the intervals
noninferiority_margin_auc: float = 0.0095  # AUC that federation may lose: half of the paper's gain over the Sarculator
high_risk_share: float = 0.5  # share of training patients called high risk
calibration_groups: int = 4  # groups of patients by predicted risk
treatment_thresholds: list[float] = [0.3, 0.4, 0.5]  # predicted risks at which chemotherapy might be offered

# %%
import json
from hashlib import sha256

import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display
from lifelines import CoxPHFitter
from matplotlib.figure import Figure

from sarcnet.cohort import endpoint_named
from sarcnet.compendium import Stage
from sarcnet.evaluation import EvaluationSettings, Resampling, compare_models, evaluation_set, merge
from sarcnet.evaluation.comparators import fitted_comparator, for_new_patients, in_time, out_of_fold
from sarcnet.evaluation.validation import mean_risks, member_risks, risks_in_time

# %%
from sarcnet.evaluation.calibration import agreement_table, agreements, calibration_of, change, deviations
from sarcnet.evaluation.clinical_value import benefit_gains_of, decisions_of, gains_readable, gains_text, thresholds_of
from sarcnet.evaluation.figures import draw_calibration, draw_decision, draw_forest, draw_subgroups, draw_survival
from sarcnet.evaluation.metrics import accuracy_intervals, auc_in_time, brier_table, metrics_table, weight_table
from sarcnet.evaluation.report import facts, validation_sentence, write_report, write_tables
from sarcnet.evaluation.sensitivity import censoring_table, delong_table, instability_table, weightings, without_image
from sarcnet.evaluation.subgroups import cut_off, fates, judge_subgroups, moves_of, survival_of
from sarcnet.evaluation.tables import PAPER_NOTE, only, readable, threshold_text, with_p
from sarcnet.features import count_tiles
from sarcnet.federated.analysis import before_and_after, hospital_of, recalibrate
from sarcnet.model.names import label

stage = Stage.open("05_evaluation", EvaluationSettings, vars())
resampling = Resampling(samples=bootstrap_samples, level=interval_level, seed=seed)
log = resampling.log  # keeps a sentence for whatever these patients cannot tell

# %%
has_truth = stage.produced("00_cohort/truth/patients.parquet")
if has_truth:  # the simulation is loaded for simulated patients only
    from virtual_cohort.experiments.headroom import best_without_slide, headroom_text, oracle_risks, share_of_headroom
    from virtual_cohort.experiments.negative_controls import PROMISES, verdicts
    from virtual_cohort.experiments.oracle_ablation import ablate, ladder_of, mean_features

# %% [markdown]
# ## 1 · Predictions for patients left out
#
# Every risk that we judge was predicted for a patient who took no part in making the model: in the training series
# by the folds of notebook 03, which notebook 04 used too. A model judged on its own training patients would look
# splendid and prove nothing.

# %%
protocol = json.loads(stage.input("03_model/protocol.json").read_text())
horizon_months, endpoint = protocol["horizon_months"], endpoint_named(protocol["outcome"])
analysis_plan = sha256(stage.source("docs/statistical-analysis-plan.md").read_bytes()).hexdigest()
display(Markdown(f"{endpoint.note}\n\nThe comparisons are those of this compendium's [statistical analysis plan]"
                 f"(../docs/statistical-analysis-plan.md), SHA-256 `{analysis_plan}`, which the record of this run holds."))
training = pd.read_parquet(stage.input("00_cohort/training.parquet"))
known = training.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)
folds = pd.read_parquet(stage.input("03_model/folds.parquet"))
networks = [pd.read_parquet(stage.input(f"{name}/oof.parquet")) for name in ("03_model", "04_federation")]

# %% [markdown]
# **The comparators** learn under the same rules. The *FNCLCC grade* (1 to 3) is a score as it stands. The *Sarculator*
# has two nomograms (Callegaro et al., Lancet Oncology 2016): the one for distant metastases is a Fine–Gray model of
# size, grade and histotype, and age belongs to the other, for overall survival. Its coefficients are not available to
# us. So we fit, on each training fold, **a Cox model refitted on the variables of the Sarculator's metastasis
# nomogram**: the cause-specific hazard of metastasis, with the root of the size, since the hazard flattens for large
# tumours (Cates 2018). Together with the hazard of death without metastasis it gives the cumulative incidence, which is
# what SarcNet predicts. This model is not the Sarculator.
#
# Two more rows show what the three variables leave out: the same model with age, and a Cox model on all clinical
# variables that SarcNet has. Only in these two does death depend on age; in the first it is the same for everybody, so
# that nothing but the three variables enters. Missing values are treated as in SarcNet (the mean of the training fold
# and an indicator), and the ridge penalty is chosen by cross-validation within the training fold.

# %%
clinical = {"horizon_months": horizon_months, "seed": seed, "clinical_variables": protocol["clinical_variables"]}
rivals = out_of_fold(known, folds, **clinical, log=log)
predictions = pd.concat([*networks, rivals], ignore_index=True)
if has_truth:
    truth = pd.read_parquet(stage.input("00_cohort/truth/patients.parquet"))
    oracle = oracle_risks(truth, known)
    repeats = [oracle.assign(repeat=number, fold=-1) for number in folds["repeat"].unique()]
    predictions = pd.concat([predictions, *repeats], ignore_index=True)
crossed = evaluation_set("cross-validation", known, predictions)
described = predictions.groupby("model", sort=False)["risk"].describe()[["count", "mean", "std", "min", "max"]]
described.rename(index=label).round(3).astype({"count": int})

# %% [markdown]
# Cox models come from `lifelines` elsewhere. Choosing the penalty takes thirty fits per fold, so the comparators are fitted
# by a routine of their own that is seventy times as fast. On the first fold both are fitted, and the notebook stops where
# their coefficients (log hazard ratios per standard deviation) differ by more than 0.02, which tied times can make up.

# %%
first = folds.query("repeat == 0 and fold == 0")["patient_id"]
columns, fast = fitted_comparator(known[~known["patient_id"].isin(first)], seed=seed)
lifelines_cox = CoxPHFitter(penalizer=fast.penalty).fit(columns, duration_col="months", event_col="event")
assert np.allclose(lifelines_cox.params_, fast.weights, atol=0.02)
lifelines_cox.summary[["coef", "se(coef)", "exp(coef)"]].assign(comparator=fast.weights).round(3)

# %%
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
features = {path.stem: path for path in stage.inputs("02_features/features/*.h5").values()}
with_tiles = [slide for slide, path in features.items() if count_tiles(path)]
imaged = known["patient_id"].isin(slides.loc[slides["slide_id"].isin(with_tiles), "patient_id"]).to_numpy()
without = log("image only", without_image, crossed, imaged, horizon_months=horizon_months)
display(Markdown(without or "Nothing can be said of the patients without an image: see the end."))

# %% [markdown]
# One row a model; *count* is patients times repeats. The grade is no probability, so its mean is a grade. Where
# patients are simulated, the **oracle** stands last: the true probability by which each patient's fate was drawn. No
# model can be better than the oracle, except by luck.
#
# ## 2 · An AUC at five years
#
# The AUC answers: of one patient who had a metastasis within five years and one who had not, how often does the first
# have the higher predicted risk? A coin scores 0.5. Three kinds of patient make it less simple than that.
#
# - *Watched for five years*, or metastasis before: we know the answer.
# - *Died without metastasis* before five years: had no metastasis, and counts as such (Blanche et al., Statistics in
#   Medicine 2013, definition ii).
# - *Lost before five years*: we do not know. Leaving such patients out (the *naive* AUC) biases the result, even when
#   leaving has nothing to do with the risk: a metastasis that came early was seen before the patient could be lost. So
#   those who stayed are given more weight, one over the probability of staying that long: *inverse probability of
#   censoring weighting*. The probability is a Kaplan–Meier estimate on the series that is judged, in each hospital.

# %%
fate = fates(known, horizon_months=horizon_months, endpoint=endpoint).rename("known of the patient")
display(pd.crosstab(known["centre"], fate, margins=True))
weight_table({"cross-validation": crossed.followup}, horizon_months=horizon_months)

# %% [markdown]
# Above, what is known of each patient of the training series; below, what the weights make of it. The *effective*
# number is the number of equally weighted patients that would say as much (Kish 1965): where it is far below the number
# counted, an AUC depends on few. The weights of all patients judged add up to their number (*sum of weights*, as a share
# of it). A hospital that was not followed to the horizon would give cases and no controls; its patients are then left
# out on both sides, and a sentence says so.
#
# ## 3 · How sure? Resampling patients, in pairs
#
# With other patients the AUC would have come out differently. The **bootstrap** imitates that: draw as many patients
# again from those at hand, with replacement, within each hospital and kind of outcome, and compute the AUC anew,
# thousands of times. The spread of these values gives the interval (BCa, Efron 1987, which mends bias and skew). All
# models are judged on the *same* resamples, and so a difference between two models, which see the same easy and hard
# patients, is known much better than either AUC. Two intervals that overlap do not show that models are alike: look at
# the interval of the difference.
#
# Is an interval as good as its name? In simulated studies the truth is known, so one can count how often it lies
# inside: `make interval-coverage` counts, at any number of patients and for five kinds of interval, and
# [docs/inference.md](../docs/inference.md) holds what it counted for the sizes of demo and study.

# %%
setting = {"horizon_months": horizon_months, "resampling": resampling}
model = crossed.primary_model
centres = [crossed.for_centre(name) for name in sorted(known["centre"].unique())]
judged = compare_models([crossed], **setting)
by_centre = compare_models(centres, **setting)
log.add(*judged.failures, *by_centre.failures)
resampled = judged.results.get("cross-validation")
crossed_table = readable(judged.table)
crossed_table = with_p(crossed_table, resampled, primary_model=model) if resampled else crossed_table
display(crossed_table, Markdown(judged.warnings))

# %% [markdown]
# Cross-validated AUCs with intervals, what the paper reports for its real patients, and the difference between the
# model in question and each other. The paper's column is about other patients and is not meant to agree: the virtual
# cohort was calibrated on its figures for the grade and the clinical score, never on SarcNet's. *Mean over folds* is the
# mean AUC within a fold, where all patients are judged by the same model. The interval belongs to the AUC with the folds
# pooled, which also compares patients of different folds, so the two need not agree. *P* and the interval of a difference
# come from the same resamples and agree: P is below 0.05 exactly where the 95 % interval excludes 0.
#
# **One primary comparison.** With so many models some P value is small by chance. The
# [statistical analysis plan](../docs/statistical-analysis-plan.md) therefore names one comparison beforehand: the federated
# multimodal model minus the clinical comparator, cross-validated, in the profile `study`. All other P values are
# exploratory; in other profiles the same comparison is shown, and makes no claim.
#
# **Does federation cost anything?** "No significant difference" would be a poor answer, as few patients never show
# one. The plan asks second, and only if the primary comparison is won: can a loss as large as a margin be ruled out? The
# margin is half of what the published model gained over the Sarculator, (0.797 − 0.778) / 2 = 0.0095, so that a
# federated model within it keeps at least half of that gain. Whether it is also at most half of the gain observed here is
# checked below.

# %%
plan = {"margin": noninferiority_margin_auc, "hospitals": known["centre"].nunique()}
display(Markdown("\n\n".join(judged.statements(**plan))))

# %% [markdown]
# **How much of what could be won was won?** We count from the best model without a slide, since what clinical variables
# tell is no merit of the slide, up to the oracle, which knows the true risk. A share of this room is a ratio of two
# uncertain differences, so its interval (Fieller 1954) is wide, or does not exist.

# %%
base = best_without_slide(resampled) if has_truth and resampled else ""
if base:
    room, won = resampled.difference("oracle", base), resampled.difference(model, base)
    share = share_of_headroom(resampled, model=model, base=base, oracle="oracle")
    stage.number("headroom", room.value, low=room.low, high=room.high, n=len(crossed), unit="AUC")
    stage.number("share_attained", share.value, **share.bounds, n=len(crossed), unit="share of the headroom")
    display(Markdown(f"Room above {label(base)}: {room}. Won by {label(model)}: {won}. "
                     f"{headroom_text(share, level=interval_level, base=base)}"))

# %% [markdown]
# **Where is the rest lost?** Between SarcNet and the oracle we set Cox models that are spared one difficulty each. *Cox,
# patterns as read* knows which six patterns matter and has them read by a ridge regression from SarcNet's own features;
# *Cox, true patterns* is told what they really are. Both have all clinical variables as well, learn on the same folds,
# and have their ridge penalty chosen within them. What is still missing then is the price of learning from so few
# patients, together with what is not among the variables.

# %%
if base:
    means, seen = mean_features(known, slides=slides, feature_files=features)
    climbed, read = ablate(known, folds, truth=truth, features=means, seen=seen, horizon_months=horizon_months,
                           variables=protocol["clinical_variables"], seed=seed, log=log)
    rungs = evaluation_set("cross-validation", known, pd.concat([predictions, climbed], ignore_index=True))
    ladder_judged = compare_models([rungs], **setting).results["cross-validation"]

# %% [markdown]
# Left, the way up from the three variables over all clinical variables to the oracle, each step called a gain or a loss
# only where its interval says so; right, how well each pattern can be read from the features (R² for patients left
# out), and how much AUC Cox loses when it is told all patterns but this one.

# %%
if base:
    ladder = ladder_of(ladder_judged, read, model=model, truth=truth, n=len(crossed), level=interval_level)
    stage.figure("F7_ladder", ladder.figure, data={"steps": ladder.steps, "patterns": ladder.patterns},
                 caption="From three clinical variables to the oracle: cross-validated AUC and the interval of each step; "
                 "what each pattern is worth.")
    for row in ladder.steps.itertuples():
        stage.number(f"step_{row.to}", row.difference, low=row.low, high=row.high, n=len(crossed), unit="AUC")
    display(Markdown(ladder.sentence))

# %% [markdown]
# ## 4 · The validation series
#
# In this run everything is decided: the models, their settings, the cut-off, the comparisons. Only now do we open the
# outcomes of the validation series. No network has seen these patients, so each network of a model may predict them, and
# we average over all of them. The comparators are refitted on the whole training series.
#
# Later patients of the same hospitals test whether the models last; patients of other hospitals, whether they travel.
# The weights for lost patients are estimated on the validation series itself: how patients were lost is a property of
# the series that is judged, nothing that the models learn, and later patients are usually watched for less time. A
# cohort without such patients goes on without them.

# %%
validation = pd.read_parquet(stage.input("00_cohort/validation.parquet"))
later = validation.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
feature_files = list(stage.inputs("02_features/features/*.h5").values())
homes = {model: frame for frame, home in zip(networks, ("03_model", "04_federation"), strict=True)
         for model in dict.fromkeys(frame["model"], home).items()}
stacks = {
    name: tuple(stage.input(f"{home}/models/{name}.{ending}") for ending in ("safetensors", "json"))
    for name, home in homes
}

# %% [markdown]
# Each stored stack is loaded from plain numbers and predicts; the comparators and, where there is one, the oracle join
# in.

# %%
of_networks = member_risks(stacks, later, slides=slides, feature_files=feature_files)
risks = mean_risks(of_networks, later)
fresh = for_new_patients(known, later, **clinical, log=log)
true_risks = [oracle_risks(truth, later)] if has_truth else []
validation_predictions = pd.concat([risks, fresh, *true_risks], ignore_index=True)
held = evaluation_set("validation", later, validation_predictions)
later_centres = [held.for_centre(name) for name in sorted(later["centre"].unique())]
held_out = compare_models([held], **setting)
held_by_centre = compare_models(later_centres, **setting)
log.add(*held_out.failures, *held_by_centre.failures)
validation_table = readable(merge(held_out, held_by_centre).table)
whose = validation_sentence(crossed, held, kind=stage.data_kind)
display(Markdown(whose), validation_table, Markdown(held_out.warnings))
at_risk = {item.name: item.followup for item in (held, *later_centres) if len(item)}
weight_table(at_risk, horizon_months=horizon_months)

# %% [markdown]
# With fewer patients, intervals are wider. The published validation series had 93 and 124: the AUC of one model is then
# known to about ±0.07 only. A difference between two models judged on the same patients is known better: of simulated
# series of that size nine in ten show the difference between the clinical score and the grade, which is 0.08 there
# ([docs/inference.md](../docs/inference.md)). A gain as small as the published one over the Sarculator, 0.019, is shown by
# about one in eight.

# %%
display(Markdown("\n\n".join(held_out.non_inferiority(**plan))))
for name, gap, n in merge(judged, held_out).planned_differences:
    stage.number(name, gap.value, **gap.bounds, n=n, unit="AUC")

# %%
everything = merge(judged, held_out)
table = everything.table
if len(table):
    figure = draw_forest(table)
    stage.figure("F7_auc", figure, data=table, caption="AUC at 5 years of every model, cross-validated and on the validation "
                 f"series, with {interval_level:.0%} bootstrap intervals, and the paper's numbers on real patients.")

# %% [markdown]
# Read a panel from below: the oracle marks the ceiling, the grade the floor that clinicians have today. Above the Cox
# models and *clinical only*, which see no slide, lies what a model with slides can win.
#
# **Controls.** Some simulated cohorts are made so that something must *not* be found. A method that finds it there
# finds too much everywhere. That nothing is there is shown by an upper bound below a margin, for with few patients every
# interval reaches zero. Where the interval is too wide for that, the table says how many patients it would take.

# %%
card = stage.produced("00_cohort/control.json")
control = json.loads(stage.input("00_cohort/control.json").read_text())["control"] if card else "none"
if control != "none" and resampled:
    kept = verdicts(control, crossed=resampled, held=held_out.results.get("validation"), n=len(crossed))
    display(Markdown(f"This cohort is the control `{control}`. {PROMISES[control]}"), kept.style)
else:
    display(Markdown("This cohort is no control; `make reproduce PROFILE=no_signal` (or shuffled, confounded) runs one."))

# %% [markdown]
# ## 5 · For whom?
#
# A model may do well in the pooled series merely because it can tell the hospitals apart and one of them has more
# metastases; or because it knows that large tumours are dangerous, and nothing besides. So we look inside each
# hospital and inside subgroups, and ask whether the gain over the clinical score is the same in all of them.

# %%
rival = "sarculator_variables" if "sarculator_variables" in crossed.risks else "fnclcc_grade"
subgroups = judge_subgroups(crossed, model=model, other=rival, **setting)
log.add(*subgroups.failures)
if len(subgroups.rows):
    figure = draw_subgroups(subgroups, model=model, other=rival, level=interval_level)
    stage.figure("F7_subgroups", figure, data=subgroups.rows, caption="Cross-validated AUC in hospitals and subgroups, and "
                 "its difference from the clinical model's, with tests of heterogeneity (Cochran's Q).")

# %% [markdown]
# Left, how well the model tells patients of one kind apart; right, how much better than the clinical score. The *P* asks
# whether the gain is the same in all rows of its kind. These tests are exploratory: with few patients they seldom say no, and
# in three to four of ten simulated studies in which nothing was to be found one of them said so
# ([docs/inference.md](../docs/inference.md)). Subgroups with fewer than ten cases or controls are left out, and named at
# the end.
#
# ## 6 · At other horizons, with other measures
#
# Five years is a convention. The same risks, judged at other horizons, must not fall apart; and the **Brier score**,
# the mean squared distance between risk and fate, looks at order and numbers at once. It is drawn for the validation
# series of later patients, at the edges of the hazard's intervals, where each model has a risk of its own; the dashed line
# is a model that tells everybody the same.

# %%
everyone = [item for item in (crossed, held) if len(item)]
sizes = {"cross-validation": len(crossed), "validation": len(held)}
compared = [name for name in (model, "sarculator_variables", "fnclcc_grade") if name in crossed.risks]
months = [month for month in (12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 72.0) if month <= horizon_months + 12]
few = resampling.at_most(1000)
aucs_in_time = auc_in_time(crossed, compared, months=months, resampling=few)
hazard_edges = [month for month in protocol["hazard_edges_months"] if month <= horizon_months]
own_risks = [
    risks_in_time({name: stacks[name] for name in compared if name in stacks}, later, slides=slides,
                  feature_files=feature_files),
    in_time(known, later, months=hazard_edges, seed=seed, log=log),
]
brier = brier_table(held, pd.concat(own_risks), models=compared, log=log)

# %%
figure = Figure(figsize=(5.6 * (1 + bool(len(brier))), 4.0))  # shown once both panels are drawn
axes = figure.subplots(1, 1 + bool(len(brier)), squeeze=False)
names = [label(name) for name in dict.fromkeys([*aucs_in_time["model"], *brier["model"]])]
colours = dict(zip(names, sns.color_palette(), strict=False))
shown = aucs_in_time.assign(model=aucs_in_time["model"].map(label))
sns.lineplot(shown, x="months", y="auc", hue="model", palette=colours, marker="o", ax=axes[0][0])
for name, own in shown.groupby("model"):
    axes[0][0].fill_between(own["months"], own["low"], own["high"], color=colours[name], alpha=0.12, linewidth=0)
axes[0][0].axhline(0.5, color="0.6", linewidth=1, linestyle=":")
axes[0][0].axvline(horizon_months, color="0.6", linewidth=1, linestyle=":")
axes[0][0].set(xlabel="horizon (months)", ylabel=f"AUC at that horizon ({interval_level:.0%} band)", ylim=(None, 1.0),
               title=f"cross-validation, n = {len(crossed)}")

# %% [markdown]
# Beside it, where there is a validation series, the Brier score of each model at the edges of the hazard's intervals.

# %%
for ax in axes[0][1:]:
    for name, own in brier.groupby("model", sort=False):
        sns.lineplot(own, x="months", y="brier", marker="o", color=colours[label(name)], ax=ax,
                     label=f"{label(name)}, mean {own['integrated'].iloc[0]:.3f}")
    same = brier[brier["model"] == brier["model"].iloc[0]]
    sns.lineplot(same, x="months", y="same", color="0.5", linestyle="--", ax=ax,
                 label=f"the same risk for everybody, mean {same['integrated_same'].iloc[0]:.3f}")
    ax.set(xlabel="horizon (months)", ylabel="Brier score (0 is perfect)", ylim=(0, None),
           title=f"validation, n = {len(held)}")
for ax in axes[0]:
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below: nothing drawn is covered
if len(aucs_in_time):
    stage.figure("F8_horizons", figure, data={"auc": aucs_in_time, "brier": brier}, caption="AUC at each horizon, "
                 "cross-validated, with pointwise bands; Brier score in time on the validation series.")

# %% [markdown]
# An early horizon has fewer metastases, a late one fewer patients still watched: both widen the band. And in numbers, at
# the horizon of the study:

# %%
numbers = metrics_table(crossed, horizon_months=horizon_months, log=log)
weighting = weightings(everyone, model=model, horizon_months=horizon_months, training=crossed.followup)
display(numbers.style.format(precision=3, na_rep="–"), weighting.style.format(precision=3, na_rep="–"))

# %% [markdown]
# A dash: the grade is no probability, so it has no Brier score.
#
# *Naive* leaves the lost out. It differs from the weighted AUC even when patients are lost independently of their risk,
# so a difference does not show why they left; and when leaving depends on the risk itself, both are biased. Harrell's C
# depends on how long patients happened to be watched, Uno's does not. *Prediction accuracy* is the share by which the
# Brier score is better than that of telling everybody the same: 0 is useless, 1 perfect. The second table judges the
# mean risk over the repeats of one model in three ways. The weights of the training series are there to show how much
# depends on them: for a series that was watched for less time they do not add up to its patients (last column, 1 is
# right), and no result may rest on them.
#
# Concordance and Brier score with their intervals (BCa, patients resampled within hospitals), in each series:

# %%
accuracy = {item.name: accuracy_intervals(item, horizon_months=horizon_months, resampling=few) for item in everyone}
display(*(table.replace("", "–") for table in accuracy.values()))

# %% [markdown]
# All these weights assume that within a hospital patients are lost at random. The next table drops that assumption: the
# probability of remaining under observation follows a Cox model on age, grade and the predicted risk. If its row
# differs much from the row above it, the results depend on why patients were lost.

# %%
sensitivity = censoring_table(everyone, model=model, horizon_months=horizon_months, log=log)
sensitivity.round(3)

# %% [markdown]
# **How much does one patient's risk depend on who was in the training series?** Each patient has risks from several
# networks, trained on different patients. How far they lie apart is no part of any interval above.

# %%
repeated = {("cross-validation", label(name)): crossed.risks[name] for name in of_networks if name in crossed.risks}
repeated |= {("validation", label(name)): values for name, values in of_networks.items()}
cut = cut_off(crossed.with_risk(model)["risk"], high_risk_share=high_risk_share)
spread_of_risks = instability_table(repeated, cut_off=cut)
spread_of_risks.round(3)

# %% [markdown]
# *Mean absolute deviation* is the usual distance between one network's risk and the patient's mean over all networks;
# the last column counts patients for whom at least one network disagrees about the risk group of section 8. In the
# cross-validation these networks share half of their training patients or more, in the validation series all of them
# come from the same training series: refitting on other patients would show larger differences (Riley and Collins,
# Biometrical Journal 2023).
#
# ## 7 · Are the risks true as numbers?
#
# An AUC only looks at the order. A patient who is told "40 %" wants 40 of 100 such patients to develop metastases.
# Observed is what patients live through: a metastasis, with death competing (**Aalen–Johansen**). Lost patients are
# replaced by pseudo-values, whose mean is right (Andersen et al. 2003; van Geloven et al., BMJ 2022).

# %%
calibrated = calibration_of(everyone, model=model, horizon_months=horizon_months, endpoint=endpoint,
                                      groups=calibration_groups, resampling=few)
if calibrated.lived:
    spread = {item.name: item.with_risk(model) for item in everyone}
    figure = draw_calibration(calibrated, spread, horizon_months=horizon_months, level=interval_level,
                                            endpoint=endpoint)
    stage.figure("F9_calibration", figure, data=calibrated.groups, caption="Observed against predicted risk at 5 years, smooth "
                 "and by groups of predicted risk, and the predicted risks by outcome.")
calibrated.table.style.hide(axis="index").format(precision=3, na_rep="–")

# %% [markdown]
# On the dotted line risks are true as numbers; above it they are understated. A slope below 1 means risks that are too
# bold, a slope above 1 too timid ones. The histograms show how boldly the model predicts: telling the base rate to
# everybody is well calibrated and useless. The table's rows *censored* compare with a world in which nobody dies of
# anything else. All risks here are meant for this world, in which some do: those of SarcNet (notebook 03, `loss`) and
# those of the Cox model, which has a second model beside it for death.
#
# **Every model, in words.** *O/E* is the observed risk over the mean predicted one: below 1 the model overestimates. Its
# interval, and that of the slope, decide what is said; where the ideal value lies inside, only that no deviation was shown.
# The AUC is blind to all of this: any correction that keeps the order leaves it as it is. The oracle's risks
# are true; where it deviates, these patients had more or fewer metastases than their risks by chance, and that is part of
# every other model's deviation too.

# %%
parts = [part for item in everyone for part in item.with_centres()]
agreed = agreements(parts, horizon_months=horizon_months, level=interval_level, log=log)
overall = [made for made in agreed if made.series in sizes]
for made in (one for one in overall if one.model == model and one.enough):
    for what, found in (("slope", made.slope), ("observed_over_predicted", made.ratio)):
        stage.number(f"{what}_{made.series}_{model}", found.value, low=found.low, high=found.high, n=made.n, unit=what)
display(agreement_table(overall).style.hide(axis="index"), Markdown(deviations(overall)))

# %% [markdown]
# Hospital by hospital, for the model in question. A model can be right on average because it is too high in one hospital
# and too low in the other.

# %%
by_hospital = [made for made in agreed if made.model == model and made.series not in sizes]
display(agreement_table(by_hospital).style.hide(axis="index"))

# %% [markdown]
# **Recalibration by sums.** Two numbers can correct risks that are too timid, too extreme, too high or too low: an
# intercept and a slope on the scale log(−log(1 − risk)). They are fitted on the training patients' out-of-fold risks, and
# no patient leaves a hospital for it: for each proposal of the two numbers a hospital sends sums over its patients (the
# loss, its gradient, its curvature), and the result is that of all patients in one place. Shown is the validation series,
# none of whose patients took part. The corrected risks are offered here and used nowhere else.

# %%
taking_part = {part.name: log(f"{part.name}, recalibration", hospital_of, part, model,
                                horizon_months=horizon_months) for part in centres}
able = {name: hospital for name, hospital in taking_part.items() if hospital is not None}
mended = log("recalibration", recalibrate, able)

# %%
if mended is not None and len(held) and model in held.risks:
    shown = before_and_after(held, model, mended.correction, name=f"{label(model)}, recalibrated")
    pair = agreements([shown], horizon_months=horizon_months, level=interval_level, log=log)
    display(agreement_table(pair).style.hide(axis="index"),
            Markdown(f"{mended.sentence} {change(*pair) if len(pair) == 2 else ''}"))

# %% [markdown]
# ## 8 · Risk groups
#
# For a decision, risk becomes a yes or no. The cut-off is the median (or the share in the parameters) of the
# *training* patients' risks, out of fold, and stays the same for the validation series.

# %%
months_shown = [0.0, 12.0, 24.0, 36.0, 48.0, 60.0, 72.0, 84.0]
survival = survival_of(everyone, model=model, cut=cut, months_shown=months_shown, tested=[held.name],
                                 endpoint=endpoint, log=log)
figure = draw_survival(survival, horizon_months=horizon_months, endpoint=endpoint)
stage.figure("F8_survival", figure, data={name: found.incidence for name, found in survival.items()},
             caption=f"{endpoint.survival.capitalize()}, and {endpoint.incidence}, by predicted risk, "
                     f"cut at {cut:.2f}, with 95 % bands.")
stage.number("risk_cut_off", cut, n=len(crossed), unit="risk at 5 years")

# %% [markdown]
# Above, deaths are taken as if these patients had been lost; below, death competes (dashed). In the validation series, for
# which the cut-off was fixed beforehand, the groups are compared by the log-rank and by Gray's test. In the cross-validated
# series they are not: a patient's risk comes from a model that learnt from the outcomes of the patients it is compared with,
# and such tests reject too often where there is nothing to find. The numbers are patients still watched: where few are left a
# curve is little more than a guess.
#
# **Who changes group** when the model replaces the grade (high: grade 3) or the clinical score (high: the same share of
# training patients)? Those who move up should have had more metastases than those who move down.

# %%
edges = {"fnclcc_grade": 3.0}
if rival != "fnclcc_grade":
    edges[rival] = cut_off(crossed.with_risk(rival)["risk"], high_risk_share=high_risk_share)
moved = moves_of(
    crossed, model, edges, cut=cut, horizon_months=horizon_months, level=interval_level, log=log
)
for other, found in moved.items():
    display(Markdown(f"Instead of **{label(other)}**: net share that moves the right way, of patients who "
                     f"{endpoint.had} {found.cases.signed}, of the others {found.controls.signed}."),
            found.table.style.hide(axis="index").format(precision=3, na_rep="–"))

# %% [markdown]
# The column *incidence* is that of the event at the horizon in those who moved, with its interval.
#
# ## 9 · Would it change a decision?
#
# Suppose chemotherapy were offered to whoever has a risk of 40 % or more. Treating one patient who would have had a
# metastasis is then worth as much as sparing 1.5 others (0.6 to 0.4). **Net benefit** counts patients rightly treated
# and takes off those treated for nothing at that rate (Vickers and Elkin 2006). A model is of use where its curve lies
# above treating everybody, treating nobody, and today's habit of treating grade 3.

# %%
policies = [name for name in (model, "sarculator_variables") if name in crossed.risks]
decisions = decisions_of(crossed, policies, horizon_months=horizon_months, resampling=few)
at_thresholds = thresholds_of(
    crossed, model, thresholds=treatment_thresholds, horizon_months=horizon_months, resampling=few
)
if len(decisions):
    figure = draw_decision(decisions, marked=treatment_thresholds, n=len(crossed), name=crossed.name,
                                        level=interval_level, endpoint=endpoint)
    stage.figure("F9_decision", figure, data=decisions, caption="Net benefit of offering treatment by predicted risk, "
                 "cross-validated, weighted for censoring.")
threshold_text(at_thresholds)

# %% [markdown]
# One row per threshold. The last column is the gain over the better of the two policies that need no model. The
# thresholds are examples, not advice: what a metastasis is worth in courses of chemotherapy is for patients and
# clinicians to say.
#
# What matters is the gain over the clinical model and over the grade, which are there already. It is a paired
# difference on the same resamples, in both series.

# %%
others = [name for name in ("sarculator_variables", "fnclcc_grade") if name in crossed.risks]
gains = benefit_gains_of(everyone, model, others, thresholds=treatment_thresholds,
                                   horizon_months=horizon_months, resampling=few)
display(gains_readable(gains), Markdown(gains_text(gains, level=interval_level)))

# %% [markdown]
# ## 10 · Kept
#
# Predictions for notebook 06, the tables of the paper and more as Markdown and CSV, each number with its interval in
# the record, and the table of results for the front page of the compendium.

# %%
stage.write_table("oof_all.parquet", predictions, readers=("06_interpretability",))
stage.write_table("validation_predictions.parquet", validation_predictions, readers=("06_interpretability",))
hospitals = sorted(known["centre"].unique())
differences = judged.difference_table(hospitals)
whole = merge(merge(judged, by_centre), merge(held_out, held_by_centre)).table
stage.write_table("auc.parquet", whole)
stage.write_table("differences.parquet", differences.drop(columns="p_floor"))
summary = readable(table).reset_index()
calibration_facts = {made.series: made.verdict for made in overall if made.model == model}
planned = everything.statements(**plan)
stage.write_json("results.json", {"heading": "AUC at 5 years", "columns": list(summary.columns), "statements": planned,
                                  "rows": summary.to_numpy().tolist(), "note": PAPER_NOTE,
                                  "calibration": calibration_facts})
for row in whole.itertuples():  # low and high are null in the record where patients are too few for an interval
    stage.number(f"auc_{row.series}_{row.model}", row.auc, low=row.low, high=row.high, n=row.n, unit="AUC")

# %% [markdown]
# On the validation series models are fixed, so that the differences between them have a variance in closed form too
# (DeLong, with weights for the lost). It stands in the files beside the bootstrap's.

# %%
wide = readable(whole)
closed = log("validation, DeLong", delong_table, held, hospitals, horizon_months=horizon_months, level=interval_level)
files = {
    "cross_validation": crossed_table, "validation": validation_table, "ablation": only(wide, "ablation"),
    "local_pooled_federated": only(wide, "local_pooled_federated"), "differences": differences,
    "differences_validation_delong": pd.DataFrame() if closed is None else closed, "metrics": numbers,
    "subgroups": subgroups.rows, "heterogeneity": subgroups.tests, "calibration": calibrated.table,
    "calibration_of_every_model": agreement_table(agreed),
    "thresholds": at_thresholds, "net_benefit_gains": gains_readable(gains).reset_index(),
    "instability": spread_of_risks.reset_index(), "censoring_sensitivity": sensitivity.reset_index(),
    **{f"accuracy_{name}".replace("-", "_"): table for name, table in accuracy.items()},
    **{f"moves_from_{other}": found.table for other, found in moved.items()},
}

# %%
for path in write_tables(stage.dir / "tables", files, kind=stage.data_kind):
    stage.output(f"tables/{path.name}", path=path)

# %% [markdown]
# **The report.** What a strict reader asks stands in two checklists, TRIPOD+AI and PROBAST+AI; what a user asks, in a
# model card and a data card. Their statements are filled from the numbers above, so they cannot go stale.

# %%
said = [f"{label(name)} {resampled.estimate(name)}" for name in compared] if resampled else ["none exists"]
planned += calibration_facts.values()
verdict = " ".join([f"Cross-validated AUC, n = {len(crossed)} ({stage.data_kind} data): {'; '.join(said)}.", *planned])
statements = facts(
    kind=stage.data_kind, training=crossed, validation=held, protocol=protocol, calibrations=calibrated, cut=cut,
    aucs=whole, tests=subgroups.tests, settings=stage.settings.model_dump(),
    n_unknown=len(training) - len(known), verdict=verdict,
)
for path in write_report(stage.dir / "report", statements):
    stage.output(f"report/{path.name}", path=path)

# %% [markdown]
# ## What we found

# %%
display(Markdown(verdict), Markdown(f"**Calibration of all models.** {deviations(overall)}"))
display(Markdown(f"**What these patients cannot tell.**\n\n{log.summary_text()}"))

# %% [markdown]
# **Limits.** The intervals tell how much would change with other patients judged, not with other patients learnt from
# or other slides. The folds of one repeat are judged together, though each has its own network. Subgroups are
# the same in every run, but many. A validation series from the training hospitals says nothing about other hospitals.
#
# **Next.** A model that is right for the wrong reason will fail elsewhere. [06 · What did it see?](06_interpretability.ipynb)
# asks what it saw.

# %%
stage.close()
