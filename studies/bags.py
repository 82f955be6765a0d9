"""Bags of tile features that no slide was read for: what benchmarks and tests of the model train on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.model.bags import Bags


def make_bags(features: Mapping[str, np.ndarray], *, feature_dim: int | None = None) -> Bags:
    """Bags from arrays in memory.

    Args:
        features: patient_id -> (T, d), the tiles of a patient, T may be 0.
        feature_dim: d, needed only when every bag is empty.

    Returns:
        One bag per patient, in the order of the mapping; every tile lies at the corner of its slide.

    Raises:
        SarcnetError: tiles differ in length.
    """
    arrays = [np.asarray(a, dtype=np.float32) for a in features.values()]
    dims = {a.shape[1] for a in arrays if a.ndim == 2 and len(a)} or {feature_dim or 0}
    faults = ErrorCollector()
    if len(dims) > 1:
        faults.add(f"The bags have tiles of different length ({sorted(dims)}): use the features of one encoder only.")
    faults.raise_if_any("These bags cannot be used")
    d = dims.pop()
    flat = np.concatenate([a.reshape(-1, d) for a in arrays]) if arrays else np.zeros((0, d), np.float32)
    sizes = [len(a) for a in arrays]
    slide_ids = np.repeat(np.asarray(list(features), dtype=object), sizes)
    tile = np.concatenate([np.arange(s) for s in sizes]) if sizes else np.arange(0)
    tiles = pd.DataFrame({"slide_id": slide_ids, "tile": tile, "x_px": tile * 0, "y_px": tile * 0})
    return Bags(tuple(features), flat, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), tiles)
