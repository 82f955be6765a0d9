"""Which of our own modules a result depends on, found from the imports, and the digest of each one's code.

A digest is taken of the code, not of its text: comments, docstrings and layout change nothing. Of `compendium` only
what shapes results counts (`SHAPING`): random numbers, the digits that a number keeps in JSON, and the look of the
figures. The rest reads parameters, moves files, words errors and runs notebooks, and what it does to a result is
asked for elsewhere: parameters and the contents of files are part of every key. `cli` only calls the other wings.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sarcnet.compendium.paths import root

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("sarcnet", "virtual_cohort", "studies")
RUNNING = {("sarcnet", "compendium"), ("sarcnet", "cli")}
SHAPING = {"seeds.py", "figures.py", "jsonable.py"}
MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")
OTHERS = {"site-packages", ".venv"}
_first_read: dict[Path, str] = {}


def closure(paths: Iterable[Path]) -> dict[str, Path]:
    """Our modules at `paths` and all that they import, by path relative to the repository.

    Imports inside functions count, since a function may be called; those for type checkers only (`if TYPE_CHECKING:`)
    do not. A text that is exactly a module's name counts as its import. Importing a module runs the `__init__` of its
    packages, so these count too. A module that asks for its own `__file__` or uses importlib.resources reads what lies
    beside it: all files there, and in folders there that are no packages, count with it.
    """
    queue, found, bases = list(paths), {}, _bases()
    while queue:
        path = queue.pop()
        name = _name(path, bases)
        if name is not None and name not in found:
            found[name] = path
            imports = _parsed(source(path))[1]
            queue += [file for imported in imports for file in _files(imported)]
            if path.name != "__init__.py" and ("__file__" in source(path) or "importlib.resources" in imports):
                folder = Path(name).parent
                found |= {
                    (folder / file.relative_to(path.parent)).as_posix(): file for file in _data_files(path.parent)
                }
    return dict(sorted(found.items()))


def module_paths(names: Iterable[str]) -> list[Path]:
    """Files of our modules with these dotted names.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    paths = []
    for name in names:
        if (path := _file(name)) is None:
            raise ModuleNotFoundError(f"{name} is no module of this package.")
        paths += [path, *_files(name)]
    return paths


def loaded_modules() -> dict[str, str]:
    """Digests of the text and of the code ("text code") of every module of ours that this process used, by path
    relative to the repository; to be compared by :func:`is_unchanged`.

    What a loaded module imports only inside a function counts as used, because a worker process may have called it.
    """
    queue = [Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    queue = [path for path in queue if path.is_absolute()]  # torch._classes calls itself "_classes.py"
    return {name: f"{_text_digest(source(path))} {digest(path)}" for name, path in closure(queue).items()}


def is_unchanged(name: str, known: str) -> bool:
    """Whether the code of a module is still what :func:`loaded_modules` recorded; only changed text is parsed."""
    text, _, code = known.partition(" ")
    for base in _bases():
        if (base / name).is_file():
            present = _text(base / name)
            return _text_digest(present) == text or (name.endswith(".py") and _code_or_none(present) == code)
    return False


def source(path: Path) -> str:
    """Text of a module as this process first read it: what runs is what was loaded then, not what was edited since."""
    if path not in _first_read:
        _first_read[path] = _text(path)
    return _first_read[path]


def digest(path: Path) -> str:
    """Digest of a module's code as :func:`source` has it, or of the whole text of a file that is no module."""
    return code_digest(source(path)) if path.suffix == ".py" else _text_digest(source(path))


def code_digest(text: str) -> str:
    """Digest of Python code that is the same for other comments, docstrings and layout."""
    return _parsed(text)[0]


def libraries(text: str) -> set[str]:
    """Names of the libraries that Python code imports, itself or through our modules outside `compendium`."""
    queue, seen, found = list(_parsed(text)[1]), set(), set()
    while queue:
        name = queue.pop()
        found.add(name.split(".")[0])
        for path in _files(name):
            if path not in seen and path.parent.name != "compendium":
                seen.add(path)
                queue.extend(_parsed(source(path))[1])
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")  # a picture beside a module is no text


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _data_files(folder: Path) -> Iterator[Path]:
    """Files that are no Python, in `folder` and in those folders below that are no packages."""
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyi", ".pyc"):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)


def _code_or_none(text: str) -> str | None:
    try:
        return code_digest(text)
    except SyntaxError:  # edited and not finished
        return None


def _bases() -> tuple[Path, Path]:
    return HOUSE, root().resolve()


@functools.cache
def _name(path: Path, bases: tuple[Path, ...]) -> str | None:
    """Path relative to the repository, or None for a file that is not ours or does not shape results."""
    if path.suffix != ".py" or OTHERS & set(path.parts):  # most are, of thousands, and following links takes longer
        return None
    path = path.resolve()
    for base in bases:
        if path.is_relative_to(base):
            name = path.relative_to(base)
            running = name.parts[:2] in RUNNING and name.name not in SHAPING
            return None if running or OTHERS & set(name.parts) else name.as_posix()
    return None


@functools.cache
def _files(name: str) -> list[Path]:
    """The file of our module `name` and those of the packages around it; empty for what is not ours.

    A name that a package exports lazily stands for the module that defines it.
    """
    package, _, export = name.rpartition(".")
    parts = _exports(package).get(export, name).split(".")
    around = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return [file for part in around if (file := _file(part))]


@functools.cache
def _file(name: str) -> Path | None:
    """File of the module or package `name`, or None when it is not one of ours."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = HOUSE.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@functools.cache
def _exports(package: str) -> dict[str, str]:
    """Names that a package exports lazily, by lazy_loader, and the module of each, as its `__init__.pyi` says."""
    home = _file(package)
    stub = home.with_suffix(".pyi") if home is not None and home.name == "__init__.py" else None
    if stub is None or not stub.is_file():
        return {}
    lines = [line for line in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(line, ast.ImportFrom)]
    return {alias.name: f"{package}.{line.module}" for line in lines if line.module for alias in line.names}


@functools.cache
def _parsed(text: str) -> tuple[str, tuple[str, ...]]:
    """Digest of the code, and dotted names of all modules, and of all things in modules, that it imports."""
    tree = ast.parse(text)
    names = tuple(dict.fromkeys(_imported(tree)))
    if "__doc__" not in text:  # otherwise a docstring may be part of what the code does
        for node in ast.walk(tree):
            for body in ("body", "orelse", "finalbody"):
                if isinstance(lines := getattr(node, body, None), list):
                    setattr(node, body, [line for line in lines if not _is_text(line)])
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), names


def _is_text(line: ast.stmt) -> bool:
    """A docstring, or a text in the place of a comment."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            raise SyntaxError("Relative imports are not followed here: write the whole name of the module.")
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
        yield node.value
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and child in node.body:
            continue
        yield from _imported(child)
