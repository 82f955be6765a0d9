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
artefact_share: float = 0.2  # share of slides that are spoilt by pen, a fold, a bubble, blur, a tear, or blank
outcome: str = "metastasis"  # the event: metastasis (death without it competes) or mfs (metastasis or death)
cohort_control: str = "none"  # no_signal, shuffled, confounded: a cohort in which something must not be found
jobs: int = 2  # processes, one slide each

# %%
from IPython.display import Markdown, display

from sarcnet.cohort import figures, followup, table1
from sarcnet.cohort.endpoint import endpoint_named
from sarcnet.cohort.outcome import with_outcome
from sarcnet.cohort.read import read_cohort
from sarcnet.compendium import Stage, resolve
from virtual_cohort.patients import calibration
from virtual_cohort import knobs, widget, notebook_text
from virtual_cohort.patients.information import information
from sarcnet.cohort.settings import CohortSettings

# %%
stage = Stage.open("00_cohort", CohortSettings, vars())
stage.set_data_kind(cohort_kind)
simulated = cohort_kind == "simulated"
endpoint = endpoint_named(outcome)
display(Markdown(endpoint.note))

# %% [markdown]
# ## 1 · A folder for each hospital
#
# A cohort is nothing but folders. Each hospital has `patients.csv`, `slides.csv` and the slides themselves, and could
# keep them behind its own walls. A simulated cohort is made now, slide by slide: finished slides are taken up again
# after an interruption, and a slide painted with other parameters is painted anew. A given cohort is left as it is.

# %%
folder = resolve(cohort_dir)
made = notebook_text.make(folder, settings=stage.settings) if simulated else notebook_text.note_sources(stage, folder=folder)
display(Markdown(notebook_text.how_it_came(cohort_kind, made=made)))

# %% [markdown]
# Either way the cohort now comes in through the same door. Every cell of both tables is checked against the schema
# (type, range, allowed words, unique names, slide files that exist and lie inside the hospital's folder), and all
# faults are reported at once: correcting a table one error message at a time is a waste of a data manager's day. The
# tables keep both causes apart (`mfs_event`: 0 censored, 1 metastasis, 2 death without metastasis); here, and nowhere
# else, they are coded for the outcome that was chosen.

# %%
cohort = read_cohort(folder, kind=cohort_kind).coded_for(endpoint)
stage.write_json("outcome.json", endpoint.to_dict())
stage.write_table("training.parquet", cohort.training)
stage.write_table("validation.parquet", cohort.validation, readers=("05_evaluation",))
stage.write_table("slides.parquet", cohort.slides)
files = notebook_text.register_slides(stage, cohort=cohort)
known = with_outcome(cohort.training)
display(Markdown(notebook_text.counts(cohort)))

# %% [markdown]
# The study asks for metastases within five years. Before anything is computed: is that known of these patients? A hospital
# whose patients were not followed that far can teach a model, but cannot judge it: its metastases would be cases, and
# nobody of it a control. (Notebook 03 may be given another `horizon_months`, and then says this again.)

# %%
display(Markdown(followup.to_the_horizon(known, endpoint=endpoint)))

# %% [markdown]
# The validation series was set aside the moment it was read: its file may be opened by notebook 05 only, and nothing
# below shows its outcomes. Whoever looks at a validation series early begins, without wanting to, to choose methods
# that suit it.

# %% [markdown]
# ## 2 · Who the patients are
#
# Table 1 is the first thing a reader of a clinical study looks for. We make it per hospital and series, because a model
# trained at one hospital and tried at another meets other patients. A missing value is counted, never hidden: the
# model of notebook 03 will have to live with it.

# %%
table = table1.table_one(cohort.without_outcomes)
table.style.set_properties(**{"text-align": "right", "white-space": "pre"})

# %%
for centre, share in table1.missing_share(cohort.patients).max(axis=1).items():
    stage.number(f"missing_max_{centre}", share, unit="% missing, worst variable")
display(Markdown(notebook_text.case_mix(cohort)))

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
seen = followup.follow_up(known, endpoint=endpoint) if len(known) else None
words = {"median_years": "median follow-up, years", "low": "95 % from", "high": "95 % to"}
skipped = "No outcome is known here: this section is skipped."
display(seen.rename(columns=words).round(2) if seen is not None else Markdown(skipped))

# %% [markdown]
# A patient may also die of something else first. Then a metastasis can no longer be seen. With `outcome: metastasis`
# death **competes**: treating it as censoring answers "if nobody died of anything else" (*freedom from metastasis, deaths
# censored*), while the **cumulative incidence of metastasis** answers "what really happens". With `outcome: mfs` death is
# an event, nothing competes, and both give metastasis-free survival. For the training series only:

