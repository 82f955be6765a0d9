"""One sheet a hospital shows every slide, the failed ones too."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from sarcnet.slides.report.contact_sheet import (
    CELL_PX,
    COLUMNS,
    FAILED,
    HEAD_PX,
    MARGIN_PX,
    TEXT_PX,
    contact_sheet,
    write_contact_sheets,
)


def test_every_slide_has_its_place_in_order_of_its_name(tmp_path):
    names = [f"S{k:02d}" for k in range(COLUMNS + 2)]
    colours = {name: (20 * k, 90, 250 - 20 * k) for k, name in enumerate(names)}
    for name in names:
        Image.new("RGB", (900, 900), colours[name]).save(tmp_path / f"{name}.png")
    report = pd.DataFrame({"slide_id": names[::-1], "centre": "A", "status": "ok", "n_kept": 7})
    report.loc[report["slide_id"] == "S03", "status"] = "failed"
    sheet = np.asarray(contact_sheet(report, thumbnails=tmp_path, title="A"))
    wide, high = CELL_PX + MARGIN_PX, CELL_PX + 2 * TEXT_PX + MARGIN_PX
    assert sheet.shape == (2 * high + HEAD_PX, COLUMNS * wide + MARGIN_PX, 3)
    for k, name in enumerate(names):
        middle = sheet[HEAD_PX + k // COLUMNS * high + CELL_PX // 2, k % COLUMNS * wide + CELL_PX // 2]
        assert tuple(middle) == (FAILED if name == "S03" else colours[name])


def test_one_file_a_centre(tmp_path):
    report = pd.DataFrame({"slide_id": ["a", "b"], "centre": ["IB", "CLB"], "status": "failed", "n_kept": 0})
    written = write_contact_sheets(
        report, thumbnails=tmp_path, output=lambda name: tmp_path / name, data_kind="private"
    )
    assert [path.name for path in written] == ["contact_sheet_CLB.png", "contact_sheet_IB.png"]
    for path in written:
        with Image.open(path) as sheet:
            assert sheet.width > CELL_PX
