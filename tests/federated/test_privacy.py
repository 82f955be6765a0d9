"""Privacy: the accountant against closed forms, clipping and noise at the hospital, and the two attacks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.federated.privacy.accountant import rdp_epsilon, spent
from sarcnet.federated.privacy.attacks import membership, patient_losses, values_in_gradient
from sarcnet.federated.privacy.clipping import norms
from sarcnet.federated.privacy.dp_sgd import clipped_sum, patient_gradients, private_step
from sarcnet.model.patients import PatientBatches, all_tiles
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics

#: z, releases, δ and the ε of `dp_accounting.rdp.RdpAccountant` 0.6.0 (Google, Apache 2.0), computed once.
DP_ACCOUNTING = [
    (0.5, 1, 1e-5, 10.725509696418232),
    (1.0, 1, 1e-5, 4.728507067217623),
    (3.0, 60, 1e-3, 11.769080389773695),
    (5.0, 40, 1e-5, 6.2083564483459375),
    (30.0, 40, 1e-5, 0.841296653859575),
    (20.0, 60, 1e-3, 1.145995533651849),
]


def exact_epsilon(*, noise_multiplier: float, releases: int, delta: float) -> float:
    """The smallest ε of T Gaussian releases: δ(ε) = Φ(μ/2 - ε/μ) - e^ε Φ(-μ/2 - ε/μ) with μ = √T / z, solved for ε."""
    mu = math.sqrt(releases) / noise_multiplier

    def excess(epsilon: float) -> float:
        tail = math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
        return float(norm.cdf(mu / 2 - epsilon / mu)) - tail - delta

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1, xtol=1e-10))


def longest_gradients(stack, patients, *, weights):
    """(n, E): L2 norm of every patient's gradient for every member."""
    batches = all_tiles(PatientBatches(patients, weights=weights, seed=0, image=stack.shape.image), batch_patients=8)
    each = [{name: g.numpy() for name, g in patient_gradients(stack, batch).items()} for batch in batches]
    return np.concatenate(
        [[norms({k: g[i] for k, g in one.items()}) for i in range(len(one["log_odds"]))] for one in each]
    )


