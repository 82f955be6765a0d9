"""What a finished run left behind, for commands that are not notebooks: contributions, slides and feature files."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from sarcnet.compendium.errors import ErrorCollector
from sarcnet.compendium.files import HashBook
from sarcnet.compendium.freshness import Records
from sarcnet.compendium.paths import resolve, shown
from sarcnet.morphometry.geometry import TileGeometry, tile_geometry

STAGES = ("00_cohort", "02_features", "06_interpretability")


@dataclass(frozen=True)
class FinishedRun:
    """tiles: `Explanation.tiles`; files, features, true_nuclei (virtual cohorts only): paths by slide_id; data_kind:
    "simulated", "public" or "private".
    """

    tiles: pd.DataFrame
    files: dict[str, Path]
    features: dict[str, Path]
    true_nuclei: dict[str, Path]
    data_kind: str

    def geometry(self, slide_ids: set[str]) -> dict[str, TileGeometry]:
        """Where the tiles of these slides lie, by slide_id."""
        return tile_geometry({name: path for name, path in self.features.items() if name in slide_ids})


def read_finished(run_dir: Path) -> FinishedRun:
    """Open the run whose notebooks 00, 02 and 06 have finished in `run_dir`.

    Raises:
        SarcnetError: naming every notebook that has not finished or is stale, and every table that is gone.
    """
    faults = ErrorCollector()
    known = Records(run_dir, HashBook(run_dir / "hashes.json"))
    for name in STAGES:
        if stale := known.stale_upstream(name):
            stage, reason = stale
            faults.add(
                f"{stage} of {shown(run_dir)} would run, because {reason}: run it first, or `make reproduce UPTO={name}`."
            )
    records = {name: known.get(name) for name in STAGES}
    faults.raise_if_any("There is nothing to show of this run")
    outputs = {
        name: {key: resolve(output["path"]) for key, output in (record or {})["outputs"].items()}
        for name, record in records.items()
    }
    path = outputs["06_interpretability"].get("contributions.parquet", run_dir / "contributions.parquet")
    if not path.is_file():
        faults.add(f"{shown(path)} is gone: run 06_interpretability again.")
    faults.raise_if_any("There is nothing to show of this run")
    slides, features = outputs["00_cohort"], outputs["02_features"]
    return FinishedRun(
        tiles=pd.read_parquet(path),
        files={key.rpartition("/")[2]: file for key, file in slides.items() if key.startswith("slides/")},
        features={file.stem: file for key, file in features.items() if key.startswith("features/")},
        true_nuclei={Path(key).stem: file for key, file in slides.items() if fnmatch(key, "truth/slides/*.parquet")},
        data_kind=str((records["06_interpretability"] or {}).get("data_kind") or "of no stated kind"),
    )
