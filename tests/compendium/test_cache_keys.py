"""Which code made a kept result: every store answers from its imports, and a slide is known by its contents."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from sarcnet.compendium import cache_keys, code_dependencies
from sarcnet.compendium.cache_keys import code_key, file_key
from sarcnet.compendium.files import HashBook
from sarcnet.features import identity
from sarcnet.features.encoders import mobilenetv2
from sarcnet.federated import config
from sarcnet.slides import slide_result
from studies import cohort_calibration
from virtual_cohort.rendering import painting

HOUSE = code_dependencies.HOUSE
STORES = {
    "tiles": slide_result.CODE,
    "features": identity.CODE,
    "encoder's graph": mobilenetv2.CODE,
    "virtual slides": painting.CODE,
    "federated rounds": config.CODE,
    "calibration": cohort_calibration.CODE,
}
#: The least that must be in each store's closure and what must not be; known without following imports.
INSIDE = {
    "tiles": (
        "sarcnet/slides/slide_result",
        "sarcnet/slides/tiling",
        "sarcnet/slides/tissue",
        "sarcnet/slides/reader/jpeg_tiles",
        "sarcnet/slides/reader/malloc",
    ),
    "features": (
        "sarcnet/features/extraction",
        "sarcnet/features/encoders/hub",
        "sarcnet/features/store",
        "sarcnet/slides/reader/reading",
        "sarcnet/slides/reader/resampling",
    ),
    "encoder's graph": ("sarcnet/features/encoders/mobilenetv2",),
    "virtual slides": (
        "virtual_cohort/rendering/render",
        "virtual_cohort/rendering/nuclei",
        "virtual_cohort/rendering/pyramid",
        "virtual_cohort/rendering/regions",
        "sarcnet/compendium/seeds",
    ),
    "federated rounds": (
        *(
            "sarcnet/model/aggregators/abmil",
            "sarcnet/model/aggregators/__init__",
            "sarcnet/model/fusions/gated",
            "sarcnet/model/training/lightning_module",
        ),
        *(
            "sarcnet/federated/app/strategy",
            "sarcnet/federated/app/aggregate",
            "sarcnet/federated/app/local_trainers",
            "sarcnet/federated/privacy/masking",
        ),
    ),
    "calibration": (
        "virtual_cohort/patients/outcome",
        "virtual_cohort/patients/simulated_grading",
        "sarcnet/evaluation/metrics/auc",
        "sarcnet/evaluation/comparators/cox",
    ),
}
OUTSIDE = {
    "tiles": (
        "sarcnet/slides/cohort_tiling",
        "sarcnet/slides/pool/crash_safe",
        "sarcnet/slides/settings",
        "sarcnet/features/extraction",
        "virtual_cohort/rendering/render",
    ),
    "features": (
        "sarcnet/slides/tissue",
        "sarcnet/slides/tiling",
        "sarcnet/slides/slide_result",
        "sarcnet/features/encoders/catalogue",
        "sarcnet/features/settings",
    ),
    "encoder's graph": ("sarcnet/features/encoders/catalogue", "sarcnet/features/encoders/runtime"),
    "virtual slides": (
        "virtual_cohort/cohort",
        "virtual_cohort/patients/simulate",
        "virtual_cohort/patients/outcome",
        "sarcnet/slides/tissue",
    ),
    "federated rounds": (
        *(
            "studies/local_federation/certificates",
            "sarcnet/cli/federation",
            "sarcnet/federated/analysis/widget",
            "sarcnet/federated/app/client_app",
        ),
        *("sarcnet/evaluation/metrics/auc", "sarcnet/federated/engines/simulation", "sarcnet/model/figures/outcome"),
    ),
    "calibration": (
        "virtual_cohort/rendering/render",
        "virtual_cohort/cohort",
        "studies/benchmarks/bootstrap",
        "sarcnet/model/network",
    ),
}


@pytest.fixture
def edited(monkeypatch):
    """edited(path, text) -> keys of all stores as if the file at `path` had this text."""

    def keys(path: Path | None = None, text: str = "") -> dict[str, str]:
        whole = {file: code_dependencies.source(file) for file in FILES} | ({} if path is None else {path: text})
        with monkeypatch.context() as patch:
            patch.setattr(code_dependencies, "_first_read", whole)
            code_key.cache_clear()
            found = {store: code_key(*entries) for store, entries in STORES.items()}
        code_key.cache_clear()
        return found

    return keys


FILES = [
    file
    for package in code_dependencies.PACKAGES
    for file in sorted((HOUSE / package).rglob("*.*"))
    if file.suffix != ".pyc" and file.is_file()
]
DATA = {"calibration": ("studies/tcga_206.json", "sarcnet/model/names/names.toml")}


def named(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix().removesuffix(".py")


def with_other_line(path: Path) -> str:
    """The module with one line of code more, in its last function where it has one."""
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    if not functions:
        return text + "\nan_edit = 1\n"
    line = max(functions, key=lambda node: node.lineno).body[-1]
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: line.lineno - 1], " " * line.col_offset + "an_edit = 1\n", *lines[line.lineno - 1 :]])


def test_every_module_of_a_closure_makes_its_stores_stale_and_no_other(edited):
    before = edited()
    stale_of = {}
    for path in FILES:
        after = edited(path, with_other_line(path) if path.suffix == ".py" else code_dependencies.source(path) + "\n")
        stale_of[named(path)] = {store for store in STORES if after[store] != before[store]}
    for store, entries in STORES.items():
        imported = {name.removesuffix(".py") for name in followed(entries)}
        imported |= set(DATA.get(store, ()))
        assert {name for name, stale in stale_of.items() if store in stale} == imported, store
        assert set(INSIDE[store]) <= imported, store
        assert not imported & set(OUTSIDE[store]), store
        assert set(OUTSIDE[store]) <= set(stale_of), store


def followed(entries: tuple[str, ...]) -> set[str]:
    """What the entries import, found here a second time, by Python's own import names and nothing of `modules`."""
    queue, found = list(entries), set()
    while queue:
        parts = queue.pop().split(".")
        for end in range(1, len(parts) + 1):
            folder = HOUSE.joinpath(*parts[:end])
            for file in (folder.with_suffix(".py"), folder / "__init__.py"):
                name = file.relative_to(HOUSE).as_posix()
                if not file.is_file() or name in found or (name.startswith("sarcnet/compendium/") and name not in KEPT):
                    continue
                found.add(name)
                tree = ast.parse(file.read_text(encoding="utf-8"))
                for node in ast.walk(tree):
                    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                        node.body = []
                for node in ast.walk(tree):
                    if isinstance(node, ast.Import):
                        queue += [alias.name for alias in node.names]
                    elif isinstance(node, ast.ImportFrom):
                        queue += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


