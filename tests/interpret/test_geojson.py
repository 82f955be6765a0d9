"""GeoJSON held against the rules of RFC 7946 and QuPath's dialect; overlays read back with their µm/px."""

from __future__ import annotations

import json
import math
import uuid
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.export import qupath
from sarcnet.interpret.export.geojson import (
    feature,
    measured_nuclei,
    outlines,
    signed_area,
    tile_features,
    true_nuclei_of,
    write_geojson,
)
from sarcnet.interpret.export.heatmap import HeatMap, colour_limit, coloured, make_heatmap
from sarcnet.interpret.export.overlay import write_overlay_ome_tiff, write_overlay_png
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.morphometry.nuclear_table import nuclear_table

GEOMETRY = TileGeometry(0.25, 100.0, 200)  # a tile is 400 level-0 pixels


def rule_breaks(text: str) -> list[str]:
    """What RFC 7946 (sections in brackets) and QuPath's reader would object to in a FeatureCollection of polygons."""

    def no_constant(name):
        raise ValueError(f"{name} is no JSON")

    found: list[str] = []
    top = json.loads(text, parse_constant=no_constant)
    if top.get("type") != "FeatureCollection" or not isinstance(top.get("features"), list):
        return ["[3.3] no FeatureCollection with an array of features"]
    found += [f"[7.1] {name} at the top" for name in ("coordinates", "geometry", "properties") if name in top]
    for number, one in enumerate(top["features"]):
        where = f"feature {number}"
        if one.get("type") != "Feature" or not {"geometry", "properties"} <= set(one):
            found.append(f"[3.2] {where} is no Feature with geometry and properties")
            continue
        if not isinstance(one.get("id"), str | int | float):
            found.append(f"[3.2] {where}: id is neither string nor number")
        found += [f"[7.1] {where} has {name}" for name in ("coordinates", "geometries", "features") if name in one]
        found += [f"{where}: {fault}" for fault in polygon_breaks(one["geometry"]) + dialect_breaks(one)]
    ids = [one.get("id") for one in top["features"]]
    return found + (["QuPath: an id comes twice"] if len(set(ids)) != len(ids) else [])


def polygon_breaks(geometry: dict) -> list[str]:
    found = []
    if geometry.get("type") != "Polygon":
        return [f"a {geometry.get('type')} is not expected here"]
    for ring in geometry["coordinates"]:
        if len(ring) < 4 or ring[0] != ring[-1]:
            found.append("[3.1.6] a ring needs four positions, the last like the first")
        if any(
            len(at) not in (2, 3) or not all(isinstance(v, int | float) and math.isfinite(v) for v in at) for at in ring
        ):
            found.append("[3.1.1] a position is two or three numbers")
        elif sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) <= 0:
            found.append("[3.1.6] the outer ring must run counterclockwise")
    return found


def dialect_breaks(one: dict) -> list[str]:
    found = []
    properties = one["properties"]
    try:
        uuid.UUID(one["id"])
    except ValueError:
        found.append("QuPath: id is no UUID")
    if properties.get("objectType") not in ("annotation", "detection", "tile", "cell"):
        found.append("QuPath: unknown objectType")
    classification = properties.get("classification", {})
    colour = classification.get("color", [])
    if not isinstance(classification.get("name"), str) or len(colour) != 3 or not all(v in range(256) for v in colour):
        found.append("QuPath: classification needs a name and three colours")
    if not all(isinstance(value, int | float) for value in properties.get("measurements", {}).values()):
        found.append("QuPath: a measurement is no number")
    return found


def crossings(ring: list) -> int:
    """Pairs of sides of a closed ring that cross, by looking at all of them."""

    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    sides = list(pairwise(ring))
    return sum(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for i, (a, b) in enumerate(sides)
        for c, d in sides[i + 1 :]
    )


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('{"type":"Feature"}', "3.3"),
        ('{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null}]}', "3.2"),
        ('{"type":"FeatureCollection","features":[],"coordinates":[]}', "7.1"),
    ],
)
def test_the_check_itself_finds_what_is_broken(broken, says):
    assert any(says in fault for fault in rule_breaks(broken))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f["geometry"]["coordinates"][0].reverse(), "counterclockwise"),
        (lambda f: f["geometry"]["coordinates"][0].pop(), "last like the first"),
        (lambda f: f["geometry"]["coordinates"][0].__setitem__(1, [1]), "two or three numbers"),
        (lambda f: f["properties"].update(objectType="blob"), "objectType"),
        (lambda f: f.update(id="7"), "UUID"),
        (lambda f: f["properties"]["measurements"].update(x=None), "no number"),
        (lambda f: f["properties"]["classification"].update(color=[300, 0, 0]), "three colours"),
    ],
)
def test_the_check_finds_each_broken_rule(change, says):
    one = square()
    assert rule_breaks(json.dumps({"type": "FeatureCollection", "features": [one]})) == []
    change(one)
    assert any(says in fault for fault in rule_breaks(json.dumps({"type": "FeatureCollection", "features": [one]})))


