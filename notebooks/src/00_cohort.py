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
#     settings: sarcnet.cohort.settings:CohortSettings
# ---

# %% [markdown]
# # 00 · The patients and their slides
#
# **Question.** Some patients with a soft-tissue sarcoma develop metastases within five years, others never. Can a
# computer that sees the slide *and* knows what the clinician knows tell them apart better than today's grading, while
# the data stay in two hospitals?
#
# In this notebook we will
#
# - recall what is public about the study that asked this question, SarcNet,
# - make (or read) a cohort: one folder a hospital, checked row by row,
# - look at who the patients are, hospital by hospital, and at what is missing,
# - see how long they were followed and what happened to them,
# - look at their slides, and at what makes a tumour look dangerous,
# - put the truth behind the simulated patients where only the evaluation may open it.
#
# ### What is public
#
# The abstract of *Multimodal prediction of metastatic relapse using federated deep learning in soft-tissue sarcoma with
# a complex genomic profile* (Scientific Reports, 21 October 2025) tells of sarcomas of the limbs and trunk wall at two
# French centres: Centre Léon Bérard (CLB, 221 patients) and Institut Bergonié (IB, 390) for training, and 93 + 124
# patients collected afterwards for validation. The outcome is called **metastasis-free survival** (MFS) at 5 years. In
# oncology that usually means metastasis *or death of any cause*; the abstract does not say whether death counts. By
# default we predict **metastasis**, and death without metastasis competes (`outcome: metastasis`); `outcome: mfs` runs
# every notebook with death as an event too. Its
# cross-validated AUC was 0.797 (0.762–0.833) for SarcNet, 0.778 (0.743–0.814) for the Sarculator, a clinical nomogram,
# and 0.706 (0.670–0.743) for the FNCLCC grade.
#
# The hospitals' data cannot be shared. So this compendium makes its own patients by default, whose truth is known;
# real ones fit in by the same door.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
cohort_dir: str = "data/virtual_demo"  # folder of the cohort, one sub-folder a hospital
cohort_kind: str = "simulated"  # simulated (made here), public or private (read only)
seed: int = 2025  # seed of the virtual patients and their slides
centres: list[str] = ["CLB", "IB"]  # virtual hospitals; any other name gives one drawn by its name
patients_training: list[int] = [60, 100]  # patients in the training series, hospital by hospital
patients_validation: list[int] = [24, 32]  # patients in the validation series, hospital by hospital
several_slides_share: float = 0.1  # share of patients with two slides or three
tiff_centres: list[str] = []  # hospitals whose slides are plain tiled TIFFs; the others write Aperio's SVS
slide_width_um: float = 1000.0  # µm, width of a rendered slide
slide_height_um: float = 900.0  # µm, height of a rendered slide
artefact_share: float = 0.2  # share of slides with an artefact: pen, a fold, a bubble, blur, a tear, or blank
outcome: str = "metastasis"  # the event: metastasis (death without it competes) or mfs (metastasis or death)
cohort_control: str = "none"  # no_signal, shuffled, confounded: a cohort in which something must not be found
jobs: int = 2  # processes, one slide each

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display
from lifelines import KaplanMeierFitter
from matplotlib.figure import Figure

from sarcnet.cohort import CohortSettings, describe_outcomes, draw_slides, read_cohort, table_one
from sarcnet.compendium import Stage, hospital_colours, resolve

# %%
stage = Stage.open("00_cohort", CohortSettings, vars())
stage.set_data_kind(cohort_kind)
simulated = cohort_kind == "simulated"
if simulated:  # the simulation is not even loaded for a hospital's own patients
    from virtual_cohort import generate_cohort, knob_panel, register_truth, slides_with_artefacts
    from virtual_cohort.patients import best_auc_by_source, calibration_report, calibration_table, mass_patients
    from virtual_cohort.rendering import draw_artefacts, draw_cells, draw_knobs, knob_values

# %% [markdown]
# ## 1 · A folder for each hospital
#
# A cohort is nothing but folders. Each hospital has `patients.csv`, `slides.csv` and the slides themselves, and could
# keep them behind its own walls. A simulated cohort is made now, slide by slide: finished slides are taken up again
# after an interruption, and a slide painted with other parameters is painted anew. A given cohort is left as it is.

# %%
folder = resolve(cohort_dir)
if simulated:
    slides_made = generate_cohort(folder, settings=stage.settings)
    came = f"The simulated cohort is on disk, with {slides_made} slides."
else:
    for name in ("*/patients.csv", "*/slides.csv", "cohort.json"):  # the stage runs again when a hospital changes them
        _ = [stage.source(file) for file in sorted(folder.glob(name))]
    came = f"This cohort is **{cohort_kind}**: it is read and checked, nothing in its folder is changed."
