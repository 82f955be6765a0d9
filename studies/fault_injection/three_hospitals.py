"""A fire drill with three hospitals: privacy, poison, and nodes that fail where they had something to remember.

    python -m studies.fault_injection.three_hospitals

starts a SuperLink and three SuperNodes on this machine, each with a hospital of **simulated feature bags**, and stages

    privacy     secure sums, noise at the server and noise for every patient each end with the simulation's model; a
                hospital's own limit of ε stops the run
    poison      one hospital sends a change a thousand times too large, to the mean and to two robust means
    killed      a hospital dies in the middle of a secure sum; when it is back, the run goes on
    restarted   a node is started again in the middle of a secure sum and of SCAFFOLD, and has lost what it kept for them
    folders     a node has a damaged file, or the folder of another hospital

The faults that two hospitals can have are in `studies.fault_injection.two_hospitals`. Nothing hangs: every wait has a limit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

from sarcnet.federated.app.aggregate import changes
from sarcnet.federated.config import FederationConfig, FederationError
from sarcnet.federated.privacy.clipping import norms
from sarcnet.federated.strategies import strategy_config
from studies.fault_injection.faulty_client import POISON, SLOW
from studies.fault_injection.federation import Three, three_hospitals
from studies.fault_injection.harness import (
    MODEL,
    OUTLIER_TIMES,
    SAME,
    Outcome,
    compared,
    exit_code,
    finished_rounds,
    kill_after_first_round,
    meanwhile,
    said,
    wait_until,
)

ROUNDS, LOCAL_EPOCHS = 2, 5
PATIENT_NOISE = 5.0
SERVER_CLIP, SERVER_NOISE = 1.0, 0.1
TOO_LITTLE = 0.01  # ε that not even one round keeps to
SLOW_S = 60.0  # of a hospital for which the server waits while another's node is started again
FETCHED_S = 5.0  # by then the server has an answer: Flower drops answers that were not fetched when their node leaves
GOES_ON = "went on behind the finished round: "


def privacy(three: Three) -> None:
    """Three kinds of privacy, and a hospital that allows none of them."""
    server = strategy_config("fedavg", clip_norm=SERVER_CLIP, noise_multiplier=SERVER_NOISE)
    private = dataclasses.replace(three.plan, strategy=strategy_config("patient_private", patient_noise=PATIENT_NOISE))
    for what, plan in (
        ("secure sums", dataclasses.replace(three.plan, secure_sum=True)),
        ("noise at the server", dataclasses.replace(three.plan, strategy=server)),
    ):
        three.note(
            what,
            "ends with the simulation's model",
            lambda what=what, plan=plan: three.train_both(plan, what),  # type: ignore[misc]
            lambda text: text.startswith(SAME),
        )
    three.note(
        "noise for every patient",
        "ends with the simulation's model and its ε",
        lambda: _accounted(three, private),
        lambda text: text.startswith(SAME) and "simulation's ε" in text,
    )
    three.start(three.last, epsilon_max=TOO_LITTLE)
    three.note(
        f"{three.last} allows its patients no more than ε = {TOO_LITTLE:g}",
        "the hospital refuses before it computes; the run ends with its name",
        lambda: three.submit(private, three.folder / "refused"),
        lambda text: f"Hospital {three.last} could not do its part of round 1" in text and "epsilon-max" in text,
    )
    three.start(three.last)


def _accounted(three: Three, plan: FederationConfig) -> str:
    out = three.folder / "private"
    three.submit(plan, out)
    run, file = three.simulate(plan, "private simulated")
    spent, simulated = pd.read_parquet(out / "rounds.parquet")["epsilon"].max(), run.rounds["epsilon"].max()
    whose = "the simulation's ε" if spent == simulated else f"not the simulation's ε, {simulated:.4g}"
    return f"{compared(file, out)}; ε = {spent:.4g} a patient (δ = {plan.strategy.delta:g}), {whose}"


def poison(three: Three) -> None:
    """The mean is dragged off, which shows that this is poison; robust means stay near the model without it."""
    three.start(three.last, spoil=POISON)
    for name, promised, begins, where in (
        ("fedavg", "dragged off; the poison is seen", "", "dragged off"),
        ("median", "the simulation's model, near that without poison; the poison is seen", SAME, "near"),
        ("trimmed_mean", "the simulation's model, near that without poison; the poison is seen", SAME, "near"),
    ):
        plan = dataclasses.replace(three.plan, strategy=strategy_config(name))
        three.note(
            f"change of {three.last} a thousand times too large under {name}",
            promised,
            lambda plan=plan: _poisoned(three, plan),  # type: ignore[misc]
            lambda text, begins=begins, where=where: (  # type: ignore[misc]
                text.startswith(begins) and f"; {where}: " in text and "; seen: " in text
            ),
        )
    three.start(three.last)


def _poisoned(three: Three, plan: FederationConfig) -> str:
    """Near: no farther from the model without poison than the hospitals' training moved that one, round by round."""
    name = plan.strategy.name
    out = three.folder / f"{name} poisoned"
    three.submit(plan, out)
    told = compared(three.simulate(plan, f"{name} poisoned simulated", poisoned=three.last, kind=POISON)[1], out)
    honest, file = three.simulate(plan, f"{name} honest")
    off = float(norms(changes(load_file(str(out / MODEL)), received=load_file(str(file)))).max())
    way = float(honest.rounds.groupby("round")["change_norm"].max().sum())
    table = pd.read_parquet(out / "rounds.parquet").pivot(index="round", columns="hospital", values="change_norm")
    times = float((table[three.last] / table.drop(columns=three.last).max(axis=1)).min())
    area = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["auc_binned"]
    return (
        f"{told}; {'near' if off <= way else 'dragged off'}: {off:.3g} from the model without poison, which training "
        f"moved by {way:.3g}, AUC {area:.2f} instead of {honest.evaluation.auc[0]:.2f}; "
        f"{'seen' if times >= OUTLIER_TIMES else 'NOT seen'}: change_norm {times:.3g} times the others'"
    )


