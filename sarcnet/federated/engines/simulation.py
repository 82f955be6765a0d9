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
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import psutil
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.client_app import make_client_app
from sarcnet.federated.app.server_app import FederatedRun, Server
from sarcnet.federated.config import FederationConfig, FederationError
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.flower_internals import Mod, disable_telemetry

MIB = 2**20
OBJECT_STORE_MIB = 128  # Ray's shared memory; one message with all members is a few MiB
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


def simulate(
    plan: FederationConfig,
    *,
    hospitals: Mapping[str, Path],
    rounds_folder: Path,
    engine: str,
    cpus: int = 2,
    mods: Sequence[Mod] = (),
) -> FederatedRun:
    """Train the plan's model over the hospitals' folders.

    hospitals: name → its folder (`sarcnet.federated.hospital_folder.write_hospital`); only that hospital's client opens it.
    rounds_folder: finished rounds are kept there, and a later call goes on behind the last one.
    engine: "ray" or "inprocess". cpus: processor cores Ray may use; each hospital takes one. mods: Flower mods around the
    hospitals' app, for faults that are staged.
    Raises FederationError naming the hospital and the cause when one fails or does not answer in time.
    """
    server = Server(plan, rounds_folder)
    own_folder = folder_by_partition([str(Path(hospitals[name]).resolve()) for name in plan.hospitals])
    client_app = make_client_app(mods=[own_folder, *mods])
    with quiet_flower(rounds_folder / "flower.log"):
        if engine == "inprocess":
            _run_here(server, client_app)
        elif engine == "ray":
            _run_with_ray(server, client_app, cpus=cpus)
        else:
            raise SarcnetError(f"federation_engine is '{engine}': choose ray or inprocess.")
    if server.result is None:
        raise FederationError(f"The simulation ended without a model: see {rounds_folder / 'flower.log'}.")
    return server.result


def _run_here(server: Server, client_app: ClientApp) -> None:
    grid = InProcessGrid(client_app, nodes=len(server.plan.hospitals))
    context = Context(run_id=grid.run_id, node_id=1, node_config={}, state=RecordDict(), run_config={})
    server.app()(grid, context)


def _run_with_ray(server: Server, client_app: ClientApp, *, cpus: int) -> None:
    """One Ray start for the whole plan, all folds and repeats."""
    from flwr.simulation import run_simulation

    hospitals = len(server.plan.hospitals)
    with ray_started(cpus=cpus) as ray:
        server.at_end = ray.remember_processes
        try:
            run_simulation(
                server_app=server.app(),
                client_app=client_app,
                num_supernodes=hospitals,
                backend_config={"client_resources": {"num_cpus": max(1, cpus // hospitals), "num_gpus": 0}},
            )
        except SarcnetError as error:
            raise FederationError(str(error)) from None  # the reader needs the sentence, not Flower's threads
        finally:
            server.stop.set()
    if server.result is not None:
        server.result.seconds["ray start"] = ray.start_seconds


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

    On a very busy machine Ray gives up on its own start after 30 s, so it is tried twice. Raises FederationError when
    it does not start.
    """
    import ray

    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp" if Path("/tmp").is_dir() else None))
    running = RunningRay()
    _lighten(folder / "light")
    try:
        try:
            _start_ray(folder / "1", cpus=cpus)
        except Exception:
            running.end(ray)
            _start_ray(folder / "2", cpus=cpus)
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
