"""Names under which a slide's result is kept, so that a rerun takes up what is done and nothing that is stale.

A key is made of everything that shapes the result: the slide file, the parameters, and the code itself.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

EDGE_BYTES = 1 << 20


def file_identity(path: Path) -> str:
    """Size, time of change and the first and last mebibyte: enough to notice another file, fast on a slide of 5 GB. Of a
    slide in several files, size and time of the others too.

    A file that is not there or may not be read has an identity too, so that its failure is looked at again once it has
    changed."""
    try:
        stat = path.stat()
        if not path.is_file():  # opening a pipe would wait for ever
            return "not a file"
        with path.open("rb") as file:
            head = file.read(EDGE_BYTES)
            file.seek(max(0, stat.st_size - EDGE_BYTES))
            tail = file.read(EDGE_BYTES)
        others = [(other.name, other.stat().st_size, other.stat().st_mtime_ns) for other in _companions(path)]
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    content = head + tail + (json.dumps(others).encode() if others else b"")
    return f"{stat.st_size}-{stat.st_mtime_ns}-{hashlib.sha256(content).hexdigest()}"


def _companions(path: Path) -> list[Path]:
    """The files beside `path` that OpenSlide reads with it: of a MIRAX slide its folder, of a DICOM slide the .dcm around
    it, of a Hamamatsu VMS or VMU slide those that begin with its name."""
    kind = path.suffix.lower()
    if kind == ".mrxs":
        found = path.with_suffix("").glob("*")
    elif kind == ".dcm":
        found = path.parent.glob("*.dcm")
    elif kind in (".vms", ".vmu"):
        found = path.parent.glob(f"{glob.escape(path.stem)}*")
    else:
        return []
    return sorted(other for other in found if other != path and other.is_file())


@functools.cache
def code_identity(modules: tuple[ModuleType, ...]) -> str:
    """sha256 over the modules' source files, as they were when first asked: what runs is what was loaded then."""
    digest = hashlib.sha256()
    for module in sorted(modules, key=lambda m: m.__name__):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def unit_key(parts: Mapping[str, object]) -> str:
    """24 hexadecimal digits of the sha256 over `parts`, whatever their order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
