"""What `sarcnet tile` and `sarcnet encode` share: a part of the slides, here or on a Ray cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from sarcnet.cli.arguments import add_profile
from sarcnet.compendium.errors import SarcnetError
from sarcnet.compendium.excluded import WITH_LOSSES
from sarcnet.compendium.params import AnySettings
from sarcnet.compendium.stage import Stage
from sarcnet.compendium.study import Study
from sarcnet.slides.pool.cluster import ALL_PROCESSORS, BACKENDS, map_function_for
from sarcnet.slides.pool.crash_safe import MapFunction


class Work(Protocol):
    """What is done to a part of the slides; returns report rows, each with slide_id, status, cause and advice."""

    def __call__(
        self, profile: str, *, part: int, parts: int, spread: MapFunction | None, jobs: int | None
    ) -> Sequence[Mapping[str, object]]: ...


def add_part_arguments(parser: argparse.ArgumentParser, *, part: str) -> None:
    """Declare the options. part: what "--part" means to the command."""
    add_profile(parser)
    parser.add_argument("--part", type=int, default=0, help=part)
    parser.add_argument("--parts", type=int, default=1, help="number of parts")
    parser.add_argument("--backend", choices=BACKENDS, default="local", help="this machine, or a Ray cluster")
    parser.add_argument("--address", metavar="HOST:PORT", help="the cluster's head; auto on one of its machines")
    parser.add_argument("--jobs", type=int, help="processes (default: the profile's; on a cluster all its processors)")


def run_part(options: argparse.Namespace, work: Work) -> int:
    """Do the part and name the slides that failed.

    Returns:
        The exit code: 0, or 3 when slides could not be used.

    Raises:
        SarcnetError: fewer than one process, no such part, or the cluster does not answer.
    """
    part, parts, jobs, spread = options.part, options.parts, options.jobs, None
    if jobs is not None and jobs < 1:
        raise SarcnetError(f"--jobs is {jobs}; at least one process has to work.")
    if not 0 <= part < parts:
        raise SarcnetError(f"There is no part {part} of {parts}: parts are counted from 0 to {parts - 1}.")
    if options.backend != "local":
        spread, jobs = map_function_for(options.backend, address=options.address), jobs or ALL_PROCESSORS
    rows = work(options.profile, part=part, parts=parts, spread=spread, jobs=jobs)
    failed = [row for row in rows if row["status"] == "failed"]
    for row in failed:
        print(f"{row['slide_id']}: {row['cause']} {row['advice']}", file=sys.stderr)
    print(f"{len(rows) - len(failed)} slides are done, {len(failed)} failed")
    return WITH_LOSSES if failed else 0


def unopened_stage(profile: str, name: str, settings: type[AnySettings]) -> Stage[AnySettings]:
    """A stage with the profile's parameters, for reading what it will read; what it finished stays finished."""
    return Stage(name, Study.load(profile).settings_for(name, settings))
