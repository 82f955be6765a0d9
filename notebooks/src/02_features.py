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
#     settings: sarcnet.features.settings:FeaturesSettings
# ---

# %% [markdown]
# # 02 · From tiles to numbers
#
# **Question.** A tile is 150,528 numbers (224 × 224 pixels in three colours), far too many to learn from a few
# hundred patients. Can a network that has never seen a tumour describe it in fewer, and does it describe both
# hospitals alike?
#
# In this notebook we will
#
# - meet the **encoder**: a network trained on photographs, whose weights we never change,
# - turn the tiles of every slide into features and see where the time goes,
# - look at the features of all slides on one plane,
# - measure how much of them is the hospital rather than the tissue.
#
# The encoder is **our choice**: it comes inside a package, so everybody can run this notebook without an account, a
# graphics card or a network. An earlier study of the two hospitals, which classified lipomas against atypical lipomatous
# tumours (ESMO 2023, abstract 1955P), used a transformer with 768 numbers per tile; SarcNet's abstract does not name its
# encoder.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of the choice of tiles
encoder: str = "mobilenetv2_imagenet"  # name in docs/encoders.md
tiles_per_slide_max: int = 32  # at most so many tiles of a slide are encoded
batch_tiles: int = 8  # tiles in one call of the encoder
jobs: int = 2  # threads, each reads and encodes

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display

from sarcnet.compendium import Stage, hospital_colours, track
from sarcnet.features import Extraction, FeaturesSettings, extract_cohort, read_features, slides_to_encode
from sarcnet.features.encoders import encoder_named, resolution_notes, runtime_for
from sarcnet.features.site_effect import centre_share, classify_site, place_tiles, sample_features, two_axes
from sarcnet.slides.report import failed_table, known_failures, record_failures
from sarcnet.slides.reader import TileReader, open_slide, plan

stage = Stage.open("02_features", FeaturesSettings, vars())

# %% [markdown]
# ## 1 · The encoder
#
# MobileNetV2 learnt to tell a thousand kinds of things on photographs apart: cats, cups, cars (ImageNet). On the way
# it learnt edges, blobs, textures and how they are arranged, and these are in tissue too. We cut off its last layer,
# the one that says "cat", and keep the 1,280 numbers before it. The network is **frozen**: nothing in it is fitted to
# our patients, so nothing about an outcome can leak into the features, and both hospitals can compute them without
# talking to each other.

# %%
network = encoder_named(encoder)
runtime = runtime_for(network)
facts = {name: getattr(network, name) for name in ("name", "dim", "tile_px", "pooling", "licence", "source")}
words = {"dim": "numbers per tile", "tile_px": "side of a tile, px"}
pd.Series(facts, name="encoder").rename(words).to_frame()

# %% [markdown]
# Networks trained on tissue ("foundation models" of pathology) describe it better; most need an account and a large
# graphics card. Fourteen of them can be named in the parameter `encoder`;
# [docs/encoders.md](../docs/encoders.md) lists them with licence and page. Ours is the honest minimum. An
# encoder expects tiles of one size and, when it was trained on tissue, of one resolution: we check both.

# %%
report = pd.read_parquet(stage.input("01_tiling/slides.parquet")).query("status == 'ok'")
tiles = pd.read_parquet(stage.input("01_tiling/tiles.parquet"))
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
tile = report[["tile_um", "tile_px", "target_mpp"]].iloc[0]
notes = resolution_notes(network, tile_px=int(tile["tile_px"]), mpp=tile["target_mpp"])
Markdown("\n\n".join(notes) or f"{network.name} suits tiles of {tile['tile_px']:g} px at {tile['target_mpp']:g} µm/px.")

# %% [markdown]
# ## 2 · Encoding
#
# A slide can have thousands of tiles that tell the same story. Where there are more than `tiles_per_slide_max`, we
# draw that many at random, by a generator named after the slide: the same slide always gets the same tiles, whatever
# the other slides are, and a larger `tiles_per_slide_max` adds tiles to those of a smaller one. No kind of tissue is
# preferred, so that the average of the drawn tiles estimates the average of the slide.
#
# Each thread reads a batch of tiles and encodes it, so no core waits for another. A tile that was encoded in an earlier
# run is not encoded again unless its slide, its size, the encoder or the code changed, nor are finished batches of a
# slide that was interrupted: kill this notebook at any moment and run it again, and the files come out the same to the
# byte.

# %%
files = stage.inputs("00_cohort/slides/*/*")
extraction = Extraction.of(stage.settings, tile_um=tile["tile_um"], tile_px=int(tile["tile_px"]))
worklist = slides_to_encode(report, tiles, slides, recorded=files)
rows = extract_cohort(
    worklist,
    encoder=runtime,
    extraction=extraction,
    generator=lambda slide_id: stage.rng("tiles", slide_id),
    folder=stage.dir / "features",
    jobs=jobs,
)
outcome = pd.DataFrame(list(track(rows, total=len(report), what="slides")))