display(Markdown(came))

# %% [markdown]
# Either way the cohort now comes in through the same door. Every cell of both tables is checked against the schema
# (type, range, allowed words, unique names, slide files that exist and lie inside the hospital's folder), and all
# faults are reported at once: correcting a table one error message at a time is a waste of a data manager's day. The
# tables keep both causes apart (`mfs_event`: 0 censored, 1 metastasis, 2 death without metastasis); here, and nowhere
# else, they are coded for the outcome that was chosen.

# %%
cohort = read_cohort(folder, kind=cohort_kind, outcome=outcome)
endpoint = cohort.endpoint
stage.write_json("outcome.json", endpoint.to_dict())
stage.write_table("training.parquet", cohort.training)
stage.write_table("validation.parquet", cohort.validation, readers=("05_evaluation",))
stage.write_table("slides.parquet", cohort.slides)
for slide in cohort.slides.itertuples():
    stage.output(f"slides/{slide.centre}/{slide.slide_id}", path=cohort.files[slide.slide_id])
display(Markdown(endpoint.note))

# %% [markdown]
# Nothing is hidden behind that door: these are the hospitals' files, and pandas reads the same patients from them. (Columns
# of outcomes are left out of the picture.)

# %%
tables = [pd.read_csv(file, dtype={"patient_id": str}) for file in sorted(folder.glob("*/patients.csv"))]
raw = pd.concat(tables, ignore_index=True)
assert raw["patient_id"].str.strip().tolist() == cohort.patients["patient_id"].tolist()
display(raw.drop(columns=["mfs_months", "mfs_event"]).head(3))
patients = cohort.patients.groupby(["centre", "series"]).size().unstack(fill_value=0)
patients.assign(slides=cohort.slides.groupby("centre").size()).fillna({"slides": 0}).astype(int)

# %%
outcomes = describe_outcomes(cohort.training, endpoint=endpoint)
known, without = outcomes.known, len(cohort.training) - len(outcomes.known)
total = f"**{len(cohort.patients)} patients** (training + validation) and **{len(cohort.slides)} slides**."
display(Markdown(total + (f" Outcome not known, hence no part in training: {without}." if without else "")))

# %% [markdown]
# The study asks for metastases within five years. Before anything is computed: is that known of these patients? A hospital
# whose patients were not followed that far can teach a model, but cannot judge it: its metastases would be cases, and
# nobody of it a control. (Notebook 03 may be given another `horizon_months`, and then says this again.)

# %%
display(Markdown(outcomes.to_the_horizon))

# %% [markdown]
# The validation series was set aside the moment it was read: its file may be opened by notebook 05 only, and nothing
# below shows its outcomes. Anyone who looks at a validation series early begins, without wanting to, to choose methods
# that suit it.

# %% [markdown]
# ## 2 · Who the patients are
#
# Table 1 is the first thing a reader of a clinical study looks for. We make it per hospital and series, because a model
# trained at one hospital and tried at another meets other patients. A missing value is counted, never hidden: the
# model of notebook 03 will have to live with it.

# %%
table = table_one(cohort.without_outcomes)
table.style.set_properties(**{"text-align": "right", "white-space": "pre"})

# %%
missing = cohort.patients.groupby("centre")[table.attrs["variables"]]
for centre, share in missing.agg(lambda values: 100 * values.isna().mean()).max(axis=1).items():
    stage.number(f"missing_max_{centre}", share, unit="% missing, worst variable")
colours = hospital_colours(cohort.patients["centre"])
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.4), layout="constrained")
training = cohort.training.astype({"size_mm": float, "age_years": float, "fnclcc_grade": float})
style = {"hue": "centre", "palette": colours}
apart = {"dodge": True, "native_scale": True, "jitter": False, "alpha": 0.5}
sns.histplot(training, x="age_years", element="step", stat="density", common_norm=False, ax=axes[0], **style)
sns.stripplot(training, x="fnclcc_grade", y="size_mm", ax=axes[1], **style, **apart)
axes[0].set(xlabel="age, years", ylabel="density of patients")
axes[1].set(xticks=[1, 2, 3], xlabel="FNCLCC grade", ylabel="tumour size, mm")
shown = training[["centre", "age_years", "fnclcc_grade", "size_mm"]]
stage.figure("F1_patients", fig, data=shown, caption="Age, and size by FNCLCC grade, of the training patients by hospital.")

# %% [markdown]
# How the hospitals differ in numbers, over both series (only patients of whom grade and size are known):

