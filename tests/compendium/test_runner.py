"""What runs again and why, and what happens when something goes wrong: through the command line, as users meet it."""

from __future__ import annotations

import json
import os
import re
import sys
import time

import pytest


def reasons(text: str) -> dict[str, str]:
    """{stage: what the runner said about it}"""
    return dict(re.findall(r"^(\d\d_\w+): (up to date|runs, because .*)$", text, re.MULTILINE))


def test_first_run_finishes_every_stage_and_says_why(finished):
    manifest = json.loads((finished.root / "runs/toy/manifest.json").read_text())
    assert manifest["status"] == "ok"
    assert [stage["status"] for stage in manifest["stages"].values()] == ["ok"] * 3
    assert manifest["parameters"]["rate"] == 0.25
    assert manifest["packages"]["papermill"]
    assert all(stage["kernel_start_s"] > 0 for stage in manifest["stages"].values())
    record = json.loads((finished.stage("02_three") / "stage.json").read_text())
    assert record["numbers"]["count"] == {"value": 8, "low": None, "high": None, "n": 4, "unit": "patients"}
    assert record["data_kind"] == "simulated"
    own = {"toy/__init__.py", "toy/plots.py", "toy/settings.py"}
    shaping = {"sarcnet/__init__.py", *(f"sarcnet/compendium/{name}.py" for name in ("seeds", "figures", "jsonable"))}
    shaping |= {"sarcnet/compendium/figures.mplstyle"}
    assert own | {"sarcnet/__init__.py"} <= set(record["modules"]) <= own | shaping
    assert (finished.stage("02_three") / "02_three.executed.ipynb").exists()


def test_kernel_is_this_interpreter(fresh):
    fresh.write("00_one", "import sys\n\nassert sys.executable == " + repr(sys.executable))
    assert fresh.run("--only", "00").returncode == 0


