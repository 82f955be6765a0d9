"""`sarcnet federation plan`: the coordinating site writes the settings of `flwr run` from a profile and the hospitals' names;
it needs no patient.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sarcnet.cli.arguments import add_actions, add_profile
from sarcnet.cohort.settings import CohortSettings
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.compendium.study import Study
from sarcnet.features.encoders.lookup import encoder_named
from sarcnet.features.settings import FeaturesSettings
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.deployed_server import run_config
from sarcnet.federated.settings import FederationSettings
from sarcnet.federated.strategies import strategy_config
from sarcnet.model.protocol import Protocol
from sarcnet.model.settings import ModelSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action and its options."""
    plan = add_actions(parser).add_parser(
        "plan", help="write the settings of `flwr run` from a profile; no data needed"
    )
    add_profile(plan)
    plan.add_argument("--hospitals", required=True, nargs="+", metavar="NAME", help="as their folders are called")
    plan.add_argument("--out", required=True, metavar="FOLDER", help="for the result, on the SuperLink's machine")
    plan.add_argument(
        "--into", type=Path, default=Path("run.toml"), metavar="FILE", help="file to write (default: %(default)s)"
    )
    plan.add_argument("--strategy", default="fedavg", metavar="NAME", help="default: %(default)s")
    plan.add_argument("--secure-sum", action="store_true", help="the server reads sums only; three hospitals or more")
    plan.add_argument("--deadline-s", type=float, default=900.0, metavar="S", help="for a round (default: %(default)g)")
    plan.add_argument(
        "--start-deadline-s", type=float, default=300.0, metavar="S", help="for the first answer (default: %(default)g)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the settings."""
    names = ("hospitals", "out", "into", "strategy", "secure_sum", "deadline_s", "start_deadline_s")
    write_plan(Study.load(options.profile), **{name: getattr(options, name) for name in names})
    return 0


def write_plan(
    study: Study,
    *,
    hospitals: Sequence[str],
    out: str,
    into: Path,
    strategy: str,
    secure_sum: bool,
    deadline_s: float,
    start_deadline_s: float,
) -> None:
    """Write the settings of `flwr run` as TOML.

    Args:
        study: the notebooks and the profile whose settings are taken.
        hospitals: names, as their folders are called.
        out: folder for the result, on the SuperLink's machine.
        into: the file to write.
        strategy: name in :mod:`sarcnet.federated.strategies`.
        secure_sum: whether the server may read sums only.
        deadline_s: seconds that a round may take.
        start_deadline_s: seconds until the first answer.

    Raises:
        SarcnetError: a strategy or encoder that does not exist, settings that do not go together, hospitals named twice.
    """
    federation = study.settings_for("04_federation", FederationSettings)
    plan = FederationConfig(
        make_protocol(study, hospitals=hospitals),
        rounds=federation.rounds,
        local_epochs=federation.local_epochs,
        deadline_s=deadline_s,
        start_deadline_s=start_deadline_s,
        strategy=strategy_config(strategy),
        message_dtype="float32" if secure_sum else federation.message_dtype,
        secure_sum=secure_sum,
    )
    if not out.startswith("/"):
        raise SarcnetError(
            f"--out is {out}: give a full path on the SuperLink's machine, for example /srv/sarcnet/out."
        )
    # A JSON text is a TOML text, and so are JSON's numbers, true and false.
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in run_config(plan, out=Path(out)).items()]
    with atomic_path(into) as path:
        path.write_text("".join(lines), encoding="utf-8")
    print(
        f"{into}: {', '.join(plan.hospitals)}; {plan.rounds} rounds × {plan.local_epochs} local epochs of "
        f"{plan.strategy.name}, {len(plan.members)} networks, {plan.message_dtype}{', secure sum' if secure_sum else ''}; "
        f"the result goes to {out}."
    )


def make_protocol(study: Study, *, hospitals: Sequence[str]) -> Protocol:
    """The protocol of a profile, as notebook 03 makes it of these hospitals' patients.

    Raises:
        SarcnetError: hospitals named twice, an unknown encoder, or settings that do not go together.
    """
    if len(set(hospitals)) < len(hospitals):
        raise SarcnetError(f"The hospitals are {', '.join(hospitals)}: name each once.")
    encoder = encoder_named(study.settings_for("02_features", FeaturesSettings).encoder)
    model = study.settings_for("03_model", ModelSettings)
    outcome = study.settings_for("00_cohort", CohortSettings).outcome
    return Protocol.of(model, outcome=outcome, centres=hospitals, encoder=encoder.name, feature_dim=encoder.dim)