def square(**changes):
    ring = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])
    settings = {"name": "a", "object_type": "tile", "classification": ("c", (1, 2, 3)), "measurements": {"m": 1.0}}
    return feature(ring, **(settings | changes))


def test_a_ring_is_closed_turned_and_what_is_no_number_is_left_out():
    one = square(measurements={"m": 1.5, "gone": float("nan"), "far": float("inf")})
    assert one["geometry"]["coordinates"] == [[[2, 0], [2, 2], [0, 2], [0, 0], [2, 0]]]
    assert one["properties"]["measurements"] == {"m": 1.5}
    assert square()["id"] == square()["id"] != square(name="b")["id"]
    with pytest.raises(SarcnetError, match="b has no outline that bounds an area"):
        feature(np.array([[0, 0], [1, 1], [2, 2]]), **{"name": "b", "object_type": "tile", "classification": ("c", (1, 2, 3)),
                                                       "measurements": {}})  # fmt: skip


def test_tiles_lie_on_their_pixels_and_carry_their_numbers(tmp_path):
    tiles = pd.DataFrame(
        {"slide_id": "s", "tile": [0, 1], "x_px": [0.0, 400.5], "y_px": [800.0, 0.0], "contribution": [0.25, -0.5],
         "eccentricity": [0.7, np.nan]}
    )  # fmt: skip
    columns = {"contribution": "contribution (log-odds)", "eccentricity": "eccentricity"}
    features = tile_features(tiles, geometry=GEOMETRY, columns=columns)
    path = write_geojson(tmp_path / "s.geojson", features)
    assert rule_breaks(path.read_text(encoding="utf-8")) == []
    first, second = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert np.ptp(first["geometry"]["coordinates"][0], axis=0).tolist() == [400, 400]
    assert np.min(second["geometry"]["coordinates"][0], axis=0).tolist() == [400.5, 0]
    assert first["properties"]["measurements"] == {"contribution (log-odds)": 0.25, "eccentricity": 0.7}
    assert second["properties"]["measurements"] == {"contribution (log-odds)": -0.5}
    assert second["properties"]["classification"]["name"] == "lowers the score"
    assert rule_breaks(write_geojson(tmp_path / "none.geojson", []).read_text()) == []


def test_outlines_bound_the_area_of_their_pixels_and_lie_where_they_are():
    """A disc of 10 pixels' radius, a single pixel and an L; marching squares cut corners, half a pixel each."""
    labels = np.zeros((60, 70), np.int32)
    y, x = np.indices(labels.shape)
    labels[(x - 30) ** 2 + (y - 20) ** 2 <= 100] = 1
    labels[50, 5] = 2
    labels[40:50, 50:53] = 3
    labels[47:50, 50:60] = 3
    found = outlines(labels)
    assert sorted(found) == [1, 2, 3]
    assert abs(signed_area(found[1])) == pytest.approx((labels == 1).sum(), rel=0.02)
    assert found[1].mean(axis=0) == pytest.approx([30.5, 20.5], abs=0.05)  # a pixel's middle is half a pixel in
    assert found[2].mean(axis=0) == pytest.approx([5.5, 50.5])
    assert abs(signed_area(found[3])) == pytest.approx(51, abs=2)
    assert all(crossings([*ring.tolist(), ring[0].tolist()]) == 0 for ring in found.values())


def test_segmented_nuclei_are_placed_on_level_0_and_counted_once(tmp_path):
    labels = np.zeros((200, 200), np.int32)
    labels[0:6, 100:110] = 1  # touches the upper edge: the tile above counts it
    labels[50:60, 40:60] = 2
    density = np.full(labels.shape, 0.4)
    table = nuclear_table(labels, density, mpp=0.5)
    row = {"slide_id": "s", "tile": 3, "x_px": 1000.0, "y_px": 2000.0}
    features = measured_nuclei(labels, table, row=row, geometry=GEOMETRY)
    assert rule_breaks(write_geojson(tmp_path / "n.geojson", features).read_text(encoding="utf-8")) == []
    assert len(features) == 1
    ring = np.array(features[0]["geometry"]["coordinates"][0])
    assert ring.min(axis=0) == pytest.approx([1000 + 2 * 40, 2000 + 2 * 50], abs=0.01)
    assert ring.max(axis=0) == pytest.approx([1000 + 2 * 60, 2000 + 2 * 60], abs=0.01)
    assert features[0]["properties"]["measurements"]["area (µm²)"] == 50
    assert abs(signed_area(ring[:-1])) * GEOMETRY.mpp**2 == pytest.approx(50, rel=0.01)


def test_true_nuclei_have_their_true_area_and_centre(tmp_path):
    table = pd.DataFrame(
        {"x_um": [10.0, 50.0], "y_um": [20.0, 5.0], "area_um2": [40.0, 90.0], "class": ["tumour", "alien"]}
    )
    features = true_nuclei_of(table, slide_id="s", mpp=0.25)
    assert rule_breaks(write_geojson(tmp_path / "t.geojson", features).read_text(encoding="utf-8")) == []
    ring = np.array(features[0]["geometry"]["coordinates"][0][:-1])
    assert ring.mean(axis=0) == pytest.approx([40, 80], abs=0.01)
    assert signed_area(ring) * 0.25**2 == pytest.approx(40, rel=0.001)
    names = [one["properties"]["classification"]["name"] for one in features]
    assert names == ["tumour, simulated truth", "alien, simulated truth"]


