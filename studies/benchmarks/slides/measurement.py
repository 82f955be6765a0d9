"""The tools that the slide benchmark compares, and what is measured of one of them on one slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

BATCH_TILES, JOBS = 8, 2
SAME_COLOUR = 4.0  # grey levels of a tile's mean colour by which readers may differ (filters, decoders)


@dataclass(frozen=True)
class Tool:
    """Something that turns slides into tiles. `script` measures it in an environment with `requirements` (none: in
    sarcnet's own); `absent` is why it cannot be measured at all.
    """

    name: str
    script: str = ""
    requirements: tuple[str, ...] = ()
    absent: str = ""


_TORCH = ("torch==2.12.1", "torchvision==0.27.1", "onnxruntime==1.32.0")
TOOLS = (
    Tool("sarcnet", "sarcnet_extraction.py"),
    Tool("naive loop", "naive_loop.py"),
    Tool("LazySlide", "lazyslide_tiles.py", ("lazyslide==0.13.0", "wsidata==0.12.0", *_TORCH)),
    Tool("TIAToolbox", "tiatoolbox_tiles.py", ("tiatoolbox==2.1.3", *_TORCH)),
    Tool("STAMP", absent="on GitHub only (what PyPI calls stamp is another program)"),
    Tool("TRIDENT", absent="on GitHub only (what PyPI calls trident is another program), for non-commercial use"),
)


@dataclass
class Measured:
    """One tool on one slide: seconds of each repeat and tiles of each measure, or `failed`, the reason."""

    tool: str
    slide: str
    version: str = ""
    seconds: Mapping[str, list[float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    why_not: Mapping[str, str] = field(default_factory=dict)
    colours: list[list[float]] = field(default_factory=list)
    peak_mb: float = 0.0
    others_cores: float = (
        0.0  # cores that other programs (or other machines on the same host) took meanwhile, on average
    )
    failed: str = ""

    def median_s(self, measure: str) -> float | None:
        """Median seconds, or None where it was not measured."""
        return median(self.seconds[measure]) if self.seconds.get(measure) else None

    def rate(self, measure: str) -> float | None:
        """Tiles a second, or None where it was not measured."""
        seconds = self.median_s(measure)
        return self.counts[measure] / seconds if seconds else None


def other_colours(rows: list[Measured]) -> list[str]:
    """A sentence for each tool whose first tiles have another mean colour than sarcnet's: it read something else."""
    reference = {row.slide: row.colours for row in rows if row.tool == "sarcnet"}
    found = []
    for row in rows:
        pairs = list(zip(row.colours, reference.get(row.slide, []), strict=False))
        worst = max((abs(a - b) for own, other in pairs for a, b in zip(own, other, strict=True)), default=0.0)
        if worst > SAME_COLOUR:
            found.append(
                f"On the {row.slide} slide, the mean colour of a tile differs by up to {worst:.1f} grey levels between "
                f"{row.tool} and sarcnet: they did not read the same pixels."
            )
    return found
