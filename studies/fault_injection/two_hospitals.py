"""A fire drill with real programs: what happens when a hospital's node or the server fails.

    python -m studies.fault_injection.two_hospitals --run runs/smoke

stages, on this machine and with the hospitals' folders of a finished notebook 04, a node that trusts another
authority, a node whose key nobody registered, nodes that answer too late, with numbers that are not finite, of another shape,
of no patient, or a thousand times too large, a node killed in the middle of a round, and a SuperLink restarted after it; then
looks whether the resumed run ends with the simulation's model. Takes some minutes: each Flower program needs seconds to
start. Nothing hangs: every wait has a limit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from sarcnet.federated.config import FederationConfig
from studies.fault_injection.faulty_client import NOBODY, NOT_FINITE, OTHER_SHAPE, POISON, SLOW, SPOILING
from studies.fault_injection.harness import (
    MODEL,
    OUTLIER_TIMES,
    SAME,
    Outcome,
    bring_back,
    compared,
    exit_code,
    finished_rounds,
    kill_after_first_round,
    meanwhile,
    noted,
)
from studies.local_federation.certificates import make_authority, make_hospital_key
from studies.local_federation.run import Deployment, plan_of_run, start_superlink, superlink

CLIP_NORM = 1.0  # in the run with a poisoned change


@dataclass
class Drill:
    """Stages the faults one after the other with one SuperLink.

    deadline_s, start_deadline_s: the plan's deadlines here; a run may take limit_s in all.
    """

    plan: FederationConfig
    hospitals: dict[str, Path]
    simulated: Path
    deadline_s: float
    start_deadline_s: float
    limit_s: float
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, folder: Path) -> list[Outcome]:
        """All faults; certificates, logs and results go into the folder."""
        with superlink(folder) as deployment:
            self._strangers(deployment)
            keys = {name: deployment.register(name) for name in self.plan.hospitals}
            for name, key in keys.items():
                deployment.start_node(name, key=key, data=self.hospitals[name])
            self._misbehaving(dataclasses.replace(deployment, client=SPOILING), keys)
            self._killed_node(deployment)
            self._restarted_superlink(deployment, keys)
        return self.outcomes

    def _note(self, fault: str, promised: str, act: Callable[[], str], kept: Callable[[str], bool]) -> None:
        self.outcomes.append(noted(fault, promised, act, kept))

    def _strangers(self, deployment: Deployment) -> None:
        """One node with a key nobody registered, one that trusts another authority: neither is counted."""
        first, second = self.plan.hospitals[:2]
        stranger = make_hospital_key(deployment.folder / "keys" / "stranger").with_suffix("")
        other = deployment.folder / "other authority"
        make_authority(other, name="somebody else")
        known = deployment.register(second)
        deployment.start_node(first, key=stranger, data=self.hospitals[first])
        deployment.start_node(second, key=known, data=self.hospitals[second], authority=other / "ca.crt")
        plan = dataclasses.replace(self.plan, start_deadline_s=self.start_deadline_s)
        out = deployment.folder / "strangers"
        self._note(
            "key not registered; SuperLink's certificate of another authority",
            "neither node takes part; the run ends with a sentence",
            lambda: self._submit(deployment, plan, out),
            lambda text: text.startswith(f"Only 0 of {len(self.plan.hospitals)} hospitals connected"),
        )
        for name in (first, second):
            deployment.programs.end(f"node {name}")

    def _misbehaving(self, deployment: Deployment, keys: dict[str, Path]) -> None:
        """The last hospital's node answers late or with numbers no honest node would send; then an honest one takes its
        place."""
        name = self.plan.hospitals[-1]
        late = dataclasses.replace(self.plan, deadline_s=self.deadline_s)
        clipped = dataclasses.replace(late, strategy=dataclasses.replace(late.strategy, clip_norm=CLIP_NORM))
        for kind, promised, words, plan in (
            (SLOW, "the run ends by the deadline with the hospital's name", f"{name} did not answer in round 1", late),
            (
                NOT_FINITE,
                "refused with the hospital's name",
                f"Hospital {name} sent in round 1 numbers that are not fin",
                late,
            ),
            (
                OTHER_SHAPE,
                "refused with the hospital's name",
                f"Hospital {name} sent in round 1 arrays that do not fit",
                late,
            ),
            (
                NOBODY,
                "refused with the hospital's name",
                f"Hospital {name} sent in round 1 the numbers of training",
                late,
            ),
            (POISON, "seen in rounds.parquet, and clipped", f"the change of {name} was ", clipped),
        ):
            deployment.programs.end(f"node {name}")
            waits = self.deadline_s + 30.0
            deployment.start_node(name, key=keys[name], data=self.hospitals[name], spoil=kind, spoil_s=waits)
            out = deployment.folder / f"misbehaving, {kind}"
            self._note(
                f"node of {name}: {kind}",
                promised,
                lambda plan=plan, out=out, kind=kind: self._outlier(deployment, plan, out, name, poison=kind == POISON),  # type: ignore[misc]
                lambda text, words=words: words in text,  # type: ignore[misc]
            )
        deployment.programs.end(f"node {name}")
        deployment.start_node(name, key=keys[name], data=self.hospitals[name])

    def _outlier(self, deployment: Deployment, plan: FederationConfig, out: Path, name: str, *, poison: bool) -> str:
        """Train; with a poisoned change, how it stands out among the others."""
        said = self._submit(deployment, plan, out)
        if not poison:
            return said
        lengths = pd.read_parquet(out / "rounds.parquet").groupby("hospital")["change_norm"].max()
        times = lengths[name] / lengths.drop(name).max()
        finite = all(np.isfinite(array).all() for array in load_file(str(out / MODEL)).values())
        if times < OUTLIER_TIMES or not finite:
            return f"the poison passed unseen: {times:.1f} times the others' change, finite: {finite}"
        return (
            f"{said}: the change of {name} was {times:.0f} times as long as the others' and was cut to length "
            f"{plan.strategy.clip_norm:g}"
        )

    def _killed_node(self, deployment: Deployment) -> None:
        """The last hospital's node is killed once the first round is on disk."""
        name, out = self.plan.hospitals[-1], deployment.folder / "result"
        plan = dataclasses.replace(self.plan, deadline_s=self.deadline_s)

        def act() -> str:
            def kill(over: threading.Event) -> None:
                kill_after_first_round(deployment, name, out, over=over, limit_s=self.limit_s)

            with meanwhile(kill, limit_s=self.limit_s):
                return self._submit(deployment, plan, out)

        self._note(
            f"node of {name} killed in round 2",
            "the run ends by the deadline with a sentence; finished rounds are kept",
            act,
            lambda text: f"Hospital {name} " in text and "round 2" in text and len(finished_rounds(out)) == 1,
        )

    def _restarted_superlink(self, deployment: Deployment, keys: dict[str, Path]) -> None:
        """SuperLink is ended and started again, and the killed node with it; the other nodes find it by themselves.

        The same run goes on behind its first round.
        """
        out = deployment.folder / "result"

        def act() -> str:
            deployment.programs.end("superlink")
            start_superlink(deployment)
            killed = self.plan.hospitals[-1]
            again = lambda: deployment.start_node(killed, key=keys[killed], data=self.hospitals[killed])  # noqa: E731
            bring_back(deployment, killed, again)
            self._submit(deployment, self.plan, out)
            return compared(self.simulated, out)

        self._note(
            "SuperLink restarted",
            "keys stay registered; the run resumes behind the last finished round and ends with the same model",
            act,
            lambda text: text.startswith(SAME),
        )

    def _submit(self, deployment: Deployment, plan: FederationConfig, out: Path) -> str:
        deployment.submit(plan, out=out, limit_s=self.limit_s)
        return "the run ended with a model"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every fault had the promised outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("runs/smoke"), help="folder of a run with notebook 04 done")
    parser.add_argument("--keep", type=Path, help="folder to keep logs and results in (default: none is kept)")
    parser.add_argument("--deadline-s", type=float, default=60.0, help="seconds a round may take when a node is killed")
    parser.add_argument("--limit-s", type=float, default=900.0, help="seconds one run may take")
    options = parser.parse_args(arguments)

    def stage() -> list[Outcome]:
        plan, hospitals, simulated = plan_of_run(options.run)
        drill = Drill(plan, hospitals, simulated, options.deadline_s, options.deadline_s, options.limit_s)
        with tempfile.TemporaryDirectory(prefix="sarcnet-drill-") as temporary:
            folder = options.keep or Path(temporary)
            outcomes = drill.run(folder)
            (folder / "drill.json").write_text(json.dumps([dataclasses.asdict(o) for o in outcomes], indent=1) + "\n")
        return outcomes

    return exit_code(stage)


if __name__ == "__main__":
    sys.exit(main())