# %% [markdown]
# Each slide is now a small file, `features/<slide_id>.h5`, with the features and the place of each tile on the slide.
# Any tool that opens HDF5 can read it. That is all there is to it: we read a handful of tiles of one slide again, call
# the encoder on them, and hold its answer against the file, which keeps 16 bits of each number.

# %%
done = outcome[outcome["status"] == "ok"]
slide = next(slide for slide in worklist if slide.slide_id == done["slide_id"].iloc[0])
stored = read_features(stage.dir / "features" / f"{slide.slide_id}.h5")
handle, info = open_slide(slide.path, mpp_override=slide.mpp)
with TileReader(handle, info, plan(info, tile_um=tile["tile_um"], tile_px=int(tile["tile_px"]))) as reader:
    batch = np.stack([reader.tile(x_px, y_px) for x_px, y_px in stored.coords[:4]])  # (n, 224, 224, 3) uint8, RGB
vectors = runtime.encode(batch)  # (n, 1280) float32
assert np.allclose(vectors.astype(np.float16), stored.features[:4], rtol=2e-3, atol=1e-3)
print(f"{slide.slide_id}: tiles {batch.shape} {batch.dtype} -> features {vectors.shape} {vectors.dtype}")

# %% [markdown]
# Now all slides. How long did it take, and what took it?

# %%
new = done[done["n_encoded"] > done["n_resumed"]]
kept = int(done["n_resumed"].sum())
steps = new.filter(like="seconds_").rename(columns=lambda name: name.removeprefix("seconds_"))
steps = steps.rename(columns={"read": "read and decode"})
spent = steps.sum().to_frame("seconds")
n_new = int((new["n_encoded"] - new["n_resumed"]).sum())
spent["share"], spent["ms per tile"] = spent / max(spent["seconds"].sum(), 1e-9), 1000 * spent / max(n_new, 1)
display(spent.round(2))
Markdown(
    f"{len(done)} of {len(report)} slides, {done['n_encoded'].sum():,} tiles of {network.dim:,} numbers; "
    f"{done['n_encoded'].sum() - kept:,} tiles were encoded now, on {len(new)} slides; {kept:,} had been before. "
    f"{int(done['n_unreadable'].sum())} tiles could not be read."
)

# %% [markdown]
# The table sums the seconds of all threads. Encoding should take by far the most: then the processor does what we pay
# it for. *Read and decode* is one number because OpenSlide does both in one call, and nothing outside can tell how much
# of it is the disk and how much the JPEG; if it comes close to encoding, suspect the disk. *Wait* is what threads stood
# idle: mostly at the start and at the end, when there is not enough work for all.
#
# The same for each slide, in seconds (*wait*: until it was finished, since the one before). Every slide's own numbers
# stand in `report.parquet`.

# %%
steps.agg(["min", "median", "max"]).round(3)

# %% [markdown]
# Where one slide takes far longer than the median, look at that slide: more tiles, another compression, or a bad copy.
#
# ## 3 · A first look
#
# We cannot look at 1,280 numbers. We look at two: the directions along which tiles differ most (principal
# components). Each point is a tile.

# %%
table, features = sample_features(stage.dir / "features", done, report, per_slide=max(12, 500 // len(done)))
plane = two_axes(features)
table["axis_1"], table["axis_2"] = plane.scores.T
files_of = {name.rsplit("/", 1)[-1]: path for name, path in files.items()}

# %% [markdown]
# On the left each hospital has its colour, on the right a tile stands in each part of the plane that has one.

# %%
counts = table["centre"].value_counts()
hospital = table["centre"] + table["centre"].map(counts).map(" (n = {:,} tiles)".format)
palette = dict(zip(sorted(hospital.unique()), hospital_colours(table["centre"]).values(), strict=False))
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2), sharex=True, sharey=True)
groups = {"hue": hospital, "hue_order": palette, "style": hospital, "style_order": palette, "palette": palette}
sns.scatterplot(table, x="axis_1", y="axis_2", **groups, s=14, alpha=0.5, linewidth=0, ax=left)
left.legend(title="hospital", markerscale=2)
place_tiles(right, table, plane.scores, files=files_of, extraction=extraction)
left.set(title="each point a tile", ylabel=f"second axis ({plane.explained[1]:.0%} of variance)")
right.set_title("tiles at their places")
plt.setp([left, right], xlabel=f"first axis ({plane.explained[0]:.0%} of variance)")
stage.figure("F4_features", figure, data=table[["centre", "slide_id", "axis_1", "axis_2"]],
             caption=f"{len(table):,} tiles on the two main axes of their features.")

