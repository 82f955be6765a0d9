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
#     settings: sarcnet.interpret.settings:InterpretabilitySettings
# ---

# %% [markdown]
# # 06 · What did it see?
#
# **Question.** A model may be right for a reason that will not hold: a stain, a hospital, a pen mark. Which tiles and
# which clinical variables moved the predictions that we evaluated, and do these tiles really look more dangerous?
#
# In this notebook we will
#
# - take every score apart into what each tile and each clinical variable added, and check that the parts add up,
# - lay the tiles' parts over the slides,
# - look at the tiles that raised and lowered the score most, over all patients,
# - where the patients are simulated, count the true nuclei of these tiles, and compare with networks that learnt
#   nothing.
#
# In the published study, pathologists looked at tiles and named three patterns that drive the prediction: **atypia**,
# **tumour cellularity** and **anisokaryosis** (abstract, Scientific Reports, 2025). How the tiles were chosen is not
# public; what follows is our choice.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of the resamples and of the shuffled networks
explained_model: str = "sarcnet_pooled"  # sarcnet_pooled or sarcnet_fedavg
patients_shown: int = 2  # heat maps at each end of the image score, for each hospital
tiles_shown: int = 12  # tiles at each end of the contributions
tiles_per_patient_max: int = 1  # tiles of one patient among those shown at one end
tile_share_compared: float = 0.33  # share of a patient's tiles that count as high, and as low
nuclei_per_tile_min: int = 8  # nuclei that a tile needs before their size is averaged
random_networks: int = 20  # networks with shuffled weights to compare with
measured_tiles_per_end: int = 3  # tiles of each patient, at each end, on which nuclei are measured
tumours_repainted: int = 12  # simulated tumours painted again with one knob turned at a time
review_tiles: int = 60  # tiles on the review sheet, before repeats and checks
bootstrap_samples: int = 2000  # resamples of the patients
interval_level: float = 0.95  # coverage of the intervals
jobs: int = 2  # processes that paint and measure

# %%
from itertools import zip_longest

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from ipywidgets import interact
from matplotlib.figure import Figure

# %%
from sarcnet.cohort import endpoint_named
from sarcnet.compendium import Stage, hospital_colours
from sarcnet.interpret import PRODUCERS, InterpretabilitySettings, explain, patient_heatmaps, see_tiles
from sarcnet.interpret.export import page_frame, show_viewer, somebody_watches, write_patient_reports, write_slide_exports
from sarcnet.model import assemble_patients, fold_matrix, load_stack, read_bags
from sarcnet.model.names import label, variable_words
from sarcnet.morphometry import count_status, measure_tiles, tile_geometry

stage = Stage.open("06_interpretability", InterpretabilitySettings, vars())

# %% [markdown]
# ## 1 · The very model that was evaluated
#
# We load the networks that notebook 03 or 04 stored, and the patients of the training series with the same bags. The
# validation series has done its work and stays out.

# %%
producer = PRODUCERS[explained_model]
ends = ("safetensors", "json")
weights, description = (stage.input(f"{producer}/models/{explained_model}.{end}") for end in ends)
model = load_stack(weights=weights, description=description)
endpoint = endpoint_named(model.protocol.outcome)
display(Markdown(endpoint.note))
training = pd.read_parquet(stage.input("00_cohort/training.parquet"))
known = training.dropna(subset=["mfs_months", "mfs_event"]).reset_index(drop=True)
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
features = {path.stem: path for path in stage.inputs("02_features/features/*.h5").values()}

# %% [markdown]
# Bags and clinical values are put together exactly as for training.

# %%
slide_ids = set(slides.loc[slides["patient_id"].isin(known["patient_id"]), "slide_id"])
feature_files = {slide_id: path for slide_id, path in features.items() if slide_id in slide_ids}
bags = read_bags(feature_files.values(), slides=slides, patient_ids=list(known["patient_id"]))
patients = assemble_patients(
    known, bags=bags, clinical_variables=model.protocol.clinical_variables,
    hazard_edges_months=model.protocol.hazard_edges_months,
)

