"""Training many members at once: the same as one at a time, blind to what a member must not see."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.bags import Bags
from sarcnet.model.crossval import Member, make_folds, make_members, training_weights
from sarcnet.model.patients import Patients
from sarcnet.model.protocol import build_stack
from sarcnet.model.settings import ModelSettings
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.training.experiment import Variant, cross_validate, study_variants
from sarcnet.model.training.lightning_module import fit

MEMBERS = make_members("sarcnet_pooled", folds=3, repeats=1)


def train(
    data: SimpleNamespace,
    table: pd.DataFrame,
    patients: Patients,
    *,
    members: tuple[Member, ...] = MEMBERS,
    **changes: object,
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Parameters and curves of these members after training; folds come from the unchanged cohort."""
    protocol = data.protocol(**changes)
    folds = make_folds(data.make_table()[0], folds=3, repeats=1, seed=7)
    weights = training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    stack = build_stack(protocol, members=members)
    apply_statistics(stack, training_statistics(patients, weights=weights))
    curves = fit(stack, patients, weights=weights, protocol=protocol)
    return stack.parameter_arrays(), curves


def test_a_member_trains_the_same_alone_and_in_the_stack(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    together, _ = train(data, table, patients)
    for e, member in enumerate(MEMBERS):
        alone, _ = train(data, table, patients, members=(member,))
        for name, array in alone.items():
            np.testing.assert_allclose(array[0], together[name][e], atol=1e-5, err_msg=f"{name} of {member}")


def test_training_twice_gives_the_same_bits(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    first, curves = train(data, table, patients)
    second, same = train(data, table, patients)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    pd.testing.assert_frame_equal(curves, same)


def test_another_seed_gives_another_model(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    first, _ = train(data, table, patients)
    second, _ = train(data, table, patients, seed=8)
    assert (first["tile_weight"] != second["tile_weight"]).any()


def test_nothing_of_a_held_out_patient_reaches_the_member(data: SimpleNamespace) -> None:
    """One patient's outcome, tiles and clinical values are turned upside down: only members trained on them notice."""
    table, bags = data.make_cohort()
    patient = 10
    features = bags.features.copy()
    features[bags.offsets[patient] : bags.offsets[patient + 1]] += 100.0
    changed = table.copy()
    changed.loc[patient, ["mfs_months", "mfs_event", "size_mm", "fnclcc_grade"]] = [1.0, 1, 999.0, 3.0]
    before, _ = train(data, table, data.assemble(table, bags))
    altered = Bags(bags.patient_ids, features, bags.offsets, bags.tiles)
    after, _ = train(data, changed, data.assemble(changed, altered))
    folds = make_folds(table, folds=3, repeats=1, seed=7).set_index("patient_id")["fold"]
    left_out_by = folds[table["patient_id"][patient]]
    for e in range(3):
        moved = any((before[name][e] != after[name][e]).any() for name in before)
        assert moved == (e != left_out_by)


def test_weight_decay_does_not_couple_members_or_pull_the_baseline(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    strong, _ = train(data, table, patients, weight_decay=99.0, learning_rate=0.01, epochs=12)
    assert np.abs(strong["image_weight"]).max() < 0.05
    assert np.abs(strong["log_odds"]).max() > 0.5


def test_learnable_signal_is_found_and_points_upwards(data: SimpleNamespace) -> None:
    table, patients = data.make_patients(60, 80)
    protocol = data.protocol(epochs=25)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    result = cross_validate(protocol, patients=patients, folds=folds, variant=Variant("sarcnet_pooled"))
    assert auc(table, result.oof) > 0.7
    curve = result.curves.groupby("epoch")[["training_loss", "heldout_loss"]].mean()
    assert curve["heldout_loss"].iloc[-1] < curve["heldout_loss"].iloc[0]


def test_outcome_without_cause_is_not_predicted(data: SimpleNamespace) -> None:
    table, bags = data.make_cohort(60, 80)
    order = np.random.default_rng(4).permutation(len(table))
    shuffled = table.assign(**{c: table[c].to_numpy()[order] for c in ("mfs_months", "mfs_event")})
    folds = make_folds(shuffled, folds=3, repeats=1, seed=7)
    result = cross_validate(
        data.protocol(epochs=25), patients=data.assemble(shuffled, bags), folds=folds, variant=Variant("sarcnet_pooled")
    )
    assert abs(auc(shuffled, result.oof) - 0.5) < 0.12  # two standard errors for these numbers


def auc(table: pd.DataFrame, oof: pd.DataFrame) -> float:
    """Share of pairs (metastasis by 60 months, free of it beyond) in which the first has the higher risk."""
    risk = oof.groupby("patient_id")["risk"].mean().reindex(table["patient_id"]).to_numpy()
    case = ((table["mfs_event"] == 1) & (table["mfs_months"] <= 60)).to_numpy()
    control = (table["mfs_months"] > 60).to_numpy()
    difference = risk[case][:, None] - risk[control][None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def test_every_variant_predicts_every_patient_once(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    for variant in study_variants(("CLB", "IB")):
        result = cross_validate(data.protocol(epochs=1), patients=patients, folds=folds, variant=variant)
        assert sorted(result.oof["patient_id"]) == sorted(table["patient_id"])
        assert result.oof["risk"].between(0, 1).all()
        assert (result.oof["model"] == variant.name).all()


def test_one_full_batch_step_by_plain_gradient_is_the_weighted_mean_of_the_hospitals(data: SimpleNamespace) -> None:
    """What federated averaging rests on: local steps, weighted by training patients, average to the pooled step."""
    table, patients = data.make_patients()
    protocol = data.protocol(optimizer="sgd", batch_patients=1000, tiles_per_bag=0, epochs=1)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    statistics = training_statistics(patients, weights=weights_of(folds, patients))
    stepped, counts = [], []
    for own in (patients, patients.of_centre("CLB"), patients.of_centre("IB")):
        stack = build_stack(protocol, members=MEMBERS)
        apply_statistics(stack, statistics)
        w = weights_of(folds, own)
        fit(stack, own, weights=w, protocol=protocol)
        stepped.append(stack.parameter_arrays())
        counts.append(w.sum(axis=0))
    for name, pooled in stepped[0].items():
        share = (counts[1] / counts[0]).reshape(-1, *[1] * (pooled.ndim - 1))
        np.testing.assert_allclose(share * stepped[1][name] + (1 - share) * stepped[2][name], pooled, atol=1e-6)


def weights_of(folds: pd.DataFrame, patients: Patients) -> np.ndarray:
    return training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=MEMBERS)


def test_member_without_patients_and_diverging_loss_are_said(data: SimpleNamespace) -> None:
    _, patients = data.make_patients()
    stack = build_stack(data.protocol(), members=MEMBERS)
    weights = np.ones((len(patients), 3), np.float32)
    with pytest.raises(SarcnetError, match=r"Members \[1\] have no training patient"):
        fit(stack, patients, weights=weights * [1, 0, 1], protocol=data.protocol())
    with pytest.raises(SarcnetError, match="give one number for each pair"):
        fit(stack, patients, weights=weights[:, :2], protocol=data.protocol())
    with pytest.raises(SarcnetError, match="Lower learning_rate"):
        fit(stack, patients, weights=weights, protocol=data.protocol(learning_rate=1e30, epochs=6))


def test_each_kind_of_model_trains_for_its_own_number_of_epochs(data: SimpleNamespace) -> None:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    for variant, expected in zip(study_variants(("CLB", "IB"), epochs=[1, 3, 2, 4]), (1, 3, 2, 4, 4), strict=True):
        found = cross_validate(data.protocol(epochs=9), patients=patients, folds=folds, variant=variant)
        assert found.curves["epoch"].nunique() == expected, variant.name
        assert found.trained.protocol.epochs == expected
    assert {v.epochs for v in study_variants(("CLB",), epochs=[5])} == {5}


@pytest.mark.parametrize("given", [[30, 60], [1, 2, 3], []])
def test_epochs_are_one_number_or_four(given: list[int]) -> None:
    values = {"run_dir": "x", "seed": 1, "folds": 2, "repeats": 1, "clinical_variables": [], "horizon_months": 60.0,
              "hazard_edges_months": [60.0], "aggregator": "mean", "fusion": "late", "loss": "hazard", "embedding_dim": 4,
              "learning_rate": 0.1, "early_stopping_share": 0.0, "weight_decay": [0.1]}  # fmt: skip
    with pytest.raises(ValueError, match=r"give one number for all models, or four|at least 1 item"):
        ModelSettings(**values, epochs=given)
    assert ModelSettings(**values, epochs=[3]).epochs == [3]
