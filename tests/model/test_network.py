"""The stacked network: what must not change its scores, and what its scores are made of."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.crossval import make_folds, make_members, training_weights
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import image_score_sums, predict_scores
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from studies.bags import make_bags


def ready(
    data: SimpleNamespace, *, image: bool = True, clinical: bool = True
) -> tuple[StackedNetwork, Patients, np.ndarray]:
    """A stack with statistics and random weights everywhere (as if trained)."""
    table, patients = data.make_patients()
    protocol = data.protocol()
    members = make_members("m", folds=3, repeats=1)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    weights = training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
    stack = build_stack(protocol, members=members, image=image, clinical=clinical)
    apply_statistics(stack, training_statistics(patients, weights=weights, image=image))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in stack.named_parameters():
            if name != "log_odds":
                p.copy_(torch.randn(p.shape, generator=generator))
    return stack, patients, weights


def naive_score(stack: StackedNetwork, e: int, tiles: np.ndarray, clinical: np.ndarray) -> float:
    """The equations of the module, one member and one patient, standardising explicitly."""
    q = {name: t.detach().numpy().astype(np.float64)[e] for name, t in stack.state_dict().items()}
    c = np.nan_to_num((clinical - q["clinical_mean"]) * q["clinical_inverse_std"])
    score = float(q["clinical_weight"] @ c)
    if len(tiles):
        x = (tiles - q["tile_mean"]) * q["tile_inverse_std"]
        h = np.maximum(x @ q["tile_weight"].T / np.sqrt(x.shape[1]) + q["tile_bias"], 0)
        up = np.tanh(h @ q["attention_tanh_weight"] + q["attention_tanh_bias"])
        gate = 1 / (1 + np.exp(-(h @ q["attention_gate_weight"] + q["attention_gate_bias"])))
        logit = (up * gate) @ q["attention_score"]
        a = np.exp(logit - logit.max())
        score += float((a / a.sum()) @ (h @ q["image_weight"] - q["image_centre"]))
    return score


def test_folded_standardisation_equals_explicit(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data)
    slow = [[naive_score(stack, e, patients.bags.of(i), patients.clinical[i]) for e in range(3)] for i in range(9)]
    np.testing.assert_allclose(predict_scores(stack, patients)[:9], slow, atol=2e-4)


def test_padding_does_not_matter(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data)
    alone = np.concatenate([predict_scores(stack, patients.select(np.array([i]))) for i in range(6)])
    np.testing.assert_allclose(predict_scores(stack, patients)[:6], alone, atol=1e-5)


def test_order_of_tiles_and_patients_does_not_matter(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data)
    turned = make_bags({p: patients.bags.of(i)[::-1] for i, p in enumerate(patients.patient_ids)}, feature_dim=12)
    mixed = Patients(turned, patients.clinical, patients.outcome, patients.centres)
    order = np.random.default_rng(0).permutation(len(patients))
    np.testing.assert_allclose(
        predict_scores(stack, mixed.select(order)), predict_scores(stack, patients)[order], atol=1e-5
    )


def test_attention_sums_to_one_and_ignores_padding(data: SimpleNamespace) -> None:
    stack, _, _ = ready(data)
    mask = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    parts = stack.parts(torch.randn(3, 3, 12), mask, torch.zeros(3, stack.shape.clinical_dim))
    np.testing.assert_allclose(parts.attention.detach().sum(dim=1)[:2], 1.0, rtol=1e-6)
    assert not parts.attention.detach()[~mask].any()


def test_patient_without_a_slide_has_image_score_zero(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data, clinical=False)
    assert patients.bags.sizes[0] == 0
    assert not predict_scores(stack, patients)[0].any()


def test_missing_clinical_values_are_the_training_mean(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data, image=False)
    nothing = np.full_like(patients.clinical, np.nan)
    blank = Patients(patients.bags, nothing, patients.outcome, patients.centres)
    assert not predict_scores(stack, blank).any()


def test_switched_off_branch_has_no_influence(data: SimpleNamespace) -> None:
    stack, patients, _ = ready(data, clinical=False)
    other = Patients(patients.bags, patients.clinical + 1.0, patients.outcome, patients.centres)
    np.testing.assert_array_equal(predict_scores(stack, other), predict_scores(stack, patients))


def test_centring_moves_the_mean_into_the_baseline_and_nothing_else(data: SimpleNamespace) -> None:
    stack, patients, weights = ready(data)
    before = predict_scores(stack, patients) + stack.log_odds.detach().numpy()[None, :, 0]
    total, count = image_score_sums(stack, patients, weights=weights)
    stack.centre_image_score(total=total, count=count)
    after = predict_scores(stack, patients) + stack.log_odds.detach().numpy()[None, :, 0]
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-4)  # patient 0 has no slide
    again, _ = image_score_sums(stack, patients, weights=weights)
    np.testing.assert_allclose(again / count, 0.0, atol=1e-4)


def test_members_start_alike_alone_and_in_any_stack(data: SimpleNamespace) -> None:
    members = make_members("a", folds=3, repeats=2)
    together = build_stack(data.protocol(), members=members).parameter_arrays()
    alone = build_stack(data.protocol(), members=members[4:5]).parameter_arrays()
    for name, array in alone.items():
        np.testing.assert_array_equal(array[0], together[name][4])
    assert (together["tile_weight"][0] != together["tile_weight"][1]).any()


def test_arrays_that_do_not_fit_are_refused(data: SimpleNamespace) -> None:
    stack = build_stack(data.protocol(), members=make_members("a", folds=3, repeats=1))
    arrays = stack.parameter_arrays()
    with pytest.raises(SarcnetError, match="tile_bias"):
        stack.load_parameter_arrays({**arrays, "tile_bias": arrays["tile_bias"][:1]})
    with pytest.raises(SarcnetError, match="surprise"):
        stack.load_parameter_arrays({**arrays, "surprise": arrays["tile_bias"]})
