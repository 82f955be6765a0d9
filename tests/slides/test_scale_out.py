"""Tiling and encoding over a Ray cluster of two nodes on this machine: the same bytes as at home, and a slide that
crashes its decoder costs that slide only.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import pandas as pd
import pytest
from joblib._parallel_backends import SequentialBackend

from sarcnet.cli import encode as encoding
from sarcnet.cli import tile
from sarcnet.cli.main import main
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.params import Settings, validated
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.features.rotation import encode_one
from sarcnet.slides.cohort_tiling import report_table, tile_table
from sarcnet.slides.pool import cluster as machines
from sarcnet.slides.settings import TilingSettings
from sarcnet.slides.slide_result import OutputDirs, run_slide
from sarcnet.slides.tiling import TileRules

HELPERS = """
import ctypes, time

import psutil


def call(function, *arguments):
    return function(*arguments)


def node(crashes):
    "Process id of the Ray node that this process works for."
    time.sleep(0.2)  # so that both get some
    if crashes:
        ctypes.string_at(0)
    return next(parent.pid for parent in psutil.Process().parents() if "raylet" in parent.name())
"""
CLUSTER = """
import pickle, sys

import helpers_of_scale_out as helpers
import ray
from ray.cluster_utils import Cluster
from sarcnet.slides.pool import cluster as machines

small = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=small)
cluster.add_node(**small)
try:
    spread = machines.map_function_for("ray", address=cluster.address)
    tasks = pickle.load(sys.stdin.buffer)  # comes while the cluster starts
    found = list(spread(helpers.call, tasks, jobs=machines.ALL_PROCESSORS, seconds_max=60.0))
    sys.stdout.buffer.write(pickle.dumps(found))
finally:
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.fixture
def helpers(tmp_path, monkeypatch):
    (tmp_path / "helpers_of_scale_out.py").write_text(HELPERS)
    (tmp_path / "cluster.py").write_text(CLUSTER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("helpers_of_scale_out")


@pytest.fixture
def cluster(helpers, tmp_path) -> Iterator[subprocess.Popen]:
    """A program that starts a cluster, reads tasks from its standard input and writes their results."""
    pytest.importorskip("ray")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, str(tmp_path / "cluster.py")], **pipes) as started:
        yield started
        if started.poll() is None:
            started.communicate(timeout=60)  # without tasks it ends


@pytest.fixture
def profiles(tmp_path, write_slide, stained) -> tuple[str, str]:
    """Two profiles whose stage 00 is finished, with the same three slides, one of them broken."""
    files = {
        f"S{k}": write_slide(f"A/S{k}.svs", stained(600, 600, tissue=(20, 20, 500 + 30 * k, 600), seed=k))
        for k in range(3)
    }
    files["S1"].write_bytes(files["S1"].read_bytes()[:3000])
    table = pd.DataFrame({"slide_id": list(files), "patient_id": "P", "centre": "A", "mpp_override": math.nan})
    for name in ("home", "away"):
        profile = tmp_path / f"{name}.yaml"
        profile.write_text(f"run_dir: {tmp_path / name}\njobs: 1\ntiles_per_slide_max: 5\nbatch_tiles: 2\n")
        stage = Stage.open("00_cohort", Settings, {"run_dir": str(tmp_path / name), "seed": 1})
        stage.write_table("slides.parquet", table.assign(file=[str(path) for path in files.values()]))
        for slide_id, path in files.items():
            stage.output(f"slides/A/{slide_id}", path=path)
        stage.close()
    return str(tmp_path / "home.yaml"), str(tmp_path / "away.yaml")


def results(run_dir: Path) -> dict[str, object]:
    """Checksums of all results by name, and the slides' reports without their seconds."""
    patterns = ("01_tiling/units/*.npz", "01_tiling/thumbnails/*.png", "02_features/features/*.h5")
    found: dict[str, object] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in sorted(run_dir.glob(pattern))
    }
    for path in sorted(run_dir.glob("01_tiling/units/*.json")):
        report = json.loads(path.read_text())["report"]
        found[path.name] = {key: value for key, value in report.items() if not key.startswith("seconds_")}
    return found


def as_notebook_01(profile: str) -> None:
    """Close stage 01 with what the command left."""
    done = tile.tile(profile)
    assert all(result.resumed for result in done)
    stage = Stage.open("01_tiling", Settings, {"run_dir": str(Path(profile).with_suffix("")), "seed": 1})
    stage.write_table("slides.parquet", report_table(done, pd.read_parquet(stage.input("00_cohort/slides.parquet"))))
    stage.write_table("tiles.parquet", tile_table(done))
    stage.close()


