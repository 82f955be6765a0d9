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
#     settings: sarcnet.slides.settings:TilingSettings
# ---

# %% [markdown]
# # 01 · From glass to tiles
#
# **Question.** A scanned slide holds billions of pixels, most of them empty glass. Which pieces of it shall a network
# see, and how do we make sure that a piece means the same at both hospitals?
#
# In this notebook we will
#
# - learn why a tile is asked for in **micrometres** and never in "magnification",
# - find the tissue on a small picture of each slide,
# - lay a grid of tiles over it and look at the same amount of glass from each hospital,
# - leave out tiles that would teach nothing, counting each by its reason,
# - end with a report that has a line for **every** slide, also for those that failed.
#
# The tile of 112 µm on 224 pixels follows what the same two hospitals described for another task: telling lipomas from
# atypical lipomatous tumours (ESMO 2023, abstract 1955P: areas of 112 × 112 µm sampled from tissue). How SarcNet itself
# cut its tiles does not stand in its abstract; all thresholds below are **our assumption**.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run
seed: int = 2025  # seed of every random choice
tile_um: float = 112.0  # µm, side of a tile on the glass
tile_px: int = 224  # px, side of a tile as the encoder sees it
thumbnail_um_per_px: float = 8.0  # µm/px, small picture on which tissue is sought
tissue_share_min: float = 0.6  # least share of a tile that is tissue
pen_share_max: float = 0.2  # largest share of a tile that is pen
fold_share_max: float = 0.5  # largest share of a tile that lies double
blank_share_max: float = 0.8  # largest share of pixels as bright as empty glass
sharpness_min: float = 60.0  # grey levels squared, least variance of the Laplacian at 1 µm/px
unreadable_share_max: float = 0.2  # share of unreadable tiles at which a slide fails
jobs: int = 2  # processes, one slide each

# %%
import matplotlib.pyplot as plt
import numpy as np
import openslide
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display

from sarcnet.compendium import Stage, hospital_colours, track
from sarcnet.slides import TileRules, TilingSettings, slide_files, tabulate, tile_cohort
from sarcnet.slides.figures import draw_overviews, draw_same_glass, draw_tissue_steps, example_slides, resolution_table
from sarcnet.slides.reader import TileReader, open_slide, plan
from sarcnet.slides.report import failed_table, known_failures, record_failures, write_contact_sheets

stage = Stage.open("01_tiling", TilingSettings, vars())
rules = TileRules.of(stage.settings)

# %% [markdown]
# ## 1 · The slides
#
# Notebook 00 left a list of slides: to whom each belongs, where its file lies, and, for slides whose file does not
# say how large a pixel is, the number that the hospital wrote down. We open no clinical variable and no outcome here:
# what counts as tissue must not depend on how the patient fared.

# %%
slides = pd.read_parquet(stage.input("00_cohort/slides.parquet"))
files = slide_files(slides, recorded=stage.inputs("00_cohort/slides/*/*"))
slides.groupby("centre").agg(patients=("patient_id", "nunique"), slides=("slide_id", "size"))

# %% [markdown]
# ## 2 · Tiling every slide
#
# One call does the work; the sections after it open it up. Slides are handled by processes beside this one, so that
# even a file that crashes the library which decodes it costs one slide and not the study. What is finished is kept,
# under a name made of the slide file and every parameter above: interrupt this cell and run it again, and it goes on
# where it stopped. A slide that cannot be used is noted, with cause and advice, and the others go on.

# %%
work, thumbnails = stage.dir / "units", stage.dir / "thumbnails"
tiled = tile_cohort(slides, files=files, rules=rules, work=work, pictures=thumbnails, jobs=jobs)
cohort = tabulate(list(track(tiled, total=len(slides), what="slides")), slides)
report, tiles = cohort.report, cohort.tiles
Markdown(cohort.text)

# %% [markdown]
# ## 3 · Micrometres, not magnification
#
# "40x" is the name of a lens, not a measure. What reaches the file depends on lens, camera and scanner: slides called
# 40x measure from 0.22 to 0.27 µm per pixel. A network that is shown 224 pixels sees a different amount of tissue at
# each scanner, and nuclei of a different size. In sarcoma that is fatal: **nuclear size is what a pathologist grades
# by**. So we ask for a tile in micrometres, read from the nearest finer level of the slide's pyramid, and resample
# once to exactly the resolution we want. Nothing is rounded to a "nominal" value.

