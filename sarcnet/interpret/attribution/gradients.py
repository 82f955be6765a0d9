r"""Parts of a score that is no sum, by integrated gradients, and the error that is made.

TransMIL lets tiles look at each other, and early fusion lets slide and clinic work on each other: no tile has a place of
its own in such a score :math:`f`. Integrated gradients (Sundararajan, Taly and Yan, ICML 2017, arXiv 1703.01365) share it
out along the straight line from a start :math:`x^0` to the patient :math:`x`:

.. math:: \phi_i = (x_i - x_i^0) \int_0^1 \partial_i f\bigl(x^0 + \alpha (x - x^0)\bigr)\, d\alpha, \qquad
   \sum_i \phi_i = f(x) - f(x^0).

The start is the average: as many tiles as the patient has, each the mean training tile, and mean clinical values. A tile's
part is the sum over its features. The integral is taken by Gauss and Legendre's rule on as many panels as it needs
for the parts to add up within `TOLERANCE`; what is left is stated for every patient, never spread over the parts. Values that
are missing stay missing on the whole way and have no part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sarcnet.model.clinical import clinical_columns
from sarcnet.model.patients import PatientBatches, Patients, all_tiles
from sarcnet.model.predict import Contributions, TrainedStack, contributions

TOLERANCE = 0.01  # log-odds by which the parts of a patient may miss the score
POINTS = (8, 32, 128, 512, 2048)  # of the rule; the next is tried for those patients whose parts miss by more
PER_PANEL = 8
FEW_POINTS = POINTS[:1]  # for networks with shuffled weights, where only ranks are compared


@dataclass(frozen=True)
class Parts:
    """`found`: parts as of an additive score. `start`: (n,) score f(x⁰). `gap`: (n,) score minus start minus all parts."""

    found: Contributions
    start: np.ndarray
    gap: np.ndarray


def parts_of(
    model: TrainedStack, patients: Patients, *, use: np.ndarray | None = None, points: tuple[int, ...] = POINTS
) -> Parts:
    """Exact parts where the score is a sum (start and gap are 0), else integrated gradients.

    use: (n, E) weights of the members for each patient, as in :func:`sarcnet.model.predict.contributions`.
    points: numbers of points of the rule, tried in turn.
    """
    if model.network.additive:
        exact = contributions(model, patients, use=use)
        return Parts(exact, np.zeros(len(patients)), np.zeros(len(patients)))
    return integrated_gradients(model, patients, use=use, points=points)


def integrated_gradients(
    model: TrainedStack, patients: Patients, *, use: np.ndarray | None = None, points: tuple[int, ...] = POINTS
) -> Parts:
    """Integrated gradients of the mean score of the chosen members. `attention` of the tiles is NaN: there is none.

    Arguments as in :func:`parts_of`.
    """
    n, members = len(patients), model.network.shape.members
    chosen = np.ones((n, members)) if use is None else np.asarray(use, dtype=float)
    share = torch.from_numpy(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-12)).float()
    tile = np.zeros(len(patients.bags.features))
    clinical = np.zeros((n, patients.clinical.shape[1]))
    start, gap = np.zeros(n), np.full(n, np.inf)
    for count in points:
        for rows, where, batch in _batches(patients, model, np.flatnonzero(np.abs(gap) > TOLERANCE)):
            s = share[rows]
            found = _integrate(model, batch, share=s, points=count)
            tile[where] = found[0].numpy()[batch["mask"].numpy()]
            clinical[rows] = found[1].numpy()
            start[rows] = found[2].numpy()
            gap[rows] = (found[3] - found[2] - found[0].sum(dim=1) - found[1].sum(dim=1)).numpy()
    return Parts(_as_contributions(model, patients, tile, clinical, start), start, gap)


def _batches(
    patients: Patients, model: TrainedStack, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Tensor]]]:
    """Rows of the patients, places of their tiles, and the batch, for these rows alone."""
    own = patients.select(rows)
    weights = np.zeros((len(own), model.network.shape.members), np.float32)
    for batch in all_tiles(PatientBatches(own, weights=weights, seed=0, image=model.network.shape.image)):
        here = rows[batch["index"].numpy()]
        offsets = patients.bags.offsets
        spans = [np.arange(offsets[row], offsets[row + 1]) for row in here]
        where = np.concatenate(spans) if model.network.shape.image else np.zeros(0, int)
        yield here, where, batch


def _integrate(
    model: TrainedStack, batch: dict[str, Tensor], *, share: Tensor, points: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parts of the tiles (B, T) and clinical columns (B, p), score at the start and of the patient (B,), float64."""
    network, mask = model.network, batch["mask"]
    tiles, clinical = batch["tiles"], batch["clinical"]
    mean_tile = network.tile_mean.mean(dim=0) if tiles.shape[2] else tiles.new_zeros(0)
    begin = (mean_tile.expand_as(tiles) * mask[:, :, None], network.clinical_mean.mean(dim=0).expand_as(clinical))
    way = (tiles - begin[0], clinical - begin[1])
    places, weights = _rule(points)
    sums = [torch.zeros_like(part, dtype=torch.float64) for part in way]
    for place, weight in zip(places, weights, strict=True):
        here = [(b + float(place) * w).requires_grad_() for b, w in zip(begin, way, strict=True)]
        score = (network(here[0], mask, here[1]) * share).sum()
        slopes = torch.autograd.grad(score, here, allow_unused=True)
        for total, slope in zip(sums, slopes, strict=True):
            total += 0 if slope is None else weight * slope.double()
    with torch.no_grad():
        missing = torch.where(torch.isnan(clinical), torch.nan, begin[1])
        ends = [(network(*x) * share).sum(dim=1).double() for x in ((begin[0], mask, missing), (tiles, mask, clinical))]
    return (sums[0] * way[0]).sum(dim=2), torch.nan_to_num(sums[1] * way[1]), ends[0], ends[1]


