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

import numpy as np
import pandas as pd
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from sarcnet.compendium.progress import track
from sarcnet.federated.app.checkpoint import FinishedRound, load_rounds, save_round
from sarcnet.federated.app.early_stopping import AllStopped, best_rounds, kept_arrays
from sarcnet.federated.app.grid import LoggingGrid
from sarcnet.federated.app.heldout_sums import EvaluationSums
from sarcnet.federated.app.ledger import sizes
from sarcnet.federated.app.records import check_axes, from_record, instructions, standardisation, to_record
from sarcnet.federated.app.strategy import MemberStrategy
from sarcnet.federated.plan import FederationConfig
from sarcnet.federated.privacy.masking import STATISTICS
from sarcnet.federated.privacy.secure_aggregation import SECURE, SecureAggregation, exchange_keys
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
    seal: SecureAggregation | None = None

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
        seconds: dict[str, float] = {}
        postbox = LoggingGrid(grid, stop=self.stop)
        with timed(seconds, "meeting"):
            postbox.meet(self.plan.hospitals, deadline_s=self.plan.start_deadline_s)
        if self.plan.secure_sum:
            self.seal = exchange_keys(postbox, deadline_s=self.plan.deadline_s)
        with timed(seconds, "statistics"):
            statistics = self._statistics(postbox)
        stack = build_stack(self.plan.protocol, members=self.plan.members)
        apply_statistics(stack, statistics)
        folder = self.folder / self.plan.key(statistics.to_arrays())
        with timed(seconds, "rounds"):
            done, finished = self._rounds(postbox, stack, folder)
        with timed(seconds, "centring"):
            self._centre(postbox, stack)
        with timed(seconds, "evaluation"):
            evaluation = self._evaluate(postbox, stack)
        messages = postbox.ledger.frame()
        check_axes(sizes(messages), shape=stack.shape, repeats=self.plan.protocol.repeats)
        return FederatedRun(
            model=TrainedStack(self.plan.protocol, self.plan.members, stack.eval()),
            messages=messages,
            rounds=pd.DataFrame([row for f in finished for row in f.rows]),
            rounds_folder=folder,
            resumed_after=done,
            seconds=seconds,
            evaluation=evaluation,
        )

    def _statistics(self, postbox: LoggingGrid) -> TrainingStatistics:
        """Sum of the hospitals' statistics, in the order of their names."""
        question = self._sealed(RecordDict({"config": instructions(self.plan.protocol)}), "query.statistics 0")
        replies = postbox.send_and_receive(postbox.letters("query.statistics", question), timeout=self.plan.deadline_s)
        own = [TrainingStatistics.from_arrays(arrays) for arrays in self._arrays(postbox, replies)]
        total = own[0]
        for other in own[1:]:
            total = total + other
        return total

    def _rounds(self, postbox: LoggingGrid, stack: StackedNetwork, folder: Path) -> tuple[int, list[FinishedRound]]:
        """Go on behind the last finished round; leaves the final weights in the stack."""
        finished = load_rounds(folder, upto=self.plan.rounds)
        done = len(finished)
        for earlier in finished:
            postbox.ledger.rows += earlier.messages
        written = len(postbox.ledger.rows)
        progress = iter(track(range(done, self.plan.rounds), total=self.plan.rounds - done, what="federated rounds"))

        def on_round(ended: FinishedRound) -> None:
            nonlocal written
            finished.append(dataclasses.replace(ended, messages=postbox.ledger.rows[written:]))
            written = len(postbox.ledger.rows)
            save_round(folder, finished[-1])
            next(progress, None)
            if self._all_stopped(finished):
                raise AllStopped

        strategy = MemberStrategy(
            self.plan,
            standardisation=standardisation(stack),
            finished=finished[-1] if finished else None,
            on_round=on_round,
            seal=self.seal,
        )
        start = finished[-1].arrays if finished else stack.parameter_arrays()
        asked = (self.plan.rounds - done) * strategy.visits
        with suppress(AllStopped):
            if not self._all_stopped(finished):
                strategy.start(postbox, to_record(start), num_rounds=asked, timeout=self.plan.deadline_s)
        stopping, patience = self.plan.protocol.early_stopping_share > 0, self.plan.protocol.patience
        stack.load_parameter_arrays(kept_arrays(finished, patience=patience) if stopping else finished[-1].arrays)
        return done, finished

    def _all_stopped(self, finished: list[FinishedRound]) -> bool:
        """Whether no member would keep a later round: never without early stopping."""
        if not (self.plan.protocol.early_stopping_share and finished):
            return False
        return bool(best_rounds(finished, patience=self.plan.protocol.patience).stopped.all())

    def _centre(self, postbox: LoggingGrid, stack: StackedNetwork) -> None:
        """Move the average training image score into the hazard, as the pooled model does."""
        postbox.round = self.plan.rounds + 1
        replies = self._ask_with_model(postbox, stack, "query.centring")
        own = self._arrays(postbox, replies)
        total, count = (np.sum([o[name] for o in own], axis=0) for name in ("total", "count"))
        stack.centre_image_score(total=total, count=count)

    def _evaluate(self, postbox: LoggingGrid, stack: StackedNetwork) -> EvaluationSums:
        """How good the finished model is on held-out patients, summed over hospitals."""
        replies = self._ask_with_model(postbox, stack, "query.evaluation")
        own = [EvaluationSums.from_arrays(arrays) for arrays in self._arrays(postbox, replies)]
        total = own[0]
        for other in own[1:]:
            total = total + other
        return total

    def _ask_with_model(self, postbox: LoggingGrid, stack: StackedNetwork, question: str) -> list[Message]:
        content = RecordDict(
            {
                "arrays": to_record(stack.parameter_arrays()),
                "standardisation": to_record(standardisation(stack)),
                "config": instructions(self.plan.protocol),
            }
        )
        content = self._sealed(content, f"{question} {postbox.round}")
        return postbox.send_and_receive(postbox.letters(question, content), timeout=self.plan.deadline_s)

    def _sealed(self, content: RecordDict, question: str) -> RecordDict:
        """The content, with the keys under which the answers are to be hidden, where they are."""
        if self.seal:
            content[SECURE] = self.seal.told(question)
        return content

    def _arrays(self, postbox: LoggingGrid, replies: list[Message]) -> list[dict[str, np.ndarray]]:
        """What each hospital sent, or, where that is hidden, the sum of all as the only one."""
        own = {
            postbox.hospitals[r.metadata.src_node_id]: from_record(r.content.array_records["arrays"]) for r in replies
        }
        return [self.seal.opened(own, fixed=STATISTICS)] if self.seal else list(own.values())


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of a step to a table of steps."""
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started