def killed(three: Three) -> None:
    """A hospital's power is cut in round 2 of a secure sum; then it comes back, and the same run is asked for again."""
    plan, out = dataclasses.replace(three.plan, secure_sum=True), three.folder / "killed"

    def die() -> str:
        def kill(over: threading.Event) -> None:
            kill_after_first_round(three.deployment, three.last, out, over=over, limit_s=three.limit_s)

        with meanwhile(kill, limit_s=three.limit_s):
            return three.submit(plan, out)

    three.note(
        f"node of {three.last} killed during a secure sum",
        "the run ends by the deadline with the hospital's name; finished rounds are kept",
        die,
        lambda text: f"Hospital {three.last} " in text and "round 2" in text and len(finished_rounds(out)) == 1,
    )
    three.note(
        f"node of {three.last} back, the run asked for again",
        "goes on behind the finished round, with new keys, and ends with the simulation's model",
        lambda: _again(three, plan, out, "killed simulated", back=lambda: three.start(three.last)),
        lambda text: text.startswith(GOES_ON + SAME),
    )


def _again(three: Three, plan: FederationConfig, out: Path, name: str, *, back: Callable[[], None]) -> str:
    """After ``back``, ask for a run again that left one round; begins with GOES_ON and SAME when all is well."""
    before = [(path, path.stat().st_mtime_ns) for path in finished_rounds(out)]
    back()
    three.submit(plan, out)
    told = compared(three.simulate(plan, name)[1], out)
    after = [(path, path.stat().st_mtime_ns) for path in finished_rounds(out)]
    went_on = len(before) == 1 and after[0] == before[0] and len(after) == plan.rounds
    return f"{GOES_ON if went_on else 'began again: '}{told}"