class OneByOne(SequentialBackend):
    """Stands in for Ray where only the way to it matters."""

    def __init__(self, *, ray_remote_args: dict[str, int], **rest: object) -> None:
        super().__init__(**rest)
        assert ray_remote_args == {"num_cpus": 1}


def test_both_commands_hand_their_slides_to_the_cluster(profiles, monkeypatch, tmp_path, capsys):
    joined = []
    monkeypatch.setattr(machines, "_join", joined.append)
    monkeypatch.setitem(joblib.parallel.BACKENDS, "ray", OneByOne)
    home, away = profiles
    for profile, options in ((home, []), (away, ["--backend", "ray", "--address", "head:6379", "--jobs", "1"])):
        assert main(["tile", profile, *options]) == 3
        as_notebook_01(profile)
        assert main(["encode", profile, *options]) == 0
    assert joined == ["head:6379"] * 2
    assert "S1.svs" in capsys.readouterr().err
    machines._worker.stop()
    monkeypatch.setattr(machines, "_worker", None)
    here, there = results(tmp_path / "home"), results(tmp_path / "away")
    assert sorted(name for name in here if name.endswith(".h5")) == ["S0.h5", "S2.h5"]
    assert here == there


def test_two_nodes_give_the_same_bytes_as_one_process_and_survive_a_crash(cluster, helpers, profiles, tmp_path):
    home, away = profiles
    main(["tile", home])
    as_notebook_01(home)
    assert main(["encode", home]) == 0
    work, slides = encoding.prepared(home)
    folder = tmp_path / "away"
    place = OutputDirs(folder / "01_tiling" / "units", folder / "01_tiling" / "thumbnails")
    for path in (place.work, place.pictures):
        path.mkdir(parents=True)
    settings = Study.load(away)
    rules = TileRules.of(validated(TilingSettings, settings.parameters(settings.notebooks[1])))
    tasks: list[tuple] = [
        (run_slide, f"S{k}", tmp_path / "A" / f"S{k}.svs", tmp_path / "A", rules, math.nan, place) for k in range(3)
    ]
    there = replace(work, folder=folder / "02_features" / "features")
    tasks += [(encode_one, there, slide) for slide in slides]
    tasks += [(helpers.node, crashes) for crashes in (False, True, False, False, False)]
    said, complaints = cluster.communicate(pickle.dumps(tasks), timeout=1800)
    assert cluster.returncode == 0, complaints[-2000:]
    found = pickle.loads(said)
    tiled, encoded, nodes = found[:3], found[3:5], found[5:]
    assert [result.report["status"] for result in tiled] == ["ok", "failed", "ok"]
    assert [row["status"] for row in encoded] == ["ok", "ok"]
    assert nodes[1].how == "SIGSEGV"
    assert len({nodes[k] for k in (0, 2, 3, 4)}) == 2, "one node did all the work"
    assert results(tmp_path / "home") == results(folder)


def test_parts_of_an_array_of_jobs_tile_each_slide_once(profiles, capsys):
    home, _ = profiles
    parts = [tile.tile(home, part=part, parts=2) for part in (0, 1)]
    assert [[result.slide_id for result in part] for part in parts] == [["S0", "S2"], ["S1"]]
    assert all(result.resumed for result in tile.tile(home))
    assert main(["tile", home, "--part", "2", "--parts", "2"]) == 2
    assert "no part 2 of 2" in capsys.readouterr().err


def test_a_cluster_that_cannot_be_had_is_a_sentence(profiles, monkeypatch, capsys):
    pytest.importorskip("ray")
    home, _ = profiles
    assert main(["tile", home, "--backend", "ray"]) == 2
    assert "needs the cluster's address" in capsys.readouterr().err
    assert main(["tile", home, "--jobs", "0"]) == 2
    assert "at least one process" in capsys.readouterr().err
    for address, said in (("127.0.0.1:9", "refused"), ("head", "an address is host:port")):
        assert main(["tile", home, "--backend", "ray", "--address", address]) == 2
        assert said in (text := capsys.readouterr().err)
        assert f"No Ray cluster answers at {address}" in text
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["tile", home, "--backend", "ray", "--address", "auto"]) == 2
    assert "Ray is not installed here" in capsys.readouterr().err
    with pytest.raises(SarcnetError, match="no backend slurm; there are local, ray"):
        machines.map_function_for("slurm")
