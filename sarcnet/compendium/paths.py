"""Where the repository is, whichever folder a kernel started in."""

from __future__ import annotations

import os
from pathlib import Path

from sarcnet.compendium.errors import SarcnetError


def root() -> Path:
    """Folder that `runs/…` and `data/…` are relative to.

    SARCNET_ROOT when it is set; else the nearest folder above the working directory that holds `pyproject.toml` and
    `papermill_params`; else the same above the package itself (papermill `--cwd elsewhere`).

    Raises:
        SarcnetError: no such folder is found.
    """
    if given := os.environ.get("SARCNET_ROOT"):
        return Path(given).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "pyproject.toml").is_file() and (folder / "papermill_params").is_dir():
                return folder
    raise SarcnetError(
        f"sarcnet's folder was not found above {Path.cwd()}; start in the repository or set SARCNET_ROOT to it."
    )


def resolve(path: str | Path) -> Path:
    """Absolute form of a path; a relative one is taken from the repository root, not from the working directory.

    Args:
        path: a path as in a profile, for example "data/virtual_demo".

    Returns:
        The absolute path; it need not exist.

    Raises:
        SarcnetError: `path` is relative and the repository is not found.
    """
    path = Path(path).expanduser()
    return path if path.is_absolute() else root() / path


def shown(path: str | Path) -> str:
    """`path` relative to the repository root where it lies inside, else as it is; with forward slashes."""
    path = Path(path)
    try:
        return path.resolve().relative_to(root().resolve()).as_posix()
    except ValueError:
        return path.as_posix()
