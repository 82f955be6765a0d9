"""The figures' look is set whenever a notebook draws, and is seaborn's theme with what this study adds."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import seaborn as sns
from matplotlib.colors import to_hex

from sarcnet.compendium import PALETTE
from sarcnet.compendium.figures import theme

ADDED = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.frameon": False,
}
NOT_OURS = {"image.cmap", "backend", "backend_fallback"}  # a colour map of seaborn is unknown until it is imported


def look() -> dict[str, object]:
    settings = {name: value for name, value in mpl.rcParams.items() if name not in NOT_OURS}
    settings["axes.prop_cycle"] = [to_hex(color) for color in mpl.rcParams["axes.prop_cycle"].by_key()["color"]]
    return settings


def test_the_look_is_seaborns_theme_and_what_this_study_adds():
    with mpl.rc_context():
        mpl.rcdefaults()
        sns.set_theme(context="notebook", style="ticks", palette=list(PALETTE), font_scale=0.9)
        mpl.rcParams.update(ADDED)
        wanted = look()
        mpl.rcdefaults()
        theme()
        assert look() == wanted


def test_a_notebook_that_imports_matplotlib_after_it_opened_its_stage_has_the_look(tmp_path):
    code = f"""
import sys
from sarcnet.compendium import Settings, Stage
Stage.open("00_one", Settings, {{"run_dir": {str(tmp_path)!r}, "seed": 1}})
assert "matplotlib" not in sys.modules
import matplotlib
print(matplotlib.rcParams["axes.linewidth"], matplotlib.rcParams["figure.constrained_layout.use"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1.25 True\n", done.stderr