# %% [markdown]
# On the right, tiles are drawn at the place of the points they stand for. Walk along each axis and say what changes:
# density of nuclei, fibres, glass, or merely colour. On the left, see whether the centres mix.

# %%
share = centre_share(features, table["centre"].to_numpy())
first, second = plane.explained
Markdown(
    f"The two axes hold {first:.0%} and {second:.0%} of all variation between tiles. The hospital alone explains "
    f"**{share:.1%}** of it."
    if table["centre"].nunique() > 1
    else f"The two axes hold {first:.0%} and {second:.0%} of all variation between tiles. There is one centre only."
)

# %% [markdown]
# ## 4 · Stain and scanner are in the features
#
# A network of photographs cares for colour. If one hospital stains with haematoxylin, eosin and *saffron* and the
# other without, or scans with other optics, the features may know it, and then so does a model: should one hospital
# have more relapses, "which hospital" would look like a finding. Two axes cannot rule that out, since a small
# difference in a thousand features is a sure sign. So we ask outright: can a straight-line rule (ridge regression on
# the mean of a slide's tiles) name the hospital of slides whose patients it has not seen?

# %%
told = classify_site(features, table, rng=stage.rng("hospitals"))
slides_of = told["centre"].value_counts().map(" (n = {} slides)".format)
hospital = (told["centre"] + told["centre"].map(slides_of)).rename("hospital")
palette = dict(zip(sorted(hospital.unique()), hospital_colours(told["centre"]).values(), strict=False))
figure, axis = plt.subplots(figsize=(8, 3))
if len(told):
    edge = 1.05 * told["margin"].abs().max()
    sns.histplot(x=told["margin"], hue=hospital, hue_order=palette, palette=palette, bins=30, binrange=(-edge, edge),
                 element="step", fill=False, linewidth=2, ax=axis)
    axis.axvline(0, color="0.4", linestyle="--")
    axis.set(xlabel="score of the true hospital minus the other (right of 0: named correctly)", ylabel="slides")
else:
    axis.text(0.5, 0.5, "one centre only: nothing to tell apart", ha="center", va="center")
    axis.set_axis_off()
stage.figure("hospitals", figure, data=told, caption="A linear rule names the hospital of slides it has not seen.")

# %%
right = (told["said"] == told["centre"]).mean() if len(told) else float("nan")
guess = told["centre"].value_counts(normalize=True).max() if len(told) else float("nan")
Markdown(
    f"It names **{right:.0%}** of {len(told)} slides correctly; always naming the larger hospital would give {guess:.0%}."
    if len(told)
    else "There is one centre only, so there is nothing to tell apart."
)

# %% [markdown]
# Compare the two numbers. Far above guessing means that stain and scanner are written all over the features, even
# where the clouds on the plane overlap. That is no fault of this step, but every later one must live with it: a model
# should be judged within hospitals too, and whoever compares hospitals by such features compares scanners.
#
# ## 5 · The record

# %%
outcome = outcome.merge(report[["slide_id", "patient_id", "centre"]], on="slide_id", validate="one_to_one")
failed = failed_table(outcome, known=known_failures(stage, slides, files=files))
display(Markdown(f"**{len(failed)} of {len(outcome)} slides failed.**"))
display(failed.set_index("slide_id") if len(failed) else Markdown("Every slide could be encoded."))

# %%
stage.write_table("report.parquet", outcome)
for slide_id in done["slide_id"]:
    stage.output(f"features/{slide_id}.h5")
record_failures(stage, failed, report=outcome)
stage.number("tiles_encoded", int(done["n_encoded"].sum()), n=len(done), unit="tiles")
stage.number("centre_share_of_variance", share, n=len(table), unit="share")
stage.number("hospital_named_correctly", right, n=len(told), unit="share of slides")

# %% [markdown]
# ## What we found
#
# - Each tile is 1,280 numbers from a network that knows nothing of our patients; each slide is one small file.
# - Encoding is where the time goes, and it is done once: everything after this notebook takes seconds to minutes.
# - How much of the features is hospital, stain and scanner can be measured, and should be before anything is learnt.
#
# ## Limits
#
# - A network of photographs was never told what a nucleus is. Networks trained on tissue do better in published
#   comparisons.
# - A tile of 112 µm shows cells and their neighbours, not the architecture of a tumour.
# - The plane shows two of 1,280 directions: points that lie together there may differ elsewhere.
#
# ## Next
#
# [03 · One risk from slides and clinical variables](03_model.ipynb) opens the outcomes of the training series and learns
# the risk from these features and the clinical variables.

# %%
stage.close()
