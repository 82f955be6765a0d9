"""How near are simulated slides to real ones? `python -m studies.realism` prints four answers.

1. A segmentation made for real slides counts the nuclei of rendered fields: agreement with the truth, by class.
2. Features (MobileNetV2, ImageNet) of rendered tiles against those of real H&E: distance to the nearest real tile,
   and a Fréchet distance (Heusel et al., NeurIPS 2017) on the leading principal components, beside what real sources
   have among each other and what pictures have that are shuffled piece by piece.
3. A ridge on frozen features recovers each latent: R² by cross-validation over slides. Beside it, what the nuclei of the
   very same slides would tell: the true ones, which is as much as so small a piece of tumour knows, and those found by
   the segmentation of the first answer.
4. How unequal nuclei are (coefficient of variation of their area): among the patients, and in real fields with nuclei
   outlined by hand.

Real pictures are looked for in the folder named by SARCNET_SHARED_DATA, else in shared/data beside the repository; where
there are none, the second answer is left out and said to be.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
from PIL import Image
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.paths import root
from sarcnet.compendium.seeds import rng
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.encoders.runtime import EncoderRuntime, runtime_for
from sarcnet.morphometry.nuclei import outline_nuclei
from sarcnet.morphometry.stains import estimated_stains
from studies.morphometry_validation.segmentation_metrics import centres_um, detection, paired_centres
from virtual_cohort.cohort import look_of
from virtual_cohort.patients.centres import CENTRES, Scanner
from virtual_cohort.patients.pathology import Look
from virtual_cohort.patients.simulate import virtual_patients
from virtual_cohort.rendering.render import render_slide

TILE_PX = 224
TISSUE_LEVEL, TISSUE_SHARE = 220, 0.5  # green below which a pixel is tissue; share of a tile that must be
LATENTS = {
    "cellularity_per_mm2": np.log,
    "nuclear_area_um2": np.log,
    "anisokaryosis_cv": np.log,
    "hyperchromasia": np.log,
    "mitoses_per_10_hpf": np.log,
    "necrosis_fraction": np.sqrt,
}


def real_folder() -> Path | None:
    """Folder of real pictures, if there is one."""
    named = os.environ.get("SARCNET_SHARED_DATA")
    folder = Path(named) if named else root().parent / "shared" / "data"
    return folder if (folder / "tiles").is_dir() else None


def tiles_of(picture: np.ndarray, *, most: int | None = None) -> np.ndarray:
    """Tiles (n, TILE_PX, TILE_PX, 3) of a picture that are mostly tissue, in reading order, evenly thinned to `most`."""
    height, width = (size // TILE_PX for size in picture.shape[:2])
    grid = picture[: height * TILE_PX, : width * TILE_PX].reshape(height, TILE_PX, width, TILE_PX, 3)
    tiles = grid.transpose(0, 2, 1, 3, 4).reshape(-1, TILE_PX, TILE_PX, 3)
    tiles = tiles[(tiles[..., 1] < TISSUE_LEVEL).mean(axis=(1, 2)) >= TISSUE_SHARE]
    return tiles if most is None or len(tiles) <= most else tiles[np.linspace(0, len(tiles) - 1, most).astype(int)]


def real_tiles(folder: Path) -> dict[str, np.ndarray]:
    """Tiles of each real source at the scale they were given in; only the slide says its own (0.499 µm/px)."""
    with openslide.OpenSlide(folder / "slides" / "CMU-1-Small-Region.svs") as slide:
        pictures = {"skin, slide": [np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))]}
    for name, pattern in (
        ("ovary, 2 fields", "histolytics_hgsc/*.jpg"),
        ("spindle and pleomorphic, 1 field", "misc/stardist_histo.jpg"),
        ("Data Science Bowl", "dsb2018_he/*[0-9a-f].png"),
    ):
        files = [file for file in sorted((folder / "tiles").glob(pattern)) if not file.stem.endswith("_labels")]
        pictures[name] = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return {name: np.concatenate([tiles_of(p, most=60) for p in parts]) for name, parts in pictures.items()}


def shuffled(tiles: np.ndarray, *, piece_px: int, generator: np.random.Generator) -> np.ndarray:
    """The same tiles with their pieces in another order: colours stay, tissue goes."""
    n, side = len(tiles), TILE_PX // piece_px
    pieces = tiles.reshape(n, side, piece_px, side, piece_px, 3).swapaxes(2, 3).reshape(n, side * side, -1)
    mixed = np.stack([piece[generator.permutation(side * side)] for piece in pieces])
    return mixed.reshape(n, side, side, piece_px, piece_px, 3).swapaxes(2, 3).reshape(tiles.shape)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Squared Fréchet distance of two normal distributions fitted to (n, d) and (m, d)."""
    difference = one.mean(axis=0) - other.mean(axis=0)
    a, b = (np.cov(features, rowvar=False) for features in (one, other))
    return float(difference @ difference + np.trace(a + b - 2 * np.real(sqrtm(a @ b))))


