"""Feature files of TRIDENT, CLAM and STAMP are taken over where they fit their slides, and named where they do not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sarcnet.cli.main import main
from sarcnet.compendium.errors import SarcnetError
from sarcnet.features.formats import read_foreign
from sarcnet.features.importing import import_features
from sarcnet.features.store import read_features, write_features

MPP, SIDE_UM, SIDE_PX, DIM = 0.25, 112.0, 448, 7
GRID = np.array([(x * SIDE_PX, y * SIDE_PX) for x in range(3) for y in range(2)])  # column by column, as TRIDENT has it
FEATURES = np.random.default_rng(0).normal(size=(len(GRID), DIM)).astype(np.float32)


@pytest.fixture
def hospital(tmp_path, write_slide) -> Path:
    folder = tmp_path / "CLB"
    (folder / "slides").mkdir(parents=True)
    rows = ["slide_id,patient_id,file,mpp,stain"]
    for name in ("S1", "S2"):
        write_slide(f"CLB/slides/{name}_HE.svs", np.full((1000, 1400, 3), 200, np.uint8), mpp=MPP)
        rows.append(f"{name},P,slides/{name}_HE.svs,,HE")
    (folder / "slides.csv").write_text("\n".join(rows) + "\n")
    return folder


def trident(path: Path, *, features=FEATURES, coords=GRID, size: int = SIDE_PX, overlap: int = 0) -> None:
    """As trident/wsi_objects/WSI.py writes it."""
    with h5py.File(path, "w") as file:
        file["features"] = features
        places = file.create_dataset("coords", data=coords)
        about = {"patch_size": 224, "patch_size_level0": size, "level0_magnification": 40, "target_magnification": 20}
        places.attrs.update({**about, "overlap": overlap, "name": path.stem, "savetodir": "."})


def clam(path: Path) -> None:
    """As extract_features_fp.py writes it: no attribute at all."""
    with h5py.File(path, "w") as file:
        file["features"] = FEATURES
        file["coords"] = GRID.astype(np.int32)


def stamp(path: Path, **attrs: object) -> None:
    """As stamp/preprocessing/__init__.py writes it: micrometres, half precision."""
    with h5py.File(path, "w") as file:
        file["coords"] = (GRID * MPP).astype(np.float32)
        file["feats"] = FEATURES.astype(np.float16)
        file.attrs.update(attrs)


STAMP_21 = {"stamp_version": "2.1.0", "extractor": "uni2", "unit": "um", "tile_size_um": SIDE_UM, "tile_size_px": 224}
STAMP_20 = {"stamp_version": "2.0.0", "extractor": "uni2", "unit": "um", "tile_size": SIDE_UM}


@pytest.fixture
def theirs(tmp_path) -> Path:
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


@pytest.mark.parametrize(
    ("write", "tool"),
    [
        (trident, "TRIDENT"),
        (clam, "CLAM"),
        (lambda path: stamp(path, **STAMP_21), "STAMP"),
        (lambda path: stamp(path, **STAMP_20), "STAMP"),
    ],
    ids=["trident", "clam", "stamp2.1", "stamp2.0"],
)
def test_each_tools_file_becomes_ours_row_by_row(hospital, theirs, tmp_path, write, tool):
    write(theirs / "S1_HE.h5")  # named after the slide file, as these tools do
    done, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours", tile_um=SIDE_UM)
    assert faults.sentences == []
    assert [(item.slide_id, item.tool, item.tiles, item.dim) for item in done] == [("S1", tool, 6, DIM)]
    assert done[0].tile_um == pytest.approx(SIDE_UM)
    ours = read_features(tmp_path / "ours" / "S1.h5")
    order = np.lexsort((GRID[:, 0], GRID[:, 1]))
    assert ours.coords.tolist() == GRID[order].tolist()
    assert np.abs(ours.features - FEATURES[order]).max() < 2e-3  # half precision
    assert ours.attrs["patch_size_level0"] == pytest.approx(SIDE_PX)
    assert ours.attrs["mpp_level0"] == MPP
    assert ours.attrs["imported_from"] == tool


def test_ours_is_read_as_tridents(tmp_path):
    attrs = {"patch_size": 224, "patch_size_level0": SIDE_PX, "overlap": 0}
    write_features(
        tmp_path / "S1.h5", features=FEATURES, coords=GRID, tiles=np.arange(6), attrs={"key": "k"}, coords_attrs=attrs
    )
    found = read_foreign(tmp_path / "S1.h5")
    assert (found.tool, found.size_px, found.tile_px, found.in_um) == ("TRIDENT", SIDE_PX, 224, False)
    assert np.array_equal(found.places, GRID)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: trident(path, coords=GRID + np.array([1400, 0])), "lie off S1_HE.svs"),
        (lambda path: trident(path, coords=GRID // 2), "stand 224 apart"),
        (lambda path: trident(path, coords=GRID * 0), "at the same place"),
        (lambda path: trident(path, features=FEATURES[:4]), "instead of (n, d)"),
        (lambda path: trident(path, features=FEATURES[:0], coords=GRID[:0]), "holds no tile"),
        (lambda path: trident(path, features=np.where(FEATURES > 1, np.nan, FEATURES)), "not finite"),
        (lambda path: trident(path, size=512), "not of 112 µm"),
        (lambda path: stamp(path, extractor="ctranspath"), "before 2.0"),
        (lambda path: path.write_bytes(b"no HDF5"), "not an HDF5 file"),
        (lambda path: h5py.File(path, "w").close(), "no dataset 'features'"),
    ],
    ids=["other slide", "other level", "one place", "ragged", "empty", "nan", "size", "old stamp", "bytes", "bare"],
)
def test_a_file_that_does_not_fit_is_named_and_the_others_are_taken(hospital, theirs, tmp_path, write, said):
    write(theirs / "S1_HE.h5")
    trident(theirs / "S2.h5")
    done, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours", tile_um=SIDE_UM)
    assert [item.slide_id for item in done] == ["S2"]
    assert len(faults.sentences) == 1
    assert said in faults.sentences[0]
    assert "S1_HE.h5" in faults.sentences[0]
    assert [path.name for path in (tmp_path / "ours").iterdir()] == ["S2.h5"]


def test_files_of_two_encoders_do_not_mix(hospital, theirs, tmp_path):
    trident(theirs / "S1.h5")
    trident(theirs / "S2.h5", features=FEATURES[:, :5])
    _, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours")
    assert "S2.h5 has 5 features a tile, not 7" in faults.sentences[0]
    _, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours", encoder="uni")
    assert "not 1024" in faults.sentences[0]
    assert len(faults.sentences) == 2


def test_clam_needs_the_tiles_size(hospital, theirs, tmp_path):
    clam(theirs / "S1.h5")
    _, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours")
    assert "give --tile-um" in faults.sentences[0]


def test_overlapping_tiles_may_be_near(hospital, theirs, tmp_path):
    trident(theirs / "S1.h5", coords=GRID // 2, overlap=112)
    done, faults = import_features(theirs, hospital=hospital, into=tmp_path / "ours")
    assert (len(done), faults.sentences) == (1, [])


def test_command_says_what_was_taken_and_what_was_not(hospital, theirs, tmp_path, capsys):
    trident(theirs / "S1.h5")
    trident(theirs / "X9.h5")
    command = ["features", "import", str(theirs), "--hospital", str(hospital), "--into", str(tmp_path / "ours")]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "S1: 6 tiles of 7 features, 112 µm wide, from TRIDENT" in said
    assert "not taken: X9.h5 belongs to no slide of CLB/slides.csv" in said
    assert "1 of 2 files" in said
    (theirs / "X9.h5").unlink()
    assert main(command) == 0


def test_no_file_and_no_table_are_sentences(hospital, theirs, tmp_path):
    with pytest.raises(SarcnetError, match=r"no \.h5 file"):
        import_features(theirs, hospital=hospital, into=tmp_path / "ours")
    with pytest.raises(SarcnetError, match=r"slides\.csv cannot be read"):
        import_features(theirs, hospital=tmp_path, into=tmp_path / "ours")