def restarted(three: Three) -> None:
    """A node is started again between two rounds, while the server waits for a slower hospital."""
    slow = three.plan.hospitals[0]
    for what, plan, lost in (
        ("a secure sum", dataclasses.replace(three.plan, secure_sum=True), "lost its key for secure sums"),
        (
            "SCAFFOLD",
            dataclasses.replace(three.plan, strategy=strategy_config("scaffold")),
            "lost SCAFFOLD's control variate",
        ),
    ):
        out = three.folder / f"restarted in {what}"
        three.start(slow, spoil=SLOW, spoil_s=SLOW_S)
        three.note(
            f"node of {three.last} started again during {what}",
            "the hospital says what it lost; the run ends with its name",
            lambda plan=plan, out=out: _started_again(three, plan, out),  # type: ignore[misc]
            lambda text, lost=lost: f"Hospital {three.last} " in text and "round 2" in text and lost in text,  # type: ignore[misc]
        )
        three.start(slow)
        three.note(
            f"{what} asked for again",
            "goes on behind the finished round and ends with the simulation's model",
            lambda plan=plan, out=out: _again(three, plan, out, f"{out.name} simulated", back=lambda: None),  # type: ignore[misc]
            lambda text: text.startswith(GOES_ON + SAME),
        )


def _started_again(three: Three, plan: FederationConfig, out: Path) -> str:
    heard = len(said(three.deployment, three.last))

    def answered() -> bool:
        _, training, after = said(three.deployment, three.last)[heard:].partition("Sending: train")
        return bool(training) and "Sent successfully" in after

    def restart(over: threading.Event) -> None:
        wait_until(answered, what=f"the answer of {three.last} in round 1", over=over, limit_s=three.limit_s)
        if over.wait(FETCHED_S) or finished_rounds(out):
            raise FederationError(f"The slow hospital was too fast: {three.last} could not be started again in time.")
        three.start(three.last)

    with meanwhile(restart, limit_s=three.limit_s):
        return three.submit(plan, out)


def folders(three: Three) -> None:
    """A node whose folder is not what it should be."""
    first, name = three.plan.hospitals[0], three.last
    damaged = three.folder / "damaged"
    shutil.copytree(three.hospitals[name], damaged)
    (damaged / "folds.parquet").write_bytes(b"")
    three.start(name, data=damaged)
    three.note(
        f"folds.parquet of {name} damaged",
        "the hospital's sentence without a path; the full report stays in its folder",
        lambda: three.submit(three.plan, three.folder / "damaged run"),
        lambda text: (
            f"Hospital {name} could not do its part of round 0: the hospital's folder/folds.parquet" in text
            and str(three.folder) not in text
            and (damaged / "error.txt").exists()
        ),
    )
    three.start(name, data=three.hospitals[first])
    three.note(
        f"node of {name} with the folder of {first}",
        "the run does not start, and says who is there",
        lambda: three.submit(three.plan, three.folder / "twice"),
        lambda text: f"but the nodes are {first}, {first}, " in text,
    )
    three.start(name)


STAGES = {stage.__name__: stage for stage in (privacy, poison, killed, restarted, folders)}


def run(
    folder: Path, *, stages: Sequence[str], rounds: int, seed: int, deadline_s: float, limit_s: float
) -> list[Outcome]:
    """These stages; logs and results go into the folder."""
    with three_hospitals(
        folder, rounds=rounds, local_epochs=LOCAL_EPOCHS, seed=seed, deadline_s=deadline_s, limit_s=limit_s
    ) as three:
        for name in stages:
            STAGES[name](three)
        outcomes = [dataclasses.asdict(outcome) for outcome in three.outcomes]
        (folder / "drill.json").write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")
    return three.outcomes


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when everything went as promised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES), help="which to stage")
    parser.add_argument("--keep", type=Path, help="folder to keep logs and results in (default: none is kept)")
    parser.add_argument("--deadline-s", type=float, default=180.0, help="seconds the answers of one round may take")
    parser.add_argument("--limit-s", type=float, default=900.0, help="seconds one run may take")
    parser.add_argument("--seed", type=int, default=2025)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sarcnet-drill-of-three-") as temporary:
        waits = {"deadline_s": options.deadline_s, "limit_s": options.limit_s}
        folder = options.keep or Path(temporary)
        return exit_code(lambda: run(folder, stages=options.stages, rounds=ROUNDS, seed=options.seed, **waits))


if __name__ == "__main__":
    sys.exit(main())
