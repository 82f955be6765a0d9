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
encoder: str = "mobilenetv2_imagenet"  # name in sarcnet.features.encoders.lookup
tiles_per_slide_max: int = 32  # at most so many tiles of a slide are encoded
batch_tiles: int = 8  # tiles in one call of the encoder
jobs: int = 2  # threads, each reads and encodes

# %%
import pandas as pd
from IPython.display import Markdown, display

from sarcnet.compendium import Stage, track
from sarcnet.features import figures, worklist
from sarcnet.features.encoders.lookup import encoder_named, resolution_notes
from sarcnet.features.extraction import Extraction, extract_cohort
from sarcnet.features.projection import two_axes
from sarcnet.features.encoders.runtime import runtime_for
from sarcnet.features.settings import FeaturesSettings
from sarcnet.features.batch_effect import centre_share, classify_site
from sarcnet.slides import failed_table, known_failures, record_failures

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
rows = extract_cohort(
    worklist.slides_to_encode(report, tiles, slides, recorded=files),
    encoder=runtime,
    extraction=extraction,
    generator=lambda slide_id: stage.rng("tiles", slide_id),
    folder=stage.dir / "features",
    jobs=jobs,
)
outcome = pd.DataFrame(list(track(rows, total=len(report), what="slides")))

# %% [markdown]
# Each slide is now a small file, `features/<slide_id>.h5`, with the features and the place of each tile on the slide.
# Any tool that opens HDF5 can read it.

# %%
done = outcome[outcome["status"] == "ok"]
new = done[done["n_encoded"] > done["n_resumed"]]
kept = int(done["n_resumed"].sum())
display(figures.time_table(new).rename(index={"read": "read and decode"}))
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
steps = new.filter(like="seconds_").rename(columns=lambda name: name.removeprefix("seconds_"))
steps.rename(columns={"read": "read and decode"}).agg(["min", "median", "max"]).round(3)

# %% [markdown]
# Where one slide takes far longer than the median, look at that slide: more tiles, another compression, or a bad copy.
#
# ## 3 · A first look
#
# We cannot look at 1,280 numbers. We look at two: the directions along which tiles differ most (principal
# components). Each point is a tile.

# %%
table, features = figures.sample_features(stage.dir / "features", done, report, per_slide=max(12, 500 // len(done)))
plane = two_axes(features)
files_of = {name.rsplit("/", 1)[-1]: path for name, path in files.items()}
figure, shown = figures.draw_plane(table, plane, files=files_of, extraction=extraction)
stage.figure("F4_features", figure, data=shown, caption=f"{len(table):,} tiles on the two main axes of their features.")

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
figure, margins = figures.draw_hospitals(told)
stage.figure("hospitals", figure, data=margins, caption="A linear rule names the hospital of slides it has not seen.")

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
