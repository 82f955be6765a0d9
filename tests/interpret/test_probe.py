"""A probe finds what the features know, finds nothing where they know nothing, and never sees the patients it is judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.patterns import probe as probing
from sarcnet.interpret.patterns.probe import _fitted, features_of, probe_features
from sarcnet.model.bags import Bags
from studies.bags import make_bags


def probe(features: np.ndarray, tiles: pd.DataFrame, **options) -> pd.DataFrame:
    """The probe on tiles whose features are these, row by row."""
    tiles = tiles.assign(slide_id=tiles["patient_id"], tile=np.arange(len(tiles)))
    bags = Bags(("all",), features, np.array([0, len(tiles)]), tiles[["slide_id", "tile"]])
    return probe_features(bags, tiles, **options)


SETTINGS = {"folds": 3, "samples": 200, "level": 0.95}


def made(*, patients: int = 30, tiles: int = 6, dim: int = 40, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Features of which three carry `known`; `unknown` is noise; `identity` differs between patients only."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(patients * tiles, dim)).astype(np.float32)
    who = np.repeat(np.arange(patients), tiles)
    known = features[:, :3].sum(axis=1) * 5 + generator.normal(0, 2, len(who)) + 100
    names = [f"p{k:02d}" for k in who]
    table = pd.DataFrame({"patient_id": names, "known": known, "unknown": generator.normal(size=len(who))})
    table["identity"] = generator.normal(size=patients)[who]
    return features, table


def test_r2_of_what_is_known_and_of_what_is_not():
    features, tiles = made()
    found = probe(features, tiles, patterns=["known", "unknown"], **SETTINGS, rng=np.random.default_rng(1))
    known, unknown = found.set_index("pattern").loc["known"], found.set_index("pattern").loc["unknown"]
    assert known["r2"] > 0.85  # of 75 / (75 + 4) that can be had
    assert known["low"] < known["r2"] < known["high"]
    assert known["n_features"] < 30
    assert unknown["r2"] < 0.1
    assert (known["n_tiles"], known["n_patients"]) == (180, 30)


def test_patients_that_can_be_told_apart_do_not_leak():
    """A feature that names the patient would give away `identity`, were tiles of a patient on both sides."""
    features, tiles = made()
    codes = np.random.default_rng(2).normal(size=(30, 40)).astype(np.float32)
    features = codes[tiles["patient_id"].str[1:].astype(int)] + 0.01 * features
    found = probe(features, tiles, patterns=["identity"], **SETTINGS, rng=np.random.default_rng(3))
    assert found.loc[0, "r2"] < 0.3


def test_the_same_seed_gives_the_same_and_processes_change_nothing(monkeypatch):
    monkeypatch.setattr(probing, "TILES_PER_JOB", 1)
    features, tiles = made(patients=16)
    one, two = (
        probe(features, tiles, patterns=["known", "unknown"], **SETTINGS, rng=np.random.default_rng(4), jobs=jobs)
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_features_are_those_of_the_tiles_asked_for():
    bags = make_bags({"a": np.arange(6).reshape(3, 2), "b": np.arange(6, 10).reshape(2, 2)})
    tiles = pd.DataFrame({"slide_id": ["b", "a"], "tile": [1, 0]})
    assert features_of(tiles, bags).tolist() == [[8, 9], [0, 1]]
    with pytest.raises(SarcnetError, match="Tile 7 of slide b has no features"):
        features_of(tiles.assign(tile=[7, 0]), bags)


def test_too_few_tiles_and_constant_patterns_are_said_and_not_judged():
    features, tiles = made()
    tiles["constant"], tiles["rare"] = 1.0, tiles["known"].where(tiles.index < 20)
    found = probe(features, tiles, patterns=["constant", "rare"], **SETTINGS, rng=np.random.default_rng(5))
    assert found["r2"].isna().all()
    assert found["n_tiles"].tolist() == [0, 0]


def test_a_fit_is_in_the_units_of_its_features():
    features, tiles = made()
    stretched = features.astype(float) * np.linspace(0.1, 10, 40) + 7
    groups = tiles["patient_id"].to_numpy()
    plain, _, _ = _fitted(features.astype(float), tiles["known"].to_numpy(), groups, seed=0)
    other, _, _ = _fitted(stretched, tiles["known"].to_numpy(), groups, seed=0)
    assert features[:5] @ plain[1:] + plain[0] == pytest.approx(stretched[:5] @ other[1:] + other[0], rel=1e-3)
