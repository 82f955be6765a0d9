"""What a control cohort must show, and whether it did. See :mod:`virtual_cohort.patients.controls` for how they are made.

That nothing is there is shown by an upper bound that stays below a margin (equivalence), not by an interval that happens to
reach zero: with few patients every interval does. So a check has three answers, and the third is that these patients are
too few to say.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from sarcnet.evaluation.metrics.bootstrap import Estimate, Resampled
from sarcnet.model.names.words import label
from virtual_cohort.experiments.headroom.share import ORACLE

PROMISES = {
    "no_signal": "The slides show other patients' tumours. The image alone must be a coin, and adding it to the clinical "
    "variables must win nothing.",
    "shuffled": "Outcomes were dealt anew. No model may do better than a coin; the oracle knows the deal and does. One may do "
    "worse: where there is nothing to learn, a fold that is left out has more of what the others have less of, and what was "
    "learnt there points the wrong way.",
    "confounded": "In training, early metastases were stained more strongly; in validation they were not. The image "
    "alone must lose on the validation series what cross-validation promised.",
}
MARGIN = 0.10  # AUC above 0.5 up to which a model counts as a coin; an image with signal is far above it
MARGIN_GAIN = 0.03  # AUC up to which a gain counts as none
POWER = 0.8
YES, NO = "yes", "no"


def absent(found: Estimate, *, nothing: float, margin: float, n: int) -> str:
    """Whether an AUC, or a difference, is shown to lie less than `margin` above `nothing`, on n patients.

    Returns:
        "yes" where the 95 % interval ends below the margin; "no" where it starts above `nothing`; else that it cannot be
        said, with the number of patients among whom nothing would be shown to be nothing in four studies of five (the width
        of an interval shrinks with the root of the number).
    """
    if found.high < nothing + margin:
        return YES
    if found.low > nothing:
        return NO
    if not np.isfinite([found.low, found.high]).all():
        return f"cannot be said: {n} patients are too few for an interval"
    needed = n * ((found.high - found.low) / 2 / margin * (1 + norm.ppf(POWER) / norm.ppf(0.975))) ** 2
    size = f"about {round(needed, -1):.0f} patients are needed for that, here are {n}" if needed > n else f"n = {n}"
    return f"cannot be said: the interval holds both {nothing:g} and {nothing + margin:g} ({size})"


def verdicts(control: str, *, crossed: Resampled, held: Resampled | None, n: int) -> pd.DataFrame:
    """What a control must show, one row a check: what must hold, found, held ("yes", "no", or why it cannot be said).

    A true "nothing" is answered "no" somewhat more often than in the one check of 40 that a 95 % interval promises, since
    the folds of a cross-validation share patients; ``python -m studies.interval_coverage --null`` counts it.

    Args:
        control: no_signal, shuffled or confounded.
        crossed: cross-validated AUCs.
        held: AUCs on the validation series; None where there is none.
        n: patients behind `crossed`.

    Returns:
        must hold, found, held.
    """
    rows: list[tuple[str, Estimate, str]] = []
    if control == "no_signal":
        alone, gain = crossed.estimate("image_only"), crossed.difference("sarcnet_pooled", "clinical_only")
        rows.append(_coin("the image alone", alone, n=n))
        what = f"the image adds nothing to the clinical variables: the interval of the gain ends below {MARGIN_GAIN:g}"
        rows.append((what, gain, absent(gain, nothing=0.0, margin=MARGIN_GAIN, n=n)))
    elif control == "shuffled":
        rows += [_coin(label(model), crossed.estimate(model), n=n) for model in crossed.point if model != ORACLE]
    elif control == "confounded" and held is not None:
        lost = crossed.minus(held, model="image_only")
        flattered = YES if lost.low > 0 else NO if lost.high < 0 else "cannot be said: the interval of the loss holds 0"
        rows.append(("cross-validation flatters the image: it loses on the validation series", lost, flattered))
    return pd.DataFrame(
        [(check, str(found), answer) for check, found, answer in rows], columns=["what must hold", "found", "held"]
    )


def _coin(name: str, found: Estimate, *, n: int) -> tuple[str, Estimate, str]:
    what = f"{name} is no better than a coin: its interval ends below {0.5 + MARGIN:g}"
    return what, found, absent(found, nothing=0.5, margin=MARGIN, n=n)