# %%
graded = cohort.patients.dropna(subset=["fnclcc_grade", "size_mm"]).astype({"fnclcc_grade": float, "size_mm": float})
by_centre = graded.groupby("centre").agg(
    patients=("patient_id", "size"),
    grade_3_share=("fnclcc_grade", lambda grades: (grades == 3).mean()),
    median_size_mm=("size_mm", "median"),
)
by_centre.rename(columns={"grade_3_share": "share of grade 3", "median_size_mm": "median size, mm"}).round(2)

# %% [markdown]
# Compare the sizes within one grade, and the ages. Where hospitals differ in whom they treat, a model may learn the hospital
# instead of the tumour.

# %% [markdown]
# The targets of the simulated patients come from published series (TCGA limb and trunk, SEER, French series); how the
# variables hang together beyond that is **our assumption**. The FNCLCC grade adds three scores (differentiation,
# mitoses, necrosis) and is read by a *simulated pathologist*, with the errors that people make: in a French study of
# 25 sarcomas, 15 pathologists agreed with a panel on the grade in 75 % (Coindre et al., Cancer 1986); section 7 shows
# how often two of ours agree.

# %% [markdown]
# ## 3 · How long they were followed, and what happened
#
# Patients leave a study without an event: the data are frozen, or they move away. They are *censored*: we know that
# nothing happened up to a day. To tell how long patients were followed we turn the question round (**reverse
# Kaplan–Meier**): the end of observation is the event, and a metastasis or death only hides it. The plain median of all times
# would be too short, because it counts a quick metastasis as short follow-up.

# %%
words = {"median_years": "median follow-up, years", "low": "95 % from", "high": "95 % to"}
skipped = Markdown("No outcome is known here: this section is skipped.")
display(outcomes.follow_up.rename(columns=words).round(2) if len(known) else skipped)

# %% [markdown]
# A patient may also die of something else first. Then a metastasis can no longer be seen. With `outcome: metastasis`
# death **competes**: treating it as censoring answers "if nobody died of anything else" (*freedom from metastasis, deaths
# censored*), while the **cumulative incidence of metastasis** answers "what really happens". With `outcome: mfs` death is
# an event, nothing competes, and both give metastasis-free survival. For the training series only:

# %%
fig = Figure(figsize=(9.6, 4.2), layout="constrained")  # shown once both panels are drawn
left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
for centre, group in known.groupby("centre"):
    fit = KaplanMeierFitter(label=centre).fit(group["mfs_months"] / 12, group["mfs_event"] == 1)
    fit.plot_survival_function(ax=left, color=colours[centre], ci_show=False)
    kept = outcomes.event_free.query("centre == @centre")
    assert np.allclose(fit.predict(kept["years"]), kept["free"])  # the curve that the study keeps
    left.fill_between(kept["years"], kept["low"], kept["high"], step="post", color=colours[centre], alpha=0.15, lw=0)
left.set(xlabel="years since diagnosis", ylabel=f"{endpoint.free} (share)", ylim=(0, 1.02), xlim=(0, 8))
left.set_title(endpoint.survival.capitalize())
for line, (centre, numbers) in enumerate(outcomes.at_risk.iterrows()):  # numbers at risk, under the axis
    style = {"y": -0.22 - 0.065 * line, "transform": left.get_xaxis_transform(), "fontsize": "small"}
    left.text(-0.8, s=f"at risk, {centre}", ha="right", **style)
    for year, number in numbers.items():
        left.text(year, s=number, ha="center", **style)

# %% [markdown]
# On the right, what really happens. lifelines has Aalen and Johansen's estimate too, but it breaks ties by chance and knows
# one group only; ours weights the hospitals by their numbers of patients.

# %%
incidence = outcomes.cumulative_incidence
for (event, curve), style in zip(incidence.groupby("event", sort=False), ("-", "--"), strict=False):
    right.step(curve["years"], curve["incidence"], where="post", color="black", linestyle=style, label=event)
    right.fill_between(curve["years"], curve["low"], curve["high"], step="post", color="0.5", alpha=0.15, linewidth=0)
right.set(xlabel="years since diagnosis", ylabel="cumulative incidence (share)", ylim=(0, 1.02), xlim=(0, 8))
right.set_title(f"{'Competing events' if endpoint.competing else endpoint.event.capitalize()}, all hospitals")
right.legend(loc="upper left")
fig.suptitle(f"Training series, n = {len(known)} patients", fontsize="medium")
if len(known):
    data = {"free": outcomes.event_free, "incidence": incidence, "at_risk": outcomes.at_risk}
    stage.figure("F1_cohort", fig, data=data, caption=outcomes.caption)