# %% [markdown]
# ## 2 · Parts that add up
#
# The score of a patient is a sum: each tile adds its attention times its value, each clinical variable its weight
# times its value, in units of log-odds. No approximation is needed. (With TransMIL or early fusion there is no such sum:
# then the parts are *integrated gradients*, Sundararajan et al. 2017, and their error is stated.) For each patient we take
# only the networks that were *not* trained on this patient, those whose risks notebook 05 evaluated, and compare: do the
# parts sum to the score, and does the score give the risk that was evaluated? A heat map that shows another model than
# the evaluated one is a common and well-hidden mistake.

# %%
folds = pd.read_parquet(stage.input("03_model/folds.parquet"))
oof = pd.read_parquet(stage.input(f"{producer}/oof.parquet"))
explained = explain(model, patients, folds=folds, oof=oof[oof["model"] == explained_model])
display(Markdown(
    f"{len(explained.patients)} patients, {len(explained.tiles):,} tiles. Largest gap between a score and the sum of its "
    f"parts: {explained.score_gap:.1e} log-odds; between the risk computed here and the one evaluated: "
    f"{explained.risk_gap:.1e}. {explained.method}"
))

# %% [markdown]
# Were the gaps larger than rounding (or than 0.01 log-odds, where the parts are approximated), the cell would have stopped
# and named the patients.
#
# A part says what stands in the sum for a tile. **Shapley values** ask something else: what does the score gain when
# this tile joins the others, averaged over all orders in which they could come? Attention is shared out anew with each
# tile, so the two need not agree. In small bags all orders can be counted out.

# %%
from sarcnet.interpret.attribution import compare_with_shapley, map_similarity, nomogram_of, points_per_log_odds, respond

