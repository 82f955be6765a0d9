"""A probe: what plain statistics of rendered fields tell of the patients' hidden pathology."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, label
from scipy.stats import spearmanr
from skimage.filters import threshold_otsu

from virtual_cohort.cohort import look_of
from virtual_cohort.patients.centres import IB
from virtual_cohort.patients.simulate import virtual_patients
from virtual_cohort.rendering.render import render_slide


@pytest.fixture(scope="module")
def fields():
    """Truth of virtual patients beside three numbers measured in a 350 µm piece of each tumour.

    Nuclei are dark blobs after a slight blur, at the threshold that the picture itself suggests: a fixed one would
    break pale nuclei to pieces and so measure hyperchromasia under the name of area.
    """
    truth = virtual_patients(11, centre=IB, series="training", count=36).truth
    rows = []
    for row in truth.to_dict("records"):
        look = look_of({**row, "necrosis_fraction": 0.0})
        picture = render_slide(
            11, slide_id=row["patient_id"], look=look, scanner=IB.scanner, width_um=350, height_um=350
        ).picture
        dark = gaussian_filter(-np.log10((picture[..., 0].astype(np.float32) + 1) / 256), 1.5)  # (h, w)
        nuclear = dark > threshold_otsu(dark[dark > 0.02])
        areas = np.bincount(label(nuclear)[0].ravel())[1:] * IB.scanner.mpp**2
        nuclei = areas[areas > 15]
        rows.append({"count": len(nuclei), "area": np.median(nuclei), "dark": dark[nuclear].mean()})
    return pd.concat([truth, pd.DataFrame(rows)], axis=1)


@pytest.mark.parametrize(
    ("measured", "latent", "least"),
    [("count", "cellularity_per_mm2", 0.5), ("area", "nuclear_area_um2", 0.8), ("dark", "hyperchromasia", 0.6)],
)
def test_simple_measurements_follow_the_latents(fields, measured, latent, least):
    assert spearmanr(fields[measured], fields[latent]).statistic > least


def test_a_measurement_tells_its_own_latent_apart_from_chance(fields):
    shuffled = fields["cellularity_per_mm2"].sample(frac=1, random_state=0).to_numpy()
    assert abs(spearmanr(fields["count"], shuffled).statistic) < 0.4
