"""The federation on one machine: two engines that run the same ServerApp and ClientApp.

``ray``: Flower's simulation, a process for each hospital, the documented engine. ``inprocess``: everything in this
process, for smoke runs and tests.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.client_app import make_client_app
from sarcnet.federated.app.server_app import FederatedRun, Server
from sarcnet.federated.config import FederationConfig, FederationError
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.flower_internals import Mod, disable_telemetry

MIB = 2**20
OBJECT_STORE_MIB = 128  # Ray's shared memory; one message with all members is a few MiB
START_ATTEMPTS = 4  # of Ray, which gives up on its own start after 30 s
ENDING_S = 3  # patience with processes that were told to end: they have nothing to save


def folder_by_partition(folders: list[str]) -> Mod:
    """A Flower mod that does in the simulation what a node's configuration does in a deployment.

    Node i learns the path of its own folder.
    """

    def give_folder(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
        number = int(context.node_config["partition-id"])
        context.node_config["data-path"] = folders[number]
        context.node_config["noise-secret"] = number  # a simulation keeps no secret: the same seed, the same bytes
        return call_next(message, context)

    return give_folder


class LocalFederation:
    """A federated training on this machine: Flower's two apps, and what has to be set up around them.

    ``server_app`` and ``client_app`` are handed to `flwr.simulation.run_simulation`, or to `run_in_process`, within
    `prepared`; `result` is there afterwards. Finished rounds are kept, and a later training goes on behind the last one.

    Args:
        plan: what is trained (`FederationConfig`).
        hospitals: name → its folder (`write_hospital`); only that hospital's client opens it.
        rounds_folder: where finished rounds and Flower's log are kept.
        mods: Flower mods around the hospitals' app, for faults that are staged.
    """

    def __init__(
        self, plan: FederationConfig, *, hospitals: Mapping[str, Path], rounds_folder: Path, mods: Sequence[Mod] = ()
    ) -> None:
        self.server = Server(plan, rounds_folder)
        folders = [str(Path(hospitals[name]).resolve()) for name in plan.hospitals]
        self.server_app = self.server.app()
        self.client_app = make_client_app(mods=[folder_by_partition(folders), *mods])

    @contextmanager
    def prepared(self, engine: str, *, cpus: int = 2) -> Iterator[dict[str, Any]]:
        """Flower speaks into a file, reports and fetches nothing, and Ray, where asked for, is started and ended.

        Args:
            engine: "ray" or "inprocess".
            cpus: processor cores Ray may use; each hospital takes one.

        Yields:
            The settings of `flwr.simulation.run_simulation` beside the two apps.

        Raises:
            FederationError: a hospital fails or does not answer in time; names it and the cause. Or Ray does not start.
        """
        if engine not in ("ray", "inprocess"):
            raise SarcnetError(f"federation_engine is '{engine}': choose ray or inprocess.")
        nodes = len(self.server.plan.hospitals)
        resources = {"num_cpus": max(1, cpus // nodes), "num_gpus": 0}
        start = ray_started(cpus=cpus) if engine == "ray" else nullcontext()
        with quiet_flower(self.server.folder / "flower.log"), start as ray:
            if ray:
                self.server.at_end = ray.remember_processes
            try:
                yield {"num_supernodes": nodes, "backend_config": {"client_resources": resources}}
            except SarcnetError as error:
                raise FederationError(str(error)) from None  # the reader needs the sentence, not Flower's threads
            finally:
                self.server.stop.set()
        if ray and self.server.result:
            self.server.result.seconds["ray start"] = ray.start_seconds

    @property
    def result(self) -> FederatedRun:
        """The model, the ledger and the rest; raises FederationError where the training did not come to an end."""
        if self.server.result is None:
            raise FederationError(f"The simulation ended without a model: see {self.server.folder / 'flower.log'}.")
        return self.server.result


def run_in_process(
    server_app: ServerApp, client_app: ClientApp, num_supernodes: int, backend_config: Mapping[str, Any] | None = None
) -> None:
    """What `flwr.simulation.run_simulation` does, without Ray and its half minute of start: for tests and smoke runs.

    The hospitals take turns in this process; the weights are those of `run_simulation` to the last bit, as a test holds.

    Args:
        server_app: Flower's ServerApp, run to its end.
        client_app: Flower's ClientApp, called for each message.
        num_supernodes: number of hospitals; hospital i has ``partition-id`` i in its configuration.
        backend_config: settings of Ray, not looked at here.
    """
    grid = InProcessGrid(client_app, nodes=num_supernodes)
    server_app(grid, Context(run_id=grid.run_id, node_id=1, node_config={}, state=RecordDict(), run_config={}))


def simulate(
    plan: FederationConfig,
    *,
    hospitals: Mapping[str, Path],
    rounds_folder: Path,
    engine: str,
    cpus: int = 2,
    mods: Sequence[Mod] = (),
) -> FederatedRun:
    """Train the plan's model over the hospitals' folders: `LocalFederation` from its making to its result.

    Args:
        plan: what is trained (`FederationConfig`).
        hospitals: name → its folder (`write_hospital`); only that hospital's client opens it.
        rounds_folder: finished rounds are kept there, and a later call goes on behind the last one.
        engine: "ray", Flower's simulation, or "inprocess".
        cpus: processor cores Ray may use; each hospital takes one.
        mods: Flower mods around the hospitals' app, for faults that are staged.

    Returns:
        The model, the ledger of messages, losses by round and hospital, and the hospitals' own evaluation.

    Raises:
        FederationError: a hospital fails or does not answer in time; names it and the cause.
    """
    federation = LocalFederation(plan, hospitals=hospitals, rounds_folder=rounds_folder, mods=mods)
    with federation.prepared(engine, cpus=cpus) as settings:
        if engine == "ray":
            from flwr.simulation import run_simulation

            run_simulation(federation.server_app, federation.client_app, **settings)
        else:
            run_in_process(federation.server_app, federation.client_app, **settings)
    return federation.result


class RunningRay:
    """A started Ray: how long its start took, and which processes belong to it."""

    def __init__(self) -> None:
        self.before = set(psutil.Process().children(recursive=True))
        self.processes: set[psutil.Process] = set()
        self.start_seconds = -time.perf_counter()

    def started(self) -> None:
        """Stop the clock."""
        self.start_seconds += time.perf_counter()

    def remember_processes(self) -> None:
        """Note the processes that are running now.

        Called before Ray is shut down, as afterwards they are nobody's children.
        """
        self.processes |= set(psutil.Process().children(recursive=True)) - self.before

    def end(self, ray: ModuleType) -> None:
        """Shut Ray down, wait until all its processes are gone, and end those that stay."""
        self.remember_processes()
        ray.shutdown()
        _, alive = psutil.wait_procs(list(self.processes), timeout=ENDING_S)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@contextmanager
def ray_started(*, cpus: int) -> Iterator[RunningRay]:
    """Ray on this machine only, with its files in a short folder of its own that goes with it.

    On a very busy machine Ray gives up on its own start after 30 s, so it is tried again. Raises FederationError when it
    does not start.
    """
    import ray

    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp" if Path("/tmp").is_dir() else None))
    running = RunningRay()
    _lighten(folder / "light")
    try:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                _start_ray(folder / str(attempt), cpus=cpus)
                break
            except Exception:
                running.end(ray)
                if attempt == START_ATTEMPTS:
                    raise
    except Exception as error:
        running.end(ray)
        shutil.rmtree(folder, ignore_errors=True)
        raise FederationError(
            f"Ray did not start ({error}): close other programs and run again, or set federation_engine to inprocess."
        ) from None
    running.started()
    try:
        yield running
    finally:
        running.end(ray)
        shutil.rmtree(folder, ignore_errors=True)


def _lighten(folder: Path) -> None:
    """Spare Ray's seven Python processes an import that takes each of them 3 s: half of Ray's start.

    They all load jsonschema, which, where JupyterLab is installed, loads rfc3987_syntax, which builds a grammar for
    addresses nobody here checks. jsonschema does without it when it cannot be imported.
    """
    folder.mkdir(parents=True)
    (folder / "rfc3987_syntax.py").write_text('raise ImportError("left out on purpose")\n')
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def _start_ray(folder: Path, *, cpus: int) -> None:
    """No dashboard, no usage report, bounded memory, quiet."""
    import ray

    ray.init(
        num_cpus=cpus,
        num_gpus=0,
        include_dashboard=False,
        configure_logging=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_MIB * MIB,
        _temp_dir=str(folder),
    )


@contextmanager
def quiet_flower(log_file: Path) -> Iterator[None]:
    """Flower's and Ray's words go to a file, nothing is reported to their makers, nothing is fetched."""
    settings = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_agent_register_timeout_ms": "28000",  # Ray's own patience ends at 30 s
        "RAY_worker_niceness": "0",  # with Ray's 15 a busy machine starves them: minutes, not seconds, to start
    }
    before = {name: os.environ.get(name) for name in (*settings, "PYTHONPATH")}
    os.environ.update(settings)
    disable_telemetry()
    log = logging.getLogger("flwr")
    handlers, propagate = log.handlers, log.propagate
    log_file.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log_file, mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers, log.propagate = [to_file], False
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate
        to_file.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
