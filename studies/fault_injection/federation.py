"""Three hospitals of **simulated feature bags** under one SuperLink on this machine, and the simulation beside them.

Their nodes draw their noise from a number that is known (``noise-secret``), for the comparison only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.numpy import save_file

from sarcnet.federated.app.server_app import FederatedRun
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.engines.simulation import simulate
from studies.fault_injection.faulty_client import SPOILING, spoilt_at
from studies.fault_injection.harness import Outcome, bring_back, compared, noted
from studies.feature_bags import SimulatedSites, write_cohort
from studies.local_federation.run import Deployment, superlink

PATIENTS, HOSPITALS = 120, 3


@dataclass
class Three:
    """The hospitals' folders, the plan they agreed on, and the SuperLink.

    limit_s: seconds one run may take.
    """

    plan: FederationConfig
    hospitals: dict[str, Path]
    folder: Path
    deployment: Deployment
    limit_s: float
    keys: dict[str, Path] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def last(self) -> str:
        """The hospital where things go wrong."""
        return self.plan.hospitals[-1]

    def start(self, name: str, *, data: Path | None = None, **settings: str | float) -> None:
        """Start a hospital's node, again where it is running.

        data: another folder than its own; settings: more of its node configuration.
        """
        own = {"noise_secret": self.plan.hospitals.index(name), **settings}

        def start() -> None:
            folder = data or self.hospitals[name]
            self.deployment.start_node(name, key=self.keys[name], data=folder, authority=None, **own)

        bring_back(self.deployment, name, start)

    def note(self, fault: str, promised: str, act: Callable[[], str], kept: Callable[[str], bool]) -> None:
        """Stage one fault and keep its outcome."""
        self.outcomes.append(noted(fault, promised, act, kept))

    def submit(self, plan: FederationConfig, out: Path) -> str:
        """Train with the programs, whose nodes misbehave where they were started so.

        Raises FederationError when there is no model in the end.
        """
        self.deployment.submit(plan, out=out, limit_s=self.limit_s)
        return "the run ended with a model"

    def simulate(
        self, plan: FederationConfig, name: str, *, poisoned: str = "", kind: str = ""
    ) -> tuple[FederatedRun, Path]:
        """The same plan in the simulation, and its model as a file.

        poisoned: hospital that misbehaves in the way of ``kind`` (`studies.fault_injection.faulty_client`).
        """
        mods = [spoilt_at(poisoned, kind=kind)] if poisoned else []
        rounds, file = self.folder / f"{name} rounds", self.folder / f"{name}.safetensors"
        run = simulate(plan, hospitals=self.hospitals, rounds_folder=rounds, engine="inprocess", mods=mods)
        save_file({key: tensor.numpy() for key, tensor in run.model.network.state_dict().items()}, str(file))
        return run, file

    def train_both(self, plan: FederationConfig, name: str) -> str:
        """Train with the programs and in the simulation, and compare the models; begins with SAME when they are."""
        self.submit(plan, self.folder / name)
        return compared(self.simulate(plan, f"{name} simulated")[1], self.folder / name)


@contextmanager
def three_hospitals(
    folder: Path, *, rounds: int, local_epochs: int, seed: int, deadline_s: float, limit_s: float
) -> Iterator[Three]:
    """SuperLink and three nodes until the end of the block; cohort, logs and results go into the folder.

    deadline_s: longest wait for one round.
    """
    world = SimulatedSites(patients=PATIENTS, hospitals=HOSPITALS)
    drawn = write_cohort(world, folder / "cohort", epochs=rounds * local_epochs, seed=seed)
    plan = FederationConfig(drawn.protocol, rounds=rounds, local_epochs=local_epochs, deadline_s=deadline_s)
    with superlink(folder / "deployed") as deployment:
        spoiling = dataclasses.replace(deployment, client=SPOILING)
        three = Three(plan, drawn.hospitals, folder, spoiling, limit_s)
        for name in plan.hospitals:
            three.keys[name] = deployment.register(name)
            three.start(name)
        yield three