def nearest(features: np.ndarray, real: np.ndarray) -> float:
    """Median over rows of the cosine distance to the nearest row of `real`."""
    one, other = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in (features, real))
    return float(np.median(1 - (one @ other.T).max(axis=1)))


def compare(sets: dict[str, np.ndarray], *, real: dict[str, np.ndarray], components: int = 16) -> pd.DataFrame:
    """Each set of features against real ones of all sources but itself; columns n, nearest, frechet.

    Args:
        sets: features (n, d) of rendered tiles and of controls.
        real: features of real tiles by source.
        components: principal components of the real features on which the Fréchet distance is taken.
    """
    rows = []
    for name, features in {**{f"real: {name}": f for name, f in real.items()}, **sets}.items():
        others = np.concatenate([f for source, f in real.items() if f"real: {source}" != name])
        basis = PCA(components, random_state=0).fit(others)
        distance = frechet(basis.transform(features), basis.transform(others)) if len(features) > components else np.nan
        rows.append({"tiles": name, "n": len(features), "nearest": nearest(features, others), "frechet": distance})
    return pd.DataFrame(rows)


def found_nuclei(picture: np.ndarray, *, mpp: float) -> np.ndarray:
    """(n, 3) x_um, y_um, area_um2 of the nuclei of (h, w, 3) uint8 RGB, by the outlines that are meant for real slides."""
    density = estimated_stains(picture.reshape(-1, 3)).haematoxylin(picture)
    return centres_um(outline_nuclei(density, mpp=mpp), mpp=mpp)


def counted(*, fields: int = 24, side_um: float = 350.0) -> pd.DataFrame:
    """Segmentation against truth over rendered fields: a row for each class and one for all nuclei."""
    rows = []
    for number, (look, scanner) in enumerate(_looks(fields)):
        slide = render_slide(
            77, slide_id=f"count{number}", look=look, scanner=scanner, width_um=side_um, height_um=side_um
        )
        truth = slide.truth()
        known = truth[["x_um", "y_um"]].to_numpy()
        found = found_nuclei(slide.picture, mpp=scanner.mpp)
        matched = paired_centres(known, found)
        hit = np.isin(np.arange(len(truth)), matched[:, 0])
        rows.append(truth.assign(field=number, hit=hit, found=len(found), histotype=HISTOTYPES[look.histotype]))
    table = pd.concat(rows)
    parts = {f"class {name}": part for name, part in table.groupby("class")}
    parts |= {f"region {name}": part for name, part in table.groupby("region")}
    total = int(table.groupby("field")["found"].first().sum())
    lines = [{"nuclei": name, "known": len(p), "recall": p["hit"].mean()} for name, p in parts.items()]
    every: dict[str, object] = {"nuclei": "all", "known": len(table), "recall": table["hit"].mean(), "found": total}
    by_field = table.groupby("field").agg(known=("hit", "size"), found=("found", "first"))
    every["precision"] = table["hit"].sum() / total
    every["r_of_counts"] = float(np.corrcoef(by_field["known"], by_field["found"])[0, 1])
    return pd.DataFrame([every, *lines])


