"""Values of NumPy and pandas as JSON can hold them. Neither library is imported here: kernels start faster so."""

from __future__ import annotations

import math
from typing import Any

SIGNIFICANT_DIGITS = 6


def to_jsonable(value: Any) -> Any:
    """`value` made of dict, list, str, int, float, bool and None.

    A table becomes its columns, a series or an array a list; floats keep 6 significant digits; NaN and infinity are null.

    Raises:
        TypeError: something else is inside.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): to_jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if hasattr(value, "columns"):
        return {str(name): to_jsonable(value[name]) for name in value.columns}
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise TypeError(f"a {type(value).__name__} has no form in JSON; give numbers, text, lists, tables or arrays.")
