"""Which of our own modules a process used: what a stage's results depend on besides its notebook."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from sarcnet.compendium.files import sha256
from sarcnet.compendium.paths import root

HOUSE = Path(__file__).resolve().parents[2]
SHAPING = {"seeds.py", "figures.py"}
OTHERS = {"site-packages", ".venv"}


def loaded_modules() -> dict[str, str]:
    """SHA-256 of the source of every module of this repository that this process used, by path relative to it.

    What a loaded module imports only inside a function counts as used, because a worker process may have called it.
    Of `compendium` only what shapes results counts (SHAPING); the rest moves them about but does not make them.
    """
    queue = [Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    queue = [path for path in queue if path.is_absolute() and _name(path)]  # torch._classes calls itself "_classes.py"
    found: dict[str, Path] = {}
    while queue:
        path = queue.pop()
        name = _name(path)
        if name is not None and name not in found:
            found[name] = path
            queue.extend(_imported(path))
    return {name: sha256(found[name]) for name in sorted(found)}


def _name(path: Path) -> str | None:
    """Path relative to the repository, or None for a file that is not ours."""
    if path.suffix != ".py" or OTHERS & set(path.parts):  # most are, of thousands, and following links takes longer
        return None
    path = path.resolve()
    for base in (HOUSE, root().resolve()):
        if path.is_relative_to(base):
            name = path.relative_to(base)
            moving = name.parts[:2] == ("sarcnet", "compendium") and name.name not in SHAPING
            return None if moving or OTHERS & set(name.parts) else name.as_posix()
    return None


def libraries(source: str) -> set[str]:
    """Names of the libraries that Python code imports, itself or through our modules outside `compendium`."""
    queue, seen, found = list(_names(source)), set(), set()
    while queue:
        name = queue.pop()
        found.add(name.split(".")[0])
        path = _ours(name)
        if path is not None and path not in seen and path.parent.name != "compendium":
            seen.add(path)
            queue.extend(_names(path.read_text(encoding="utf-8")))
    return found


def _imported(path: Path) -> Iterator[Path]:
    """Files of our package that the module at `path` imports anywhere, also inside functions."""
    for name in _names(path.read_text(encoding="utf-8")):
        if file := _ours(name):
            yield file


def _ours(name: str) -> Path | None:
    """File of the module `name`, or None when it is not one of ours."""
    path = HOUSE.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.startswith("sarcnet.") and path.is_file() else None


def _names(source: str) -> Iterator[str]:
    """Dotted names of all modules, and of all things in modules, that `source` imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_hash(name: str) -> str | None:
    """Present SHA-256 of a module named as in :func:`loaded_modules`, or None when it is gone."""
    for base in (HOUSE, root()):
        if (base / name).is_file():
            return sha256(base / name)
    return None
