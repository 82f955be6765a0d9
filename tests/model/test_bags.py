"""Bags from feature files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.bags import read_bags
from studies.bags import make_bags

SLIDES = pd.DataFrame({"slide_id": ["s2", "s1", "s3", "s4"], "patient_id": ["A", "A", "B", "C"]})


def write(folder: Path, slide_id: str, features: np.ndarray, *, encoder: str = "e") -> Path:
    path = folder / f"{slide_id}.h5"
    with h5py.File(path, "w") as file:
        file["features"] = features.astype(np.float16)
        file["coords"] = np.arange(2 * len(features)).reshape(-1, 2)
        file.attrs["encoder"] = encoder
    return path


def test_slides_of_a_patient_become_one_bag_with_known_origin(tmp_path: Path) -> None:
    files = [write(tmp_path, s, np.full((n, 3), n)) for s, n in (("s1", 1), ("s2", 2), ("s3", 3))]
    bags = read_bags(files, slides=SLIDES, patient_ids=["B", "A", "C"])  # s4 of C failed on the way
    assert bags.sizes.tolist() == [3, 3, 0]
    assert bags.of(1)[:, 0].tolist() == [1, 2, 2]
    assert bags.tiles["slide_id"].tolist() == ["s3"] * 3 + ["s1", "s2", "s2"]
    assert bags.tiles["tile"].tolist() == [0, 1, 2, 0, 0, 1]
    assert bags.tiles["y_px"].tolist() == [1, 3, 5, 1, 1, 3]
    again = bags.select(["A", "nobody"])
    assert again.sizes.tolist() == [3, 0]
    assert again.tiles["slide_id"].tolist() == ["s1", "s2", "s2"]


def test_files_of_two_encoders_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path, "s1", np.ones((2, 3))), write(tmp_path, "s3", np.ones((2, 3)), encoder="other")]
    with pytest.raises(SarcnetError, match="different encoders"):
        read_bags(files, slides=SLIDES, patient_ids=["A", "B"])


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    broken = np.ones((2, 3))
    broken[1, 1] = np.inf
    files = [
        write(tmp_path, "s1", np.ones((2, 3))),
        write(tmp_path, "s2", broken),
        write(tmp_path, "s3", np.ones((2, 4))),
    ]
    with pytest.raises(SarcnetError) as caught:
        read_bags(files, slides=SLIDES, patient_ids=["A", "B"])
    assert "s2.h5" in str(caught.value)
    assert "s3.h5" in str(caught.value)


def test_no_file_at_all_names_the_notebook() -> None:
    with pytest.raises(SarcnetError, match="run 02_features"):
        read_bags([], slides=SLIDES, patient_ids=["A"])


def test_tables_that_cannot_be_aligned_are_refused(data: SimpleNamespace) -> None:
    table, bags = data.make_cohort()
    table.loc[1, "centre"] = None
    table.loc[2, "patient_id"] = table.loc[3, "patient_id"]
    with pytest.raises(SarcnetError) as caught:
        data.assemble(table, bags)
    assert "P001 has no centre" in str(caught.value)
    assert "P003 comes twice" in str(caught.value)
    with pytest.raises(SarcnetError, match="no column 'centre'"):
        data.assemble(table.drop(columns="centre"), bags)
    with pytest.raises(SarcnetError, match="no patient of centre 'Lyon': the centres are CLB, IB"):
        data.make_patients()[1].of_centre("Lyon")


def test_bags_of_different_width_are_refused() -> None:
    with pytest.raises(SarcnetError, match="one encoder"):
        make_bags({"A": np.ones((2, 3)), "B": np.ones((2, 4))})