FACTS = """
import json, os, sys

facts = {"pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "folder": os.path.basename(os.getcwd()),
         "ours": sorted(name for name in sys.modules if name.startswith("toy.")),
         "headless": os.environ["SARCNET_HEADLESS"], "seen": getattr(sys, "seen_by_an_earlier_kernel", False)}
sys.seen_by_an_earlier_kernel = True
stage.output("facts.json").write_text(json.dumps(facts))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kernels fork on Linux only")
def test_later_kernels_fork_from_one_warm_process_and_share_nothing(fresh):
    fresh.write("01_two", FACTS)
    fresh.write("02_three", FACTS)
    assert fresh.run().returncode == 0
    two, three = (json.loads((fresh.stage(name) / "facts.json").read_text()) for name in ("01_two", "02_three"))
    assert two["parent"] == three["parent"]
    assert two["pid"] != three["pid"]
    for kernel in (two, three):
        assert kernel["session"] == kernel["pid"], "an interrupt in the terminal must not reach it"
        assert kernel["ours"] == ["toy.settings"]
        assert (kernel["folder"], kernel["headless"], kernel["seen"]) == ("notebooks", "1", False)
    wait_for(lambda: not os.path.exists(f"/proc/{two['parent']}"))  # the warm process ended with the run


@pytest.mark.skipif(sys.platform != "linux", reason="kernels fork on Linux only")
def test_no_kernel_outlives_a_run_that_is_killed(fresh):
    fresh.write(
        "01_two", 'import os, pathlib, time\n\npathlib.Path("../pid").write_text(str(os.getpid()))\ntime.sleep(900)'
    )
    with fresh.start() as run:
        pid = int(wait_for(lambda: (fresh.root / "pid").exists() and (fresh.root / "pid").read_text()))
        run.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


def wait_for(found, seconds=300.0):
    """What `found` returns as soon as that is true."""
    for _ in range(int(seconds / 0.1)):
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_nothing_changed_nothing_runs(done):
    outcome = done().run()
    assert outcome.returncode == 0
    assert set(reasons(outcome.stdout).values()) == {"up to date"}


def edit_prose(toy):
    source = toy.root / "notebooks/src/01_two.py"
    source.write_text(source.read_text().replace("# Work.", "# Other words."))
    from sarcnet.compendium.notebooks import to_ipynb

    (toy.root / "notebooks/01_two.ipynb").write_text(to_ipynb(source.read_text()))


CHANGES = {
    "a markdown cell": (edit_prose, {}),
    "a parameter": (
        lambda toy: toy.profile("rate: 0.25\npatients: 5\n"),
        {"00_one": "patients changed from 4 to 5", "01_two": "numbers.txt changed", "02_three": "count.txt changed"},
    ),
    "a parameter without consequence": (
        lambda toy: toy.profile("rate: 0.5\n"),
        {"00_one": "rate changed from 0.25 to 0.5"},
    ),
    "a module of the last stage": (
        lambda toy: (toy.root / "toy/plots.py").write_text("def double(count):\n    return count * 2\n"),
        {"02_three": "toy/plots.py changed"},
    ),
    "a comment and a docstring in a module of the last stage": (
        lambda toy: (toy.root / "toy/plots.py").write_text(
            '"""Plots."""\n\n' + (toy.root / "toy/plots.py").read_text() + "\n# a comment\n"
        ),
        {},
    ),
    "time stamps only, as after a copy": (
        lambda toy: [os.utime(path, (1, 1)) for path in (toy.root / "runs").rglob("*.txt")],
        {},
    ),
    "the code of a notebook": (
        lambda toy: toy.write("01_two", 'stage.output("count.txt").write_text("4")\nstage.input("00_one/numbers.txt")'),
        {"01_two": "the code of 01_two.ipynb changed"},
    ),
    "an output edited by hand": (
        lambda toy: (toy.stage("01_two") / "count.txt").write_text("400"),
        {"01_two": "its output count.txt was edited"},
    ),
    "an output removed": (
        lambda toy: (toy.stage("00_one") / "numbers.txt").unlink(),
        {"00_one": "its output numbers.txt was removed"},
    ),
    "the pins": (
        lambda toy: (toy.root / "requirements.lock.txt").write_text("numpy==2.4.7\n"),
        dict.fromkeys(("00_one", "01_two", "02_three"), "requirements.lock.txt changed"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_a_change_reaches_runs_again(done, change):
    toy = done()
    apply, expected = CHANGES[change]
    apply(toy)
    outcome = toy.run()
    assert outcome.returncode == 0, outcome.stdout
    said = reasons(outcome.stdout)
    assert {name for name, text in said.items() if text != "up to date"} == set(expected)
    for name, clause in expected.items():
        assert clause in said[name]


def test_status_says_the_same_without_running(done):
    toy = done()
    (toy.root / "toy/plots.py").write_text("def double(count):\n    return count + count\n")
    outcome = toy.run(verb="status")
    assert outcome.returncode == 0
    assert "00_one: up to date" in outcome.stdout
    assert "02_three: would run, because toy/plots.py changed" in outcome.stdout
    assert (toy.stage("02_three") / "stage.json").exists()


def test_code_edited_while_its_notebook_runs_is_not_what_made_the_result(fresh):
    edit = "from pathlib import Path\n\nfrom toy import settings\n\nfile = Path(settings.__file__)\n"
    edit += 'file.write_text(file.read_text() + "\\nLATER = 1\\n")'
    fresh.write("02_three", edit)
    assert fresh.run().returncode == 0
    assert "02_three: would run, because toy/settings.py changed" in fresh.run(verb="status").stdout


FAULTS = {
    "an error": ("raise ValueError('the slide is upside down')", "failed", "ValueError: the slide is upside down"),
    "a killed kernel": (
        "import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)",
        "killed",
        "the kernel ended (killed, perhaps for want of memory",
    ),
    "a cell that takes too long": ("import time\n\ntime.sleep(900)", "timeout", "the cell took longer than 8 s"),
    "sys.exit()": ("import sys\n\nsys.exit()", "failed", "ended without closing its stage"),
    "exit(0)": ("exit(0)", "killed", "the kernel ended"),
    "sys.exit() after closing": ("import sys\n\nstage.close()\nsys.exit()", "failed", "a cell left early"),
    "an output announced but not written": ('stage.output("x.txt")', "failed", "x.txt was announced"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_and_nothing_finished_is_lost(half_done, fault):
    body, status, sentence = FAULTS[fault]
    half_done.write("01_two", body)
    outcome = half_done.run(*(("--cell-timeout", "8") if status == "timeout" else ()))
    assert outcome.returncode == 1
    assert f"01_two: {status}" in outcome.stdout
    assert sentence in outcome.stdout
    cell = "stage.close()" if "announced" in sentence else body.splitlines()[0]
    assert re.search(rf"where   cell \d+: {re.escape(cell)}", outcome.stdout), outcome.stdout
    assert "resume  sarcnet run toy" in outcome.stdout
    manifest = json.loads((half_done.root / "runs/toy/manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["stages"]["00_one"]["status"] == "skipped", "finished before, and up to date"
    assert manifest["stages"]["01_two"]["status"] == status
    assert "02_three" not in manifest["stages"]
    assert not (half_done.stage("01_two") / "stage.json").exists()
    assert (half_done.stage("01_two") / "01_two.executed.part.ipynb").exists()

    half_done.write("01_two")
    outcome = half_done.run("--upto", "01")
    assert outcome.returncode == 0
    assert reasons(outcome.stdout)["00_one"] == "up to date"
    assert not (half_done.stage("01_two") / "01_two.executed.part.ipynb").exists()


def test_a_run_that_failed_before_starts_again_there(done):
    toy = done()
    toy.write("01_two", "raise ValueError('not today')")
    assert toy.run().returncode == 1
    assert toy.run(verb="status").stdout.count("it has not finished yet") == 1


def test_an_unfinished_stage_is_no_input(fresh):
    outcome = fresh.run("--only", "01")
    assert outcome.returncode == 1
    assert "needs 00_one, which has not finished" in outcome.stdout
    assert "make reproduce UPTO=00_one" in outcome.stdout


def test_a_missing_output_name_and_a_forbidden_reader(fresh):
    fresh.write("01_two", 'stage.input("00_one/secret.txt")')
    outcome = fresh.run()
    assert "01_two may not open 00_one/secret.txt: only 02_three may." in outcome.stdout
    fresh.write("01_two", 'stage.input("00_one/numbrs.txt")')
    assert "00_one leaves no output called numbrs.txt" in fresh.run().stdout


def test_an_input_changed_behind_the_stage_s_back_is_refused(done):
    toy = done()
    (toy.stage("00_one") / "numbers.txt").write_text("0 1 2")
    outcome = toy.run("--from", "01")
    assert outcome.returncode == 1
    assert "is not what 00_one wrote" in outcome.stdout


def test_a_stage_run_by_hand_is_run_again_under_the_runner(done):
    toy = done()
    record = toy.stage("01_two") / "stage.json"
    record.write_text(record.read_text().replace('"wall_s"', '"wall_s "'))
    assert reasons(toy.run().stdout)["01_two"] == "runs, because it was last run by hand"


PROFILES = {
    "misspelt key": (
        "tile_umm: 96.0\n",
        "tile_umm is not a parameter of any notebook; did you mean tile_um (of 01_two)?",
    ),
    "wrong type": ("patients: many\n", "patients (number of patients) is 'many' (str)"),
    "out of range": ("patients: 0\n", "greater than or equal to 1"),
    "1e-4": ("rate: 1e-4\n", "YAML reads 1e-4 as text, not as a number; write 1.0e-4."),
    "float for int": ("patients: 4.5\n", "patients (number of patients) is 4.5 (float)"),
    "not flat": ("patients: {clb: 3}\n", "a profile is a flat list"),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_that_would_be_misread_is_refused_before_any_kernel(fresh, profile):
    text, sentence = PROFILES[profile]
    fresh.profile(text)
    outcome = fresh.run()
    assert outcome.returncode == 2
    assert sentence in outcome.stderr
    assert not (fresh.root / "runs").exists()


def test_all_faults_of_a_profile_are_told_at_once(fresh):
    fresh.profile("patients: 0\ntile_umm: 1.0\nrate: -1.0\n")
    assert "(3 faults)" in fresh.run().stderr
    fresh.profile("patients: 012\nrate: 1e-4\nrate: 0.5\n")
    assert "(3 faults)" in fresh.run().stderr


def test_unknown_profile_and_stage_are_named(fresh):
    assert "There is no profile toi; there are toy" in fresh.run(profile="toi").stderr
    assert "There is no stage 07" in fresh.run("--only", "07").stderr


def test_a_source_edited_without_renewing_the_notebook_is_refused(fresh):
    source = fresh.root / "notebooks/src/00_one.py"
    source.write_text(source.read_text() + "\n")
    outcome = fresh.run()
    assert outcome.returncode == 2
    assert "run `make notebooks`" in outcome.stderr


def test_two_runs_do_not_share_a_folder(fresh):
    from filelock import FileLock

    (fresh.root / "runs/toy").mkdir(parents=True)
    with FileLock(fresh.root / "runs/toy/.lock"):
        outcome = fresh.run()
    assert outcome.returncode == 2
    assert "Another run is at work" in outcome.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(fresh):
    (fresh.root / "runs").mkdir(mode=0o555)
    outcome = fresh.run()
    assert outcome.returncode == 2
    assert "cannot be written" in outcome.stderr


def test_a_file_in_the_way_of_a_stage_is_named(fresh):
    (fresh.root / "runs/toy").mkdir(parents=True)
    (fresh.root / "runs/toy/00_one").write_text("in the way")
    outcome = fresh.run()
    assert outcome.returncode == 1
    assert "runs/toy/00_one cannot be written" in outcome.stdout
