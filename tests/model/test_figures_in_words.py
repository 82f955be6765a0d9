"""What the figures of the model call its models and variables, and where a learning curve ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.model.clinical import CATEGORIES, NUMERIC, clinical_columns
from sarcnet.model.names import column_words, label, variable_words
from sarcnet.model.training import learning_curves_to_the_end


def curves() -> pd.DataFrame:
    """Two networks each of a model of two epochs and of one of four; one network of the second stops after two."""
    rows = [
        {"model": model, "member": member, "epoch": epoch, "training_loss": 2.0 - 0.1 * epoch, "heldout_loss": 2.0,
         "stopping_loss": np.nan, "kept": epoch == last - 1}
        for model, member, last in (
            ("sarcnet_pooled", 0, 2), ("sarcnet_pooled", 1, 2), ("local_CLB", 0, 4), ("local_CLB", 1, 2),
        )
        for epoch in range(last)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_curve_ends_where_the_training_of_its_model_ended() -> None:
    drawn = learning_curves_to_the_end(curves())
    assert drawn.groupby("model")["epoch"].max().to_dict() == {"sarcnet_pooled": 1, "local_CLB": 3}
    # Within a model, a network that stopped early keeps its last loss.
    last = drawn[(drawn["model"] == "local_CLB") & (drawn["epoch"] == 3) & (drawn["patients"] == "training patients")]
    assert sorted(last["loss"]) == pytest.approx([1.7, 1.9])


def test_no_column_of_the_clinical_table_reaches_a_figure_as_a_raw_name() -> None:
    variables = [*NUMERIC, *CATEGORIES]
    words = [column_words(column) for column in clinical_columns(variables)]
    assert not [text for text in words if "_" in text or "=" in text]
    assert len(set(words)) == len(words)
    assert column_words("size_mm") == variable_words("size_mm")
    assert column_words("site=trunk_wall") == "site: trunk wall"
    assert column_words("size_mm_missing") == "size (mm), missing"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("sarcnet_pooled", "SarcNet, pooled"),
        ("sarcnet_cyclic", "SarcNet, federated (cyclic)"),
        ("local_LYON", "SarcNet, LYON alone"),
        ("after round 01", "after round 01"),
    ],
)
def test_models_without_an_entry_get_words_too(model: str, words: str) -> None:
    assert label(model) == words