# %%
for centre, (free, low, high) in outcomes.free_at(5.0).items():
    n = int((known["centre"] == centre).sum())
    stage.number(f"free_5y_{centre}", free, low=low, high=high, n=n, unit=f"share, {endpoint.survival}")
display(Markdown(outcomes.text))

# %% [markdown]
# Look at the shape: do the curves fall steeply at first and flatten then? In the TCGA series half of the metastases came
# within nine months. Look at the bands too: where they overlap widely, a difference between hospitals may be chance.

# %% [markdown]
# ## 4 · Their slides
#
# A slide is a slice of the tumour, a few µm thick, stained and scanned. Haematoxylin colours nuclei blue; eosin
# colours cytoplasm and fibres pink. French laboratories often add saffron (HES), which turns collagen yellow. At the
# virtual CLB slides are HES, at the virtual IB H&E, and the scanners have different µm/px and colours: a model must
# not mistake the laboratory for the disease.

# %%
with_artefact = slides_with_artefacts(folder) if simulated else pd.DataFrame({"slide_id": []})
chosen = cohort.example_slides(per_centre=5, last=with_artefact["slide_id"].tolist())
fig = draw_slides(chosen, files=cohort.files)
shown = chosen[["slide_id", "centre", "stain", "histotype", "fnclcc_grade"]]
caption = f"{len(chosen)} slides of training patients; whole slide above, 160 µm from its middle below, bar 50 µm."
stage.figure("F2_slides", fig, data=shown, caption=caption)

# %% [markdown]
# Above each pair the whole slide, below it 160 µm from its middle; section 6 shows slides with an artefact. In a
# simulated cohort you should see bundles of cigar-shaped nuclei (*fascicles*) in leiomyosarcoma, bundles that wheel
# round a centre (*storiform*) with large irregular nuclei in undifferentiated pleomorphic sarcoma (UPS), pale lakes in
# myxofibrosarcoma, and waves in MPNST. White nets are fat, rings with red cells vessels, small dark round nuclei
# lymphocytes; pink grain without living nuclei is *necrosis*: dead tumour.

# %% [markdown]
# ## 5 · What makes a tumour look dangerous
#
# SarcNet's authors report that *atypia*, *tumour cellularity* and *anisokaryosis* (nuclei of unequal size) drove its
# prediction. In the simulation these are knobs. Here each is turned alone, from its 5th to its 95th percentile among
# the patients, in one and the same piece of tissue.

# %%
if simulated:
    truth = register_truth(stage, cohort=cohort, folder=folder)
    values = knob_values(truth)
    fig = draw_knobs(values, centre="IB", seed=seed)
    caption = (
        "One pathology feature at a time at its 5th, 50th and 95th percentile among the virtual patients, all others in "
        "the middle (no necrosis); undifferentiated pleomorphic sarcoma, H&E, 200 µm wide. Mitoses are pointed at, in the "
        "field of the slide that has most of them."
    )
    stage.figure("F2_knobs", fig, data=values, caption=caption)
else:
    display(Markdown("Skipped: nobody can turn the knobs of real tissue, and its truth is not known."))

# %% [markdown]
# Mitoses are rare even where there are many: 20 in ten high-power fields, the highest class of the FNCLCC score, are 20 in
# 1.7 mm², so that a field of 200 µm shows half a figure on average. Enlarged, they look as pathologists count them: black
# clumps of chromosomes without a membrane in a cleared cell, as a plate, a ring, a pair, or with three poles. Below them
# giant nuclei, some cells with several.

# %%
if simulated:
    fig = draw_cells(values, centre="IB", seed=seed)
    caption = (
        "Mitotic figures and giant nuclei of one tumour with both at their 95th percentile among the virtual patients; "
        "undifferentiated pleomorphic sarcoma, H&E."
    )
    stage.figure("F2_cells", fig, data=values.loc[["high"]], caption=caption)

# %% [markdown]
# Turn them yourself: start in the middle, move one slider, and ask what a pathologist would write.

# %%
knob_panel(values, seed=seed) if simulated else None

# %% [markdown]
# Cellularity strikes the eye at once; anisokaryosis asks you to compare nuclei with each other. Expect the same of the
# network: what is easy to see is easy to learn.
#
# ## 6 · What spoils a slide
#
# Real slides carry marks of the people who handled them: **pen** on the glass, **folds** where tissue lies double,
# air **bubbles**, places **out of focus**, **tears**, and now and then a **blank** slide that was scanned by mistake.
# A share of the virtual slides has one of them.

