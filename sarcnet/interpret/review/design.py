"""Tiles for a blinded review by pathologists: chosen over the whole range of contributions, coded, shuffled, checked.

The published study named three patterns that pathologists saw in tiles (abstract, Scientific Reports, 2025). How the tiles
were chosen and asked about is not public; scales and design here are our assumption. They get a sheet
(:mod:`sarcnet.interpret.review.sheet`) in which a tile is a random code and a picture. What the codes mean stands in the
key, a file of its own, which stays with those who analyse the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.interpret.attribution.tiles import SeenTile

#: what pathologists are asked: (title, words for the answers 0 to 3)
QUESTIONS = {
    "cellularity": ("Tumour cellularity", ("no tumour cells", "sparse", "moderate", "dense")),
    "atypia": ("Nuclear atypia", ("none", "slight", "moderate", "marked")),
    "anisokaryosis": ("Anisokaryosis", ("nuclei alike", "slight", "moderate", "marked")),
    "necrosis": ("Necrosis", ("none", "under 1/3", "1/3 to 2/3", "over 2/3")),
    "mitoses": ("Mitoses", ("none", "one", "two", "three or more")),
}
CATEGORIES = 4
CANNOT_JUDGE = "NA"
STRATA = ("high", "between", "low")
STRATUM_SHARE = 0.2  # of all tiles at either end that are called high or low
LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that is read for another
CODE_LENGTH = 5
KEY_COLUMNS = (
    "sheet_id", "position", "item_id", "kind", "first_item_id", "expected", "patient_id", "centre", "slide_id", "tile",
    "x_px", "y_px", "contribution", "strength", "stratum",
)  # fmt: skip
KEY_TEXTS = ["first_item_id", "expected", "patient_id", "centre", "slide_id", "stratum"]  # empty where not known
WHERE_FROM = ("patient_id", "centre", "slide_id", "tile", "x_px", "y_px", "contribution", "strength", "stratum")
GLASS = 243  # grey level of empty glass


@dataclass(frozen=True)
class Item:
    """What a pathologist sees of one tile: a code and pixels (h, w, 3) uint8. Nothing else may reach the sheet."""

    item_id: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Review:
    """`items` in the order of the sheet; `key`, one row per item with KEY_COLUMNS, is not for pathologists.

    kind is tile, repeat (first_item_id names the tile it repeats, turned) or check (expected: the allowed answers).
    tile_um: side of a tile in µm. paths: sheet.html, answers.csv and key.csv, once they are written.
    """

    sheet_id: str
    items: tuple[Item, ...]
    key: pd.DataFrame
    tile_um: float
    paths: tuple[Path, ...] = ()


def choose_tiles(tiles: pd.DataFrame, *, count: int, per_patient_max: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` tiles with `stratum`: a third each from the highest fifth of `strength`, the lowest, and from between.

    Drawn at random within a stratum, so that an association found is not that of a handful of extremes; at most
    `per_patient_max` tiles of a patient over all strata. Fewer come where there are not enough.

    Args:
        tiles: `Explanation.tiles`: patient_id, slide_id, tile, strength, …
    """
    ordered = tiles.sort_values(["strength", "patient_id", "slide_id", "tile"], ignore_index=True)
    ends = int(len(ordered) * STRATUM_SHARE)
    stratum = np.full(len(ordered), "between", dtype=object)
    stratum[:ends], stratum[len(ordered) - ends :] = "low", "high"
    ordered["stratum"] = stratum
    mixed = ordered.iloc[rng.permutation(len(ordered))]
    wanted = {name: len(part) for name, part in zip(STRATA, np.array_split(np.arange(count), len(STRATA)), strict=True)}
    taken: Counter[str] = Counter()
    rows = []
    for index, patient_id, name in zip(mixed.index, mixed["patient_id"], mixed["stratum"], strict=True):
        if wanted[name] and taken[patient_id] < per_patient_max:
            wanted[name] -= 1
            taken[patient_id] += 1
            rows.append(index)
    return ordered.loc[sorted(rows)].reset_index(drop=True)


