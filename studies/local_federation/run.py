"""A real federation on this machine: one SuperLink, one SuperNode per hospital, TLS, node keys, one `flwr run`.

    python -m studies.local_federation.run --run runs/smoke

takes the hospitals' folders and the protocol of a finished notebook 04, lets separate programs that speak TLS over
sockets train the same model, and compares it with the one the notebook's simulation left. Every wait has a limit and
nothing is left running. Between machines the same programs are started by hand: docs/federation.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.files import atomic_path
from sarcnet.federated.config import FederationConfig, FederationError
from sarcnet.model.protocol import Protocol
from studies.local_federation.certificates import make_authority, make_hospital_key, make_server_certificate
from studies.local_federation.processes import Programs, free_ports, running

APP = Path(str(resources.files("sarcnet.federated"))) / "flower_app"
CLIENT = "sarcnet.federated.app.client_app"  # module with the app that nodes run
HOST = "127.0.0.1"
CERTIFICATE_DAYS = 30
TOLERANCE = 1e-5  # of a weight; both sides compute in float32
START_S, REGISTER_S, NODE_S = 90.0, 60.0, 90.0  # limits of the waits before the run
#: Nothing is reported to Flower's makers, nothing is fetched, and nobody's settings in ~/.flwr are read or changed.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONWARNINGS": "ignore",
    # Compiled once and kept: a node's process that is not up within 30 s is given up by Flower and started again, for ever.
    "PYTHONDONTWRITEBYTECODE": "",
}


@dataclass(frozen=True)
class Deployment:
    """A SuperLink that is up: its programs, its address, its folder, and the module with the app that nodes run."""

    programs: Programs
    port: int
    folder: Path
    client: str = CLIENT

    @property
    def certificates(self) -> Path:
        """Folder of ca.crt, server.pem and server.key."""
        return self.folder / "certificates"

    def register(self, hospital: str) -> Path:
        """Make a hospital's key pair and tell the SuperLink its public half; returns the private key's path."""
        public = make_hospital_key(self.folder / "keys" / hospital)
        command = [program("flwr"), "supernode", "register", str(public), "sarcnet", "--name", hospital]
        if self.programs.run(f"register {hospital}", command, limit_s=REGISTER_S, **self.client_home()):
            said = self.programs.last_words(f"register {hospital}")
            raise FederationError(f"Hospital {hospital} could not be registered: {said}")
        return public.with_suffix("")

    def start_node(
        self, hospital: str, *, key: Path, data: Path, authority: Path | None = None, **settings: str | float
    ) -> None:
        """Start a hospital's SuperNode. data: its folder; authority: certificate it trusts, default this federation's.

        settings: more of its node configuration.
        """
        (port,) = free_ports(1)
        own = {"data-path": str(data.resolve()), **{name.replace("_", "-"): value for name, value in settings.items()}}
        command = [
            *(program("flower-supernode"), "--superlink", f"{HOST}:{self.port}"),
            *("--root-certificates", str(authority or self.certificates / "ca.crt")),
            *("--auth-supernode-private-key", str(key)),
            *("--host", HOST, "--port", str(port), "--max-wait-time", str(int(NODE_S))),
            *("--node-config", " ".join(f"{name}={json.dumps(value)}" for name, value in own.items())),
        ]
        home = self.folder / "homes" / hospital
        home.mkdir(parents=True, exist_ok=True)
        self.programs.start(f"node {hospital}", command, FLWR_HOME=str(home))

    def submit(self, plan: FederationConfig, *, out: Path, limit_s: float) -> None:
        """`flwr run` with this plan; returns when ``out`` holds the model.

        Raises FederationError with the server's own sentence when it does not come to that within limit_s seconds.
        """
        from sarcnet.federated.engines.deployed_server import FAILED, run_config

        settings = self.folder / "run.toml"
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in run_config(plan, out=out.resolve()).items()]
        settings.write_text("".join(lines), encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        for name in (FAILED, "sarcnet_fedavg.json"):
            (out / name).unlink(missing_ok=True)
        command = [program("flwr"), "run", str(self._app()), "sarcnet", "--run-config", str(settings)]
        started = time.monotonic()
        if self.programs.run("flwr run", command, limit_s=min(limit_s, START_S), **self.client_home()):
            raise FederationError(f"flwr run was refused: {self.programs.last_words('flwr run')}")
        self.programs.wait_for(
            lambda: (out / "sarcnet_fedavg.json").exists() or (out / FAILED).exists(),
            what="the end of the run",
            limit_s=limit_s - (time.monotonic() - started),
            needs=["superlink"],
        )
        if (out / FAILED).exists():
            raise FederationError((out / FAILED).read_text(encoding="utf-8").strip())

    def client_home(self) -> dict[str, str]:
        """Settings of the `flwr` command: where the SuperLink is and which authority to trust."""
        home = self.folder / "homes" / "researcher"
        home.mkdir(parents=True, exist_ok=True)
        authority = json.dumps(str((self.certificates / "ca.crt").resolve()))
        (home / "config.toml").write_text(
            '[superlink]\ndefault = "sarcnet"\n\n[superlink.sarcnet]\n'
            f'address = "{HOST}:{self.port}"\nroot-certificates = {authority}\n'
        )
        return {"FLWR_HOME": str(home)}

    def _app(self) -> Path:
        """A copy of the app to bundle, as `flwr run` writes beside it; its nodes run `client`."""
        copied = Path(shutil.copytree(APP, self.folder / "app", dirs_exist_ok=True, ignore=_no_caches))
        if self.client != CLIENT:
            module = copied / "sarcnet_app" / "client.py"
            module.write_text(module.read_text(encoding="utf-8").replace(CLIENT, self.client), encoding="utf-8")
        return copied


_no_caches = shutil.ignore_patterns("__pycache__")


def program(name: str) -> str:
    """Path of a program of this environment; raises SarcnetError when it is not installed."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise SarcnetError(f"The program {name} is not beside {sys.executable}: run make setup.")
    return str(path)


