"""What runs at the server: a Flower ServerApp that knows the plan, holds no patient, and asks the hospitals in turn.

meet the hospitals → sum their statistics → R rounds of train-and-average → centre the image score → sum
what the hospitals find on held-out patients
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from sarcnet.compendium.progress import track
from sarcnet.federated.app.checkpoint import FinishedRound, load_rounds, save_round
from sarcnet.federated.app.early_stopping import AllStopped, best_rounds, kept_arrays
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.heldout_sums import EvaluationSums
from sarcnet.federated.app.ledger import sizes
from sarcnet.federated.app.records import check_axes, from_record, instructions, standardisation, to_record
from sarcnet.federated.app.secure_aggregation import SECURE, SecureAggregation, exchange_keys
from sarcnet.federated.app.strategy import MemberStrategy
from sarcnet.federated.config import FederationConfig
from sarcnet.federated.privacy.clipping import Arrays
from sarcnet.federated.privacy.masking import STATISTICS
from sarcnet.model.network import StackedNetwork
from sarcnet.model.predict import TrainedStack
from sarcnet.model.protocol import build_stack
from sarcnet.model.statistics import TrainingStatistics, apply_statistics


@dataclass
class FederatedRun:
    """What the server has at the end.

    The model, the ledger, a row a round and hospital, the folder of the rounds, where the time went, and the hospitals'
    sums over held-out patients.
    """

    model: TrainedStack
    messages: pd.DataFrame
    rounds: pd.DataFrame
    rounds_folder: Path
    resumed_after: int
    seconds: dict[str, float]
    evaluation: EvaluationSums


@dataclass
class Server:
    """The server's work under one plan. ``result`` is there once the app has run.

    folder: where rounds are kept. stop: set by the engine when it breaks down. at_end: called when the work has
    ended, well or not.
    """

    plan: FederationConfig
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    at_end: Callable[[], None] = lambda: None
    result: FederatedRun | None = None
    secure: SecureAggregation | None = None

    def app(self) -> ServerApp:
        """As a Flower app."""
        app = ServerApp()

        @app.main()
        def main(grid: Grid, context: Context) -> None:
            try:
                self.result = self.run(grid)
            finally:
                self.at_end()

        return app

    def run(self, grid: Grid) -> FederatedRun:
        """Everything, from the first message to the model."""
        plan, seconds = self.plan, dict[str, float]()
        logged = LoggingGrid(grid, stop=self.stop)
        with timed(seconds, "meeting"):
            logged.wait_for_nodes(plan.hospitals, deadline_s=plan.start_deadline_s)
        if plan.secure_sum:
            self.secure = exchange_keys(logged, deadline_s=plan.deadline_s)
        with timed(seconds, "statistics"):
            question = RecordDict({"config": instructions(plan.protocol)})
            sums = self._sums(logged, "query.statistics", question)
            statistics = TrainingStatistics.from_arrays(sums)
        stack = build_stack(plan.protocol, members=plan.members)
        apply_statistics(stack, statistics)
        folder = self.folder / plan.key(statistics.to_arrays())
        with timed(seconds, "rounds"):
            done, finished = self._rounds(logged, stack, folder)
        logged.round = plan.rounds + 1
        with timed(seconds, "centring"):
            stack.centre_image_score(**self._sums(logged, "query.centring", self._model(stack)))
        with timed(seconds, "evaluation"):
            evaluation = EvaluationSums.from_arrays(self._sums(logged, "query.evaluation", self._model(stack)))
        messages = logged.ledger.frame()
        check_axes(sizes(messages), shape=stack.shape, repeats=plan.protocol.repeats)
        return FederatedRun(
            model=TrainedStack(plan.protocol, plan.members, stack.eval()),
            messages=messages,
            rounds=pd.DataFrame([row for f in finished for row in f.rows]),
            rounds_folder=folder,
            resumed_after=done,
            seconds=seconds,
            evaluation=evaluation,
        )

    def _rounds(self, grid: LoggingGrid, stack: StackedNetwork, folder: Path) -> tuple[int, list[FinishedRound]]:
        """Go on behind the last finished round; leaves the final weights in the stack."""
        finished = load_rounds(folder, upto=self.plan.rounds)
        done = len(finished)
        for earlier in finished:
            grid.ledger.rows += earlier.messages
        written = len(grid.ledger.rows)
        progress = iter(track(range(done, self.plan.rounds), total=self.plan.rounds - done, what="federated rounds"))

        def on_round(ended: FinishedRound) -> None:
            nonlocal written
            finished.append(dataclasses.replace(ended, messages=grid.ledger.rows[written:]))
            written = len(grid.ledger.rows)
            save_round(folder, finished[-1])
            next(progress, None)
            if self._all_stopped(finished):
                raise AllStopped

        strategy = MemberStrategy(
            self.plan,
            standardisation=standardisation(stack),
            finished=finished[-1] if finished else None,
            on_round=on_round,
            secure=self.secure,
        )
        start = finished[-1].arrays if finished else stack.parameter_arrays()
        asked = (self.plan.rounds - done) * strategy.visits
        with suppress(AllStopped):
            if not self._all_stopped(finished):
                strategy.start(grid, to_record(start), num_rounds=asked, timeout=self.plan.deadline_s)
        stopping, patience = self.plan.protocol.early_stopping_share > 0, self.plan.protocol.patience
        stack.load_parameter_arrays(kept_arrays(finished, patience=patience) if stopping else finished[-1].arrays)
        return done, finished

    def _all_stopped(self, finished: list[FinishedRound]) -> bool:
        """Whether no member would keep a later round: never without early stopping."""
        if not (self.plan.protocol.early_stopping_share and finished):
            return False
        return bool(best_rounds(finished, patience=self.plan.protocol.patience).stopped.all())

    def _model(self, stack: StackedNetwork) -> RecordDict:
        """The finished model as it goes with a question."""
        arrays, computed = to_record(stack.parameter_arrays()), to_record(standardisation(stack))
        config = instructions(self.plan.protocol)
        return RecordDict({"arrays": arrays, "standardisation": computed, "config": config})

    def _sums(self, grid: LoggingGrid, question: str, content: RecordDict) -> Arrays:
        """Ask every hospital and add up the arrays of the answers, float64, in the order of the hospitals' names."""
        if self.secure:
            content[SECURE] = self.secure.record(f"{question} {grid.round}")
        replies = grid.send_and_receive(grid.messages(question, content), timeout=self.plan.deadline_s)
        sent = {grid.hospitals[r.metadata.src_node_id]: from_record(r.content.array_records["arrays"]) for r in replies}
        if self.secure:
            return self.secure.unmask(sent, fixed=STATISTICS)
        first, *others = sent.values()
        return {name: sum((other[name] for other in others), array) for name, array in first.items()}


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of a step to a table of steps."""
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started
