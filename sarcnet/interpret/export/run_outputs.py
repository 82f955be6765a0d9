"""What a finished run left behind, for commands that are not notebooks: contributions, slides and feature files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import ErrorCollector, SarcnetError
from sarcnet.compendium.files import HashBook
from sarcnet.compendium.freshness import Records
from sarcnet.compendium.paths import resolve, shown
from sarcnet.morphometry.geometry import TileGeometry, tile_geometry

STAGES = ("00_cohort", "02_features", "06_interpretability")


@dataclass(frozen=True)
class RunOutputs:
    """What a finished run knows of its slides.

    tiles: `Explanation.tiles`. files, features, true_nuclei (simulated cohorts only): paths by slide_id. data_kind:
    "simulated", "public" or "private".
    """

    tiles: pd.DataFrame
    files: dict[str, Path]
    features: dict[str, Path]
    true_nuclei: dict[str, Path]
    data_kind: str

    def geometry(self, slide_ids: Collection[str]) -> dict[str, TileGeometry]:
        """Where the tiles of these slides lie, by slide_id."""
        return tile_geometry({name: path for name, path in self.features.items() if name in slide_ids})


def read_run_outputs(run_dir: Path) -> RunOutputs:
    """Open the run whose notebooks 00, 02 and 06 have finished.

    Args:
        run_dir: folder of the run.

    Returns:
        Its explained tiles, and the files of its slides.

    Raises:
        SarcnetError: naming every notebook that has not finished or is stale, and every table that is gone.
    """
    faults, records = ErrorCollector(), Records(run_dir, HashBook(run_dir / "hashes.json"))
    for name in STAGES:
        if stale := records.stale_upstream(name):
            stage, reason = stale
            faults.add(
                f"{stage} of {shown(run_dir)} would run, because {reason}: run it first, or `make reproduce UPTO={name}`."
            )
    faults.raise_if_any("There is nothing to show of this run")
    stages = [records.get(name) or {} for name in STAGES]
    slides, features, explained = (
        {key: resolve(output["path"]) for key, output in stage["outputs"].items()} for stage in stages
    )
    table = explained.get("contributions.parquet", run_dir / "contributions.parquet")
    if not table.is_file():
        raise SarcnetError(f"{shown(table)} is gone: run 06_interpretability again.")
    return RunOutputs(
        tiles=pd.read_parquet(table),
        files={key.rpartition("/")[2]: file for key, file in slides.items() if key.startswith("slides/")},
        features={file.stem: file for key, file in features.items() if key.startswith("features/")},
        true_nuclei={Path(key).stem: file for key, file in slides.items() if fnmatch(key, "truth/slides/*.parquet")},
        data_kind=str(stages[-1].get("data_kind") or "of no stated kind"),
    )
