"""Trained stacks on disk: numbers as safetensors, everything else as JSON beside them.

Nothing is pickled, so nothing is executed on loading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.model.crossval import Member
from sarcnet.model.network import StackedNetwork, StackShape
from sarcnet.model.predict import TrainedStack
from sarcnet.model.protocol import Protocol

FORMAT = "sarcnet-stack-1"


def save_stack(model: TrainedStack, *, weights: Path, description: Path) -> None:
    """Write a trained stack as plain numbers and a description.

    Args:
        model: the stack.
        weights: path of the .safetensors file: parameters and standardisation.
        description: path of the .json file: protocol, members, shape, sha256 of the first file.
    """
    state = {name: tensor.detach().contiguous() for name, tensor in model.network.state_dict().items()}
    with atomic_path(weights) as path:
        save_file(state, str(path))
    record = {
        "format": FORMAT,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "shape": asdict(model.network.shape),
        "members": [asdict(m) for m in model.members],
        "protocol": model.protocol.to_dict(),
    }
    with atomic_path(description) as path:
        path.write_text(json.dumps(record, indent=1) + "\n")


def load_stack(*, weights: Path, description: Path) -> TrainedStack:
    """Read a trained stack back; it predicts the same to the bit.

    Args:
        weights: path of the .safetensors file.
        description: path of the .json file beside it.

    Returns:
        The stack, ready to predict.

    Raises:
        SarcnetError: the files are damaged or do not belong together.
    """
    try:
        record = json.loads(description.read_text())
        content = weights.read_bytes()
    except (OSError, ValueError) as error:
        raise SarcnetError(f"The model {description.name} cannot be read ({error}): run 03_model again.") from error
    if record.get("format") != FORMAT:
        raise SarcnetError(
            f"{description.name} is no description of a sarcnet model (format {record.get('format')!r})."
        )
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise SarcnetError(
            f"{weights.name} is not the file {description.name} describes: copy both files of one training."
        )
    network = StackedNetwork(StackShape(**record["shape"]))
    try:
        network.load_state_dict(load_file(str(weights)))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise SarcnetError(f"{weights.name} does not hold the tensors of {description.name}: {error}") from error
    members = tuple(Member(**m) for m in record["members"])
    return TrainedStack(Protocol.from_dict(record["protocol"]), members, network.eval())