def make_review(seen: Sequence[SeenTile], *, repeats: int, checks: int, rng: np.random.Generator) -> Review:
    """Code, shuffle, repeat and check.

    Repeats are mirrored or turned copies of tiles of the sheet's first third, placed in its last third: who
    remembers pictures should not recognise them. Checks are, by turns, empty glass (nothing to see: 0 or "cannot judge")
    and a picture that says in words which answer to give (3 throughout), which catches those who click without looking.

    Args:
        seen: the chosen tiles, rows with the columns of WHERE_FROM.
        repeats, checks: how many.

    Raises:
        SarcnetError: naming every tile that could not be read, and a number of repeats beyond a third of the tiles.
    """
    faults = ErrorCollector()
    for item in seen:
        if item.pixels is None:
            faults.add(f"Tile {item.row['tile']} of {item.row['slide_id']} cannot be read: choose tiles without it.")
    if not seen:
        faults.add("There is no tile to show: choose at least one.")
    elif repeats > max(1, len(seen) // 3):
        faults.add(f"{repeats} repeats of {len(seen)} tiles are too many: a third at most, so that they lie far apart.")
    faults.raise_if_any("The review sheet cannot be made")
    rows = [(np.asarray(item.pixels), {"kind": "tile", **item.row[list(WHERE_FROM)].to_dict()}) for item in seen]
    side = rows[0][0].shape[0]
    rows += [_check(number, side=side, rng=rng) for number in range(checks)]
    rows = [rows[index] for index in rng.permutation(len(rows))]
    codes = _codes(len(rows) + repeats + 1, rng=rng)
    sheet_id = codes.pop()
    coded = [(code, pixels, facts) for code, (pixels, facts) in zip(codes, rows, strict=False)]
    coded = _with_repeats(coded, codes=codes[len(rows) :], rng=rng)
    facts = [{"sheet_id": sheet_id, "position": at + 1, "item_id": code} | f for at, (code, _, f) in enumerate(coded)]
    key = pd.DataFrame(facts).reindex(columns=list(KEY_COLUMNS))
    key[KEY_TEXTS] = key[KEY_TEXTS].astype(object).where(key[KEY_TEXTS].notna(), "")
    return Review(sheet_id, tuple(Item(code, pixels) for code, pixels, _ in coded), key, seen[0].tile_um)


def _with_repeats(coded: list, *, codes: list[str], rng: np.random.Generator) -> list:
    third = max(1, -(-len(coded) // 3))
    tiles = [at for at, (_, _, facts) in enumerate(coded) if facts["kind"] == "tile"]
    early = [at for at in tiles if at < third]
    pool = early if len(early) >= len(codes) else tiles[: len(codes)]
    late = list(coded)
    for code, at in zip(codes, rng.choice(pool, size=len(codes), replace=False) if codes else [], strict=True):
        first, pixels, facts = coded[at]
        turned = np.rot90(pixels[:, :: rng.choice([-1, 1])], int(rng.integers(1, 4)))
        where = int(rng.integers(len(coded) - third + 1, len(late) + 1))
        late.insert(where, (code, turned, facts | {"kind": "repeat", "first_item_id": first}))
    return late


def _codes(count: int, *, rng: np.random.Generator) -> list[str]:
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes["".join(rng.choice(list(LETTERS), CODE_LENGTH))] = None
    return list(codes)


def _check(number: int, *, side: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    glass = np.clip(rng.normal(GLASS, 1.2, (side, side, 3)), 0, 255).astype(np.uint8)
    if number % 2 == 0:
        return glass, {"kind": "check", "expected": f"0|{CANNOT_JUDGE}"}
    picture = Image.fromarray(glass)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(("For this picture", "please answer 3", "in every row")):
        font = ImageFont.load_default(size=max(4.0, side / 11))
        draw.text((side / 2, side * (0.34 + 0.15 * row)), line, fill=(60, 40, 80), font=font, anchor="mm")
    return np.asarray(picture), {"kind": "check", "expected": "3"}
