"""Early stopping and nested tuning: the same alone and in the stack, and blind to the patients left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.bags import Bags
from sarcnet.model.crossval import Member, make_folds, make_members, training_weights
from sarcnet.model.patients import Patients
from sarcnet.model.training import tuning
from sarcnet.model.training.early_stopping import BestEpochs, split_for_stopping
from sarcnet.model.training.experiment import Variant, cross_validate
from sarcnet.model.training.fitting import train_stack

MEMBERS = make_members("m", folds=3, repeats=1)
POOLED = Variant("m")


def weights_of(data: SimpleNamespace, patients: Patients, members: tuple[Member, ...] = MEMBERS) -> np.ndarray:
    folds = make_folds(data.make_table()[0], folds=3, repeats=1, seed=7)
    return training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)


def upside_down(data: SimpleNamespace, patient: int) -> Patients:
    """The cohort with everything about one patient changed but the hospital."""
    table, bags = data.make_cohort()
    features = bags.features.copy()
    features[bags.offsets[patient] : bags.offsets[patient + 1]] += 100.0
    columns = ["mfs_months", "mfs_event", "size_mm", "fnclcc_grade"]
    table.loc[patient, columns] = [1.0, 1 - table.loc[patient, "mfs_event"], 999.0, 3.0]
    return data.assemble(table, Bags(bags.patient_ids, features, bags.offsets, bags.tiles))


def test_stopping_patients_are_a_stratified_part_of_the_training_patients(data: SimpleNamespace) -> None:
    _, patients = data.make_patients()
    weights = weights_of(data, patients)
    training, stopping = split_for_stopping(weights, patients, members=MEMBERS, share=0.25, seed=7)
    np.testing.assert_array_equal(training + stopping, weights)
    event, centres = patients.outcome.cause == 1, np.asarray(patients.centres)
    for e in range(3):
        for centre in ("CLB", "IB"):
            for kind in (True, False):
                own = (event == kind) & (centres == centre) & (weights[:, e] > 0)
                assert abs(stopping[own, e].sum() - own.sum() / 4) <= 1
    again = split_for_stopping(weights[:, 1:2], patients, members=MEMBERS[1:2], share=0.25, seed=7)
    np.testing.assert_array_equal(again[1][:, 0], stopping[:, 1])


def test_each_member_keeps_its_best_epoch_until_its_patience_ends() -> None:
    losses = [
        [3.0, 1.0],
        [2.0, 1.5],
        [2.5, 1.2],
        [2.4, 0.5],
        [1.0, 0.4],
    ]  # the second turns late: too late for patience 2
    value = torch.zeros(2, 3)
    best = BestEpochs({"w": value}, members=2, patience=2)
    for epoch, loss in enumerate(losses):
        value.fill_(float(epoch))
        best.look({"w": value}, loss=torch.tensor(loss), epoch=epoch)
        if best.stopped.all():
            break
    best.restore({"w": value})
    assert epoch == 3
    assert best.kept.tolist() == [1, 0]
    assert value[:, 0].tolist() == [1.0, 0.0]
    with pytest.raises(SarcnetError, match=r"Members \[1\] have no patient to decide"):
        best.look({"w": value}, loss=torch.tensor([1.0, torch.nan]), epoch=5)


def test_a_member_stops_alone_as_in_the_stack_with_the_weights_of_its_lowest_loss(data: SimpleNamespace) -> None:
    _, patients = data.make_patients()
    protocol = data.protocol(early_stopping_share=0.25, patience=2, epochs=25, learning_rate=0.05)
    weights = weights_of(data, patients)
    together = train_stack(protocol, patients, weights=weights, members=MEMBERS, variant=POOLED)
    kept = together.curves[together.curves["kept"]].set_index("member")["epoch"]
    assert kept.nunique() > 1 or kept.iloc[0] < 24  # otherwise this cohort would not try it
    for e, member in enumerate(MEMBERS):
        alone = train_stack(protocol, patients, weights=weights[:, [e]], members=[member], variant=POOLED)
        assert alone.curves.loc[alone.curves["kept"], "epoch"].tolist() == [kept[e]]
        short = train_stack(  # trained up to the kept epoch and no further
            data.protocol(early_stopping_share=0.25, patience=99, epochs=int(kept[e]) + 1, learning_rate=0.05),
            patients,
            weights=weights[:, [e]],
            members=[member],
            variant=POOLED,
        )
        for name, array in together.stack.parameter_arrays().items():
            np.testing.assert_allclose(alone.stack.parameter_arrays()[name][0], array[e], atol=2e-5, err_msg=name)
            np.testing.assert_allclose(short.stack.parameter_arrays()[name][0], array[e], atol=2e-5, err_msg=name)


def test_early_stopping_sees_nothing_of_the_held_out_fold(data: SimpleNamespace) -> None:
    _, patients = data.make_patients()
    protocol = data.protocol(early_stopping_share=0.25, patience=2, epochs=8, learning_rate=0.05)
    weights, patient = weights_of(data, patients), 10
    before = train_stack(protocol, patients, weights=weights, members=MEMBERS, variant=POOLED)
    changed = upside_down(data, patient)
    after = train_stack(protocol, changed, weights=weights, members=MEMBERS, variant=POOLED)
    for e in range(3):
        if weights[patient, e] == 0:
            for name, array in before.stack.parameter_arrays().items():
                np.testing.assert_allclose(after.stack.parameter_arrays()[name][e], array[e], atol=1e-6, err_msg=name)


def test_inner_folds_deal_the_training_patients_and_nobody_else(
    data: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, patients = data.make_patients()
    weights, seen = weights_of(data, patients), []
    train = tuning.train_stack

    def spy(*arguments: object, **settings: object) -> object:
        seen.append(settings["weights"])
        return train(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning, "train_stack", spy)
    tuning.inner_losses(data.protocol(epochs=1), patients, weights=weights, members=MEMBERS, variant=POOLED)
    learning = seen[0].reshape(len(patients), 3, tuning.INNER_FOLDS)
    assert not learning[weights == 0].any()
    np.testing.assert_array_equal(learning.sum(axis=2)[weights > 0], tuning.INNER_FOLDS - 1)  # left out exactly once


def test_no_outer_test_patient_has_a_part_in_the_choice_or_in_the_model(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(epochs=3, weight_decay_grid=(0.1, 30.0), learning_rate=0.03)
    before = cross_validate(protocol, patients=patients, folds=folds, variant=POOLED)
    patient = 10
    after = cross_validate(protocol, patients=upside_down(data, patient), folds=folds, variant=POOLED)
    outer = int(np.flatnonzero(weights_of(data, patients)[patient] == 0)[0])
    mine = [t.tuning.loc[t.tuning["member"] == outer].reset_index(drop=True) for t in (before, after)]
    pd.testing.assert_frame_equal(*mine, rtol=1e-5)
    others = [t.tuning.loc[t.tuning["member"] != outer, "inner_loss"].to_numpy() for t in (before, after)]
    assert (others[0] != others[1]).all()
    arrays = [t.trained.network.parameter_arrays() for t in (before, after)]
    for name, array in arrays[0].items():
        np.testing.assert_allclose(arrays[1][name][outer], array[outer], atol=1e-5, err_msg=name)


def test_the_value_with_the_lowest_inner_loss_is_chosen_and_used(data: SimpleNamespace) -> None:
    table, patients = data.make_patients(60, 80)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(epochs=6, weight_decay_grid=(0.1, 90.0), learning_rate=0.02)
    result = cross_validate(protocol, patients=patients, folds=folds, variant=POOLED)
    table = result.tuning
    assert len(table) == 6
    assert table.groupby("member")["chosen"].sum().tolist() == [1, 1, 1]
    lowest = table.loc[table.groupby("member")["inner_loss"].idxmin(), "weight_decay"]
    assert lowest.tolist() == table.loc[table["chosen"], "weight_decay"].tolist()
    assert set(lowest) == {0.1}  # there is a signal, and 90 leaves no weight to read it with
    fixed = cross_validate(
        data.protocol(epochs=6, weight_decay=0.1, learning_rate=0.02), patients=patients, folds=folds, variant=POOLED
    )
    pd.testing.assert_frame_equal(result.oof, fixed.oof, rtol=1e-5)
    assert fixed.tuning.empty


def test_impossible_share_is_refused(data: SimpleNamespace) -> None:
    with pytest.raises(SarcnetError, match=r"early_stopping_share is 0\.9: choose 0"):
        data.protocol(early_stopping_share=0.9)
