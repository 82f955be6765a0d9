"""One look for all figures, and the way they are kept: a PNG beside the numbers that it shows."""

from __future__ import annotations

import base64
import html
import io
import os
import sys
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path, write_json
from sarcnet.compendium.jsonable import to_jsonable
from sarcnet.compendium.progress import in_kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_suffix(".mplstyle")
PAPER_DPI, PICTURE_DPI, SCREEN_DPI = 200, 120, 100
# Okabe and Ito, Color Universal Design (jfly.uni-koeln.de/color): told apart by colour-blind readers too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
HOSPITALS = ("#E69F00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#D55E00")  # blue is left to the model


def theme() -> None:
    """Set the look of every figure drawn from now on, whether matplotlib is imported already or later.

    The look is a file that matplotlib itself reads when it is imported, so a notebook that draws nothing loads nothing.
    """
    if "matplotlib" in sys.modules:
        import matplotlib as mpl

        mpl.rcParams.update(mpl.rc_params_from_file(STYLE, use_default_template=False))
    else:
        os.environ["MATPLOTLIBRC"] = str(STYLE)


def hospital_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each hospital, chosen by the alphabet, so that a hospital has the same colour in all figures.

    Args:
        names: names of the hospitals; repeated names count once.

    Returns:
        Hexadecimal colour by name; colours repeat after six hospitals.
    """
    return dict(zip(sorted(set(names)), cycle(HOSPITALS), strict=False))


def mark(figure: Figure, text: str) -> None:
    """Write `text` small at the lower right edge of the figure, below everything, once."""
    if not any(getattr(artist, "get_gid", str)() == "kind-of-data" for artist in figure.texts):
        # A supxlabel takes its own room under constrained layout, so the mark never covers an axis label.
        if figure.get_layout_engine() is not None and not figure.get_supxlabel():
            artist = figure.supxlabel(text, x=0.995, ha="right", fontsize=8, color="0.35", style="italic")
        else:
            artist = figure.text(0.995, 0.003, text, ha="right", va="bottom", fontsize=8, color="0.35", style="italic")
        artist.set_gid("kind-of-data")


def save(figure: Figure, path: Path, *, data: Any, record: dict[str, Any]) -> tuple[Path, Path]:
    """Write `path`.png (the same bytes for the same figure) and `path`.json ({**record, "data": data}).

    Lines are written at 200 dpi. Pictures of tissue hardly compress and gain nothing from it: they get 120 dpi.

    Returns:
        The two paths.
    """
    png, numbers = path.with_suffix(".png"), path.with_suffix(".json")
    dpi = PICTURE_DPI if any(ax.images for ax in figure.axes) else PAPER_DPI
    with atomic_path(png) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
    write_json(numbers, {**record, "data": to_jsonable(data)})
    return png, numbers


def show(figure: Figure, *, caption: str) -> None:
    """Show a figure in a notebook, with its caption below and as alternative text, and close it; elsewhere only close it.

    JupyterLab and the default template of nbconvert carry alternative texts in HTML only; other readers take the PNG.

    Raises:
        SarcnetError: the caption is empty.
    """
    import matplotlib.pyplot as plt

    if not caption.strip():
        raise SarcnetError("A figure has no caption; say in a sentence what it shows.")
    if in_kernel():
        from IPython.display import display

        packed = io.BytesIO()
        figure.savefig(packed, format="png", dpi=SCREEN_DPI, metadata={"Software": None})
        picture, text = base64.b64encode(packed.getvalue()).decode(), html.escape(caption)
        page = (
            f'<figure style="margin: 0"><img src="data:image/png;base64,{picture}" alt="{text}">'
            f"<figcaption><small>{text}</small></figcaption></figure>"
        )
        bundle = {"text/html": page, "image/png": picture, "text/plain": caption}
        display(bundle, raw=True, metadata={"image/png": {"alt": caption}})
    plt.close(figure)
