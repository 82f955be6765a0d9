"""Nuclei painted by hand must come back as they were painted: colour, number, size, shape; and tissue as it was laid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from skimage.color import separate_stains
from skimage.measure import regionprops_table

from sarcnet.morphometry import measure
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.morphometry.measure import (
    MEASURES,
    count_status,
    is_mitosis_like,
    measure_tile,
    measure_tiles,
    slide_colours,
)
from sarcnet.morphometry.nuclear_table import nuclear_table
from sarcnet.morphometry.nuclei import blurred, nuclear_level, outline_nuclei
from sarcnet.morphometry.stains import Stains, estimated_stains, published_stains
from sarcnet.morphometry.tissue import tissue_maps
from sarcnet.slides.reader.reading import TileReader, UnreadableTile
from studies.benchmarks.morphometry import crowded_tile, tiles_per_second

HES = Stains(np.array([[0.62, 0.72, 0.31], [0.15, 0.93, 0.33], [0.0, 0.0, 1.0]]), "hand")


def painted(density: np.ndarray, *, stains: Stains) -> np.ndarray:
    """RGB of densities (h, w, 2) of haematoxylin and eosin."""
    return np.round(256 * 10 ** -(density @ stains.colours[:2]) - 1).clip(0, 255).astype(np.uint8)


def field(centres_um, *, radius_um: float, mpp: float, side_um: float = 112.0, stretch: float = 1.0) -> np.ndarray:
    """Densities (h, w, 2): pale eosin with a little noise, and dark ellipses of this half width, `stretch` times as long."""
    y, x = (np.mgrid[: round(side_um / mpp), : round(side_um / mpp)] + 0.5) * mpp
    noise = np.random.default_rng(0).normal(0, 0.015, (*x.shape, 2))
    density = np.stack([np.full(x.shape, 0.05), np.full(x.shape, 0.2)], axis=-1) + noise
    for column, row in centres_um:
        density[((x - column) / stretch) ** 2 + (y - row) ** 2 <= radius_um**2, 0] = 0.6
    return density.clip(0)


GRID = [(8 + 16 * i, 8 + 16 * k) for i in range(7) for k in range(7)]


def test_densities_are_those_painted_and_agree_with_scikit_image():
    density = np.random.default_rng(1).uniform(0, 0.5, (20, 30, 2))
    stains = published_stains()
    picture = painted(density, stains=stains)
    assert np.abs(stains.densities(picture)[..., :2] - density).max() < 0.02
    assert np.allclose(stains.haematoxylin(picture), stains.densities(picture)[..., 0], atol=1e-6)
    # scikit-image divides by the OD of its darkest pixel, 1e-6, and holds densities at or above 0
    theirs = separate_stains((picture + 1.0) / 256, np.linalg.inv(stains.colours)) * 6
    assert np.allclose(np.maximum(stains.densities(picture), 0), theirs, atol=1e-4)


def test_colours_of_a_slide_are_found_in_its_pixels():
    generator = np.random.default_rng(2)
    density = np.column_stack([generator.gamma(1.0, 0.25, 20_000), generator.gamma(1.0, 0.25, 20_000)])
    found = estimated_stains(painted(density, stains=HES))
    assert found.source == "Macenko"
    for row in (0, 1):
        expected = HES.colours[row] / np.linalg.norm(HES.colours[row])
        assert np.degrees(np.arccos(found.colours[row] @ expected)) < 4


@pytest.mark.parametrize("eosin", [0.0, 0.03])
def test_without_eosin_the_published_colours_are_taken(eosin):
    generator = np.random.default_rng(3)
    density = np.column_stack([generator.uniform(0.1, 0.8, 5000), eosin * generator.uniform(0, 1, 5000)])
    assert estimated_stains(painted(density, stains=published_stains())).source == "Ruifrok"
    assert estimated_stains(np.full((5000, 3), 240, np.uint8)).source == "Ruifrok"


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_discs_are_counted_and_measured_at_any_scale(mpp):
    labels = outline_nuclei(field(GRID, radius_um=4.0, mpp=mpp)[..., 0], mpp=mpp)
    table = nuclear_table(labels, np.zeros(labels.shape), mpp=mpp)
    assert len(table) == len(GRID)
    assert np.allclose(table["area_um2"], np.pi * 16, rtol=0.15)  # smoothing widens a small disc
    assert table["eccentricity"].max() < 0.4
    assert np.allclose(np.sort(table["x_um"]), np.sort([x for x, _ in GRID]), atol=0.5)


def test_touching_nuclei_are_parted():
    pairs = [(x + way * 4.2, y) for x in (20, 56, 92) for y in (20, 56, 92) for way in (-1, 1)]
    assert outline_nuclei(field(pairs, radius_um=4.6, mpp=0.5)[..., 0], mpp=0.5).max() == 18


def test_a_picture_without_nuclei_has_none():
    blank = field([], radius_um=1, mpp=0.5)[..., 0]
    assert np.isnan(nuclear_level(blank))
    assert outline_nuclei(blank, mpp=0.5).max() == 0
    assert np.isnan(nuclear_level(np.zeros(0)))


def test_a_row_a_nucleus_agrees_with_scikit_image():
    generator = np.random.default_rng(4)
    picture = field([(20, 30), (60, 61), (90, 20), (3, 70)], radius_um=6, mpp=0.5, stretch=1.8)[..., 0]
    labels, density = outline_nuclei(picture, mpp=0.5), picture + generator.normal(0, 0.05, picture.shape)
    ours = nuclear_table(labels, density, mpp=0.5)
    names = ("area", "eccentricity", "solidity", "mean_intensity", "centroid")
    theirs = pd.DataFrame(regionprops_table(labels, density, properties=names))
    assert len(ours) == 4
    assert np.allclose(ours["area_um2"], theirs["area"] / 4)
    assert np.allclose(ours["eccentricity"], theirs["eccentricity"], atol=1e-3)  # without a pixel's own extent
    assert np.allclose(ours["solidity"], theirs["solidity"], atol=0.04)
    assert np.allclose(ours["chromatin_od"], theirs["mean_intensity"])
    assert np.allclose(ours["x_um"], (theirs["centroid-1"] + 0.5) / 2)
    expected = [density[labels == k].std() / density[labels == k].mean() for k in range(1, 5)]
    assert np.allclose(ours["texture_cv"], expected)
    assert ours["cut"].tolist() == [x < 10 for x in ours["x_um"]]


def test_a_wide_gaussian_taken_of_a_smaller_picture_is_nearly_the_same():
    picture = field(GRID[::3], radius_um=5, mpp=0.5)[..., 0]
    for sigma_px in (3.0, 20.0, 50.0):
        expected = gaussian_filter(picture, sigma_px, mode="reflect")
        assert np.abs(blurred(picture, sigma_px=sigma_px) - expected).max() < 0.03 * picture.std()


def test_nuclei_on_the_seam_of_tiles_are_counted_once():
    labels = outline_nuclei(field(GRID, radius_um=4.0, mpp=0.5)[..., 0], mpp=0.5)
    whole = nuclear_table(labels, labels * 0.0, mpp=0.5)["counts"].sum()
    edge = 2 * 8 + 1  # through the middle of a row and a column of discs
    parts = [labels[:edge, :edge], labels[:edge, edge:], labels[edge:, :edge], labels[edge:, edge:]]
    tables = [nuclear_table(part, part * 0.0, mpp=0.5) for part in parts]
    assert sum(len(table) for table in tables) > whole
    assert sum(table["counts"].sum() for table in tables) == whole


@pytest.mark.parametrize("stains", [published_stains(), HES])
def test_a_tile_s_numbers_are_those_painted(stains):
    tile = measure_tile(painted(field(GRID, radius_um=4.0, mpp=0.5), stains=stains), mpp=0.5)
    assert tile.status == "measured"
    assert tile.nuclei == 49
    assert tile.values["cellularity_per_mm2"] == pytest.approx(49 / 0.112**2, rel=0.02)
    assert tile.values["nuclear_area_um2"] == pytest.approx(np.pi * 16, rel=0.15)
    assert tile.values["anisokaryosis_cv"] < 0.05
    assert tile.values["mitosis_like_per_mm2"] == 0


def test_unequal_nuclei_have_their_coefficient_of_variation():
    sizes = np.where(np.arange(len(GRID)) % 2, 5.0, 3.0)
    density = np.max([field([c], radius_um=r, mpp=0.5) for c, r in zip(GRID, sizes, strict=True)], axis=0)
    areas = np.pi * sizes**2
    tile = measure_tile(painted(density, stains=published_stains()), mpp=0.5)
    assert tile.values["anisokaryosis_cv"] == pytest.approx(areas.std(ddof=1) / areas.mean(), rel=0.12)


def test_granular_eosin_is_necrosis_and_fibrous_eosin_is_stroma():
    generator = np.random.default_rng(5)
    noise = generator.normal(0, 1, (224, 224))
    for name, texture in (("necrosis", noise), ("stroma", gaussian_filter1d(noise, 12, axis=1) * 5)):
        eosin = 0.35 + 0.05 * texture
        picture = painted(np.stack([np.full_like(eosin, 0.01), eosin.clip(0)], axis=-1), stains=published_stains())
        maps = tissue_maps(picture, np.zeros((224, 224), int), stains=published_stains(), mpp=0.5)
        shares = {"necrosis": maps.necrosis.mean(), "stroma": maps.stroma.mean()}
        assert shares.pop(name) > 0.95
        assert shares.popitem()[1] < 0.05
        assert not maps.glass.any()


def test_bare_glass_is_no_tissue_and_has_no_cellularity():
    tile = measure_tile(np.full((224, 224, 3), 243, np.uint8), mpp=0.5)
    assert tile.status == "no nuclei"
    assert tile.maps.living == 0
    assert np.isnan(tile.values["cellularity_per_mm2"])
    assert tile.values["necrosis_fraction"] == 0


def test_colours_of_a_slide_do_not_depend_on_the_order_of_its_tiles():
    pictures = [painted(field(GRID[:k], radius_um=4, mpp=0.5), stains=HES) for k in (9, 30, 49)]
    one, other = slide_colours(pictures, mpp=0.5), slide_colours(pictures[::-1], mpp=0.5)
    assert np.allclose(one.stains.colours, other.stains.colours)
    assert one.level == pytest.approx(other.level)
    assert one.usual_od == other.usual_od


@pytest.fixture
def slide(write_slide):
    """A slide of three tiles in a row: 49 nuclei, 9 nuclei far apart, none."""
    parts = [field(GRID[:k], radius_um=4.0, mpp=0.5) for k in (49, 5, 0)]
    return write_slide("S.tif", painted(np.concatenate(parts, axis=1), stains=published_stains()), mpp=0.5)


def test_tiles_are_measured_row_by_row_and_none_is_dropped(slide, monkeypatch):
    read = TileReader.tile

    def damaged(reader, x_px, y_px):
        if x_px == 5000:
            raise UnreadableTile
        return read(reader, x_px, y_px)

    monkeypatch.setattr(TileReader, "tile", damaged)
    tiles = pd.DataFrame(
        {"slide_id": "S", "x_px": [448, 0, 224, 5000], "y_px": 0, "tile": range(4)}, index=[7, 3, 5, 1]
    )
    geometry = {"S": TileGeometry(0.5, 112.0, 224)}
    found = measure_tiles(tiles, files={"S": slide}, geometry=geometry, nuclei_min=8)
    assert found.index.tolist() == [7, 3, 5, 1]
    assert found["status"].tolist() == ["no nuclei", "measured", "few nuclei", "unreadable"]
    assert found["nuclei"].tolist() == [0, 49, 5, 0]
    assert found.loc[1, list(MEASURES)].isna().all()
    assert count_status(found) == "4 tiles of 1 slides: 1 measured, 1 few nuclei, 1 no nuclei, 1 unreadable."


def test_the_number_of_processes_changes_nothing(slide, monkeypatch):
    monkeypatch.setattr(measure, "TILES_PER_JOB", 1)
    tiles = pd.DataFrame({"slide_id": ["S", "T", "S"], "x_px": [448, 0, 0], "y_px": 0})
    given = {"files": {"S": slide, "T": slide}, "geometry": dict.fromkeys("ST", TileGeometry(0.5, 112.0, 224))}
    one, two = (measure_tiles(tiles, **given, nuclei_min=8, jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_no_tiles_give_no_rows_but_all_columns():
    none = pd.DataFrame({"slide_id": [], "x_px": [], "y_px": []})
    found = measure_tiles(none, files={}, geometry={}, nuclei_min=8)
    assert [*none.columns, *MEASURES, "nuclei", "status"] == list(found.columns)
    assert count_status(found) == "0 tiles of 0 slides: none."


def test_the_bench_measures_crowded_tiles():
    tile = measure_tile(crowded_tile(0), mpp=0.5)
    assert tile.status == "measured"
    assert tile.nuclei >= 20
    assert tiles_per_second(tiles=4, jobs=1) > 2  # far below what docs/interpretability.md says, for slow machines


def test_only_dark_rough_bodies_of_the_right_size_are_mitosis_like():
    rows = [(1.5, 0.7, 60.0, True), (1.0, 0.7, 60.0, False), (1.5, 0.3, 60.0, False), (1.5, 0.7, 300.0, False)]
    table = pd.DataFrame(rows, columns=["chromatin_od", "texture_cv", "area_um2", "expected"])
    assert is_mitosis_like(table, usual_od=0.7).tolist() == table["expected"].tolist()
