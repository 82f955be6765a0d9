"""What a hospital does in the rounds of a federated training: sums over its patients beforehand, then training.

This and what the server does with the answers is what shapes a round; the rounds are kept under the key of this code.
What a hospital answers otherwise, the check of the finished model among it, is in `sarcnet.federated.app.client_app`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.aggregate import changes
from sarcnet.federated.app.early_stopping import LOSS, split_hospital, stopping_sums
from sarcnet.federated.app.proximal import pulled_to_start
from sarcnet.federated.app.records import (
    check_axes,
    from_record,
    load_standardisation,
    read_protocol,
    read_recipe,
    rounded,
    stack_shape,
    to_record,
)
from sarcnet.federated.app.scaffold import corrected, correction, keep_control, mean_gradient
from sarcnet.federated.hospital_folder import Hospital, read_hospital, without_names
from sarcnet.federated.plan import CANNOT_ANSWER
from sarcnet.federated.privacy.dp_sgd import train_privately
from sarcnet.federated.privacy.secure_aggregation import hidden_in_sum
from sarcnet.model.crossval import make_members
from sarcnet.model.network import StackedNetwork
from sarcnet.model.protocol import Protocol, build_stack
from sarcnet.model.statistics import training_statistics
from sarcnet.model.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd


def fit(*arguments: Any, **settings: Any) -> pd.DataFrame:
    """`sarcnet.model.training.fit`, loaded at the first training.

    A SuperNode starts a process for each message, and only training needs Lightning, whose import takes 7 s.
    """
    from sarcnet.model.training import lightning_module as training

    return training.fit(*arguments, **settings)


def data_path(context: Context) -> Path:
    """The hospital's folder, from the node's configuration."""
    if "data-path" not in context.node_config:
        raise SarcnetError(
            "This node has no data-path in its node configuration: start it with --node-config 'data-path=\"…\"'."
        )
    return Path(str(context.node_config["data-path"]))


@lru_cache(maxsize=4)
def _own(folder: Path, protocol: Protocol, run_id: int) -> tuple[Hospital, np.ndarray | None]:
    return split_hospital(read_hospital(folder, protocol=protocol), protocol=protocol)


def own_hospital(message: Message, context: Context) -> tuple[Hospital, Protocol]:
    """The hospital's patients under the protocol that came with the message; read once a run and process.

    Its weights are of those that train; who decides when to stop is asked for with `own_stopping`.
    """
    protocol = read_protocol(_config(message))
    return _own(data_path(context), protocol, context.run_id)[0], protocol


def own_stopping(message: Message, context: Context) -> np.ndarray | None:
    """(n, E) 0/1: the patients who decide when to stop (`sarcnet.federated.app.early_stopping`), or None."""
    return _own(data_path(context), read_protocol(_config(message)), context.run_id)[1]


def _config(message: Message) -> ConfigRecord:
    return message.content.config_records["config"]


def received_stack(message: Message, protocol: Protocol) -> StackedNetwork:
    """The model as the server sent it: trainable arrays and the agreed standardisation."""
    stack = build_stack(protocol, members=make_members("", folds=protocol.folds, repeats=protocol.repeats))
    records = message.content.array_records
    stack.load_parameter_arrays(from_record(records["arrays"]))
    load_standardisation(stack, from_record(records["standardisation"]))
    return stack


def error_boundary(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Around every question: measure the time, compute on one thread, and turn a failure into one sentence.

    The full report stays in ``error.txt`` in the hospital's folder.
    """
    started = time.perf_counter()
    try:
        with one_thread():
            reply = call_next(message, context)
    except Exception as error:
        return Message(Error(CANNOT_ANSWER, _sentence(error, context)), reply_to=message)
    reply.content["work"] = MetricRecord({"seconds": time.perf_counter() - started})
    return reply