def counted_real(folder: Path, *, mpp: float, most: int | None = None) -> pd.DataFrame:
    """The same segmentation on real fields with nuclei outlined by hand; their scale, not given, is taken as `mpp`."""
    rows = []
    for file in sorted((folder / "tiles" / "dsb2018_he").glob("*_labels.png"))[:most]:
        labels = np.asarray(Image.open(file)).astype(int)
        picture = np.asarray(Image.open(file.with_name(file.name.replace("_labels", ""))).convert("RGB"))
        y, x = np.indices(labels.shape)
        size = np.bincount(labels.ravel())
        middle = np.column_stack([np.bincount(labels.ravel(), w.ravel()) / np.maximum(size, 1) for w in (x, y)])
        known = middle[1:][size[1:] > 0] * mpp
        result = detection(known, found_nuclei(picture, mpp=mpp))
        rows.append({"known": result.known, "found": result.found, "matched": result.matched})
    return pd.DataFrame(rows)


def probe(runtime: EncoderRuntime, *, slides: int = 160, side_um: float = 380.0) -> pd.DataFrame:
    """R² by 5-fold cross-validation of a ridge to each latent (log; root for necrosis), over small slides.

    Columns: `frozen features`, the mean over six tiles; `true nuclei`, and `segmented nuclei`, what their areas, number
    and (where the classes are known) mitoses and necrotic nuclei say.
    """
    truth = virtual_patients(5, centre=CENTRES["IB"], series="training", count=slides).truth
    scanner = CENTRES["IB"].scanner
    seen: dict[str, list[np.ndarray]] = {"frozen features": [], "true nuclei": [], "segmented nuclei": []}
    for row in truth.to_dict("records"):
        name = f"probe{row['patient_id']}"
        slide = render_slide(5, slide_id=name, look=look_of(row), scanner=scanner, width_um=side_um, height_um=side_um)
        kind = slide.nuclei["class"]
        counts = [np.log1p((kind == each).sum()) for each in ("mitosis", "necrotic")]
        amount = float(slide.nuclei.loc[kind == "tumour", "amount"].mean()) if (kind == "tumour").any() else 0.0
        known = area_statistics(slide.nuclei.loc[kind == "tumour", "area_um2"].to_numpy())
        seen["frozen features"].append(runtime.encode(tiles_of(slide.picture, most=6)).mean(axis=0))
        seen["true nuclei"].append(np.array([*known, *counts, amount]))
        seen["segmented nuclei"].append(area_statistics(found_nuclei(slide.picture, mpp=scanner.mpp)[:, 2]))
    targets = {name: scale(truth[name].to_numpy()) for name, scale in LATENTS.items()}
    table = {name: {latent: _r2(np.array(x), y) for latent, y in targets.items()} for name, x in seen.items()}
    return pd.DataFrame(table).rename_axis(f"R², {slides} slides of {side_um:.0f} µm")


def area_statistics(area_um2: np.ndarray) -> np.ndarray:
    """Logarithms of number, mean, coefficient of variation and quantiles of nuclear areas (n,); zeros below six nuclei."""
    if len(area_um2) < 6:
        return np.zeros(9)
    quantiles = np.quantile(area_um2, (0.1, 0.25, 0.5, 0.75, 0.9, 0.97))
    return np.log([len(area_um2), area_um2.mean(), area_um2.std() / area_um2.mean(), *quantiles])