KEPT = {"sarcnet/compendium/seeds.py", "sarcnet/compendium/figures.py", "sarcnet/compendium/jsonable.py"}


def test_what_of_compendium_a_store_uses_and_does_not_count_was_looked_at():
    """None of these shapes a result; a new one has to be thought about, and named here or in SHAPING."""
    used = set()
    for entries in STORES.values():
        for name in followed(entries):
            for node in ast.walk(ast.parse((HOUSE / name).read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sarcnet.compendium."):
                    used.add(str(node.module).removeprefix("sarcnet.compendium."))
    moving = {
        "errors",  # words errors
        "files",  # writes files whole
        "cache_keys",  # makes the keys themselves: another key is another name, and nothing is taken up
        "paths",  # says where files are
        "progress",  # shows how far one is
        "params",  # reads parameters, whose values are in the keys
        "stage",  # for type checkers
    }
    assert used - {"seeds", "figures", "jsonable"} <= moving


def test_comments_docstrings_and_layout_make_nothing_stale(edited):
    before = edited()
    for name in (
        "sarcnet/model/aggregators/abmil",
        "sarcnet/slides/tissue",
        "virtual_cohort/rendering/render",
        "sarcnet/features/encoders/hub",
        "sarcnet/evaluation/metrics/auc",
    ):
        path = HOUSE / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        lines = text.split('"""', 2)
        changed = f'{lines[0]}"""Another docstring.{lines[1]}"""{lines[2]}\n\n\n# a comment\n'
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
        assert edited(path, changed) == before
    assert code_dependencies.code_digest(
        'def f():\n    """A."""\n    return f.__doc__'
    ) != code_dependencies.code_digest('def f():\n    """B."""\n    return f.__doc__'), (
        "a docstring that the code reads is code"
    )


def test_imports_are_followed_through_packages_functions_and_names_in_a_text(tmp_path, monkeypatch):
    home = tmp_path / "sarcnet"
    for folder in ("part", "faced/other", "faced/static"):
        (home / folder).mkdir(parents=True)
    lines = {
        "start": "from sarcnet.part import one\ndef f():\n    import sarcnet.lazy\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sarcnet.typed\nelse:\n    import sarcnet.untyped\n",
        "part/__init__": "from sarcnet.shown import thing",
        "part/reads": "TEXTS = __file__",
        "faced/__init__": "import lazy\n__getattr__ = lazy.attach_stub(__name__, __file__)",
        "faced/page": "from importlib import resources\nPAGE = resources.files('sarcnet.faced') / 'static'",
        "faced/other/__init__": "",
        "part/one": "import sarcnet.part.reads, sarcnet.faced.page\n"
        'WORKER = "sarcnet.worker"\nSENTENCE = "sarcnet.unused is a name in a sentence"',
        **dict.fromkeys(("lazy", "typed", "untyped", "shown", "worker", "unused", "__init__"), ""),
    }
    for name, text in lines.items():
        (home / f"{name}.py").write_text(text)
    (home / "part" / "card.md").write_text("read by part.reads")
    (home / "faced" / "static" / "page.png").write_bytes(b"\x89PNG, read by faced.page")
    (home / "faced" / "other" / "data.json").write_text("read by nobody: another package's")
    (home / "faced" / "__init__.pyi").write_text("")
    (home / "data.json").write_text("read by nobody")
    monkeypatch.setattr(code_dependencies, "HOUSE", tmp_path)
    for known in (code_dependencies._file, code_dependencies._files):
        known.cache_clear()
    try:
        found = code_dependencies.closure(code_dependencies.module_paths(["sarcnet.start"]))
    finally:
        for known in (code_dependencies._file, code_dependencies._files):
            known.cache_clear()
    want = {"__init__", "start", "part/__init__", "part/one", "part/reads", "lazy", "untyped", "shown", "worker"}
    want |= {"faced/__init__", "faced/page"}
    data = {"sarcnet/part/card.md", "sarcnet/faced/static/page.png"}
    assert set(found) == {*(f"sarcnet/{name}.py" for name in want), *data}
    picture = found["sarcnet/faced/static/page.png"]
    assert code_dependencies.digest(picture) == hashlib.sha256(picture.read_bytes()).hexdigest()
    with pytest.raises(ModuleNotFoundError, match=r"sarcnet\.gone is no module"):
        code_key("sarcnet.gone")


def test_a_record_tells_code_that_changed_from_text_that_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(code_dependencies, "HOUSE", tmp_path)
    file = tmp_path / "m.py"
    file.write_text("x = 1\n")
    known = f"{code_dependencies._text_digest('x = 1' + chr(10))} {code_dependencies.code_digest('x = 1')}"
    assert code_dependencies.is_unchanged("m.py", known)
    file.write_text('"""Said better."""\n\nx = 1  # one\n')
    assert code_dependencies.is_unchanged("m.py", known)
    file.write_text("x = 2\n")
    assert not code_dependencies.is_unchanged("m.py", known)
    file.write_text("x = (\n")
    assert not code_dependencies.is_unchanged("m.py", known)
    file.unlink()
    assert not code_dependencies.is_unchanged("m.py", known)


def test_the_code_is_that_which_the_process_loaded_not_what_was_edited_since(tmp_path):
    file = tmp_path / "loaded.py"
    file.write_text("x = 1\n")
    assert code_dependencies.source(file) == "x = 1\n"
    file.write_text("x = 2\n")
    assert code_dependencies.source(file) == "x = 1\n"


# Files


@pytest.mark.parametrize("slide", ["S.svs", "M.mrxs", "D/0.dcm", "V.vms"])
def test_a_copy_has_the_key_of_the_original_and_another_companion_does_not(tmp_path, slide):
    home = tmp_path / "here"
    path = home / slide
    companion = {"M.mrxs": home / "M" / "Data0000.dat", "D/0.dcm": home / "D" / "1.dcm", "V.vms": home / "V-0.jpg"}
    for file in filter(None, (path, companion.get(slide))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file.name.encode() * 50_000)
    key = file_key(path)
    shutil.copytree(home, tmp_path / "there")
    for file in (tmp_path / "there").rglob("*"):
        os.utime(file, (1, 1))
    copy = tmp_path / "there" / slide
    assert file_key(copy) == key
    for place in (0, 30_000, -1):
        changed = tmp_path / "there" / companion.get(slide, path).relative_to(home)
        whole = changed.read_bytes()
        data = bytearray(whole)
        data[place] ^= 1
        changed.write_bytes(bytes(data))
        assert file_key(copy) != key
        changed.write_bytes(whole)
    assert file_key(copy) == key


def test_of_a_large_slide_size_head_and_tail_count(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_keys, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(cache_keys, "EDGE_BYTES", 100)
    path = tmp_path / "large.svs"
    data = bytes(range(250)) * 8
    keys = []
    for changed in (data, data + b"0", b"0" + data[1:], data[:-1] + b"0", data[:99] + b"0" + data[100:]):
        path.write_bytes(changed)
        keys.append(file_key(path))
    assert len(set(keys)) == 5
    path.write_bytes(data[:1000] + b"0" + data[1001:])
    assert file_key(path) == keys[0], "what the docstring says cannot be noticed"


def test_a_file_that_is_not_there_or_no_file_has_a_key_of_its_own(tmp_path):
    keys = {file_key(tmp_path), file_key(tmp_path / "gone.svs")}
    (tmp_path / "empty.svs").touch()
    assert len(keys | {file_key(tmp_path / "empty.svs")}) == 3


def test_time_stamps_save_reading_and_never_change_a_checksum(tmp_path, monkeypatch):
    read = []
    whole = cache_keys.hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: read.append(file.name) or whole(file, name))
    file = tmp_path / "table.csv"
    file.write_text("one")
    book = HashBook(tmp_path / "hashes.json")
    first = book.sha256(file)
    assert book.sha256(file) == first
    assert len(read) == 1
    os.utime(file, (1, 1))
    assert book.sha256(file) == first
    assert len(read) == 2
    file.write_text("two")
    assert book.sha256(file) != first