# %%
if len(known):
    curves = followup.event_free(known)
    fig = figures.draw_outcome(known, title=f"Training series, n = {len(known)} patients", endpoint=endpoint)
    incidence = followup.cumulative_incidence(known, endpoint=endpoint)
    data = {"free": curves, "incidence": incidence, "at_risk": followup.at_risk(known)}
    stage.figure("F1_cohort", fig, data=data, caption=notebook_text.caption_outcome(known, endpoint=endpoint))

# %%
for centre, (free, low, high) in followup.free_at(curves, years=5.0).items() if len(known) else ():
    n = int((known["centre"] == centre).sum())
    stage.number(f"free_5y_{centre}", free, low=low, high=high, n=n, unit=f"share, {endpoint.survival}")
display(Markdown(notebook_text.outcome(known, endpoint=endpoint)))

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
chosen = figures.pick_slides(cohort.slides, cohort.patients, per_centre=5, spoilt=notebook_text.spoilt_slides(folder))
fig = figures.draw_slides(chosen, files=files)
shown = chosen[["slide_id", "centre", "stain", "histotype", "fnclcc_grade"]]
stage.figure("F2_slides", fig, data=shown, caption=notebook_text.caption_slides(chosen))

# %% [markdown]
# Above each pair the whole slide, below it 160 µm from its middle; spoilt slides have their turn in section 6. In a
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
    truth = notebook_text.register_truth(stage, cohort=cohort, folder=folder, endpoint=endpoint)
    values = knobs.knob_values(truth)
    fig = knobs.draw_knobs(values, centre="IB", seed=seed)
    stage.figure("F2_knobs", fig, data=values, caption=notebook_text.CAPTION_KNOBS)
else:
    display(Markdown("Skipped: nobody can turn the knobs of real tissue, and its truth is not known."))

# %% [markdown]
# Mitoses are rare even where there are many: 20 in ten high-power fields, the highest class of the FNCLCC score, are 20 in
# 1.7 mm², so that a field of 200 µm shows half a figure on average. Enlarged, they look as pathologists count them: black
# clumps of chromosomes without a membrane in a cleared cell, as a plate, a ring, a pair, or with three poles. Below them
# giant nuclei, some cells with several.

# %%
if simulated:
    fig = knobs.draw_cells(values, centre="IB", seed=seed)
    stage.figure("F2_cells", fig, data=values.loc[["high"]], caption=notebook_text.CAPTION_CELLS)

# %% [markdown]
# Turn them yourself: start in the middle, move one slider, and ask what a pathologist would write.

# %%
widget.knob_panel(values, seed=seed) if simulated else None

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
    fig, drawn = knobs.draw_artefacts(values, centre="CLB", seed=seed)
    stage.figure("F2_artefacts", fig, data=drawn, caption=notebook_text.CAPTION_ARTEFACTS)
    display(Markdown(notebook_text.spoilt(folder, slides=len(cohort.slides))))
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
    report = calibration.calibration_report(20_000, seed, endpoint=endpoint)
    for name in ("auc_fnclcc_grade", "auc_sarculator_variables", "auc_oracle"):
        stage.number(f"calibration_{name}", report[name], n=report["patients"], unit="AUC")
    display(calibration.as_table(report).style.format(precision=3, na_rep="–"))
else:
    display(Markdown("Skipped: this cohort is not simulated, there is nothing to calibrate."))

# %% [markdown]
# The *oracle* knows each patient's true risk; nobody can beat it, and it is still far from perfect, because chance
# decides the rest. How much each source could tell *at best* can be computed here, since the truth is known: the
# expected true risk given what is seen is the best score there is. What a slide could add is the step from the clinical
# variables alone to clinical variables and true pathology.

# %%
if simulated:
    best = information(calibration.mass_patients(n=20_000, seed=seed), seed=seed, endpoint=endpoint)
    display(best.style.format({"AUC at 5 years": "{:.3f}", "error": "{:.3f}", "n": "{:,.0f}"}))

# %% [markdown]
# A method that sees the slides perfectly, and nothing else, would reach the third line, and together with the clinical
# variables the fourth. *Error* is what remains of chance in this simulation (standard error).
# `make calibration` repeats both tables with more patients, and over fifty studies of 611. Its report,
# [docs/calibration.md](../docs/calibration.md), sets 206 real patients of TCGA beside them.

# %% [markdown]
# ## What we found

# %%
display(Markdown(notebook_text.summary(cohort, report=report if simulated else None, endpoint=endpoint)))

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
