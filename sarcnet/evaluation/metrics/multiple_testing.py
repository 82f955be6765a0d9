"""P values of several tests looked at together."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """P values raised so that one false alarm among k tests is no likelier than in a single test.

    Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 1979;6:65-70.

    Args:
        p: (k,) P values; NaN, a test that could not be made, does not count as one.

    Returns:
        (k,) corrected P values, at most 1; NaN where `p` is.
    """
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(raised, 1.0)
    return corrected
