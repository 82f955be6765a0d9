"""Keys of results that are kept from run to run, so that a rerun takes up what is done and nothing that is stale.

A key is made of everything that shapes the result: the contents of the files it is made from, the parameters, and the
code. `code_key` is the only answer to "which code made this?".
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from sarcnet.compendium.code_dependencies import closure, digest, module_paths

EDGE_BYTES = 1 << 20
WHOLE_BYTES = 16 << 20
COMPANION_EDGE_BYTES = 1 << 16


@functools.cache
def code_key(*modules: str) -> str:
    """SHA-256 of the code of these modules and of all of our modules that they import, as this process has it.

    Comments and docstrings change nothing. Data files beside a module that reads them count with its code. Only our own
    code counts; the versions of libraries that shape a result belong into its key beside this.

    Args:
        modules: dotted names, for example "sarcnet.slides.slide_result".
    """
    parts = [f"{name} {digest(path)}\n" for name, path in closure(module_paths(modules)).items()]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def file_key(path: Path) -> str:
    """Size and contents of a slide, never its time stamps: a copy has the key of the original.

    Files of up to 16 MiB are read whole. Of larger ones only the first and the last mebibyte are read, which is fast on
    a slide of 5 GB: another slide, another export, or a copy that was cut short is noticed, but a change in the middle
    that leaves the size as it is, such as a damaged block or its repair, is not. (A store that keeps a failure asks for the
    time stamps too, see :func:`time_stamps`.) Of a slide in several files, names, sizes and contents of the others
    count, each at most with its first and last 64 KiB.

    A file that is not there or may not be read has a key too, so that its failure is looked at again once it has
    changed.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would never return
            return "not a file"
        own = _content(path, whole=WHOLE_BYTES, edge=EDGE_BYTES)
        others = {other.name: _companion(other) for other in _companions(path)}
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    return unit_key({"own": own, "others": others}) if others else own


def time_stamps(path: Path) -> list[int]:
    """Time of change (ns) of a slide and of the files around it; [] where they cannot be asked for.

    Good for nothing but looking again at a file that failed: a repaired copy may differ in the middle only.
    """
    try:
        return [file.stat().st_mtime_ns for file in (path, *_companions(path))]
    except OSError:
        return []


def unit_key(parts: Mapping[str, object]) -> str:
    """24 hexadecimal digits of the sha256 over `parts`, whatever their order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _content(path: Path, *, whole: int, edge: int) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= whole:
            return f"{size}-{hashlib.file_digest(file, 'sha256').hexdigest()}"
        digest = hashlib.sha256(file.read(edge))
        file.seek(size - edge)
        digest.update(file.read(edge))
    return f"{size}-{digest.hexdigest()}"


def _companion(path: Path) -> str:
    return _content(path, whole=2 * COMPANION_EDGE_BYTES, edge=COMPANION_EDGE_BYTES)


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