def heatmap() -> HeatMap:
    values = np.full((30, 40), np.nan)
    values[0:10, 0:20], values[10:20, 20:40] = 0.2, -0.1
    return HeatMap('S "1" <IB>', "title", np.full((30, 40, 3), 200, np.uint8), 2.5, values, 0.2)


def test_overlay_colours_are_clear_outside_and_red_where_the_score_rises():
    drawn = coloured(heatmap().values, limit=0.2, opacity=0.6)
    assert drawn[25, 5, 3] == 0
    assert drawn[5, 5, 3] == 153
    assert drawn[5, 5, 0] > drawn[5, 5, 2]
    assert drawn[15, 30, 2] > drawn[15, 30, 0]
    assert colour_limit(np.full((3, 3), np.nan)) == colour_limit(np.zeros((3, 3))) == 1


def test_overlays_are_read_back_with_their_resolution(tmp_path):
    made = heatmap()
    png = write_overlay_png(tmp_path / "s.overlay.png", made)
    with Image.open(png) as image:
        assert (image.size, image.mode) == ((40, 30), "RGBA")
        assert 25_400 / image.info["dpi"][0] == pytest.approx(2.5, rel=1e-4)
    ome = write_overlay_ome_tiff(tmp_path / "s.overlay.ome.tif", made)
    with tifffile.TiffFile(ome) as file:
        assert file.is_ome
        facts = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        assert facts["Name"] == 'S "1" <IB>'
        pixels = facts["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeYUnit"], pixels["SizeX"]) == (2.5, "µm", 40)
        assert np.array_equal(file.asarray(), made.values.astype(np.float32), equal_nan=True)
        across, down = file.pages[0].tags["XResolution"].value, file.pages[0].tags["ResolutionUnit"].value
        assert 1e4 / (across[0] / across[1]) == pytest.approx(2.5)
        assert down == tifffile.RESUNIT.CENTIMETER
    with pytest.raises(SarcnetError, match=r"must end in \.ome\.tif"):
        write_overlay_ome_tiff(tmp_path / "s.tif", made)


def test_a_slide_is_written_whole_and_its_nuclei_lie_where_they_were_painted(tmp_path, write_slide):
    """Two tiles of 112 µm side by side, twelve dark discs of 10 µm in each."""
    pixels = np.full((224, 448, 3), (235, 150, 190), np.uint8)
    y, x = np.indices(pixels.shape[:2])
    middles = [(28 + 56 * column, 40 + 70 * row) for row in range(3) for column in range(8)]
    for cx, cy in middles:
        pixels[(x - cx) ** 2 + (y - cy) ** 2 <= 100] = (90, 50, 130)
    file = write_slide("s.tif", pixels, mpp=0.5)
    place = TileGeometry(0.5, 112.0, 224)
    tiles = pd.DataFrame(
        {"slide_id": "s", "tile": [0, 1], "x_px": [0.0, 224.0], "y_px": [0.0, 0.0], "contribution": [0.1, -0.1],
         "strength": [0.2, -0.2], "attention": [0.5, 0.5]}, index=[7, 3],
    )  # fmt: skip
    made = make_heatmap(tiles, file=file, geometry=place, title="s")
    [exported] = qupath.write_slide_exports(
        tmp_path / "out", [made], tiles=tiles, files={"s": file}, geometry={"s": place}, nuclei_min=4
    )
    paths, measured = exported.paths, exported.tiles
    assert sorted(path.name for path in paths.values()) == [
        "s.nuclei.geojson", "s.overlay.ome.tif", "s.overlay.png", "s.tiles.geojson",
    ]  # fmt: skip
    for kind in ("tiles", "nuclei"):
        assert rule_breaks(paths[kind].read_text(encoding="utf-8")) == []
    nuclei = json.loads(paths["nuclei"].read_text(encoding="utf-8"))["features"]
    found = sorted(tuple(np.mean(one["geometry"]["coordinates"][0][:-1], axis=0).round()) for one in nuclei)
    assert np.abs(np.array(found) - [0.5, 0.5] - np.array(sorted(middles))).max() <= 1.5
    areas = [one["properties"]["measurements"]["area (µm²)"] for one in nuclei]
    assert np.mean(areas) == pytest.approx(np.pi * 25, rel=0.15)
    first = json.loads(paths["tiles"].read_text(encoding="utf-8"))["features"][0]["properties"]["measurements"]
    assert (
        first["cellularity: nuclei per mm² of living tissue"]
        == measured.loc[7, "cellularity_per_mm2"]
        > 12 / 0.112**2 - 1
    )
    assert measured["nuclei"].tolist() == [12, 12]
    assert set(qupath.NUMBERS) <= set(measured.columns)
    assert measured.index.tolist() == [7, 3]
