"""Pages that a browser opens without a network: templates filled by jinja2, with style, script, data and pictures inside."""

from __future__ import annotations

import base64
import html
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from IPython.display import HTML, DisplayObject
from markupsafe import Markup
from PIL import Image

from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.progress import headless

HEIGHT_PX = 640


def render(package: str, template: str, **values: object) -> str:
    """The page `static`/`template` of a package, every value escaped unless it is Markup.

    In the template, `asset(name)` is the text of another file of the same folder (a style or a script), as it is.
    """
    folder = files(package) / "static"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["asset"] = lambda name: Markup(read(name))
    return environment.get_template(template).render(**values)


def json_block(data: Any) -> Markup:
    """JSON to stand between script tags: no text in it can end the script."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def jpeg_url(picture: np.ndarray | Image.Image, *, quality: int, **settings: Any) -> str:
    """data:image/jpeg;base64,… of (h, w, 3) uint8 without metadata; `settings` are those of Pillow's JPEG writer."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **settings)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write_page(path: Path, page: str) -> Path:
    """Write a page, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def somebody_watches() -> bool:
    """Whether a widget has somebody to use it; in a headless run, and in what is exported of it, it would be dead.

    Returns:
        True in a notebook that is open before somebody, False under papermill and the runner.
    """
    return not headless()


def page_frame(page: str | Path, *, title: str, height_px: int = HEIGHT_PX) -> HTML:
    """A page in a frame of its own, for a notebook: neither its style nor its script touches the notebook around it.

    Args:
        page: HTML, or the path of a file of it.
        title: what the page is, for those who hear it read.
        height_px: height of the frame in CSS pixels.

    Returns:
        What `IPython.display.display` shows; nbconvert keeps it with the page inside.
    """
    text = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    style = "width:100%;box-sizing:border-box;border:1px solid #ccc"
    srcdoc, name = html.escape(text), html.escape(title)
    return _Frame(f'<iframe srcdoc="{srcdoc}" height="{height_px}" style="{style}" title="{name}"></iframe>')


class _Frame(HTML):
    """HTML that means its frame; IPython's own class would warn that it prefers a link, which cannot hold a page."""

    def __init__(self, data: str) -> None:
        DisplayObject.__init__(self, data)