# %%
if simulated:
    fig, drawn = draw_artefacts(values, centre="CLB", seed=seed)
    caption = (
        "What spoils a slide, in one and the same tissue with every pathology feature in the middle; undifferentiated "
        "pleomorphic sarcoma, HES, 380 µm wide."
    )
    stage.figure("F2_artefacts", fig, data=drawn, caption=caption)
    kinds = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in with_artefact["kind"].value_counts().items())
    counted = f"{len(with_artefact)} of {len(cohort.slides)} slides have an artefact"
    display(Markdown(counted + (f": {kinds}." if kinds else ".")))
else:
    display(Markdown("Skipped: look at your own slides in notebook 01, which finds some of these."))

# %% [markdown]
# Which of these would mislead a network? Notebook 01 leaves out what it recognises, and says what it does not.
#
# ## 7 · The truth, and how hard the task is
#
# Each simulated patient has one hidden malignancy that drives all six features, each with noise of its own. The hazard
# of metastasis grows with √size (concave: beyond 8 cm little is added), depth, histotype, and with mitoses, necrosis,
# **cellularity, nuclear area and anisokaryosis**. The last three are not in the grade: only an eye on the slide can
# know them. Chemotherapy lowers the hazard (ratio 0.7) and is given to those at higher risk.
#
# Is that task as hard as the real one? We simulate many thousand patients without slides and compare the AUCs of the
# grade and of a Cox model refitted on the variables of the Sarculator's metastasis nomogram (size, grade, histotype)
# with the published intervals. The coefficients were set that way; **what our image model achieves was never looked at
# in setting them**.

# %%
if simulated:
    report = calibration_report(20_000, seed, endpoint=endpoint)
    for name in ("auc_fnclcc_grade", "auc_sarculator_variables", "auc_oracle"):
        stage.number(f"calibration_{name}", report[name], n=report["patients"], unit="AUC")
    display(calibration_table(report).style.format(precision=3, na_rep="–"))
else:
    display(Markdown("Skipped: this cohort is not simulated, there is nothing to calibrate."))

# %% [markdown]
# The *oracle* knows each patient's true risk; nobody can beat it, and it is still far from perfect, because chance
# decides the rest. How much each source could tell *at best* can be computed here, since the truth is known: the
# expected true risk given what is seen is the best score there is. What a slide could add is the step from the clinical
# variables alone to clinical variables and true pathology.

# %%
if simulated:
    best = best_auc_by_source(mass_patients(n=20_000, seed=seed), seed=seed, endpoint=endpoint)
    display(best.style.format({"AUC at 5 years": "{:.3f}", "error": "{:.3f}", "n": "{:,.0f}"}))

# %% [markdown]
# A method that sees the slides perfectly, and nothing else, would reach the third line, and together with the clinical
# variables the fourth. *Error* is what remains of chance in this simulation (standard error).
# `make calibration` repeats both tables with more patients, and over fifty studies of 611. Its report,
# [docs/calibration.md](../docs/calibration.md), sets 206 real patients of TCGA beside them.

# %% [markdown]
# ## What we found

# %%
lines = [f"The tables of {len(cohort.patients)} patients at {len(tables)} hospitals passed every check.", outcomes.text]
if simulated:
    grade, clinical, oracle = (report[f"auc_{k}"] for k in ("fnclcc_grade", "sarculator_variables", "oracle"))
    lines.append(
        f"By simulation (n = {report['patients']:,}), the grade reaches an AUC of {grade:.3f} at 5 years, a Cox "
        f"model on size, grade and histotype {clinical:.3f}, the oracle {oracle:.3f}."
    )
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## Limits
#
# - Simulated tissue is a cartoon: it has the features we put in and none that we forgot. Success on it shows that the
#   pipeline works, not that it works on patients. Pleomorphic liposarcoma has no lipoblasts, rhabdomyosarcoma no strap
#   cells; cells have no depth, so nothing is ever half in focus.
# - How unequal nuclei are in pleomorphic sarcoma was found in no publication: the range here (coefficient of variation of
#   nuclear area, shown above) is set around what was measured in real fields of other tissues with nuclei outlined by hand.
# - Who the patients are follows published margins; the dependence between variables, the size of the pathologist's
#   errors and every hazard coefficient are our assumptions.
# - One slide for most patients, at most three, cut from one kind of tumour; at most one artefact on each. These slides are
#   small, so that everything runs in minutes; `make giant-slide` writes whole ones of any size.
# - A validation series from the training hospitals, as the simulated one is, is not external, even where it is later in
#   time.
#
# ## Next
#
# [01 · From glass to tiles](01_tiling.ipynb) finds the tissue on each slide and cuts it into pieces of equal size.

# %%
stage.close()
