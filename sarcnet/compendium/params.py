"""Parameters: declared in a notebook's parameters cell, varied by flat YAML profiles, checked before anything runs.

Papermill itself only warns of an unknown name and converts nothing; YAML 1.1 reads `1e-4` as text, `no` as false, `010`
as 8 and `12:30` as 750. Both would surface late or never, so they are refused here.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from sarcnet.compendium.errors import ErrorCollector, SarcnetError


class Settings(pydantic.BaseModel):
    """Base of every stage's settings: strict types, frozen, without defaults (those stand in the notebook).

    Names that a stage does not declare are ignored here; the profile check refuses those that no notebook declares.
    """

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    run_dir: str
    seed: int = pydantic.Field(ge=0)


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: `name: annotation = default  # comment`."""

    name: str
    annotation: str
    default: Any
    comment: str


def declared(cell: str, *, where: str) -> dict[str, Parameter]:
    """Parameters declared by the source of a parameters cell, by name, in order.

    Args:
        cell: the source.
        where: which cell of which notebook it is, for the message.

    Raises:
        SarcnetError: it is not Python, or a line is not an annotated assignment of a literal; names all such lines.
    """
    faults = ErrorCollector()
    heading = f"{where}: parameters are written 'name: type = value  # meaning', the value as a literal"
    lines = cell.splitlines()
    try:
        body = ast.parse(cell).body
    except SyntaxError as error:
        faults.add(f"line {error.lineno}: {error.msg}; found: {(error.text or '').strip()}")
        faults.raise_if_any(heading)
        raise  # pragma: no cover - raise_if_any always raises here
    found = {}
    for node in body:
        try:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
                raise ValueError("no assignment with a type")
            value = ast.literal_eval(node.value)
        except ValueError:
            faults.add(f"line {node.lineno}; found: {ast.unparse(node)}")
            continue
        comment = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :].partition("#")[2].strip()
        found[node.target.id] = Parameter(node.target.id, ast.unparse(node.annotation), value, comment)
    faults.raise_if_any(heading)
    return found


def injected(history: Iterable[str]) -> set[str]:
    """Names that papermill gave to a running notebook: those assigned in the last cell that begins as its cell does.

    Args:
        history: sources of the cells that the kernel ran, IPython's `In`.
    """
    cells = [cell for cell in history if cell.startswith("# Parameters\n")]
    assignments = [node for node in ast.parse(cells[-1]).body if isinstance(node, ast.Assign)] if cells else []
    return {target.id for node in assignments for target in node.targets if isinstance(target, ast.Name)}


class _Loader(yaml.SafeLoader):
    """YAML that notes as faults what YAML 1.1 would silently turn into something else."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.faults = ErrorCollector()


_NUMBER_LIKE = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> Any:
    where = f"line {node.start_mark.line + 1}"
    text, tag = node.value, node.tag.rsplit(":", 1)[-1]
    if tag == "bool" and text.lower() not in ("true", "false"):
        read = loader.construct_yaml_bool(node)
        loader.faults.add(f'{where}: YAML reads {text} as {read}; write true, false or "{text}" in quotes.')
    if tag == "int" and ":" in text:
        loader.faults.add(f'{where}: YAML reads {text} as a number to base 60; write "{text}" in quotes.')
    if tag == "int" and re.fullmatch(r"[-+]?0[0-9_]+", text):
        loader.faults.add(f"{where}: YAML reads {text} as an octal number; write it without the leading zero.")
    if tag == "str" and node.style is None and _NUMBER_LIKE.fullmatch(text):
        mantissa, exponent = re.split("[eE]", text)
        better = (
            f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"
        )
        loader.faults.add(f"{where}: YAML reads {text} as text, not as a number; write {better}.")
    return getattr(loader, f"construct_yaml_{tag}")(node)


for _tag in ("bool", "int", "str", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _scalar)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    names = [key.value for key, _ in node.value]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        loader.faults.add(f"{', '.join(twice)} is given twice; keep one.")
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_profile(path: Path) -> dict[str, Any]:
    """Values of a profile file.

    Raises:
        SarcnetError: the file is missing, is not flat YAML, or holds a value that YAML would misread.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        values = loader.get_single_data()
    except FileNotFoundError:
        raise SarcnetError(f"There is no profile {path}.") from None
    except yaml.YAMLError as error:
        raise SarcnetError(f"{path.name} is not YAML: {error}") from None
    loader.faults.raise_if_any(f"{path.name} says something else to YAML than to its reader")
    values = {} if values is None else values
    if not isinstance(values, dict) or any(isinstance(value, dict) for value in values.values()):
        raise SarcnetError(f"{path.name}: a profile is a flat list of 'name: value' lines.")
    return values


