"""Why not Cox, on the slide model itself (Andreux et al., arXiv 2006.08997): whose gradients add up over hospitals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarcnet.federated.hospital_folder import read_hospital
from sarcnet.model.crossval import training_weights
from sarcnet.model.losses import cox_loss, patient_loss
from sarcnet.model.patients import PatientBatches, all_tiles
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import apply_statistics, training_statistics


def gradient_sum(stack, patients, weights, loss):
    """name → (E, ...): gradient of the sum of one table's losses, every patient with all tiles."""
    shown = all_tiles(PatientBatches(patients, weights=weights, seed=0), batch_patients=1000)
    (batch,) = list(shown)
    score = stack(batch["tiles"], batch["mask"], batch["clinical"])
    if loss == "cox":
        terms = cox_loss(score, months=batch["months"], cause=batch["cause"], weight=batch["weight"])
    else:
        terms = patient_loss(score, batch=batch, stack=stack)
    named = dict(stack.named_parameters())
    grads = torch.autograd.grad((batch["weight"] * terms).sum(), list(named.values()), materialize_grads=True)
    return dict(zip(named, (g.numpy() for g in grads), strict=True))


@pytest.mark.parametrize(("loss", "splits"), [("discrete-time hazard", True), ("cox", False)], ids=["hazard", "cox"])
def test_gradients_of_hospitals_add_up_to_the_pooled_one_or_not(cohort, make_plan, loss, splits):
    plan = make_plan()
    homes = [read_hospital(f, protocol=plan.protocol) for f in cohort.hospitals().values()]
    everybody = cohort.patients()
    weights = training_weights(
        cohort.folds(), patient_ids=everybody.patient_ids, centres=everybody.centres, members=plan.members
    )
    stack = build_stack(plan.protocol, members=plan.members)
    apply_statistics(stack, training_statistics(everybody, weights=weights))
    with torch.no_grad():  # scores that differ, as after some training; at 0 a risk set is its size
        stack.image_weight.add_(torch.ones_like(stack.image_weight))
        stack.clinical_weight.add_(0.5 * torch.ones_like(stack.clinical_weight))
    pooled = gradient_sum(stack, everybody, weights, loss)
    own = [gradient_sum(stack, h.patients, h.weights, loss) for h in homes]
    for name in ("tile_weight", "image_weight", "clinical_weight"):
        off = np.abs(own[0][name] + own[1][name] - pooled[name]).max() / np.abs(pooled[name]).max()
        assert off < 1e-4 if splits else off > 1e-2, (name, off)
