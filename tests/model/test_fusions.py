"""Image and clinic made one score: held to plain equations, with either branch off, and blind to order and padding."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.aggregators import AGGREGATORS
from sarcnet.model.crossval import Member, make_folds, make_members, training_weights
from sarcnet.model.fusions import FUSIONS, concatenation, gated
from sarcnet.model.network import StackedNetwork
from sarcnet.model.patients import Patients
from sarcnet.model.predict import contributions, image_score_sums, predict_scores
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics
from sarcnet.model.store import load_stack, save_stack
from sarcnet.model.training.experiment import Variant, cross_validate
from sarcnet.model.training.lightning_module import fit
from studies.bags import make_bags

MEMBERS = make_members("m", folds=3, repeats=1)


def random_stack(data: SimpleNamespace, *, image: bool = True, clinical: bool = True, **changes: str) -> StackedNetwork:
    stack = build_stack(data.protocol(**changes), members=MEMBERS, image=image, clinical=clinical)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return stack


def drawn() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(4, 2, 3, generator=g),
        "has": torch.tensor([True, True, False, True]),
        "clinical": torch.randn(4, 2, 5, generator=g),
    }


def weights(rule: object, *, image: int = 3, clinical: int = 5) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    sizes = rule.sizes(members=2, image_dim=image, clinical_dim=clinical, hidden_dim=4)  # type: ignore[attr-defined]
    return {name: torch.randn(size, generator=g) for name, size in sizes.items()}


def test_concatenation_is_one_hidden_layer_over_both_vectors() -> None:
    q, given = weights(concatenation), drawn()
    found = concatenation.combine(q, **given)
    for b in range(4):
        for e in range(2):
            m = given["image"][b, e] * given["has"][b]
            hidden = (
                m @ q["fusion_image_weight"][e] / 3**0.5
                + given["clinical"][b, e] @ q["fusion_clinical_weight"][e] / 5**0.5
            )
            assert found[b, e] == pytest.approx(
                float(torch.relu(hidden + q["fusion_bias"][e]) @ q["fusion_score"][e]), abs=1e-5
            )


def test_gate_weighs_image_against_clinic_number_by_number() -> None:
    q, given = weights(gated), drawn()
    found = gated.combine(q, **given)
    for b in range(4):
        for e in range(2):
            m, c = given["image"][b, e] / 3**0.5, given["clinical"][b, e] / 5**0.5
            image = torch.tanh(m @ q["fusion_image_weight"][e] + q["fusion_image_bias"][e])
            clinic = torch.tanh(c @ q["fusion_clinical_weight"][e] + q["fusion_clinical_bias"][e])
            gate = torch.sigmoid(m @ q["fusion_image_gate"][e] + c @ q["fusion_clinical_gate"][e]) * given["has"][b]
            assert found[b, e] == pytest.approx(
                float((gate * image + (1 - gate) * clinic) @ q["fusion_score"][e]), abs=1e-5
            )


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_order_padding_and_company_do_not_matter(data: SimpleNamespace, aggregator: str, fusion: str) -> None:
    stack = random_stack(data, aggregator=aggregator, fusion=fusion)
    _, patients = data.make_patients()
    scores = predict_scores(stack, patients)
    alone = np.concatenate([predict_scores(stack, patients.select(np.array([i]))) for i in range(6)])
    np.testing.assert_allclose(scores[:6], alone, atol=1e-4)
    turned = make_bags({p: patients.bags.of(i)[::-1] for i, p in enumerate(patients.patient_ids)}, feature_dim=12)
    mixed = Patients(turned, patients.clinical, patients.outcome, patients.centres)
    np.testing.assert_allclose(predict_scores(stack, mixed), scores, atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_a_branch_that_is_off_changes_nothing(data: SimpleNamespace, aggregator: str, fusion: str) -> None:
    _, patients = data.make_patients()
    other, shifted = patients.clinical.copy(), make_bags({p: np.ones((2, 12)) for p in patients.patient_ids})
    other[:, 0] += 30
    for image, clinical in ((True, False), (False, True)):
        stack = random_stack(data, image=image, clinical=clinical, aggregator=aggregator, fusion=fusion)
        before = predict_scores(stack, patients)
        bags = patients.bags if image else shifted
        changed = Patients(bags, patients.clinical if clinical else other, patients.outcome, patients.centres)
        np.testing.assert_allclose(predict_scores(stack, changed), before, atol=1e-5)
        assert before.std() > 0.01


@pytest.mark.parametrize(
    ("aggregator", "fusion"),
    [("transmil", "late"), ("abmil", "concatenation"), ("chowder", "gated"), ("transmil", "gated")],
)
def test_learns_in_the_stack_what_it_learns_alone(data: SimpleNamespace, aggregator: str, fusion: str) -> None:
    table, patients = data.make_patients()
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(aggregator=aggregator, fusion=fusion, epochs=3)

    def train(members: tuple[Member, ...]) -> dict[str, np.ndarray]:
        own = training_weights(folds, patient_ids=patients.patient_ids, centres=patients.centres, members=members)
        stack = build_stack(protocol, members=members)
        apply_statistics(stack, training_statistics(patients, weights=own))
        fit(stack, patients, weights=own, protocol=protocol)
        return stack.parameter_arrays()

    together = train(MEMBERS)
    alone = train(MEMBERS[1:2])
    for name, array in alone.items():
        np.testing.assert_allclose(array[0], together[name][1], atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    ("aggregator", "fusion"), [("transmil", "late"), ("mean", "concatenation"), ("abmil", "gated")]
)
def test_signal_is_found_stored_and_reloaded_but_not_taken_apart(
    data: SimpleNamespace, aggregator: str, fusion: str, tmp_path
) -> None:
    table, patients = data.make_patients(60, 80)
    folds = make_folds(table, folds=3, repeats=1, seed=7)
    protocol = data.protocol(aggregator=aggregator, fusion=fusion, epochs=6, learning_rate=0.03, tiles_per_bag=2)
    result = cross_validate(protocol, patients=patients, folds=folds, variant=Variant("m"))
    case = ((table["mfs_event"] == 1) & (table["mfs_months"] <= 60)).to_numpy()
    control = (table["mfs_months"] > 60).to_numpy()
    risk = result.oof.set_index("patient_id")["risk"].reindex(table["patient_id"]).to_numpy()
    assert (risk[case][:, None] > risk[control][None]).mean() > 0.65
    files = {"weights": tmp_path / "m.safetensors", "description": tmp_path / "m.json"}
    save_stack(result.trained, **files)
    again = load_stack(**files)
    np.testing.assert_array_equal(
        predict_scores(again.network, patients), predict_scores(result.trained.network, patients)
    )
    assert not result.trained.network.additive
    with pytest.raises(SarcnetError, match="no sum of parts: explain it by integrated gradients"):
        contributions(result.trained, patients)


def test_centring_moves_the_average_image_score_of_transmil_and_leaves_a_hidden_fusion_alone(
    data: SimpleNamespace,
) -> None:
    _, patients = data.make_patients()
    everybody = np.ones((len(patients), 3), np.float32)
    for fusion, moves in (("late", True), ("gated", False)):
        stack = random_stack(data, aggregator="transmil", fusion=fusion)
        total, count = image_score_sums(stack, patients, weights=everybody)
        assert bool(total.any()) == moves
        stack.centre_image_score(total=total, count=count)
        after, _ = image_score_sums(stack, patients, weights=everybody)
        np.testing.assert_allclose(after, 0, atol=1e-2)


def test_which_scores_are_sums_is_said(data: SimpleNamespace) -> None:
    sums = {(a, f): random_stack(data, aggregator=a, fusion=f).additive for a in AGGREGATORS for f in FUSIONS}
    assert {key for key, value in sums.items() if value} == {(a, "late") for a in ("mean", "abmil", "chowder")}
    assert random_stack(data, aggregator="transmil", image=False).additive
    with pytest.raises(SarcnetError, match="fusion is 'early': choose late, concatenation, gated"):
        data.protocol(fusion="early")


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_every_array_of_every_network_may_travel(data: SimpleNamespace, aggregator: str, fusion: str) -> None:
    from sarcnet.federated.app.records import check_axes

    stack = random_stack(data, aggregator=aggregator, fusion=fusion)
    check_axes([(name, array.shape) for name, array in stack.parameter_arrays().items()], shape=stack.shape)


def test_members_start_alike_alone_and_in_the_stack_under_every_fusion(data: SimpleNamespace) -> None:
    for fusion in FUSIONS:
        protocol = data.protocol(aggregator="transmil", fusion=fusion)
        stacks = [build_stack(protocol, members=m).parameter_arrays() for m in (MEMBERS, MEMBERS[2:])]
        for name, array in stacks[1].items():
            np.testing.assert_array_equal(array[0], stacks[0][name][2], err_msg=name)