@contextmanager
def superlink(folder: Path) -> Iterator[Deployment]:
    """A SuperLink with a new authority, TLS, node authentication and a database, until the end of the block."""
    folder = folder.resolve()
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)  # clocks differ a little
    authority = make_authority(folder / "certificates", name="sarcnet demonstration")
    make_server_certificate(
        folder / "certificates", authority, hosts=["localhost", HOST], from_day=now, days=CERTIFICATE_DAYS
    )
    environment = {**QUIET, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with running(folder / "logs", environment=environment) as programs:
        (port,) = free_ports(1)
        deployment = Deployment(programs, port, folder)
        start_superlink(deployment)
        yield deployment


def start_superlink(deployment: Deployment) -> None:
    """Start the SuperLink's program and wait until it answers; its database in the folder outlives it."""
    certificates, home = deployment.certificates, deployment.folder / "homes" / "superlink"
    home.mkdir(parents=True, exist_ok=True)
    command = [
        *(program("flower-superlink"), "--host", HOST, "--port", str(deployment.port)),
        *("--ssl-ca-certfile", str(certificates / "ca.crt")),
        *("--ssl-certfile", str(certificates / "server.pem"), "--ssl-keyfile", str(certificates / "server.key")),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--database", str(deployment.folder / "superlink.db")),
    ]
    deployment.programs.start("superlink", command, FLWR_HOME=str(home))
    deployment.programs.wait_for(
        lambda: answers(f"https://{HOST}:{deployment.port}/health", certificates / "ca.crt"),
        what="the SuperLink's first answer",
        limit_s=START_S,
        needs=["superlink"],
    )


def answers(url: str, authority: Path) -> bool:
    """Whether a server answers there with a certificate that this authority signed."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=ssl.create_default_context(cafile=str(authority))):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, though not a friendly one
    except OSError:
        return False


def deploy(plan: FederationConfig, *, hospitals: Mapping[str, Path], folder: Path, limit_s: float) -> Path:
    """Train the plan's model with real programs; returns the folder with model and ledger.

    hospitals: name → folder. folder: certificates, keys, logs and result go there. limit_s: longest wait for the run.
    Raises FederationError with the cause when there is no model in the end.
    """
    with superlink(folder) as deployment:
        for hospital in plan.hospitals:
            deployment.start_node(hospital, key=deployment.register(hospital), data=hospitals[hospital])
        deployment.submit(plan, out=folder / "result", limit_s=limit_s)
    return folder / "result"


def largest_difference(one: Path, other: Path) -> tuple[str, float]:
    """Name of the array that differs most between two stored models, and by how much.

    Raises SarcnetError when they do not hold the same arrays.
    """
    a, b = load_file(str(one)), load_file(str(other))
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        raise SarcnetError(f"{one.name} and {other.name} do not hold the same arrays: they are of different plans.")
    differences = {name: float(np.abs(a[name] - b[name]).max(initial=0.0)) for name in sorted(a)}
    worst = max(differences, key=lambda name: differences[name])
    return worst, differences[worst]


def plan_of_run(run: Path) -> tuple[FederationConfig, dict[str, Path], Path]:
    """Plan, hospitals' folders and simulated model of a finished notebook 04."""
    stage = run / "04_federation" / "stage.json"
    try:
        settings = json.loads(stage.read_text(encoding="utf-8"))["parameters"]
    except OSError:
        raise SarcnetError(f"{stage} is missing: run `sarcnet run {run.name} --upto 04_federation` first.") from None
    protocol = Protocol.from_dict(json.loads((run / "03_model" / "protocol.json").read_text(encoding="utf-8")))
    plan = FederationConfig(
        protocol,
        rounds=int(settings["rounds"]),
        local_epochs=int(settings["local_epochs"]),
        message_dtype=settings.get("message_dtype", "float32"),  # which runs of before had no choice of
    )
    hospitals = {name: run / "04_federation" / "hospitals" / name for name in plan.hospitals}
    return plan, hospitals, run / "04_federation" / "models" / "sarcnet_fedavg.safetensors"


def main(arguments: list[str] | None = None) -> int:
    """Deploy, compare, say how long it took; exit code 0 when both models are the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("runs/smoke"), help="folder of a run with notebook 04 done")
    parser.add_argument("--keep", type=Path, help="folder to keep logs, keys and results in (default: none is kept)")
    parser.add_argument("--limit-s", type=float, default=900.0, help="seconds the run may take")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="sarcnet-federation-") as temporary:
            return _compare(options.run, options.keep or Path(temporary), limit_s=options.limit_s)
    except SarcnetError as error:
        print(error, file=sys.stderr)
        return 1


def _compare(run: Path, folder: Path, *, limit_s: float) -> int:
    plan, hospitals, simulated = plan_of_run(run)
    print(f"SuperLink and {len(hospitals)} SuperNodes ({', '.join(hospitals)}), TLS, node keys, {plan.rounds} rounds …")
    started = time.monotonic()
    result = deploy(plan, hospitals=hospitals, folder=folder, limit_s=limit_s)
    seconds = time.monotonic() - started
    name, difference = largest_difference(simulated, result / "sarcnet_fedavg.safetensors")
    same = difference <= TOLERANCE
    with atomic_path(result / "comparison.json") as path:
        record = {"array": name, "difference": difference, "tolerance": TOLERANCE, "seconds": seconds}
        path.write_text(json.dumps(record) + "\n")
    print(
        f"Done in {seconds:.0f} s. Largest difference from the simulation's model: {difference:.2g} ({name}); "
        f"tolerance {TOLERANCE:g}: {'the same model' if same else 'NOT the same model'}."
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
