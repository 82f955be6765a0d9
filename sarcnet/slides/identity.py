"""Names under which a slide's result is kept, so that a rerun takes up what is done and nothing that is stale.

A key is made of everything that shapes the result: the slide file, the parameters, and the code itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

EDGE_BYTES = 1 << 20


def file_identity(path: Path) -> str:
    """Size, time of change and the first and last mebibyte: enough to notice another file, fast on a slide of 5 GB.

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
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    return f"{stat.st_size}-{stat.st_mtime_ns}-{hashlib.sha256(head + tail).hexdigest()}"


def code_identity(modules: Iterable[ModuleType]) -> str:
    """sha256 over the modules' source files."""
    digest = hashlib.sha256()
    for module in sorted(modules, key=lambda m: m.__name__):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def unit_key(parts: Mapping[str, object]) -> str:
    """24 hexadecimal digits of the sha256 over `parts`, whatever their order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
