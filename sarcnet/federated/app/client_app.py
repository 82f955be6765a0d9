"""What runs at a hospital: a Flower ClientApp that answers six questions about its patients, and never sends one.

    query.hello        which hospital are you?               → its name
    query.key          a public key for secure sums, please  → 32 bytes (`sarcnet.federated.privacy.masking`)
    query.statistics   moments and counts of your patients   → (members, ...) sums, float64
    train              here is the model: train it on yours  → change of the weights; number of patients and loss per member
    query.centring     image scores of your patients         → (members,) sum and number
    query.evaluation   how good is it on held-out patients?  → (repeats, bins) weights and counts by risk

The folder with the hospital's data is in the node's configuration under ``data-path``, which is set when the node is
started (in the simulation by `sarcnet.federated.engines.simulation`). Between messages nothing is remembered but the folder's
content and, under SCAFFOLD, the control variate of the last round: otherwise a hospital may restart at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from sarcnet.federated.app.evaluation_sums import evaluation_sums
from sarcnet.federated.app.local_training import MODS, own_hospital, received_stack, statistics, train
from sarcnet.federated.app.records import config_record, reply_with
from sarcnet.federated.app.secure_aggregation import key
from sarcnet.federated.flower_internals import Mod
from sarcnet.federated.hospital_folder import data_path, read_centre, read_folds, read_outcome
from sarcnet.model.crossval import make_members
from sarcnet.model.predict import TrainedStack, image_score_sums, predict_out_of_fold


def identify(message: Message, context: Context) -> Message:
    """Say which hospital this is."""
    centre = read_centre(data_path(context))
    return Message(RecordDict({"config": config_record(centre=centre)}), reply_to=message)


def centring(message: Message, context: Context) -> Message:
    """Sum of the image scores of each member's training patients here, and their number."""
    hospital, _, protocol = own_hospital(message, context)
    total, count = image_score_sums(received_stack(message, protocol), hospital.patients, weights=hospital.weights)
    return reply_with(message, protocol, arrays={"total": total, "count": count})


def evaluation(message: Message, context: Context) -> Message:
    """Sums over the hospital's own held-out patients, from which AUC and calibration follow."""
    hospital, _, protocol = own_hospital(message, context)
    members = make_members("", folds=protocol.folds, repeats=protocol.repeats)
    model = TrainedStack(protocol, members, received_stack(message, protocol).eval())
    oof = predict_out_of_fold(model, hospital.patients, folds=read_folds(data_path(context)))
    sums = evaluation_sums(
        oof,
        outcome=read_outcome(data_path(context)),
        horizon_months=protocol.horizon_months,
        hazard_edges_months=protocol.hazard_edges_months,
    )
    return reply_with(message, protocol, arrays=sums.to_arrays())


def make_client_app(mods: Sequence[Mod] = ()) -> ClientApp:
    """The app that every hospital runs: one function for each question, of which `train` is asked in every round.

    Args:
        mods: Flower mods around it; the simulation uses one to give each node its folder.

    Returns:
        The ClientApp.
    """
    client_app = ClientApp(mods=[*mods, *MODS])
    client_app.query("hello")(identify)  # the name of version 1, so that nodes of every version answer it
    client_app.query("key")(key)
    client_app.query("statistics")(statistics)
    client_app.train()(train)
    client_app.query("centring")(centring)
    client_app.query("evaluation")(evaluation)
    return client_app


#: The app a SuperNode runs.
app = make_client_app()