# %%
example = report[report["status"] == "ok"].iloc[0]
with openslide.OpenSlide(files[example["slide_id"]]) as slide:
    levels = pd.DataFrame(slide.level_dimensions, columns=["width, px", "height, px"])
    levels["µm/px"] = example["mpp"] * np.array(slide.level_downsamples)
    place = tiles.loc[tiles["slide_id"] == example["slide_id"], ["x_px", "y_px"]].iloc[0].tolist()
    pixels = np.asarray(slide.read_region(tuple(place), 0, (tile_px, tile_px)).convert("RGB"))
read = []
for side_um in (tile_px * example["mpp"], tile_um):
    handle, info = open_slide(files[example["slide_id"]], mpp_override=example["mpp"])
    with TileReader(handle, info, plan(info, tile_um=side_um, tile_px=tile_px)) as reader:
        read.append(reader.tile(*place))
assert np.abs(read[0].astype(int) - pixels).max() <= 1  # not resampled, the package reads what OpenSlide reads
levels.rename_axis("level").round(4)

# %% [markdown]
# So OpenSlide lists the levels of the first slide. Below, at one place of it: on the left as many pixels as a tile has,
# straight from OpenSlide; on the right the tile of exactly so many micrometres, which is resampled.

# %%
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4))
for axis, picture, width in zip(axes, read, (tile_px * example["mpp"], tile_um), strict=True):
    axis.imshow(picture)
    axis.set(xticks=[], yticks=[], title=f"{width:.1f} µm, {width / tile_px:.4g} µm/px")
shown = {"slide_id": example["slide_id"], "x_px": place[0], "y_px": place[1], "mpp": example["mpp"]}
caption = f"{tile_px} pixels of level 0 as OpenSlide reads them, and the tile of {tile_um:g} µm at the same corner."
stage.figure("one_region", figure, data=shown, caption=caption)

# %%
resolution = resolution_table(report, tile_um=tile_um, tile_px=tile_px)
resolution.set_index("centre").round(4)

# %% [markdown]
# The two last columns tell the same story from both ends. The first of them: how much glass the same number of pixels
# covers if one simply cuts them out of the file. The second: how many pixels must be taken for the same amount of
# glass. A fraction of a pixel is kept: rounding it away at each tile would add up over a slide.
#
# The column *µm/px from* says who told us. A slide that does not know its µm/px is **refused**, not guessed.

# %%
low, high = resolution["µm/px"].min(), resolution["µm/px"].max()
Markdown(
    f"Finest and coarsest slide measure {low:.4g} and {high:.4g} µm/px: cut by pixels, the same nucleus would come out "
    f"up to **{high / low:.2f} times** as wide on one as on the other. After resampling every tile measures "
    f"{tile_um / tile_px:g} µm/px, however it was scanned."
)

# %% [markdown]
# ## 4 · Where is tissue?
#
# We look at one small picture of the slide. Stain takes light away: the *optical density*, minus the logarithm of the
# light that is left, is near zero on glass and grows with the amount of dye. Green is the channel that haematoxylin
# and eosin both absorb. Otsu's method finds the density that best separates two groups, and we hold it within bounds,
# because on a slide full of tissue it would separate tissue from tissue. What is denser is stained beyond doubt. From
# there the mask grows over everything connected that is denser than glass (hysteresis thresholding): myxoid stroma is
# so pale that one threshold loses it, and in myxofibrosarcoma it can be most of the tumour. Grey things, such as shadow and
# dust, are left out; then specks are removed and cracks are closed, all sizes in micrometres.

# %%
examples = example_slides(report)
shown = examples.iloc[0]
figure, steps = draw_tissue_steps(
    files[shown["slide_id"]], mpp=shown["mpp"], thumbnail_um_per_px=thumbnail_um_per_px
)
stage.figure("tissue_steps", figure, data=steps, caption=f"Search for tissue on slide {shown['slide_id']}.")

