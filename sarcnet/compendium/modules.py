"""Which of our own modules a process really loaded: what a stage's results depend on besides its notebook."""

from __future__ import annotations

import sys
from pathlib import Path

from sarcnet.compendium.files import sha256
from sarcnet.compendium.paths import root

HOUSE = Path(__file__).resolve().parents[2]


def loaded_modules() -> dict[str, str]:
    """SHA-256 of the source of every loaded module of this repository, by path relative to it.

    `compendium` itself is left out: it moves results about but does not make them.
    """
    found = {}
    bases = (HOUSE, root().resolve())
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py") or "site-packages" in file or "/compendium/" in file:
            continue
        path = Path(file).resolve()
        base = next((base for base in bases if path.is_relative_to(base)), None)
        if base is not None and path.is_file() and ".venv" not in path.parts:
            found[path.relative_to(base).as_posix()] = sha256(path)
    return dict(sorted(found.items()))


def module_hash(name: str) -> str | None:
    """Present SHA-256 of a module named as in :func:`loaded_modules`, or None when it is gone."""
    for base in (HOUSE, root()):
        if (base / name).is_file():
            return sha256(base / name)
    return None
