"""The smoke study through the real command line: first from nothing, then with nothing to do, then once more elsewhere."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from sarcnet.cli.federation import make_protocol
from sarcnet.compendium.executed import RELATIVE_LINK, executed_path
from sarcnet.compendium.study import Study

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "papermill_params" / "smoke.yaml"
STAGES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@dataclass
class Run:
    """One smoke run in a folder of its own."""

    folder: Path
    outcome: subprocess.CompletedProcess[str]
    processor_s: float

    def stage(self, name: str) -> Path:
        return self.folder / "run" / name

    def record(self, name: str) -> dict:
        return json.loads((self.stage(name) / "stage.json").read_text())


def run(folder: Path) -> Run:
    profile = folder / "smoke.yaml"
    values = yaml.safe_load(SMOKE.read_text())
    values |= {"run_dir": str(folder / "run"), "cohort_dir": str(folder / "cohort")}
    profile.write_text(yaml.safe_dump(values))
    before = os.times()
    command = [sys.executable, "-m", "sarcnet.cli.main", "run", str(profile)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600)
    after = os.times()
    processor_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(folder, outcome, processor_s)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    made = run(tmp_path_factory.mktemp("chain"))
    assert made.outcome.returncode == 0, made.outcome.stdout + made.outcome.stderr
    return made


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    made = run(tmp_path_factory.mktemp("again"))
    assert made.outcome.returncode == 0, made.outcome.stdout + made.outcome.stderr
    return made


def executed(first: Run) -> Iterator[tuple[str, dict]]:
    for name in STAGES:
        yield name, json.loads(executed_path(first.folder / "run", name).read_text())


def test_all_seven_stages_close(first):
    manifest = json.loads((first.folder / "run" / "manifest.json").read_text())
    assert manifest["status"] == "ok"
    assert {name: stage["status"] for name, stage in manifest["stages"].items()} == dict.fromkeys(STAGES, "ok")


def test_nothing_runs_when_nothing_changed(first):
    second = run(first.folder)
    assert second.outcome.returncode == 0
    assert [line for line in second.outcome.stdout.splitlines() if "up to date" in line] == [
        f"{name}: up to date" for name in STAGES
    ]
    assert second.processor_s < 10, "far more than the second or two that looking takes"


def test_numbers_are_possible(first):
    numbers = first.record("05_evaluation")["numbers"]
    aucs = {name: number for name, number in numbers.items() if name.startswith("auc_cross-validation_")}
    assert {"auc_cross-validation_sarcnet_fedavg", "auc_cross-validation_fnclcc_grade"} <= aucs.keys()
    for number in aucs.values():
        assert 0 <= number["low"] <= number["value"] <= number["high"] <= 1
        assert number["n"] == 56


def test_a_plan_made_by_command_is_the_notebooks(first):
    study = Study.load(str(first.folder / "smoke.yaml"))
    protocol = make_protocol(study, hospitals=["CLB", "IB"])
    assert protocol.to_dict() == json.loads((first.stage("03_model") / "protocol.json").read_text())


def test_executed_notebooks_are_clean(first):
    for name, notebook in executed(first):
        assert str(ROOT) not in json.dumps(notebook["metadata"]["papermill"]["input_path"])
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                text = "".join(output.get("text", []))
                assert output.get("name") != "stderr", f"{name}: {text}"
                assert "Warning" not in text, f"{name}: {text}"
                assert output["output_type"] != "error", name
                # This run lies outside the repository, so that links into it name its folder.
                shown = text + RELATIVE_LINK.sub("", json.dumps(output.get("data", {})))
                assert "PosixPath" not in shown, f"{name} shows a path as Python prints it"
                assert str(ROOT) not in shown, f"{name} shows where this machine keeps the study"


def test_every_figure_is_drawn_and_says_that_its_data_are_simulated(first):
    figures = sorted((first.folder / "run").glob("*/figures/*.png"))
    assert {path.parents[1].name for path in figures} == set(STAGES)
    for path in figures:
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        assert len(np.unique(pixels[:: max(1, len(pixels) // 20_000)], axis=0)) > 3, f"{path.name} is empty"
        assert json.loads(path.with_suffix(".json").read_text())["data_kind"] == "simulated"


def test_every_figure_kept_is_shown_with_its_caption(first):
    """Once each, in order; the last notebook shows one more, in the place of the viewer."""
    for name, notebook in executed(first):
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        assert not any("<Figure size" in "".join(out.get("data", {}).get("text/plain", "")) for out in outputs), name
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        captions = [output["metadata"].get("image/png", {}).get("alt", "") for output in pictures]
        kept = first.record(name)["figures"]
        viewers = sum("".join(cell["source"]).count("show_viewer(") for cell in notebook["cells"])
        assert captions[: len(kept)] == list(kept.values()), name
        assert len(captions) == len(kept) + viewers, name
        assert all(captions), name
        for output, caption in zip(pictures, captions, strict=True):
            page = BeautifulSoup("".join(output["data"]["text/html"]), "html.parser")
            assert (page.img["alt"], page.figcaption.text) == (caption, caption), name
            assert Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))).width > 100, name
    assert viewers == 1


def links(name: str, notebook: dict) -> Iterator[str]:
    """Relative links in text and outputs of a notebook."""
    for cell in notebook["cells"]:
        texts = ["".join(cell["source"])] if cell["cell_type"] == "markdown" else []
        for output in cell.get("outputs", []):
            texts += ["".join(output.get("data", {}).get(kind, "")) for kind in ("text/markdown", "text/html")]
        for text in texts:
            yield from RELATIVE_LINK.findall(text)
            yield from re.findall(r"""<a [^>]*href=["'](?![a-z]+:|#)([^"'#]+)""", text)


def test_links_of_executed_notebooks_and_reports_lead_somewhere(first):
    found = {name: list(links(name, notebook)) for name, notebook in executed(first)}
    for name, targets in found.items():
        for target in targets:
            assert (first.stage(name) / target).is_file(), f"{name} links to {target}"
    assert any(target.endswith(".executed.ipynb") for targets in found.values() for target in targets)
    report = first.stage("05_evaluation") / "report"
    targets = {target for path in report.glob("*.md") for target in RELATIVE_LINK.findall(path.read_text())}
    assert any(target.endswith(".executed.ipynb") for target in targets)
    assert [target for target in sorted(targets) if not (report / target).is_file()] == []


def test_validation_outcomes_were_opened_by_the_evaluation_only(first):
    readers = [name for name in STAGES if "00_cohort/validation.parquet" in first.record(name)["inputs"]]
    assert readers == ["05_evaluation"]
    truth = [name for name in STAGES if any("/truth/" in item for item in first.record(name)["inputs"])]
    assert truth == ["05_evaluation", "06_interpretability"]


def test_the_same_seed_gives_the_same_numbers(first, again):
    for name in STAGES:
        one, two = first.record(name), again.record(name)
        assert one["numbers"] == two["numbers"], name
    for table in ("03_model/oof.parquet", "04_federation/oof.parquet", "05_evaluation/validation_predictions.parquet"):
        one, two = (pd.read_parquet(made.folder / "run" / table) for made in (first, again))
        pd.testing.assert_frame_equal(one, two, check_exact=True)
    made = [run.record("00_cohort")["outputs"] for run in (first, again)]
    sums = [{name: output["sha256"] for name, output in outputs.items()} for outputs in made]
    for each in sums:
        each.pop("slides.parquet")  # says where the slides lie, and these two runs lie in different folders
    assert sums[0] == sums[1]
    assert any(name.startswith("slides/") for name in sums[0])


@pytest.mark.parametrize("start", ["root", "notebooks", "elsewhere"])
def test_papermill_by_hand_works_from_anywhere(again, tmp_path, start):
    notebook = ROOT / "notebooks" / "01_tiling.ipynb"
    folder = {"root": ROOT, "notebooks": ROOT / "notebooks", "elsewhere": ROOT}[start]
    cwd = ["--cwd", str(tmp_path)] if start == "elsewhere" else []
    given = ["-f", os.path.relpath(SMOKE, folder), "-p", "run_dir", str(again.folder / "run")]
    command = [
        sys.executable,
        "-m",
        "papermill",
        os.path.relpath(notebook, folder),
        str(tmp_path / "out.ipynb"),
        *given,
        *cwd,
    ]
    outcome = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)
    assert outcome.returncode == 0, outcome.stderr
    assert again.record("01_tiling")["parameters"]["run_dir"] == str(again.folder / "run")