def _sentence(error: Exception, context: Context) -> str:
    text = str(error) if isinstance(error, SarcnetError) else f"{type(error).__name__}: {error}"
    if "data-path" not in context.node_config:
        return text
    folder = data_path(context)
    if folder.is_dir():
        (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
    return without_names(text, folder=folder)


def statistics(message: Message, context: Context) -> Message:
    """Sums over each member's training patients at this hospital.

    tiles, clinical columns, hazard, and how many patients they are.
    """
    hospital, protocol = own_hospital(message, context)
    sums = training_statistics(hospital.patients, weights=hospital.weights)
    return reply(message, protocol, arrays=sums.to_arrays())


def train(message: Message, context: Context) -> Message:
    """Train the received model on the hospital's own patients for the epochs asked for, with the function that trains
    the pooled model."""
    hospital, protocol = own_hospital(message, context)
    stack = received_stack(message, protocol)
    config = _config(message)
    recipe, dtype = read_recipe(config), str(config["message_dtype"])
    epochs, first_epoch = int(config["epochs"]), int(config["first_epoch"])  # type: ignore[arg-type]
    received, control, spent = stack.parameter_arrays(), {}, None
    stopping = own_stopping(message, context)
    if recipe.patient_clip:
        spent = train_privately(
            stack,
            hospital,
            recipe=recipe,
            epochs=range(first_epoch, first_epoch + epochs),
            node_config=context.node_config,
        )
        losses = {name: np.full(stack.shape.members, np.nan) for name in ("training_loss", "heldout_loss")}
    else:
        turn = correction(message.content, context) if recipe.control else {}
        if recipe.control:
            control = rounded(mean_gradient(stack, hospital.patients, weights=hospital.weights), dtype=dtype)
        with pulled_to_start(stack, strength=recipe.proximal), corrected(stack, by=turn):
            curves = fit(
                stack,
                hospital.patients,
                weights=hospital.weights,
                protocol=protocol,
                epochs=epochs,
                first_epoch=first_epoch,
                stopping=stopping,
                keep_best=False,
            )
        losses = _last_losses(curves, names=("training_loss", "heldout_loss"))
        if stopping is not None:
            losses |= stopping_sums(hospital, stopping, mean=_last_losses(curves, names=(LOSS,))[LOSS])
    learning = {"patients": hospital.weights.sum(axis=0, dtype=np.float64), **losses}  # (E,) each
    trained = stack.parameter_arrays()
    arrays = trained if dtype == "float32" else rounded(changes(trained, received=received), dtype=dtype)
    answer = reply(message, protocol, arrays=arrays, learning=learning)
    if control:
        keep_control(control, context)
        answer.content["control"] = to_record(control)
    if spent:
        about = {"delta": spent.delta, "releases": spent.releases, "noise_multiplier": spent.noise_multiplier}
        answer.content["privacy"] = MetricRecord({"epsilon": spent.epsilon, **about})
    return answer


def _last_losses(curves: pd.DataFrame, *, names: Sequence[str]) -> dict[str, np.ndarray]:
    """(E,) losses of these names in the last epoch."""
    last = curves.loc[curves["epoch"] == curves["epoch"].max()].sort_values("member")
    return {name: last[name].to_numpy(np.float64) for name in names}


def reply(
    message: Message,
    protocol: Protocol,
    *,
    arrays: Mapping[str, np.ndarray],
    learning: Mapping[str, np.ndarray] | None = None,
) -> Message:
    """Reply with arrays, after a last look at the door: no axis may count patients or tiles."""
    records = {"arrays": arrays} if learning is None else {"arrays": arrays, "learning": learning}
    shape = stack_shape(protocol)
    for record in records.values():
        check_axes([(name, array.shape) for name, array in record.items()], shape=shape, repeats=protocol.repeats)
    return Message(RecordDict({name: to_record(record) for name, record in records.items()}), reply_to=message)


#: Around every question, the outermost first.
MODS = (error_boundary, hidden_in_sum)
