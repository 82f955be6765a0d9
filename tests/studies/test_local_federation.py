"""The parts of a real federation. All of them together: `make federation` and `python -m
studies.fault_injection.two_hospitals`."""

from __future__ import annotations

import datetime
import ipaddress
import stat
import sys
import tomllib

import numpy as np
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from flwr.app import Context, RecordDict
from safetensors.numpy import save_file

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.client_app import make_client_app
from sarcnet.federated.config import FederationError
from sarcnet.federated.engines import deployed_server
from sarcnet.federated.engines.deployed_server import read_run_config, run_config
from sarcnet.federated.engines.inprocess import InProcessGrid
from sarcnet.federated.engines.simulation import folder_by_partition, simulate
from studies.local_federation.certificates import make_authority, make_hospital_key, make_server_certificate
from studies.local_federation.processes import free_ports, running
from studies.local_federation.run import APP, largest_difference, main, plan_of_run

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def certificates(tmp_path):
    authority = make_authority(tmp_path, name="test authority")
    make_server_certificate(tmp_path, authority, hosts=["localhost", "127.0.0.1"], from_day=DAY, days=2)
    return tmp_path


def test_the_authority_signs_the_server_and_nobody_else(certificates):
    ca = x509.load_pem_x509_certificate((certificates / "ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((certificates / "server.pem").read_bytes())
    server.verify_directly_issued_by(ca)
    make_authority(certificates / "other", name="test authority")
    other = x509.load_pem_x509_certificate((certificates / "other" / "ca.crt").read_bytes())
    with pytest.raises(Exception):  # noqa: B017, PT011 - InvalidSignature of a private module
        server.verify_directly_issued_by(other)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert server.not_valid_after_utc - server.not_valid_before_utc == datetime.timedelta(days=2)
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_keys_are_for_their_owner_only_and_the_authoritys_key_is_not_on_disk(certificates):
    public = make_hospital_key(certificates / "CLB")
    for secret in (certificates / "server.key", certificates / "CLB" / "node"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    private = load_ssh_private_key((certificates / "CLB" / "node").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == load_ssh_public_key(public.read_bytes())
    assert {p.name for p in certificates.iterdir()} == {"ca.crt", "server.pem", "server.key", "CLB"}


def test_a_plan_survives_the_runs_configuration(make_plan, tmp_path):
    plan = make_plan(rounds=3, local_epochs=2)
    settings = run_config(plan, out=tmp_path)
    assert read_run_config(settings) == (plan, tmp_path)
    declared = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert {name: type(value) for name, value in settings.items()} == {k: type(v) for k, v in declared.items()}


def test_all_faults_of_a_runs_configuration_are_said_at_once():
    declared = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    with pytest.raises(SarcnetError) as error:
        read_run_config(declared | {"deadline-s": -1.0})
    for name in ("protocol", "out", "rounds", "local-epochs", "setting deadline-s is -1"):
        assert name in str(error.value)


def serve(plan, folders, out):
    """The deployed ServerApp over the in-process Grid: what SuperLink runs, without SuperLink."""
    client = make_client_app(mods=[folder_by_partition([str(folders[name]) for name in plan.hospitals])])
    grid = InProcessGrid(client, nodes=len(folders))
    settings = run_config(plan, out=out)
    deployed_server.app(
        grid, Context(run_id=grid.run_id, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    )


def test_the_deployed_app_leaves_the_simulations_model_and_ledger(cohort, make_plan, tmp_path):
    plan, folders, out = make_plan(), cohort.hospitals(), tmp_path / "out"
    serve(plan, folders, out)
    run = simulate(plan, hospitals=folders, rounds_folder=tmp_path / "rounds", engine="inprocess")
    simulated = {name: tensor.numpy() for name, tensor in run.model.network.state_dict().items()}
    save_file(simulated, str(tmp_path / "simulated.safetensors"))
    assert largest_difference(tmp_path / "simulated.safetensors", out / "sarcnet_fedavg.safetensors")[1] == 0.0
    assert {p.name for p in out.iterdir()} == {
        "rounds",
        "messages.parquet",
        "rounds.parquet",
        "calibration.parquet",
        "evaluation.json",
        "sarcnet_fedavg.json",
        "sarcnet_fedavg.safetensors",
    }


def test_a_deployed_run_that_fails_leaves_its_sentence(cohort, make_plan, tmp_path):
    folders = cohort.hospitals()
    (folders["IB"] / "folds.parquet").write_bytes(b"")
    with pytest.raises(FederationError):
        serve(make_plan(), folders, tmp_path / "out")
    assert "Hospital IB could not do its part of round 0" in (tmp_path / "out" / "failed.txt").read_text()


def test_models_that_differ_or_do_not_fit_are_noticed(tmp_path):
    save_file({"a": np.zeros(3, np.float32), "b": np.zeros(1, np.float32)}, str(tmp_path / "one"))
    save_file({"a": np.array([0, 0.5, 0], np.float32), "b": np.zeros(1, np.float32)}, str(tmp_path / "two"))
    save_file({"a": np.zeros(4, np.float32), "b": np.zeros(1, np.float32)}, str(tmp_path / "three"))
    assert largest_difference(tmp_path / "one", tmp_path / "two") == ("a", 0.5)
    with pytest.raises(SarcnetError, match="do not hold the same arrays"):
        largest_difference(tmp_path / "one", tmp_path / "three")


def test_a_run_without_notebook_04_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SarcnetError, match="--upto 04_federation"):
        plan_of_run(tmp_path)
    assert main(["--run", str(tmp_path)]) == 1
    assert "stage.json is missing" in capsys.readouterr().err


def test_no_program_outlives_its_block_and_its_children_neither(tmp_path):
    child = "import subprocess, sys, time; subprocess.Popen(['sleep', '900']); print('up', flush=True); time.sleep(900)"
    with running(tmp_path, environment={}) as programs:
        process = programs.start("parent", [sys.executable, "-c", child])
        programs.wait_for(
            lambda: "up" in programs.log("parent").read_text(), what="the start", limit_s=300, needs=["parent"]
        )
        family = [process, *process.children(recursive=True)]
        assert len(family) == 2
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)


def test_waits_have_limits_and_name_who_died(tmp_path):
    with running(tmp_path, environment={}) as programs:
        with pytest.raises(FederationError, match="slow did not end within 0 s and was stopped"):
            programs.run("slow", ["sleep", "60"], limit_s=0.2)
        assert "slow" not in programs.started
        with pytest.raises(FederationError, match="the answer did not happen within 0 s"):
            programs.wait_for(lambda: False, what="the answer", limit_s=0.3)
        programs.start("dying", [sys.executable, "-c", "print('no disk'); raise SystemExit(3)"])
        with pytest.raises(FederationError, match=r"dying ended with exit code 3 before the answer.*no disk"):
            programs.wait_for(lambda: False, what="the answer", limit_s=300, needs=["dying"])


def test_ports_are_free_and_different():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(1024 <= port < 65536 for port in ports)


def test_the_bundle_carries_no_code_of_ours_but_the_names():
    """Hospitals run the package they installed; the bundle that travels only names it."""
    code = [p.read_text().split('"""')[2].strip() for p in sorted((APP / "sarcnet_app").glob("*.py"))]
    assert code == [
        "",
        'from sarcnet.federated.app.client_app import app\n\n__all__ = ["app"]',
        'from sarcnet.federated.engines.deployed_server import app\n\n__all__ = ["app"]',
    ]