def _rule(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights on [0, 1]: panels of equal width, since a score with kinks is not smooth on the whole way."""
    own = min(points, PER_PANEL)
    places, weights = np.polynomial.legendre.leggauss(own)
    panels = points // own
    return ((np.arange(panels)[:, None] + (places + 1) / 2) / panels).ravel(), np.tile(weights / 2 / panels, panels)


def _as_contributions(
    model: TrainedStack, patients: Patients, tile: np.ndarray, clinical: np.ndarray, start: np.ndarray
) -> Contributions:
    ids = np.asarray(patients.patient_ids, dtype=object)
    tiles = patients.bags.tiles.reset_index(drop=True).copy()
    tiles.insert(0, "patient_id", np.repeat(ids, patients.bags.sizes))
    tiles = tiles.assign(attention=np.nan, contribution=tile)
    columns = clinical_columns(model.protocol.clinical_variables)
    long = pd.DataFrame({"patient_id": np.repeat(ids, len(columns)), "column": np.tile(columns, len(ids))})
    image = np.add.reduceat(np.append(tile, 0.0), patients.bags.offsets[:-1]) * (patients.bags.sizes > 0)
    own = clinical.sum(axis=1)
    scores = pd.DataFrame({"patient_id": ids, "image": image, "clinical": own, "score": start + image + own})
    kept = tiles if model.network.shape.image else tiles.iloc[:0]
    return Contributions(kept, long.assign(contribution=clinical.ravel()), scores)


def sentence(parts_gap: float, *, additive: bool) -> str:
    """How the parts were had, and their error. parts_gap: largest |gap| over patients, log-odds."""
    if additive:
        return "The score is a sum: its parts are exact."
    return (
        "This score is no sum, so its parts are approximated by integrated gradients from the average tile and average "
        f"clinical values; they miss the score by at most {parts_gap:.1e} log-odds."
    )