def settings_class(reference: str) -> type[Settings]:
    """Class named by ``"package.module:Class"``, as written in a notebook's metadata."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def sentences(error: pydantic.ValidationError, settings: type[Settings]) -> list[str]:
    """One full sentence for each fault that pydantic found."""
    said = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        field = settings.model_fields.get(str(fault["loc"][0])) if fault["loc"] else None
        meaning = f" ({field.description})" if field and field.description else ""
        if not fault["loc"]:  # about several values together
            said.append(fault["msg"].removeprefix("Value error, "))
        elif fault["type"] == "missing":
            said.append(f"{name}{meaning} is missing; the parameters cell must declare it.")
        else:
            found = fault["input"]
            wish = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
            said.append(f"{name}{meaning} is {found!r} ({type(found).__name__}): it {wish}.")
    return said


def validated(settings: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """Settings made of `values`; whole numbers are accepted where a float is declared.

    Raises:
        SarcnetError: naming every value that is missing, of the wrong type or out of range.
    """
    try:
        return settings(**{name: values[name] for name in settings.model_fields if name in values})
    except pydantic.ValidationError as error:
        faults = ErrorCollector()
        for sentence in sentences(error, settings):
            faults.add(sentence)
        faults.raise_if_any(f"The parameters for {settings.__name__} are not usable")
        raise  # pragma: no cover - raise_if_any always raises here


def check_profile(
    name: str, values: Mapping[str, Any], notebooks: Mapping[str, tuple[Mapping[str, Parameter], type[Settings]]]
) -> None:
    """Refuse a profile that any notebook would misunderstand, before a kernel starts.

    Args:
        name: file name of the profile, for the message.
        values: its keys and values.
        notebooks: for each stage its declared parameters and its settings class.

    Raises:
        SarcnetError: unknown keys (with the nearest known name and the notebooks that declare it), wrong types,
            values out of range: all of them at once.
    """
    faults = ErrorCollector()
    _add_unknown(faults, values, {stage: parameters for stage, (parameters, _) in notebooks.items()})
    for parameters, settings in notebooks.values():
        merged = {parameter.name: parameter.default for parameter in parameters.values()}
        merged.update({key: value for key, value in values.items() if key in parameters})
        try:
            settings(**{key: value for key, value in merged.items() if key in settings.model_fields})
        except pydantic.ValidationError as error:
            for sentence in sentences(error, settings):
                faults.add(sentence)
    faults.raise_if_any(f"{name} cannot be used")


def refuse_unknown(names: Iterable[str], notebooks: Mapping[str, Iterable[str]], *, heading: str) -> None:
    """Refuse names that no notebook declares.

    Args:
        names: the names to look at.
        notebooks: for each stage the names of its parameters.
        heading: beginning of the message.

    Raises:
        SarcnetError: naming every unknown name, the nearest known one and the notebooks that declare it.
    """
    faults = ErrorCollector()
    _add_unknown(faults, names, notebooks)
    faults.raise_if_any(heading)


def _add_unknown(faults: ErrorCollector, names: Iterable[str], notebooks: Mapping[str, Iterable[str]]) -> None:
    owners: dict[str, list[str]] = {}
    for stage, parameters in notebooks.items():
        for parameter in parameters:
            owners.setdefault(parameter, []).append(stage)
    for name in sorted(names):
        if name not in owners:
            faults.add(f"{name} is not a parameter of any notebook{_nearest(name, owners)}")


def _nearest(key: str, owners: Mapping[str, Iterable[str]]) -> str:
    near = difflib.get_close_matches(key, owners, n=1, cutoff=0.5)
    return f"; did you mean {near[0]} (of {', '.join(owners[near[0]])})?" if near else "."