evaluated = patients.select([name in set(explained.patients["patient_id"]) for name in patients.patient_ids])
held_out = (fold_matrix(folds, patient_ids=evaluated.patient_ids, members=model.members) == 1).astype(float)
every_tenth = slice(None, None, max(1, len(evaluated) // 10))
counted = compare_with_shapley(model, evaluated.select(every_tenth), use=held_out[every_tenth], tiles=8)
stage.write_table("shapley.parquet", counted.table)
display(Markdown(counted.sentence))

# %% [markdown]
# ## 3 · Heat maps
#
# For each hospital the patients with the highest and the lowest image score. Red tiles raised the score, blue ones
# lowered it; what is not covered was not shown to the network. All panels share one scale, which ends where 98 % of
# the tiles do. Nothing is smoothed: a tile is the smallest thing the model can point at.

# %%
geometry = tile_geometry(feature_files)
files = {path.rpartition("/")[2]: file for path, file in stage.inputs("00_cohort/slides/*/*").items()}
horizon_months = model.protocol.horizon_months
shown, maps = patient_heatmaps(
    explained, files=files, geometry=geometry, count=patients_shown, horizon_months=horizon_months
)

# %% [markdown]
# Above each map stand the patient, the evaluated risk, and what image and clinic added to the score.

# %%
from sarcnet.interpret.figures import draw_forest, draw_heatmaps, draw_nomogram, draw_response, label_forest

worth = points_per_log_odds(model, evaluated, use=held_out)
figure = draw_heatmaps(list(maps.values()), horizon_months=horizon_months, points_per_log_odds=worth)
stage.figure("F10_heatmaps", figure, data=shown, caption=f"Contribution of each tile to the score of {label(explained_model)}, "
             "for the patients of each hospital with the highest and lowest image score.")

# %% [markdown]
# Look within a slide first: is the red confined to a region, or does the whole slide have one colour? A whole slide in
# one colour says that the model judges the tumour (or the stain!) as a whole. The black line is the outline of the tissue.
#
# **Would any network draw such maps?** We shuffle the trained weights, from the last layer down to the first, and see how
# like the maps remain (Adebayo et al. 2018); and we let the tiles of a patient swap their features, which ought to move
# the map.

# %%
similarity = map_similarity(model, evaluated, use=held_out, repeats=3, rng=stage.rng("interpret", "sanity"))
stage.write_table("sanity.parquet", similarity.table)
display(similarity.summary.round(2), Markdown(similarity.sentence))

# %% [markdown]
# 1 is the same map, 0 another one, −1 the same map with red and blue exchanged. A map that is turned over when only the
# weights of the score are shuffled, and lost when the embedding goes too, says that the embedding has already put the
# tiles in an order, and the last weights only say which end is dangerous.
#
# ## 4 · The tiles at the ends
#
# Now over all patients: the tiles with the strongest push up and down, at most a few of each patient, so that one odd
# slide cannot fill the picture. The number is the contribution times the number of the patient's tiles, so that
# patients with many and with few tiles compare. The white bar is 25 µm.

# %%
ends = explained.ends(count=tiles_shown, per_patient_max=tiles_per_patient_max)
shown_tiles = [see_tiles(rows, files=files, geometry=geometry) for rows in ends.values()]


def show_tile(ax, tile):
    if tile.pixels is not None:
        ax.imshow(tile.pixels)
        ax.plot([8, 8 + 25 * len(tile.pixels) / tile.tile_um], [len(tile.pixels) - 10] * 2, color="white", linewidth=2.5)
    strength = f"{tile.row['strength']:+.2f}".replace("-", "−")
    ax.set_title(f"{tile.row['centre']}, {strength}", fontsize="x-small", pad=2)


# %%
height = max(1, -(-max(map(len, shown_tiles)) // 4))
figure = plt.figure(figsize=(11.0, 1.58 * height + 0.5))
blocks = figure.subfigures(1, 2, wspace=0.04)
for block, tiles, verb in zip(blocks, shown_tiles, ("raise", "lower"), strict=True):
    block.suptitle(f"Tiles that {verb} the score most", fontsize="medium")
    axes_of_tiles = block.subplots(height, 4, squeeze=False).ravel()
    for ax, tile in zip_longest(axes_of_tiles, tiles):
        ax.axis("off")
        if tile is not None:
            show_tile(ax, tile)
stage.figure("F11_tiles", figure, data=ends, caption="The tiles that raised (left) and lowered (right) the score most.")

# %% [markdown]
# Before reading on, say in your own words what sets the left apart from the right. Then ask what you might have
# overlooked: if all tiles on one side come from one hospital, the model may have learnt its scanner.

# %%
by_centre = pd.concat({way: chosen["centre"].value_counts() for way, chosen in ends.items()}, axis=1).fillna(0).astype(int)
by_centre.rename_axis(index="centre", columns="tiles at this end")

# %% [markdown]
# The number of tiles of each hospital at either end.
#
# ## 5 · The clinical half

# %%
by_variable = explained.clinical.groupby("variable")["contribution"]
order = by_variable.std().sort_values().index
figure, ax = plt.subplots(figsize=(7.0, 0.42 * len(order) + 1.2))
for place, name in enumerate(order):
    parts = by_variable.get_group(name)
    heights = np.roll(np.linspace(-0.28, 0.28, len(parts)), 7)  # a fixed spread: nothing is drawn by chance
    ax.scatter(parts, place + heights, s=7, alpha=0.35, linewidths=0, color="C0")
ax.axvline(0, color="0.6", linewidth=1)
ax.set_yticks(range(len(order)), [variable_words(name) for name in order])
ax.set_xlabel(f"contribution to the score (log-odds), n = {len(explained.patients)} patients")
stage.figure(
    "F12_clinical", figure, data=explained.clinical, caption="What each clinical variable added to the scores."
)

# %% [markdown]
# A dot is a patient. A variable whose dots lie all near zero hardly matters to the model, given the others and the
# image.

# %%
spread = explained.patients[["image", "clinical"]].std()
display(Markdown(
    f"Standard deviation over patients: image {spread['image']:.2f}, clinical variables {spread['clinical']:.2f} log-odds."
))

# %% [markdown]
# The two standard deviations say how the work is shared between slide and clinical variables.
#
# **How does the risk answer to them?** Everybody is given the same age (or size, …), keeps slide and all else, and the
# mean risk is taken. The bands say how much the curve might have differed with other training patients, since each
# network was trained without one fold. Where patients are simulated, the true risk answers too.

# %%
variables = model.protocol.clinical_variables
clinic = known.set_index("patient_id", drop=False).loc[list(evaluated.patient_ids)].reset_index(drop=True)
curves = respond(model, evaluated, clinic, variables=variables, level=interval_level)
has_truth = stage.produced("00_cohort/truth/patients.parquet")
true_curves = true_risks = None
if has_truth:
    from virtual_cohort.experiments import compare_with_truth, risks_in_truth, simulate_review, true_effects, turn_knobs

    truth = pd.read_parquet(stage.input("00_cohort/truth/patients.parquet"))
    in_truth = risks_in_truth(clinic, truth, variables=variables, horizon_months=horizon_months, outcome=endpoint.name)
    true_curves, true_risks = in_truth.curves, in_truth.risks

# %% [markdown]
# Dashed, where it is known, is the truth.

# %%
figure = draw_response(curves, true_curves, level=interval_level, horizon_months=horizon_months)
truth_shown = ", and the true one of those variables that are in the hazard" if has_truth else ""
stage.figure("F12_response", figure, data={"model": curves, "true": true_curves}, caption="Mean risk when everybody has the "
             f"same value of one clinical variable: the model's{truth_shown}.")

# %% [markdown]
# A grade never has a true curve: it is a pathologist's reading of what lies behind it. Where slide and clinic are
# added (late fusion), the whole model can be written as a **nomogram**: look up the points of each row, add them, read the
# risk below.

# %%
if model.network.shape.fusion == "late":
    points = nomogram_of(model, evaluated, clinic, variables=variables)
    axes = pd.concat(points.axes, names=["row"]).reset_index("row")
    figure = draw_nomogram(points, endpoint=endpoint, horizon_months=horizon_months)
    stage.figure("F12_nomogram", figure, data={"axes": axes, "risks": points.risks}, caption="The model as a nomogram: mean "
                 "of all its networks. Not for clinical use.")
else:
    display(Markdown("Slide and clinic are not added in this model, so it has no nomogram."))

# %% [markdown]
# In a nomogram the widest row has 100 points. It is drawn to be understood, not to be used: no patient is to be treated
# by it.
#
# ## 6 · Against the truth
#
# Impressions of tiles are easily had and hardly checked. On a virtual cohort they can be checked: the true nuclei of
# each slide are known. Within each patient we compare the tiles that raised the score most with those that lowered it
# most, and count tumour nuclei on living tumour (*cellularity*), their mean area (*atypia*), how much the area varies
# (*anisokaryosis*), and which share of the tile is dead (*necrosis*, which the paper does not name but the grade counts).
#
# Two guards. The patient is the unit, and intervals come from resampling patients. And the same is done with networks
# whose weights were shuffled and which therefore know nothing: what they show too is no finding.

# %%
from sarcnet.interpret.patterns import end_tiles, measured_effects, probe_features, shuffled_contributions, verdicts

interval = {"samples": bootstrap_samples, "level": interval_level}
shuffled = shuffled_contributions(
    model, evaluated, folds=folds, networks=random_networks, rng=stage.rng("interpret", "shuffled")
)
if has_truth:
    nuclei = {path.stem: path for path in stage.inputs("00_cohort/truth/slides/*.parquet").values()}
    regions = {path.name.split(".")[0]: path for path in stage.inputs("00_cohort/truth/slides/*.png").values()}
else:
    display(Markdown("These patients are not simulated, so the true nuclei are unknown and this section is skipped."))

# %% [markdown]
# The mean over patients, with intervals from resampling them: all together, and hospital by hospital. Between patients
# the question is another: does a tumour with more of a pattern get a higher image score?

# %%
if has_truth:
    against_truth = compare_with_truth(
        explained, truth, shuffled=shuffled, nuclei=nuclei, regions=regions, geometry=geometry,
        nuclei_min=nuclei_per_tile_min, share=tile_share_compared, **interval,
        rng=lambda name: stage.rng("interpret", name),
    )
    display(*against_truth.tables)

# %% [markdown]
# The first table is about tiles within patients, the second the same in each hospital: a pattern that counts in one of
# them only may be a matter of its stain. *p* is corrected for looking at several patterns (Holm 1979). The third is
# about whole tumours. The first and the third in one figure: a pattern to the right of zero goes with a higher score.
# Grey dots are the shuffled networks.

# %%
if has_truth:
    within, between = against_truth.within, against_truth.between
    figure = against_truth.draw(level=interval_level)
    stage.figure("F13_pathology", figure, data={"within": within, "shuffled": against_truth.shuffled, "between": between},
                 caption="True patterns: tiles that raise against tiles that lower the score, and whole tumours.")
    for row in within.itertuples():
        stage.number(f"effect_{row.pattern}", row.effect, low=row.low, high=row.high, n=row.n, unit="standard deviations")
    for row in between.itertuples():
        stage.number(f"rho_{row.pattern}", row.rho, low=row.low, high=row.high, n=row.n, unit="rank correlation")

# %% [markdown]
# ## 7 · Measured, as on a real slide
#
# Real slides have no truth. So we measure what can be measured on the picture: the dyes are told apart by their colour,
# nuclei outlined by a watershed, and each tile gets its cellularity, the mean and the variation of the nuclear area, how
# dark and how rough the chromatin is, and its shares of necrosis and stroma.
# [docs/interpretability.md](../docs/interpretability.md) says how far each of these can be believed.
# Measuring takes longer than predicting, so only the two ends of each patient are measured.

# %%
ends_of_patients = end_tiles(explained.tiles, per_end=measured_tiles_per_end)
morphometry = measure_tiles(
    ends_of_patients, files=files, geometry=geometry, nuclei_min=nuclei_per_tile_min, jobs=jobs
)
display(Markdown(count_status(morphometry)))

# %% [markdown]
# A tile with few nuclei keeps its counts and shares, but has no mean size. Now the comparison within patients, once as
# measured and once with what goes along with necrosis and stroma taken out: a dead or fibrous tile differs in its nuclei
# too, and could pose as a pattern of nuclei.

# %%
measured = measured_effects(
    morphometry, explained.patients, **interval, shuffled=shuffled, rng=stage.rng("interpret", "measured")
)
truth_of_ends = None
if has_truth:
    true_ends = against_truth.tiles.loc[ends_of_patients.index]
    truth_of_ends = true_effects(true_ends, **interval, rng=stage.rng("interpret", "true ends"))

# %% [markdown]
# Filled is what was measured, hollow what remains without necrosis and stroma, blue the truth of the very same tiles,
# where it is known.

# %%
patterns, (fewest, most) = measured.plain["pattern"].tolist(), measured.plain["n"].agg(["min", "max"])
figure = Figure(figsize=(11.0, 0.52 * len(patterns) + 1.7))  # shown once both panels are drawn
left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
if has_truth:
    draw_forest(left, truth_of_ends, rows=patterns, offset=-0.18, colour="C0", marker="D", label="true, the same tiles")
draw_forest(left, measured.plain, rows=patterns, colour="C1", label="measured")
adjusted = "measured, necrosis and stroma taken out"
draw_forest(left, measured.adjusted, rows=patterns, offset=0.18, colour="C1", filled=False, label=adjusted)
dots = measured.shuffled[patterns].melt().dropna()
label_dots = f"{len(measured.shuffled)} networks, weights shuffled"
places = dots["variable"].map(patterns.index) + 0.34
left.scatter(dots["value"], places, s=8, color="0.6", alpha=0.6, linewidths=0, label=label_dots)
left.set_title(f"Within patients, n = {fewest} to {most}")

# %%
by_hospital = measured.by_centre.groupby("centre")
for offset, (centre, rows) in zip(np.linspace(-0.15, 0.15, len(by_hospital)), by_hospital, strict=True):
    colour, label_centre = hospital_colours(by_hospital.groups)[centre], f"{centre}, n ≤ {rows['n'].max()}"
    draw_forest(right, rows, rows=patterns, offset=offset, colour=colour, label=label_centre)
right.set_title("Measured, by hospital")
right.legend(fontsize="x-small", loc="best")
label_forest((left, right), patterns, level=interval_level)
figure.legend(*left.get_legend_handles_labels(), fontsize="small", loc="outside upper center", ncols=2)
stage.figure("F16_measured", figure, data={**vars(measured), "true": truth_of_ends},
             caption="Measured patterns: tiles that raise against tiles that lower the score.")
for row in measured.plain.itertuples():
    stage.number(f"measured_{row.pattern}", row.effect, low=row.low, high=row.high, n=row.n, unit="standard deviations")

# %% [markdown]
# Where filled and blue part, the instrument is at fault and not the model: on a real slide one would see the filled point
# only. Where filled and hollow part, the model may look at dead or fibrous tissue.
#
# ## 8 · What the features can know
#
# A model can use only what its features hold. A sparse linear probe predicts each pattern from the features of a tile,
# fitted on some patients and judged on others.

# %%
known_measures = probe_features(bags, morphometry, **interval, rng=stage.rng("interpret", "probe"), jobs=jobs)
known_truth = None
if has_truth:
    known_truth = probe_features(
        bags, true_ends, patterns=list(truth_of_ends["pattern"]), **interval, rng=stage.rng("interpret", "true probe"),
        jobs=jobs,
    )

# %% [markdown]
# Left what could be read from the features of a tile, right what goes with a tile's contribution.

# %%
patterns = known_measures["pattern"].tolist()
figure = Figure(figsize=(10.0, 0.52 * len(patterns) + 1.7))
left, right = figure.subplots(1, 2, sharey=True)
if has_truth:
    draw_forest(left, known_truth, rows=patterns, value="r2", offset=-0.18, colour="C0", marker="D", label="true")
draw_forest(left, known_measures, rows=patterns, value="r2", colour="C1", label="measured on the picture")
draw_forest(right, measured.plain, rows=patterns, colour="C1")
label_forest((left, right), patterns, level=interval_level)
left.set_title(f"What the features can know, n = {known_measures['n_patients'].max()} patients")
left.set_xlabel(f"R² on patients not seen ({interval_level:.0%} interval)")
left.set_xlim(np.nanmin([-0.1, known_measures["low"].min() - 0.05]), 1.0)
right.set_title(f"What the model uses, n = {fewest} to {most}")
figure.legend(*left.get_legend_handles_labels(), fontsize="small", loc="outside upper center", ncols=2)

# %%
stage.figure("F17_concepts", figure, data={"known": known_measures, "known_truth": known_truth, "used": measured.plain},
             caption="What a linear probe reads from the features of a tile, beside what the model uses.")
for row in known_measures.itertuples():
    stage.number(f"probe_{row.pattern}", row.r2, low=row.low, high=row.high, n=row.n_patients, unit="R²")

# %% [markdown]
# High on the left and near zero on the right: it was there for the taking and left. Low on the left and far from zero on
# the right: the model hardly sees this pattern itself, so something that goes along with it must carry it. A few nuclei
# measure their own variation badly, so even perfect features could not reach an R² of one.

# %% [markdown]
# ## 9 · Turn one knob
#
# Tiles with large nuclei are often crowded and dark as well, so a comparison of tiles cannot say which of these the
# model reacts to. An experiment can. We take some tumours as they are and **paint the same slide again with one knob
# turned**: larger nuclei, more of them, more mitoses. Everything else keeps its random numbers, pixel by pixel. The new
# slide goes through tiling and encoder like any other, and the networks that never saw the patient say the risk.
#
# Since the hazard is ours, the *true* change of the risk is known too. And three things must not matter:
# hyperchromasia, which changes the picture but no patient's fate here; the strength of the stain; and which part of the
# tumour was cut.

# %%
if has_truth:
    knobs = turn_knobs(
        model, patients, image_scores=explained.patients, registry=known, truth=truth, folds=folds,
        count=tumours_repainted, seed=stage.parameters_of("00_cohort")["seed"], tiling=stage.parameters_of("01_tiling"),
        encoder=stage.parameters_of("02_features")["encoder"], horizon_months=horizon_months, **interval, jobs=jobs,
        rng=lambda name: stage.rng("interpret", name),
    )
    stage.write_table("counterfactual.parquet", knobs.answers)

# %% [markdown]
# The mean over the tumours of how much the predicted risk changes, with intervals from resampling tumours; dashed, how
# much the true risk of the same patients changes.

# %%
if has_truth:
    figure = knobs.draw(level=interval_level, horizon_months=horizon_months)
    stage.figure("F15_counterfactual", figure, data={"responses": knobs.responses, "slopes": knobs.slopes},
                 caption="Change of the risk when one knob of the same tumour is turned: the model's and the true one.")
    for row in knobs.slopes.itertuples():
        stage.number(f"knob_{row.knob}", row.slope, low=row.low, high=row.high, n=row.n, unit="log-odds a standard unit")
    display(Markdown("\n".join(f"- {line}" for line in knobs.sentences)))

# %% [markdown]
# A flat line under a steep dashed one is a pattern that decides fates and that the model does not see. A steep line over
# a flat one is worse: the model moves with something that means nothing. The list compares log-odds with the true log
# hazard ratio, the figure what becomes of a patient's risk, which also depends on where it starts.

# %% [markdown]
# ## 10 · A page for each patient
#
# What would a tumour board want to see? The risk and how sure it is, what drove it, and the tiles behind it, on one sheet
# of paper. How sure: of the patients with the most similar predicted risk, how many have had a metastasis? Pages of the
# patients with heat maps are in `reports`; open one in a browser, or print it.

# %%
pages = write_patient_reports(
    stage.dir / "reports", explained, list(shown["patient_id"]), registry=clinic, maps=maps, files=files,
    geometry=geometry, true_risks=true_risks, data_kind=stage.data_kind, model=explained_model,
    horizon_months=horizon_months, level=interval_level, endpoint=endpoint,
)
for path in pages:
    stage.output(f"reports/{path.name}", path=path)

# %% [markdown]
# In JupyterLab you can leaf through the pages; where nobody sits before the notebook, the first one is shown.

# %%
frames = {path.stem: page_frame(path, title=f"page of {path.stem}", height_px=900) for path in pages}
frames = frames or {"nobody": HTML("No page.")}
if somebody_watches():
    interact(lambda patient: frames[patient], patient=list(frames))
else:
    display(next(iter(frames.values())))

# %% [markdown]
# Such a page persuades. That is its danger: bars and tiles look like reasons, and are only what moved this model.

# %% [markdown]
# ## 11 · Pathologist review
#
# On real slides there is no truth to count, and pathologists have to say what the tiles show, as they did in the study.
# They must not know what the model made of a tile, so they get a *blinded* sheet: tiles from both ends of the
# contributions and from between, at most two of a patient, under random codes and in random order. One tile in five
# comes back turned, to see whether readers agree with themselves, and two pictures check that they look. The sheet is
# one HTML file that works without a network; the key stays here.

# %%
from sarcnet.interpret.review import analyse_answers, draw_review, read_answers, write_review

drawing = stage.rng("interpret", "review")
review = write_review(
    explained.tiles, count=review_tiles, repeats=review_tiles // 5, checks=2, per_patient_max=2, files=files,
    geometry=geometry, folder=stage.dir / "review", note=f"Data: {stage.data_kind}", rng=drawing,
)
for path in review.paths:
    stage.output(path.relative_to(stage.dir).as_posix(), path=path)
asked = review.key.loc[review.key["kind"] == "tile", "patient_id"].nunique()
display(Markdown(f"{len(review.key)} pictures of {asked} patients; hand on `review/for_pathologists`."))

# %% [markdown]
# `sarcnet review export` writes a sheet of any size, and `sarcnet review import` reads what comes back. Before you ask
# pathologists for an evening, try the whole way with **simulated readers**. They know the true category of a tile and
# say it with a stated probability, else one category too high or too low. From this error the agreement follows that
# the analysis ought to find.

# %%
if has_truth:
    chances = {"A": 0.8, "B": 0.7, "C": 0.6}  # of the right answer
    filled = simulate_review(
        chances, review.key, against_truth.tiles, nuclei=nuclei, geometry=geometry,
        folder=stage.dir / "review" / "filled", rng=drawing,
    )
    answers = read_answers(filled.sheets, key=stage.dir / "review" / "key.csv")
    results = analyse_answers(answers, **interval, rng=lambda name: stage.rng("interpret", name))
    checks = results.checks.rename(columns={"reader": "pathologist", "failed_items": "failed on"}).replace("", "–")
    display(Markdown(answers.summary_text()), checks.set_index("pathologist"))

# %% [markdown]
# Whatever cannot be used (unknown codes, words for numbers, contradictions, gaps) would be named and counted here.
# κ is agreement beyond chance: Fleiss' κ takes the categories without their order, the weighted κ forgives near
# misses. Then the question itself: does the contribution of a tile rise with what readers see in it?

# %%
if has_truth:
    agreed = filled.with_implied(results.agreement)
    figure = draw_review(agreed, results.association, level=interval_level, readers=f"{len(chances)} simulated readers")
    stage.figure("F14_review", figure, data={"agreement": agreed, "association": results.association},
                 caption="Review of tiles by simulated readers: agreement, and correlation with the contributions.")

# %% [markdown]
# Left, black ticks are the κ that the simulated readers' error implies; a few intervals may miss their tick by chance,
# and more than a few would be a fault of the instrument. The bars of one reader against himself depend on the number of
# repeats. Right, tiles come from both ends on purpose, so the correlation says *which* patterns the model reacts to and
# not how much of the score they explain. Simulated readers say whether the instrument works, not what pathologists see.

# %% [markdown]
# ## 12 · QuPath
#
# Pathologists look at slides in their own program. For the patient of highest image score in each hospital the run keeps
# what [QuPath](https://qupath.github.io) opens (drag the files onto the slide): tiles and segmented nuclei as GeoJSON
# with their measurements, on simulated slides the true nuclei too, and the heat map as PNG and OME-TIFF with its µm/px.
# `sarcnet qupath` does it for any slide.

# %%
highest = shown[shown["end"] == "high"].drop_duplicates("centre")["patient_id"]
exported = write_slide_exports(
    stage.dir / "qupath", [maps[patient_id] for patient_id in highest], tiles=explained.tiles, files=files,
    geometry=geometry, nuclei_min=nuclei_per_tile_min, true_nuclei=nuclei if has_truth else None,
)
for slide in exported:
    for path in slide.paths.values():
        stage.output(f"qupath/{path.name}", path=path)
display(Markdown(count_status(pd.concat([slide.tiles for slide in exported]))))

# %% [markdown]
# Coordinates are pixels of level 0. In QuPath, *Measure → Measurement maps* colours the tiles by their contribution.
#
# ## 13 · Viewer
#
# The first of them without another program: drag to move, turn the wheel to come nearer, point at a tile to read its
# contribution and what was measured in it. One slider makes the heat map clearer or fainter, the other hides the small
# contributions. In JupyterLab you see the viewer; where nobody sits before the notebook, a figure takes its place. The
# file `viewer.html` beside this run's record opens in any browser, without a network.

# %%
show_viewer(stage.output("viewer.html"), exported[0], note=f"Data: {stage.data_kind}")

# %% [markdown]
# Go to the reddest tile and to the bluest one. Would you have told them apart without the colours? And are there tiles
# without colour beside them that look alike? Those were not drawn for the network.

# %% [markdown]
# ## 14 · Tables of this run

# %%
tables = {
    "contributions": explained.tiles, "clinical_contributions": explained.clinical, "patients": explained.patients,
    "morphometry": morphometry,
}
for name, table in tables.items():
    stage.write_table(f"{name}.parquet", table)

# %% [markdown]
# ## What we found

# %%
sentences = against_truth.sentences if has_truth else ["Without truth, pathologists must judge the tiles."]
display(Markdown("\n".join([f"{label(explained_model)}, {stage.data_kind} data.\n", *(f"- {line}" for line in sentences)])))

# %% [markdown]
# And what would have been said without the truth, as on real slides:

# %%
answers_by_pattern = verdicts(measured, shuffled=measured.shuffled, true=truth_of_ends, known=known_measures)
for verdict in answers_by_pattern:
    display(Markdown(f"- {verdict.sentence}"))

# %% [markdown]
# **Which of the three patterns does this model really use?** Tiles say what goes along with a high score; only the
# experiment says what the score depends on.

# %%
if has_truth:
    associated = {verdict.pattern: verdict.effect for verdict in answers_by_pattern}
    associated["nuclear_area"] = associated.pop("atypia")
    names = ("nuclear_area", "cellularity", "anisokaryosis")
    sentences = knobs.conclusions({name: associated[name] for name in names})
    display(Markdown("\n".join(f"- {line}" for line in sentences)))
else:
    display(Markdown("Real tumours cannot be painted again: here it stays with what goes along with the score."))

# %% [markdown]
# **Limits.** A contribution says what moved the model, not what causes metastasis. Within patients, patterns that go
# together in a tile cannot be told apart by such a comparison, and the variation of nuclei within a tile is measured on
# few of them. The P values are corrected for the number of patterns looked at, the intervals are not. On real slides
# there is no truth to count; a blinded review by pathologists takes its place.
#
# **Next.** Run the same seven notebooks on your own slides: the [README](../README.md#your-own-cohort) says how.

# %%
stage.close()
