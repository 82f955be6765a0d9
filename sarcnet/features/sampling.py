"""Which tiles of a slide are encoded, when there are more than one wants."""

from __future__ import annotations

import numpy as np
import pandas as pd


def choose_tiles(tiles: pd.DataFrame, *, at_most: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `at_most` rows of one slide's tiles, drawn without replacement and kept in their order on the slide.

    All tiles are equally likely: no preference for any kind of tissue, so that an average over them estimates the
    average over the slide. The choices of one generator are nested: a larger `at_most` takes the tiles of a smaller one
    and more, so that only the new ones have to be encoded.
    """
    if len(tiles) <= at_most:
        return tiles
    return tiles.iloc[np.sort(rng.permutation(len(tiles))[:at_most])]