# %% [markdown]
# Read from left to right. The white lines on the colour bar are the two thresholds: a stained region exceeds the
# lower one everywhere and the upper one (dashed) somewhere. Compare panels 3 and 4: what disappears are specks, what
# appears are the cracks between fibres. Large holes stay holes, since a vessel or a tear is not tissue. The slide shown
# is the one with the median area of tissue, neither the best nor the worst.

# %%
Markdown(
    f"Otsu proposes a density of {steps['otsu_od']:.2f}; regions that exceed {steps['seed_od']:.2f} somewhere are grown "
    f"down to {steps['threshold_od']:.2f}. {steps['stained_share']:.0%} of the slide is stained, "
    f"{steps['tissue_share']:.0%} is tissue after cleaning."
)

# %% [markdown]
# ## 5 · The grid
#
# Tiles lie edge to edge, from the origin of the scanned area. A tile enters when at least the share
# `tissue_share_min` of it is tissue. The picture is kept for every slide in the run's `thumbnails` folder: **whoever
# runs this on real slides should leaf through them**; it takes seconds a slide and finds what no statistic finds.

# %%
figure, counts = draw_overviews(examples, folder=thumbnails)
stage.figure("F3_tiles", figure, data=counts, caption="Tissue (black) and tiles (blue) on one slide of each centre.")

# %% [markdown]
# The black line should follow the tissue as you would draw it, and squares should fill it. Tissue at the rim that no
# square covers is the price of a grid: a tile that is mostly glass is not worth its time.
#
# ## 6 · The same glass at each hospital
#
# Now the point of it all: tiles of the same size on the glass, one row for each hospital.

# %%
figure, picked = draw_same_glass(examples, tiles, files=files, tile_um=tile_um, tile_px=tile_px)
stage.figure("same_glass", figure, data=picked, caption=f"Tiles of {tile_um:g} µm, four for each centre.")

# %% [markdown]
# Colour and sharpness may differ, since each hospital has its own stains and scanner, but a nucleus has its true size
# in both rows: that is what asking in micrometres buys. The dashed square, where there is one, marks what 224 pixels
# straight out of the file would have shown. The difference in colour stays; notebook 02 shows how much of it reaches
# the features.
#
# ## 7 · Tiles that are left out
#
# A tile is asked six questions, in this order. Is there tissue? Is it covered by pen? Does the tissue lie double, that
# is, is it twice as dense and much more saturated than the rest of the slide? Can its pixels be decoded? Is it mostly
# white after all? Is it out of focus? (The last two are asked at 1 µm/px.) The first answer that speaks against it is
# its reason. A tile that cannot be decoded is dropped: nothing is painted in its place.

# %%
ok = report[report["status"] == "ok"]
counted = ok.groupby("centre")[[name for name in ok if name == "n_kept" or name.startswith("n_rejected_")]].sum()
reasons = counted.rename(columns=lambda name: name.removeprefix("n_").removeprefix("rejected_"))
shares = reasons.loc[:, reasons.any()].div(reasons.sum(axis=1), axis=0)
figure, axis = plt.subplots(figsize=(8, 1.2 + 0.6 * len(shares)))
shares.plot.barh(stacked=True, ax=axis, edgecolor="white", width=0.8)
axis.set_yticks(range(len(shares)), [f"{name} (n = {reasons.loc[name].sum():,})" for name in shares.index])
axis.set(xlabel="share of candidate tiles", ylabel="", xlim=(0, 1))
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6)
stage.figure("rejections", figure, data=counted.reset_index(), caption="Candidate tiles by what became of them.")
display(reasons)

# %% [markdown]
# What is left out is mostly background, as it should be. The other reasons deserve a look whenever they differ between
# hospitals: a filter that throws out more tiles at one hospital changes its patients.
#
# Sharpness is the one number here without a natural threshold: it depends on scanner, stain and compression. We look
# at its distribution.

# %%
sharp = tiles.merge(report[["slide_id", "centre"]], on="slide_id")
sharp["sharpness"] = sharp["sharpness"].clip(lower=1e-3)  # the axis is logarithmic
figure, axis = plt.subplots(figsize=(8, 3))
style = {"element": "step", "fill": False, "stat": "probability", "common_norm": False, "log_scale": True, "bins": 40}
sns.histplot(sharp, x="sharpness", hue="centre", palette=hospital_colours(sharp["centre"]), ax=axis, **style)
if sharpness_min:
    axis.axvline(sharpness_min, color="0.4", linestyle="--")
    axis.annotate(" left out below", (sharpness_min, axis.get_ylim()[1]), va="top", color="0.4")
