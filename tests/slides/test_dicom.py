"""DICOM whole slides (VL Whole Slide Microscopy, tiles of baseline JPEG, one file a level), written here and read whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarcnet.compendium.cache_keys import file_key
from sarcnet.slides.reader.opening import SlideFault, open_slide
from sarcnet.slides.reader.reading import TileReader, UnreadableTile, plan
from sarcnet.slides.reader.units import Level0Px, TilePx, Um

pydicom = pytest.importorskip("pydicom")

FRAME_PX = 256
SERIES = "1.2.826.0.1.3680043.8.498.1"
WriteDicom = Callable[..., Path]


def jpeg_frames(pixels: np.ndarray) -> list[bytes]:
    """The picture in whole frames, row by row; the rest of the last ones repeats the edge."""
    height, width = pixels.shape[:2]
    pad = ((0, -height % FRAME_PX), (0, -width % FRAME_PX), (0, 0))
    padded, frames = np.pad(pixels, pad, mode="edge"), []
    for top in range(0, height, FRAME_PX):
        for left in range(0, width, FRAME_PX):
            frame = io.BytesIO()
            Image.fromarray(padded[top : top + FRAME_PX, left : left + FRAME_PX]).save(frame, "JPEG", quality=95)
            frames.append(frame.getvalue())
    return frames


def write_instance(path: Path, pixels: np.ndarray, *, mpp: float | None, kind: list[str], number: int) -> Path:
    """One level, or a label, as an instance of the series (DICOM PS3.3, A.32.8)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.sequence import Sequence
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

    frames = jpeg_frames(pixels)
    instance, meta = Dataset(), FileMetaDataset()
    instance.file_meta = meta
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    instance.SOPClassUID = meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    instance.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
    instance.StudyInstanceUID, instance.SeriesInstanceUID = f"{SERIES}.0", SERIES
    instance.Modality, instance.ImageType, instance.InstanceNumber = "SM", kind, number
    instance.Rows = instance.Columns = FRAME_PX
    instance.TotalPixelMatrixRows, instance.TotalPixelMatrixColumns = pixels.shape[:2]
    instance.TotalPixelMatrixFocalPlanes, instance.NumberOfFrames = 1, len(frames)
    instance.DimensionOrganizationType = "TILED_FULL"
    instance.SamplesPerPixel, instance.PhotometricInterpretation, instance.PlanarConfiguration = 3, "YBR_FULL_422", 0
    instance.BitsAllocated, instance.BitsStored, instance.HighBit, instance.PixelRepresentation = 8, 8, 7, 0
    if mpp is not None:
        measures, groups = Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001  # mm
        groups.PixelMeasuresSequence = Sequence([measures])
        instance.SharedFunctionalGroupsSequence = Sequence([groups])
    instance.PixelData = encapsulate(frames)
    instance["PixelData"].is_undefined_length = True
    instance.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def write_dicom(tmp_path: Path) -> WriteDicom:
    """write_dicom(pixels, mpp=…) -> the finest of two levels, one file each, with a label beside them."""

    def write(pixels: np.ndarray, *, mpp: float | None = 0.25) -> Path:
        folder = tmp_path / "slide"
        folder.mkdir()
        half = np.asarray(Image.fromarray(pixels).reduce(2))
        coarse = None if mpp is None else 2 * mpp
        finest = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        write_instance(
            folder / "level1.dcm", half, mpp=coarse, kind=["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"], number=2
        )
        write_instance(folder / "label.dcm", half, mpp=None, kind=["ORIGINAL", "PRIMARY", "LABEL", "NONE"], number=3)
        return write_instance(folder / "level0.dcm", pixels, mpp=mpp, kind=finest, number=1)

    return write


def test_a_dicom_slide_is_a_pyramid_with_its_resolution_and_the_same_tiles_as_a_tiff(write_dicom, write_slide, stained):
    pixels = stained(900, 1100, tissue=(60, 60, 840, 1040))
    found, want = (open_slide(path) for path in (write_dicom(pixels), write_slide("same.svs", pixels, mpp=0.25)))
    info = found[1]
    assert (info.format, info.width_px, info.height_px, info.levels) == ("dicom", 1100, 900, (1.0, 2.0))
    assert (info.mpp, info.mpp_source) == (pytest.approx(0.25), "scanner")
    for tile_px in (224, 448):  # read from level 1, and from level 0
        readers = [
            TileReader(handle, facts, plan(facts, tile_um=Um(112.0), tile_px=TilePx(tile_px)))
            for handle, facts in (found, want)
        ]
        assert [reader.plan.level_mpp for reader in readers] == [pytest.approx(112 / tile_px)] * 2
        for x, y in ((0, 0), (201, 333), (652, 452)):
            one, other = (reader.tile(Level0Px(x), Level0Px(y)).astype(float) for reader in readers)
            assert np.abs(one - other).mean() < 3  # grey levels that JPEG costs on noise


def test_a_dicom_folder_is_tiled_from_any_of_its_files(tile, fine_rules, write_dicom, stained, tmp_path):
    finest = write_dicom(stained(1800, 1800, tissue=(100, 100, 1700, 1700)))
    files = {"finest": finest, "coarse": finest.with_name("level1.dcm")}
    results, report = tile(files, tmp_path, rules=fine_rules)
    assert report["status"].tolist() == ["ok", "ok"]
    assert report["mpp"].tolist() == pytest.approx([0.25, 0.25])
    corners = [(list(result.columns["x_px"]), list(result.columns["y_px"])) for result in results]
    assert corners[0] == corners[1]
    assert report["n_kept"].iloc[0] >= 9


def test_a_dicom_slide_without_resolution_is_refused_with_the_cure(write_dicom, stained):
    with pytest.raises(SlideFault, match=r"mpp column of slides\.csv"):
        open_slide(write_dicom(stained(600, 600, tissue=(50, 50, 550, 550)), mpp=None))


def test_a_dicom_level_cut_short_gives_no_white_tiles(write_dicom, stained):
    finest = write_dicom(stained(900, 900, tissue=(0, 0, 900, 900)))
    whole = finest.read_bytes()
    finest.write_bytes(whole[: len(whole) // 2])

    def last_tile() -> np.ndarray:
        handle, info = open_slide(finest)
        with TileReader(handle, info, plan(info, tile_um=Um(56.0), tile_px=TilePx(224))) as reader:
            return reader.tile(Level0Px(670), Level0Px(670))

    with pytest.raises((SlideFault, UnreadableTile)):
        last_tile()


def test_another_file_of_the_slide_makes_it_another_slide(write_dicom, stained, tmp_path):
    finest = write_dicom(stained(600, 600, tissue=(50, 50, 550, 550)))
    before = file_key(finest)
    assert file_key(finest) == before
    coarse = finest.with_name("level1.dcm")
    coarse.write_bytes(coarse.read_bytes() + b"\0\0")
    assert file_key(finest) != before

    mirax, data = tmp_path / "M.mrxs", tmp_path / "M"
    mirax.write_bytes(b"mirax")
    data.mkdir()
    alone = file_key(mirax)
    (data / "Data0000.dat").write_bytes(b"tiles")
    assert file_key(mirax) != alone
