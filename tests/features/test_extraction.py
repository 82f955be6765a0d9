"""Feature files: what is in them, which tiles, and that a rerun or more threads change nothing."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from sarcnet.cli.main import main
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.seeds import rng
from sarcnet.features import extraction, identity
from sarcnet.features.encoders.lookup import Encoder
from sarcnet.features.extraction import STEPS, extract_cohort
from sarcnet.features.identity import Extraction, SlideTiles, feature_key, tile_key
from sarcnet.features.rotation import rotated
from sarcnet.features.sampling import choose_tiles
from sarcnet.features.site_effect.projection import two_axes
from sarcnet.features.store import kept_tiles, read_features, write_features
from sarcnet.slides.reader import resampling
from sarcnet.slides.reader.opening import open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import TilePx, Um

WHAT = Extraction(tile_um=32.0, tile_px=64, tiles_max=6, batch_tiles=4)


def generator(slide_id: str) -> np.random.Generator:
    return rng(3, "tiles", slide_id)


class MeanColour:
    """Stands in for an encoder: mean and spread of each channel."""

    encoder = Encoder(
        "mean_colour",
        dim=6,
        tile_px=64,
        mpp=None,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        licence="",
        source="",
        weights=lambda: "none",
        onnx=lambda: Path("mean_colour.onnx"),
    )
    identity = ("mean_colour", "1")

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        return np.concatenate([tiles.mean((1, 2)), tiles.std((1, 2))], axis=1).astype(np.float32)


@pytest.fixture
def slides(write_slide) -> list[SlideTiles]:
    made = []
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (260, 330, 3), dtype=np.uint8)
        path = write_slide(f"S{k}.svs", pixels, mpp=0.5)
        x, y = np.meshgrid(np.arange(5) * 64, np.arange(4) * 64)
        tiles = pd.DataFrame({"tile": range(20), "x_px": x.ravel(), "y_px": y.ravel()})
        made.append(SlideTiles(f"S{k}", path, 0.5, tiles[: 20 - 8 * k]))
    return made


def run(slides, folder: Path, *, jobs: int = 1, what: Extraction = WHAT) -> list[dict]:
    return list(
        extract_cohort(slides, encoder=MeanColour(), extraction=what, generator=generator, folder=folder, jobs=jobs)
    )


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_file_holds_the_features_of_the_tiles_it_names(slides, tmp_path):
    rows = run(slides, tmp_path / "f")
    assert [row["n_encoded"] for row in rows] == [6, 6, 4]
    with h5py.File(tmp_path / "f" / "S0.h5") as file:  # as anybody would open it
        features, coords = file["features"][:], file["coords"][:]
        attrs = dict(file.attrs)
    assert features.dtype == np.float16
    assert coords.dtype == np.int64
    assert features.shape == (6, 6)
    assert coords.shape == (6, 2)
    assert attrs["encoder"] == "mean_colour"
    assert attrs["mpp"] == attrs["mpp_level0"] == 0.5
    assert attrs["mpp_source"] == "not recorded"  # notebook 01 hands it on; see slides_to_encode
    handle, info = open_slide(slides[0].path)
    with TileReader(handle, info, plan(info, tile_um=Um(32.0), tile_px=TilePx(64))) as reader:
        for row, (x, y) in zip(features, coords, strict=True):
            want = MeanColour().encode(reader.tile(x, y)[None])[0]
            assert np.abs(row - want).max() < 0.1  # half a step of float16 at 128


def test_resumed_and_threaded_equal_fresh_byte_for_byte(slides, tmp_path):
    run(slides, tmp_path / "fresh")
    run(slides, tmp_path / "threads", jobs=3)
    run(slides[:2], tmp_path / "again")
    (tmp_path / "again" / "S1.h5").write_bytes(b"half a file")
    stamp = (tmp_path / "again" / "S0.h5").stat().st_mtime_ns
    rows = run(slides, tmp_path / "again")
    assert [row["resumed"] for row in rows] == [True, False, False]
    assert (tmp_path / "again" / "S0.h5").stat().st_mtime_ns == stamp
    assert digests(tmp_path / "fresh") == digests(tmp_path / "threads") == digests(tmp_path / "again")


def test_choice_of_tiles_depends_on_the_seed_and_the_slide_only(slides, tmp_path):
    tiles = slides[0].tiles
    first, again, other_seed, other_slide = (
        choose_tiles(tiles, at_most=8, rng=rng(seed, "tiles", slide))["tile"].tolist()
        for seed, slide in ((3, "S0"), (3, "S0"), (4, "S0"), (3, "S1"))
    )
    assert first == again
    assert first == sorted(set(first))
    assert first != other_seed
    assert first != other_slide
    run(slides[:1], tmp_path / "f")
    assert len(read_features(tmp_path / "f" / "S0.h5").tiles) == 6


def test_all_tiles_are_equally_likely():
    tiles = pd.DataFrame({"tile": range(10)})
    drawn = [choose_tiles(tiles, at_most=4, rng=rng(k, "x"))["tile"].to_numpy() for k in range(2000)]
    share = np.bincount(np.concatenate(drawn), minlength=10) / 2000
    assert np.abs(share - 0.4).max() < 0.05  # 4.5 standard errors


@pytest.mark.parametrize("name", [field.name for field in fields(Extraction)])
def test_every_parameter_that_shapes_the_file_is_in_its_key(slides, name):
    def key(what: Extraction) -> str:
        chosen = choose_tiles(slides[0].tiles, at_most=what.tiles_max, rng=generator("S0"))
        each = tile_key(slides[0], encoder=MeanColour(), extraction=what)
        return feature_key(slides[0], chosen, tile_key=each)

    assert key(WHAT) == key(replace(WHAT))
    same = key(WHAT) == key(replace(WHAT, **{name: getattr(WHAT, name) * 2}))
    assert same == (name == "batch_tiles"), "a tile's features are its own, however many are encoded at once"


def test_file_resolution_tiles_resampler_network_and_code_are_in_the_key(slides, monkeypatch):
    def key(slide: SlideTiles, encoder: MeanColour | None = None) -> str:
        each = tile_key(slide, encoder=encoder or MeanColour(), extraction=WHAT)
        return feature_key(slide, slide.tiles, tile_key=each)

    others = [replace(slides[0], path=slides[1].path), replace(slides[0], mpp=0.49)]
    others.append(replace(slides[0], tiles=slides[0].tiles.assign(x_px=slides[0].tiles["x_px"] + 1)))
    keys = [key(slide) for slide in [slides[0], *others]]
    normed = MeanColour()
    normed.encoder = replace(MeanColour.encoder, mean=(0.5, 0.5, 0.5))
    keys.append(key(slides[0], normed))
    with monkeypatch.context() as patch:
        patch.setattr(resampling, "RESAMPLED_BY", "another")
        keys.append(key(slides[0]))
    monkeypatch.setattr(identity, "code_key", lambda *modules: "other code")
    keys.append(key(slides[0]))
    assert len(set(keys)) == 7


class Counted(MeanColour):
    """Remembers how many tiles it encoded."""

    def __init__(self) -> None:
        self.tiles = 0

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        self.tiles += len(tiles)
        return super().encode(tiles)


@pytest.fixture
def encoded(slides, monkeypatch):
    """encoded(folder, slides=…, **parameters) -> rows, tiles encoded, slides opened."""

    def ran(folder: Path, *, of: list[SlideTiles] | None = None, jobs: int = 1, **parameters):
        opened, encoder = [], Counted()

        def opening(path, **more):
            opened.append(path)
            return open_slide(path, **more)

        with monkeypatch.context() as patch:
            patch.setattr(extraction, "open_slide", opening)
            made = extract_cohort(
                of or slides,
                encoder=encoder,
                extraction=replace(WHAT, **parameters),
                generator=generator,
                folder=folder,
                jobs=jobs,
            )
            return list(made), encoder.tiles, len(opened)

    return ran


def test_choices_are_nested():
    tiles = pd.DataFrame({"tile": range(50)})
    chosen = [set(choose_tiles(tiles, at_most=k, rng=rng(3, "tiles", "S0"))["tile"]) for k in range(1, 60)]
    assert all(one <= other for one, other in pairwise(chosen))
    assert [len(each) for each in chosen] == [*range(1, 50), *[50] * 10]


def test_more_tiles_encode_the_new_ones_only_and_fewer_open_no_slide(encoded, tmp_path):
    def fresh(name: str, tiles_max: int) -> dict[str, str]:
        encoded(tmp_path / name, tiles_max=tiles_max)
        return digests(tmp_path / name)

    want = {k: fresh(f"fresh{k}", k) for k in (3, 6, 15)}
    assert encoded(tmp_path / "f", tiles_max=6)[1:] == (6 + 6 + 4, 3)  # S2 has four tiles only
    rows, tiles, opened = encoded(tmp_path / "f", tiles_max=15)
    assert (tiles, opened) == (9 + 6, 2)  # S1 has twelve
    assert [row["n_resumed"] for row in rows] == [6, 6, 4]
    assert [row["resumed"] for row in rows] == [False, False, True]
    assert digests(tmp_path / "f") == want[15]
    rows, tiles, opened = encoded(tmp_path / "f", tiles_max=3)
    assert (tiles, opened) == (0, 0)
    assert [row["n_encoded"] for row in rows] == [row["n_resumed"] for row in rows] == [3, 3, 3]
    assert digests(tmp_path / "f") == want[3]
    assert encoded(tmp_path / "f", tiles_max=6, jobs=3)[1] == 3 + 3 + 1
    assert digests(tmp_path / "f") == want[6]


def test_pieces_of_an_earlier_file_are_put_in_order(encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "PIECE", 2)
    encoded(tmp_path / "fresh", tiles_max=20, batch_tiles=3)
    for tiles_max in (1, 9, 20):
        encoded(tmp_path / "grown", tiles_max=tiles_max, batch_tiles=3)
    assert digests(tmp_path / "fresh") == digests(tmp_path / "grown")


def test_other_tiles_of_notebook_01_encode_the_new_ones_only(slides, encoded, tmp_path):
    one, other = (replace(slides[0], tiles=slides[0].tiles[rows]) for rows in (slice(0, 12), slice(5, 20)))
    encoded(tmp_path / "f", of=[one], tiles_max=20)
    renumbered = replace(other, tiles=other.tiles.assign(tile=range(15)))
    assert encoded(tmp_path / "f", of=[renumbered], tiles_max=20)[1] == 8
    encoded(tmp_path / "fresh", of=[renumbered], tiles_max=20)
    assert digests(tmp_path / "f") == digests(tmp_path / "fresh")


def test_another_number_of_tiles_at_once_encodes_nothing(encoded, tmp_path):
    encoded(tmp_path / "f", batch_tiles=4)
    before = digests(tmp_path / "f")
    assert encoded(tmp_path / "f", batch_tiles=3)[1] == 0
    assert digests(tmp_path / "f") == before


def test_a_copied_cohort_is_not_encoded_again(slides, encoded, tmp_path):
    encoded(tmp_path / "f")
    copies = []
    for slide in slides:
        path = tmp_path / "moved" / slide.path.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(slide.path.read_bytes())
        os.utime(path, (1, 1))
        copies.append(replace(slide, path=path))
    rows, tiles, opened = encoded(tmp_path / "f", of=copies)
    assert (tiles, opened) == (0, 0)
    assert all(row["resumed"] for row in rows)


def test_features_of_other_code_are_made_again_all_of_them(encoded, tmp_path, monkeypatch):
    encoded(tmp_path / "f")
    monkeypatch.setattr(identity, "code_key", lambda *modules: "other code")
    rows, tiles, _ = encoded(tmp_path / "f", tiles_max=8)
    assert tiles == 8 + 8 + 4
    assert [row["n_resumed"] for row in rows] == [0, 0, 0]


def test_an_interrupted_growth_goes_on_and_an_old_journal_is_not_mixed_in(slides, encoded, tmp_path, monkeypatch):
    encoded(tmp_path / "fresh", tiles_max=20)
    encoded(tmp_path / "f", tiles_max=6)
    whole = Counted.encode

    def power_cut(self, tiles):
        if self.tiles >= 4:
            raise RuntimeError("power cut")
        return whole(self, tiles)

    monkeypatch.setattr(Counted, "encode", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        encoded(tmp_path / "f", of=slides[:1], tiles_max=20)
    monkeypatch.setattr(Counted, "encode", whole)
    rows, tiles, _ = encoded(tmp_path / "f", tiles_max=20)
    assert tiles == (20 - 6 - 4) + 6
    assert rows[0]["n_resumed"] == 6 + 4
    assert digests(tmp_path / "f") == digests(tmp_path / "fresh")


def test_tiles_that_could_not_be_read_are_tried_again(slides, encoded, tmp_path, monkeypatch):
    encoded(tmp_path / "fresh", of=slides[:1], tiles_max=20)
    whole, damaged = TileReader.region, slides[0].tiles.iloc[7]

    def unreadable(reader, x_px, y_px):
        if (x_px, y_px) == (damaged["x_px"], damaged["y_px"]):
            raise UnreadableTile("damaged")
        return whole(reader, x_px, y_px)

    with monkeypatch.context() as patch:
        patch.setattr(TileReader, "region", unreadable)
        for _ in range(2):
            rows, _, _ = encoded(tmp_path / "f", of=slides[:1], tiles_max=20)
            assert (rows[0]["n_encoded"], rows[0]["n_unreadable"]) == (19, 1)
    rows, tiles, _ = encoded(tmp_path / "f", of=slides[:1], tiles_max=20)
    assert (tiles, rows[0]["n_unreadable"]) == (1, 0)
    assert digests(tmp_path / "f") == digests(tmp_path / "fresh")


def test_a_slide_whose_name_begins_like_another_keeps_its_journal(slides, encoded, tmp_path):
    work = tmp_path / ".f.work"
    work.mkdir()
    other, own = (work / f"{name}-{'0' * 24}.journal" for name in ("S0-b", "S0"))
    other.touch()
    own.touch()
    encoded(tmp_path / "f", of=slides[:1])
    assert other.exists()
    assert not own.exists()


def test_a_slide_that_has_gone_is_named_and_the_others_go_on(slides, tmp_path):
    slides[1].path.unlink()
    rows = run(slides, tmp_path / "f", jobs=2)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "S1.svs is not there" in rows[1]["cause"]
    assert sorted(digests(tmp_path / "f")) == ["S0.h5", "S2.h5"]


def test_unreadable_tiles_are_dropped_and_counted(slides, tmp_path):
    data = bytearray(slides[0].path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 300] = b"\xff" * 300
    slides[0].path.write_bytes(bytes(data))
    what = replace(WHAT, tiles_max=20)
    row = run(slides[:1], tmp_path / "f", what=what)[0]
    assert row["n_unreadable"] >= 1
    assert row["n_encoded"] + row["n_unreadable"] == 20
    found = read_features(tmp_path / "f" / "S0.h5")
    assert len(found.features) == len(found.coords) == row["n_encoded"]
    assert not (found.features[:, :3] > 250).all(axis=1).any()  # nothing white was invented


def test_edited_file_is_noticed(tmp_path):
    path = tmp_path / "x.h5"
    array = np.ones((3, 4))
    about = {"key": "k", "tile_key": "t"}
    write_features(path, features=array, coords=array[:, :2], tiles=array[:, 0], attrs=about)
    assert kept_tiles(path, tile_key="t").key == "k"
    assert kept_tiles(path, tile_key="other") is None
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] = 7
    assert kept_tiles(path, tile_key="t") is None
    with pytest.raises(SarcnetError, match=r"x\.h5 has changed"):
        read_features(path)


def test_half_precision_loses_one_part_in_two_thousand(tmp_path):
    features = np.random.default_rng(0).gamma(0.3, 1.0, (50, 200))
    write_features(tmp_path / "h.h5", features=features, coords=np.zeros((50, 2)), tiles=np.arange(50), attrs={})
    stored = read_features(tmp_path / "h.h5").features.astype(float)
    assert np.abs(stored - features).max() <= features.max() / 2000


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_begin_apart_and_each_goes_round(slides, parts):
    orders = [[slide.slide_id for slide in rotated(slides, part=part, parts=parts)] for part in range(parts)]
    assert all(sorted(order) == ["S0", "S1", "S2"] for order in orders)
    assert len({order[0] for order in orders}) == min(parts, 3)


def test_a_part_that_is_none_is_refused(capsys):
    assert main(["encode", "smoke", "--part", "4", "--parts", "4"]) == 2
    assert "counted from 0 to 3" in capsys.readouterr().err


def test_seconds_of_all_steps_are_the_threads_time(slides, tmp_path):
    begin = time.perf_counter()
    rows = run(slides, tmp_path / "f", jobs=2)
    elapsed = time.perf_counter() - begin
    told = sum(row[f"seconds_{step}"] for row in rows for step in STEPS)
    assert 0 < told <= 2 * elapsed + 0.1  # writing is the main thread's
    assert all(row["seconds_wait"] >= 0 for row in rows)


def test_two_axes_are_orthogonal_ordered_and_their_signs_fixed():
    x = np.random.default_rng(1).normal(size=(300, 8)) * np.array([9, 4, 1, 1, 1, 1, 1, 1])
    plane = two_axes(x)
    assert plane.scores.shape == (300, 2)
    assert abs(np.corrcoef(plane.scores.T)[0, 1]) < 1e-6
    assert plane.explained[0] > plane.explained[1] > 0.1
    assert np.allclose(two_axes(x[::-1]).scores[::-1], plane.scores)
