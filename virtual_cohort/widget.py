"""A panel in the notebook: turn a knob of the tumour and see the tissue change."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from IPython.display import Markdown
from PIL import Image

from sarcnet.cohort.schema import HISTOTYPES
from sarcnet.compendium.progress import headless
from virtual_cohort.patients.centres import CENTRES
from virtual_cohort.rendering.knobs import KNOBS, field, medium_look

SIDE_UM = 150.0
HEADLESS = (
    "*Opened in JupyterLab, this notebook shows a panel here: sliders for the six features, the histotype and the "
    "hospital, and 150 µm of tissue painted anew as they move. The figure above shows the same knobs without it.*"
)


def knob_panel(values: pd.DataFrame, *, seed: int) -> ipywidgets.Widget | Markdown:
    """Sliders and the field they paint; a sentence instead where nobody is there to move them.

    Args:
        values: percentiles of the knobs, as of :func:`virtual_cohort.rendering.knobs.knob_values`; the sliders' ends.
        seed: root of the layout, which stays the same whatever is turned.

    Returns:
        The widget, or the sentence.
    """
    return Markdown(HEADLESS) if headless() else Panel(values, seed=seed).box


class Panel:
    """Widgets and the picture they keep up to date: `box` is what a notebook shows."""

    def __init__(self, values: pd.DataFrame, *, seed: int) -> None:
        self._values, self._seed = values, seed
        self.sliders = {name: _slider(values[name], label=label, unit=unit) for name, (label, unit, _) in KNOBS.items()}
        self.sliders["necrosis_fraction"].value = 0.0
        self.histotype = ipywidgets.Dropdown(options=HISTOTYPES, description="histotype")
        self.centre = ipywidgets.Dropdown(options=list(CENTRES), description="hospital")
        self.picture = ipywidgets.Image(format="png", layout={"width": "420px", "height": "420px"})
        self.caption = ipywidgets.HTML()
        for widget in (*self.sliders.values(), self.histotype, self.centre):
            widget.observe(self._paint, names="value")
        self._paint()
        controls = ipywidgets.VBox([self.histotype, self.centre, *self.sliders.values()])
        self.box = ipywidgets.HBox([controls, ipywidgets.VBox([self.picture, self.caption])])

    def pixels(self) -> np.ndarray:
        """The field as the knobs stand now, (h, w, 3) uint8."""
        look = medium_look(self._values, histotype=HISTOTYPES.index(self.histotype.value))
        turned: dict[str, Any] = {name: slider.value for name, slider in self.sliders.items()}
        return field(replace(look, **turned), centre=self.centre.value, seed=self._seed, side_um=SIDE_UM)

    def _paint(self, _: object = None) -> None:
        packed = io.BytesIO()
        Image.fromarray(self.pixels()).save(packed, format="png", compress_level=1)
        self.picture.value = packed.getvalue()
        self.caption.value = f"simulated {self.histotype.value}, {self.centre.value}, {SIDE_UM:.0f} µm wide"


def _slider(values: pd.Series, *, label: str, unit: str) -> ipywidgets.FloatSlider:
    low, high = float(values["low"]), float(values["high"])
    return ipywidgets.FloatSlider(
        value=float(values["medium"]),
        min=low,
        max=high,
        step=(high - low) / 40,
        description=label,
        tooltip=unit,
        readout_format=".0f" if high > 10 else ".2f",
        style={"description_width": "150px"},
        layout={"width": "400px"},
    )
