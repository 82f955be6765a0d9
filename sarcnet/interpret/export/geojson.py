"""GeoJSON as QuPath reads it: tiles with their contributions, nuclei with their measurements.

Form: RFC 7946 (doi 10.17487/RFC7946). Dialect: QuPath 0.4 and later, where a feature's `properties` say `objectType` ("tile"
or "detection"), `classification` (name and colour) and `measurements` (name to number). Coordinates are pixels of level 0
from the top left of the slide, not degrees; RFC 7946 allows this where both sides know (section 4). A ring is closed and runs
counterclockwise as the RFC counts it, with the second coordinate upwards; on a screen, where it points down, clockwise.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects
from skimage.measure import find_contours

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.morphometry.geometry import TileGeometry
from sarcnet.slides.reader.units import Mpp

RAISES, LOWERS = ("raises the score", (178, 24, 43)), ("lowers the score", (33, 102, 172))
MEASURED_NUCLEUS = ("nucleus, segmented", (0, 158, 115))
TRUE_COLOURS = {  # Okabe and Ito, as in the figures
    "tumour": (213, 94, 0), "mitosis": (0, 0, 0), "lymphocyte": (0, 114, 178), "endothelium": (204, 121, 167),
    "fibroblast": (230, 159, 0), "necrotic": (127, 127, 127),
}  # fmt: skip
OTHER_COLOUR = (86, 180, 233)
CORNERS = 16  # of the polygon that stands for a true nucleus, whose outline is not kept
DECIMALS = 2  # of a pixel
#: Namespace of the identifiers, which QuPath wants to be UUIDs: the same object gets the same one in every run.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "sarcnet/geojson")

Feature = dict[str, Any]


def feature(
    ring: np.ndarray,
    *,
    name: str,
    object_type: str,
    classification: tuple[str, tuple[int, int, int]],
    measurements: Mapping[str, float],
) -> Feature:
    """One object: its outline (n, 2) x, y in level-0 pixels, not closed, in either direction.

    Measurements that are NaN or infinite are left out, since JSON has no word for them.

    Raises:
        SarcnetError: the outline has fewer than three corners or no area.
    """
    ring = np.asarray(ring, float)
    area = signed_area(ring)
    if len(ring) < 3 or not abs(area) > 0:
        raise SarcnetError(f"{name} has no outline that bounds an area, so it cannot be a GeoJSON polygon.")
    corners = np.round(ring if area > 0 else ring[::-1], DECIMALS).tolist()
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(NAMESPACE, name)),
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "properties": {
            "objectType": object_type,
            "name": name,
            "classification": {"name": classification[0], "color": list(classification[1])},
            "measurements": {key: float(value) for key, value in measurements.items() if np.isfinite(value)},
        },
    }


def signed_area(ring: np.ndarray) -> float:
    """Area of a polygon (n, 2) by the shoelace formula, positive when it runs from x towards y."""
    x, y = np.asarray(ring, float).T
    return float((x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]) / 2)


def tile_features(tiles: pd.DataFrame, *, geometry: TileGeometry, columns: Mapping[str, str]) -> list[Feature]:
    """Tiles of one slide as QuPath tiles, classified by the sign of their contribution.

    Args:
        tiles: slide_id, tile, x_px, y_px, contribution and `columns`.
        geometry: of the slide.
        columns: column to the measurement's name, unit included, for example {"contribution": "contribution (log-odds)"}.
    """
    side = geometry.size_px * np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    found = []
    for row in tiles.to_dict("records"):
        found.append(
            feature(
                side + np.array([row["x_px"], row["y_px"]], float),
                name=f"{row['slide_id']} tile {row['tile']}",
                object_type="tile",
                classification=RAISES if row["contribution"] > 0 else LOWERS,
                measurements={name: row[column] for column, name in columns.items()},
            )
        )
    return found


def outlines(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Outline (n, 2) x, y of each label of a picture (h, w), in pixels from its top left corner; the largest where a label
    has several pieces. It passes between the pixels of a nucleus and those around it (marching squares).
    """
    found = {}
    for label, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        mask = np.pad((labels[box] == label).astype(float), 1)
        pieces = [piece[:-1, ::-1] for piece in find_contours(mask, 0.5)]  # x, y; the last point repeats the first
        largest = max(pieces, key=lambda piece: abs(signed_area(piece)))
        corner = np.array([box[1].start, box[0].start]) - 0.5  # a padded pixel off, and from middles to the corner
        found[label] = largest + corner
    return found


def measured_nuclei(
    labels: np.ndarray, table: pd.DataFrame, *, row: Mapping[str, Any], geometry: TileGeometry
) -> list[Feature]:
    """Segmented nuclei of one tile as QuPath detections; those that a neighbouring tile counts are left to it.

    Args:
        labels: (tile_px, tile_px).
        table: of `nuclear_table`, rows in the order of the labels.
        row: slide_id, tile, x_px, y_px of the tile.
        geometry: of the slide.
    """
    scale = geometry.size_px / labels.shape[0]  # level-0 pixels per pixel of the tile
    corner = np.array([row["x_px"], row["y_px"]], float)
    found = []
    rings = outlines(labels)
    for (label, ring), nucleus in zip(sorted(rings.items()), table.to_dict("records"), strict=True):
        if nucleus["counts"]:
            measurements = {
                "area (µm²)": nucleus["area_um2"], "eccentricity": nucleus["eccentricity"],
                "solidity": nucleus["solidity"], "haematoxylin (OD)": nucleus["chromatin_od"],
                "cut by the tile's edge": float(nucleus["cut"]),
            }  # fmt: skip
            name = f"{row['slide_id']} tile {row['tile']} nucleus {label}"
            found.append(
                feature(
                    ring * scale + corner, name=name, object_type="detection", classification=MEASURED_NUCLEUS,
                    measurements=measurements,
                )
            )  # fmt: skip
    return found


def true_nuclei_of(table: pd.DataFrame, *, slide_id: str, mpp: Mpp) -> list[Feature]:
    """True nuclei of a virtual slide as QuPath detections: polygons of the true area around the true centre.

    table: x_um, y_um, area_um2, class. Their true shape is not kept, so it is not shown.
    """
    angle = np.arange(CORNERS) * 2 * np.pi / CORNERS
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    unit = signed_area(circle)
    found = []
    for number, row in enumerate(table.to_dict("records")):
        ring = (circle * np.sqrt(row["area_um2"] / unit) + [row["x_um"], row["y_um"]]) / mpp
        kind = str(row["class"])
        found.append(
            feature(
                ring, name=f"{slide_id} true nucleus {number}", object_type="detection",
                classification=(f"{kind}, simulated truth", TRUE_COLOURS.get(kind, OTHER_COLOUR)),
                measurements={"area (µm²)": row["area_um2"]},
            )
        )  # fmt: skip
    return found


def write_geojson(path: Path, features: Iterable[Feature]) -> Path:
    """Write a FeatureCollection, one feature a line, temporary file first."""
    lines = [json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for one in features]
    with atomic_path(path) as temporary:
        body = ",\n".join(lines)
        temporary.write_text(f'{{"type":"FeatureCollection","features":[\n{body}\n]}}\n', encoding="utf-8")
    return path
