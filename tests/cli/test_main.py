"""The command line as a whole: it answers at once, and imports only what the command that is asked for needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sarcnet.cli.main import COMMANDS, main, parser

HEAVY = {
    "numpy",
    "pandas",
    "torch",
    "matplotlib",
    "flwr",
    "lightning",
    "onnxruntime",
    "openslide",
    "papermill",
    "pydantic",
}


def test_help_imports_no_library_and_no_wing():
    code = "import sys\nfrom sarcnet.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
    code += "    print(sorted({name for name in sys.modules if name.startswith('sarcnet.')}))\n"
    code += f"    print(sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, libraries = done.stdout.splitlines()[-2:]
    assert ours == "['sarcnet.cli', 'sarcnet.cli.main', 'sarcnet.compendium', 'sarcnet.compendium.errors']"
    assert libraries == "[]"


def test_a_command_imports_its_own_module_only():
    code = "import sys\nfrom sarcnet.cli.main import parser\nparser('status')\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('sarcnet.cli.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['sarcnet.cli.arguments', 'sarcnet.cli.main', 'sarcnet.cli.status']"


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_command_explains_its_options(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert f"usage: sarcnet {verb}" in capsys.readouterr().out


def test_every_command_with_its_arguments_has_a_function_to_run():
    for words in (
        ["run", "smoke", "--only", "04"],
        ["status", "smoke"],
        ["publish", "demo", "--check"],
        ["notebooks", "--check"],
        ["tile", "smoke", "--part", "1", "--parts", "2"],
        ["encode", "smoke"],
        ["features", "import", "there", "--hospital", "H", "--into", "I"],
        ["cohort", "tcga", "export", "--manifest", "M"],
        ["review", "export", "smoke", "--into", "I", "--seed", "1"],
        ["review", "import", "key.csv", "sheet.csv", "--into", "I"],
        ["qupath", "smoke", "S1", "--into", "I"],
        ["hospital", "create", "smoke", "--into", "I"],
        ["federation", "plan", "smoke", "--hospitals", "A", "B", "--out", "/out"],
    ):
        assert callable(parser().parse_args(words).run), words