def _r2(x: np.ndarray, y: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 19)))
    predicted = cross_val_predict(model, x, y, cv=KFold(5, shuffle=True, random_state=0))
    return float(1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def unequal(folder: Path | None, *, patients: int = 2000, nuclei_min: int = 12) -> pd.DataFrame:
    """Quantiles of the coefficient of variation of nuclear area: of the patients' latent, and of real fields."""
    latent = virtual_patients(8, centre=CENTRES["IB"], series="training", count=patients).truth["anisokaryosis_cv"]
    rows = {f"simulated patients, n = {patients}": latent.to_numpy()}
    if folder is not None:
        spread = []
        for file in sorted((folder / "tiles" / "dsb2018_he").glob("*_labels.png")):
            area = np.bincount(np.asarray(Image.open(file)).astype(int).ravel())[1:]
            area = area[area > 20]  # px; smaller ones are cut off by the field's border
            if len(area) >= nuclei_min:
                spread.append(area.std() / area.mean())
        rows[f"real fields (Data Science Bowl), n = {len(spread)}"] = np.array(spread)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return pd.DataFrame({name: np.quantile(values, levels) for name, values in rows.items()}, index=levels).T


def _looks(count: int) -> list[tuple[Look, Scanner]]:
    truth = virtual_patients(6, centre=CENTRES["IB"], series="training", count=count).truth
    scanners = [centre.scanner for centre in CENTRES.values()]
    looks = [look_of(row) for row in truth.to_dict("records")]
    return [(replace(look, histotype=k % 6), scanners[k % 2]) for k, look in enumerate(looks)]


def rendered_tiles(count: int, *, side_um: float = 380.0) -> np.ndarray:
    """Tiles of `count` small slides of all histotypes and both hospitals."""
    parts = []
    for number, (look, scanner) in enumerate(_looks(count)):
        slide = render_slide(
            78, slide_id=f"tiles{number}", look=look, scanner=scanner, width_um=side_um, height_um=side_um
        )
        parts.append(tiles_of(slide.picture, most=4))
    return np.concatenate(parts)


def features_compared(runtime: EncoderRuntime, *, folder: Path, slides: int = 60) -> pd.DataFrame:
    """The second answer."""
    rendered = rendered_tiles(slides)
    noise = rng(0, "realism controls")
    real = {name: tiles for name, tiles in real_tiles(folder).items() if len(tiles)}
    sets = {"simulated": rendered}
    for piece in (28, 8):
        sets[f"simulated, pieces of {piece} px shuffled"] = shuffled(rendered, piece_px=piece, generator=noise)
    sets["real, pieces of 8 px shuffled"] = shuffled(np.concatenate(list(real.values())), piece_px=8, generator=noise)
    encoded = {name: _encoded(runtime, tiles) for name, tiles in {**real, **sets}.items()}
    return compare({n: encoded[n] for n in sets}, real={n: encoded[n] for n in real})


def _encoded(runtime: EncoderRuntime, tiles: np.ndarray) -> np.ndarray:
    return np.concatenate([runtime.encode(tiles[k : k + 16]) for k in range(0, len(tiles), 16)])


def main() -> None:
    """Print the report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--slides", type=int, default=160, help="small slides of the probe")
    given = arguments.parse_args()
    runtime, folder = runtime_for(encoder_named("mobilenetv2_imagenet")), real_folder()
    print("1. Nuclei counted in simulated fields\n", counted().round(3).to_string(index=False), "\n")
    if folder is None:
        print("2. Left out: no real pictures; name their folder in SARCNET_SHARED_DATA.\n")
    else:
        real = counted_real(folder, mpp=0.25).sum()
        print(
            f"   The same in {real['known']} real nuclei outlined by hand (scale assumed 0.25 µm/px): recall "
            f"{real['matched'] / real['known']:.3f}, precision {real['matched'] / real['found']:.3f}\n"
        )
        print("2. Features\n", features_compared(runtime, folder=folder).round(3).to_string(index=False), "\n")
    print("3. Latents recovered\n", probe(runtime, slides=given.slides).round(3).to_string(), "\n")
    print("4. Coefficient of variation of nuclear area, quantiles\n", unequal(folder).round(2).to_string())


if __name__ == "__main__":
    main()
