"""FedProx's pull: while a hospital trains, each step also goes towards the weights it received.

The term μ/2 ‖θ - θ_received‖² (Li et al., MLSys 2020) enters by its gradient μ (θ - θ_received), added to each weight's
gradient as it is computed, so the training itself is the one of the pooled model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def pulled_to_start(network: nn.Module, *, strength: float) -> Iterator[None]:
    """Within the block every gradient of the network gets ``strength`` (μ) times the weight's distance from now."""
    if strength == 0:
        yield
        return
    handles = [
        parameter.register_post_accumulate_grad_hook(_Pull(parameter.detach().clone(), strength))
        for parameter in network.parameters()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Pull:
    def __init__(self, start: Tensor, strength: float) -> None:
        self.start, self.strength = start, strength

    def __call__(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            with torch.no_grad():
                parameter.grad.add_(parameter - self.start, alpha=self.strength)
