"""The command `sarcnet`. Each verb is one module of this package; only the one that is asked for is imported.

A module has `add_arguments(parser)`, which declares its options, and `run(options)`, which does the work and returns the
exit code. Verbs with a second word (`review export`) name the function for each in `add_arguments`.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from sarcnet.compendium.errors import SarcnetError

COMMANDS = {  # verb: (module, help)
    "run": ("run", "run the stages of a profile that are not up to date"),
    "status": ("status", "say which stages would run, and why"),
    "publish": ("publish", "copy a finished run's figures to figures/ and renew the README, or only check it"),
    "notebooks": ("notebooks", "write notebooks/*.ipynb from notebooks/src/*.py, or the other way"),
    "tile": ("tile", "tile slides on many machines before notebook 01"),
    "encode": ("encode", "encode tiles on many machines before notebook 02"),
    "features": ("features", "take over feature files of other tools"),
    "cohort": ("tcga", "make a cohort of public data"),
    "review": ("review", "tiles for pathologists, and their answers"),
    "qupath": ("qupath", "explained slides for QuPath and for a browser"),
    "hospital": ("hospital", "a hospital's part of a federation"),
    "federation": ("federation", "the coordinating site's part of a federation"),
}


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The command line.

    Args:
        verb: the command whose options are declared, and whose module is imported; None: all of them.
    """
    top = argparse.ArgumentParser(prog="sarcnet", description="Run the study, notebook by notebook.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (file, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if verb in (None, name):
            module = import_module(f"sarcnet.cli.{file}")
            command.set_defaults(run=getattr(module, "run", None))
            module.add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 a stage failed, 2 bad input, 3 finished but for slides that could not be used
    (they are named), 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser(words[0] if words else "").parse_args(words)
    with contextlib.suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ending the run politely is an interruption
    try:
        return options.run(options)
    except SarcnetError as error:
        print(f"sarcnet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