@pytest.mark.parametrize("z", [0.5, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("releases", [1, 40])
def test_the_accountant_lies_between_the_exact_curve_and_the_older_bound(z, releases):
    """Older: ρ + 2 √(ρ log 1/δ), ρ = T / (2 z²), the best of Mironov's conversion (Bun and Steinke, TCC 2016)."""
    delta = 1e-5
    rho = releases / (2 * z**2)
    found = rdp_epsilon(noise_multiplier=z, releases=releases, delta=delta)
    exact = exact_epsilon(noise_multiplier=z, releases=releases, delta=delta)
    assert exact <= found <= rho + 2 * math.sqrt(rho * math.log(1 / delta)) + 1e-9
    assert found < 1.25 * exact + 0.05


def test_the_exact_curve_solves_its_equation_and_the_known_value_at_one():
    """z = 1, one release: δ(ε = 0) is the total variation 2 Φ(1/2) - 1."""
    epsilon = exact_epsilon(noise_multiplier=1.0, releases=1, delta=1e-5)
    assert norm.cdf(0.5 - epsilon) - math.exp(epsilon) * norm.cdf(-0.5 - epsilon) == pytest.approx(1e-5, rel=1e-5)
    variation = 2 * norm.cdf(0.5) - 1
    assert exact_epsilon(noise_multiplier=1.0, releases=1, delta=variation + 1e-6) == 0.0
    assert exact_epsilon(noise_multiplier=1.0, releases=1, delta=variation - 1e-3) > 0.0


def test_releases_count_like_less_noise():
    many = rdp_epsilon(noise_multiplier=10.0, releases=100, delta=1e-5)
    assert many == pytest.approx(rdp_epsilon(noise_multiplier=1.0, releases=1, delta=1e-5), rel=1e-9)
    assert spent(noise_multiplier=10.0, releases=100, delta=1e-5, unit="patient").epsilon == many


@pytest.mark.parametrize(("z", "releases", "delta", "epsilon"), DP_ACCOUNTING)
def test_epsilon_is_that_of_googles_library(z, releases, delta, epsilon):
    """It tries fewer orders than the accountant here, so its ε is the same or a little larger."""
    ours = rdp_epsilon(noise_multiplier=z, releases=releases, delta=delta)
    assert epsilon * 0.99 - 1e-6 <= ours <= epsilon * 1.0001


def test_no_epsilon_without_noise():
    with pytest.raises(SarcnetError, match="without noise there is no ε"):
        rdp_epsilon(noise_multiplier=0.0, releases=1, delta=1e-5)


@pytest.fixture
def at_home(cohort, make_plan):
    plan = make_plan()
    hospital = read_hospital(cohort.hospitals()["CLB"], protocol=plan.protocol)
    stack = build_stack(plan.protocol, members=plan.members)
    apply_statistics(stack, training_statistics(hospital.patients, weights=hospital.weights))
    values = stack.parameter_arrays()
    generator = np.random.default_rng(0)
    stack.load_parameter_arrays({k: a + 0.1 * generator.normal(size=a.shape) for k, a in values.items()})
    return stack, hospital


def test_patients_gradients_are_those_of_patients_alone(at_home):
    stack, hospital = at_home
    from sarcnet.model.losses import patient_loss

    batch = next(all_tiles(PatientBatches(hospital.patients, weights=hospital.weights, seed=0), batch_patients=5))
    found = patient_gradients(stack, batch)
    for i in range(5):
        stack.zero_grad()
        one = {k: v[i : i + 1] for k, v in batch.items()}
        score = stack(one["tiles"], one["mask"], one["clinical"])
        loss = patient_loss(score, batch=one, stack=stack)
        (loss * one["weight"]).sum().backward()
        for name, parameter in stack.named_parameters():
            np.testing.assert_allclose(found[name][i].numpy(), parameter.grad.numpy(), atol=2e-6, err_msg=name)


def test_one_patient_more_or_less_changes_a_sum_by_at_most_the_clip_norm(at_home):
    stack, hospital = at_home
    limit = float(np.median(longest_gradients(stack, hospital.patients, weights=hospital.weights)))
    whole = clipped_sum(stack, hospital.patients, weights=hospital.weights, clip_norm=limit)
    longest = 0.0
    for left_out in range(6):
        weights = hospital.weights.copy()
        weights[left_out] = 0
        less = clipped_sum(stack, hospital.patients, weights=weights, clip_norm=limit)
        for e in range(stack.shape.members):
            distance = math.sqrt(sum(float(((whole[k][e] - less[k][e]) ** 2).sum()) for k in whole))
            assert distance <= limit * (1 + 1e-6)
            longest = max(longest, distance)
    assert longest == pytest.approx(limit, rel=1e-5)  # somebody was clipped


def test_a_step_without_noise_descends_and_with_noise_is_the_same_twice(at_home):
    stack, hospital = at_home
    settings = {"weights": hospital.weights, "clip_norm": 1.0, "step_length": 0.2, "seed": 7, "names": ("CLB", 1)}
    start = stack.parameter_arrays()

    def after(noise):
        stack.load_parameter_arrays(start)
        private_step(stack, hospital.patients, noise_multiplier=noise, **settings)
        return stack.parameter_arrays()

    def loss():
        from sarcnet.model.predict import TrainedStack

        losses = patient_losses(TrainedStack(None, (0,) * stack.shape.members, stack), hospital.patients)
        return (losses * hospital.weights).sum()

    before = loss()
    quiet = after(0.0)
    assert loss() < before
    noisy, again = after(2.0), after(2.0)
    n = hospital.weights.sum(axis=0)
    drawn = (noisy["tile_weight"] - quiet["tile_weight"]) * (n / (0.2 * 2.0))[:, None, None]
    assert drawn.std() == pytest.approx(1.0, abs=0.15)
    for name in noisy:
        np.testing.assert_array_equal(noisy[name], again[name])


def test_membership_is_seen_in_a_model_that_learnt_by_heart_and_not_in_chance(cohort, make_plan):
    trained = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    by_heart = np.where(trained == 1, 0.1, 2.0)
    assert (membership(by_heart, trained=trained).auc, membership(by_heart, trained=trained).advantage) == (1.0, 1.0)
    assert membership(np.ones((4, 2)), trained=trained).auc == 0.5
    long = make_plan(rounds=12, local_epochs=5, learning_rate=0.03, weight_decay=0.0)
    run = simulate(long, hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "rounds", engine="inprocess")
    from sarcnet.model.crossval import training_weights

    patients = cohort.patients()
    inside = training_weights(
        cohort.folds(), patient_ids=patients.patient_ids, centres=patients.centres, members=long.members
    )
    found = membership(patient_losses(run.model, patients), trained=inside)
    assert found.auc > 0.6
    assert found.trained + found.heldout == 54 * 2


def test_a_gradient_of_one_patient_gives_the_clinical_values_away(at_home):
    stack, hospital = at_home
    batch = next(all_tiles(PatientBatches(hospital.patients, weights=np.ones((23, 2)), seed=0), batch_patients=3))
    gradients = patient_gradients(stack, batch)
    seen = stack.standardise_clinical(batch["clinical"]).numpy()  # (B, E, p)
    for i in range(3):
        for e in range(2):
            met, beside = gradients["clinical_weight"][i, e][:, None], gradients["log_odds"][i, e].sum()[None]
            read = values_in_gradient(met.numpy(), beside.numpy())
            np.testing.assert_allclose(read, seen[i, e], rtol=1e-3, atol=1e-4)