axis.set(xlabel="sharpness: variance of the Laplacian, grey levels squared", ylabel="share of tiles")
quartiles = sharp.groupby("centre")["sharpness"].describe()[["count", "25%", "50%", "75%"]].reset_index()
stage.figure("sharpness", figure, data=quartiles, caption="Sharpness of the kept tiles by centre.")

# %% [markdown]
# Where two hospitals form two hills, one threshold for both treats them unlike; it should then lie below both. It is
# set low here, to catch only tiles that are plainly out of focus.
#
# ## 8 · The slide report
#
# Every slide has its line. First those that failed, with what was found and what to do about it. They stand in
# `failed_slides.csv` too, and the run's last line names how many there are at each hospital. A hospital may have said
# beforehand that a slide will fail, in `known_failures.csv`; the column *known* then says why. (The virtual hospitals do
# so for the slides that were left blank on purpose.)

# %%
failed = failed_table(report, known=known_failures(stage, slides, files=files))
display(Markdown(f"**{len(failed)} of {len(report)} slides failed.**"))
display(failed.set_index("slide_id") if len(failed) else Markdown("Every slide could be used."))

# %% [markdown]
# And a summary of the others; the full table stands in `slides.parquet`.

# %%
words = {"tissue_mm2": "tissue, mm²", "n_candidates": "candidate tiles", "n_kept": "kept tiles"}
ok.rename(columns=words).groupby("centre")[list(words.values())].agg(["min", "median", "max"]).round(2)

# %% [markdown]
# Where does the time go? *Thumbnail* reads the whole slide once, *tiles* looks at each tile at 1 µm/px, *check* compares
# two levels of the pyramid, *picture* and *write* make what is kept. Seconds are summed over slides and do not count
# as results: they differ from run to run.

# %%
seconds = ok[[column for column in ok if column.startswith("seconds_")]].sum().rename(lambda name: name[8:])
seconds.rename("seconds").to_frame().assign(share=lambda table: table["seconds"] / table["seconds"].sum()).round(2)

# %%
write_contact_sheets(report, thumbnails=thumbnails, output=stage.output, data_kind=stage.data_kind)
stage.write_table("slides.parquet", report)
stage.write_table("tiles.parquet", tiles)
for slide_id in ok["slide_id"]:
    stage.output(f"thumbnails/{slide_id}.png")
stage.number("slides_tiled", len(ok), n=len(report), unit="slides")
record_failures(stage, failed, report=report)
stage.number("tiles_kept", int(ok["n_kept"].sum()), n=int(ok["n_candidates"].sum()), unit="tiles")

# %% [markdown]
# ## What we found
#
# - A tile is now the same thing everywhere: so many micrometres of glass on so many pixels, at a resolution that is
#   stored with it.
# - Tissue was found without a network, from how much light the stain takes away, and can be checked by eye on each
#   slide's picture.
# - Each slide has a line in the report, each tile that was left out a reason.
#
# ## Limits
#
# - The thresholds are ours. On a new laboratory's slides look at the pictures first, then at the sharpness plot, then
#   change one at a time.
# - The search for tissue asks for stain, not for tumour: necrosis, muscle and skin beside the tumour go along, and of
#   fat, whose cells are empty on a slide, only the part that lies near other tissue. No pathologist has marked the
#   tumour.
# - Pen is recognised when it is black, blue or green; red pen resembles eosin and may pass.
# - A fold is recognised by its colour, and tissue that is as dark by nature would go with it. So the bounds are high:
#   only the core of a fold is left out, its rim stays.
# - Bubbles and tears are not looked for: such tiles stay in, or fail the questions about tissue and white.
# - Blood and necrosis are left in on purpose: necrosis is part of the grade, and with saffron in the stain colour does
#   not tell blood from collagen.
#
# ## Next
#
# [02 · From tiles to numbers](02_features.ipynb) turns each tile into numbers.

# %%
stage.close()
