"""Folds by patient, and who trains whom."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.crossval import make_folds, make_members, out_of_fold, training_weights


def test_folds_are_balanced_by_hospital_and_event(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    folds = make_folds(table, folds=3, repeats=4, seed=1)
    counted = folds.merge(table[["patient_id", "mfs_event"]]).groupby(["repeat", "centre", "mfs_event", "fold"]).size()
    assert len(folds) == 4 * len(table)
    assert not folds.duplicated(["patient_id", "repeat"]).any()
    spread = counted.groupby(["repeat", "centre", "mfs_event"]).agg(lambda n: n.max() - n.min())
    assert (spread <= 1).all()
    sizes = folds.groupby(["repeat", "centre", "fold"]).size().groupby(["repeat", "centre"])
    assert (sizes.max() - sizes.min() <= 1).all()


def test_repeats_and_seeds_differ_and_reproduce(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    a, b, other = (make_folds(table, folds=3, repeats=2, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(a, b)
    assert not a["fold"].equals(other["fold"])
    assert (a.loc[a["repeat"] == 0, "fold"].to_numpy() != a.loc[a["repeat"] == 1, "fold"].to_numpy()).any()


def test_a_hospital_makes_its_folds_alone_whatever_the_order_of_rows(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    both = make_folds(table, folds=3, repeats=2, seed=1)
    alone = make_folds(table[table["centre"] == "IB"].sample(frac=1, random_state=0), folds=3, repeats=2, seed=1)
    columns = ["patient_id", "repeat", "fold"]
    merged = alone[columns].merge(both[columns], on=columns)
    assert len(merged) == len(alone)


def test_weights_leave_out_fold_hospital_and_unknown_outcome(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    table = table.astype({"mfs_event": float})
    table.loc[3, ["mfs_months", "mfs_event"]] = np.nan
    folds = make_folds(table, folds=3, repeats=1, seed=1)
    pooled = make_members("sarcnet_pooled", folds=3, repeats=1)
    local = make_members("local_IB", folds=3, repeats=1, centre="IB")
    w = training_weights(folds, patient_ids=table["patient_id"], centres=table["centre"], members=[*pooled, *local])
    dealt = folds.set_index("patient_id")["fold"].reindex(table["patient_id"]).to_numpy()
    for e, member in enumerate([*pooled, *local]):
        assert not w[dealt == member.fold, e].any()
    assert not w[3].any()
    assert not w[table["centre"] == "CLB", 3:].any()
    assert (w[:, :3].sum(axis=1)[np.arange(len(table)) != 3] == 2).all()


def test_out_of_fold_takes_the_member_that_left_the_patient_out(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    folds = make_folds(table, folds=3, repeats=2, seed=1)
    members = make_members("local_CLB", folds=3, repeats=2, centre="CLB")
    risks = np.tile(np.arange(6) / 10.0, (len(table), 1))  # member number / 10
    oof = out_of_fold(risks, folds=folds, patient_ids=table["patient_id"], centres=table["centre"], members=members)
    assert len(oof) == 2 * len(table)  # patients of both hospitals, once a repeat
    merged = oof.merge(folds, on=["patient_id", "repeat"], suffixes=("", "_dealt"))
    assert (merged["fold"] == merged["fold_dealt"]).all()
    np.testing.assert_allclose(merged["risk"], (merged["repeat"] * 3 + merged["fold"]) / 10)


@pytest.mark.parametrize(
    ("event", "words"),
    [(0, "everybody is censored"), (1, "one class only")],
)
def test_one_class_is_refused_with_the_hospital_named(data: SimpleNamespace, event: int, words: str) -> None:
    table, _ = data.make_table()
    table.loc[table["centre"] == "IB", "mfs_event"] = event
    with pytest.raises(SarcnetError, match=f"Centre IB: .*{words}"):
        make_folds(table, folds=3, repeats=1, seed=1)


def test_no_outcome_at_all_is_said(data: SimpleNamespace) -> None:
    table, _ = data.make_table()
    with pytest.raises(SarcnetError, match="No patient has an outcome"):
        make_folds(table.assign(mfs_months=np.nan), folds=3, repeats=1, seed=1)
