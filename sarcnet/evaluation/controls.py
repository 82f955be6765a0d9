"""What a control cohort must show, and whether it did. See :mod:`sarcnet.virtual.controls` for how they are made."""

from __future__ import annotations

import pandas as pd

from sarcnet.evaluation.bootstrap import Estimate, Resampled
from sarcnet.evaluation.comparators import ORACLE
from sarcnet.evaluation.tables import label

PROMISES = {
    "no_signal": "The slides show other patients' tumours. The image alone must be a coin, and adding it to the clinical "
    "variables must win nothing.",
    "shuffled": "Outcomes were dealt anew. No model may do better than a coin; the oracle knows the deal and does. One may do "
    "worse: where there is nothing to learn, a fold that is left out has more of what the others have less of, and what was "
    "learnt there points the wrong way.",
    "confounded": "In training, early metastases were stained more strongly; in validation they were not. The image "
    "alone must lose on the validation series what cross-validation promised.",
}


def verdicts(control: str, *, crossed: Resampled, held: Resampled | None) -> pd.DataFrame:
    """Whether a control showed what it must, one row a check: check, found (text), met.

    A check fails only when an interval excludes what must hold, so at 95 % about one true check in 40 fails by chance.

    Args:
        control: no_signal, shuffled or confounded.
        crossed: cross-validated AUCs.
        held: AUCs on the validation series; None where there is none.
    """
    rows: list[tuple[str, Estimate, bool]] = []
    if control == "no_signal":
        alone, gain = crossed.estimate("image_only"), crossed.difference("sarcnet_pooled", "clinical_only")
        rows.append(
            ("the image alone is no better than a coin: its interval reaches down to 0.5", alone, alone.low <= 0.5)
        )
        rows.append(("the image adds nothing: the interval of the gain reaches 0", gain, gain.low <= 0))
    elif control == "shuffled":
        for model in crossed.point:
            if model != ORACLE:
                found = crossed.estimate(model)
                rows.append(
                    (
                        f"{label(model)} is no better than a coin: its interval reaches down to 0.5",
                        found,
                        found.low <= 0.5,
                    )
                )
    elif control == "confounded" and held is not None:
        lost = crossed.minus(held, model="image_only")
        rows.append(("cross-validation flatters the image: it loses on the validation series", lost, lost.low > 0))
    return pd.DataFrame(
        [(check, str(found), "yes" if met else "no") for check, found, met in rows],
        columns=["what must hold", "found", "held"],
    )
