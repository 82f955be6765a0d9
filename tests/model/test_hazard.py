"""The discrete-time hazard: intervals, loss, risk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarcnet.cohort.incidence import incidence_at
from sarcnet.compendium.errors import SarcnetError
from sarcnet.evaluation.metrics.auc import Followup
from sarcnet.model.hazard import check_edges, death_counts, hazard_counts, intervals, negative_log_likelihood, risk

EDGES = [6.0, 12.0, 24.0]


@pytest.mark.parametrize(
    ("months", "event", "at_risk", "happened"),
    [
        (3.0, 1, [1, 0, 0], [1, 0, 0]),  # metastasis in the first interval
        (6.0, 1, [1, 0, 0], [1, 0, 0]),  # an interval contains its upper edge
        (6.1, 1, [1, 1, 0], [0, 1, 0]),
        (0.0, 1, [1, 0, 0], [1, 0, 0]),  # found at diagnosis
        (30.0, 1, [1, 1, 1], [0, 0, 0]),  # after the last edge: all of it survived
        (8.0, 0, [1, 0, 0], [0, 0, 0]),  # censored before the middle of the second
        (9.0, 0, [1, 1, 0], [0, 0, 0]),  # at its middle: counted as survived
        (8.0, 2, [1, 0, 0], [0, 0, 0]),  # death without metastasis is censored
        (np.nan, np.nan, [0, 0, 0], [0, 0, 0]),  # unknown outcome says nothing
    ],
)
def test_follow_up_becomes_intervals(months: float, event: float, at_risk: list[int], happened: list[int]) -> None:
    outcome = intervals(np.array([months]), np.array([event]), edges_months=EDGES)
    assert outcome.at_risk[0].tolist() == at_risk
    assert outcome.event[0].tolist() == happened


def drawn(n: int = 40) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    g = np.random.default_rng(3)
    return g.exponential(20, n), g.integers(0, 3, n), torch.from_numpy(g.normal(size=(n, 2)))


def naive_loss(months: float, event: int, score: float, log_odds: np.ndarray) -> float:
    """The likelihood of one patient, said slowly: interval by interval until metastasis or the end of watching."""
    total, lower = 0.0, 0.0
    for upper, alpha in zip(EDGES, log_odds, strict=True):
        h = 1 / (1 + np.exp(-(alpha + score)))
        if event == 1 and lower < months <= upper:
            return total - np.log(h)
        if (event == 1 and months > upper) or (event != 1 and months >= (lower + upper) / 2):
            total -= np.log(1 - h)
        lower = upper
    return total


def test_loss_equals_the_likelihood_said_slowly() -> None:
    months, event, score = drawn()
    outcome = intervals(months, event, edges_months=EDGES)
    log_odds = torch.tensor([[-2.0, -1.0, -1.5], [0.3, -3.0, 0.0]], dtype=torch.float64)
    loss = negative_log_likelihood(
        score, log_odds=log_odds, at_risk=torch.from_numpy(outcome.at_risk), event=torch.from_numpy(outcome.event)
    )
    slow = [
        [naive_loss(m, e, float(score[i, j]), log_odds[j].numpy()) for j in range(2)]
        for i, (m, e) in enumerate(zip(months, event, strict=True))
    ]
    np.testing.assert_allclose(loss.numpy(), slow, rtol=1e-10)


def test_losses_of_hospitals_add_to_the_pooled_loss() -> None:
    months, event, score = drawn()
    outcome = intervals(months, event, edges_months=EDGES)
    at_risk, happened = torch.from_numpy(outcome.at_risk), torch.from_numpy(outcome.event)
    log_odds = torch.full((2, 3), -1.0, dtype=torch.float64)

    def total(rows: slice) -> torch.Tensor:
        return negative_log_likelihood(score[rows], log_odds=log_odds, at_risk=at_risk[rows], event=happened[rows]).sum(
            dim=0
        )

    torch.testing.assert_close(total(slice(0, 15)) + total(slice(15, None)), total(slice(None)))


def test_risk_rises_with_the_score_and_with_the_horizon() -> None:
    score = torch.linspace(-6, 6, 50)[:, None]
    log_odds = torch.tensor([[-2.0, -1.0, -3.0]])
    at_12, at_24 = (risk(score, log_odds=log_odds, edges_months=EDGES, horizon_months=h) for h in (12.0, 24.0))
    assert (at_24.diff(dim=0) > 0).all()
    assert (at_24 > at_12).all()
    assert ((at_24 > 0) & (at_24 < 1)).all()


def test_starting_hazard_is_the_share_of_events() -> None:
    months = np.array([3.0] * 30 + [100.0] * 70)
    event = np.array([1] * 30 + [0] * 70)
    outcome = intervals(months, event, edges_months=EDGES)
    counts = hazard_counts(outcome, np.ones((100, 1)))
    alone = risk(
        torch.zeros(1, 1, dtype=torch.float64),
        log_odds=torch.from_numpy(counts.log_odds),
        edges_months=EDGES,
        horizon_months=6.0,
    )
    assert float(alone) == pytest.approx(30.5 / 101)


@pytest.mark.parametrize(
    ("edges", "horizon", "words"),
    [
        ([12.0, 6.0], 12.0, "must rise"),
        ([0.0, 6.0], 6.0, "must rise"),
        ([], 60.0, "must rise"),
        ([6.0, 12.0], 60.0, "not among"),
    ],
)
def test_useless_edges_are_refused(edges: list[float], horizon: float, words: str) -> None:
    with pytest.raises(SarcnetError, match=words):
        check_edges(edges, horizon_months=horizon)


def test_death_is_counted_and_ends_the_watching_for_metastasis() -> None:
    outcome = intervals(np.array([8.0, 9.0, 3.0]), np.array([2, 2, 1]), edges_months=EDGES)
    assert outcome.death.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert outcome.death_at_risk.tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0]]  # 3.0: half of the first interval
    assert outcome.at_risk.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]


def test_incidence_is_the_sum_said_slowly_and_that_of_one_cause_without_death() -> None:
    g = np.random.default_rng(5)
    score, death = g.normal(size=(6, 2)), g.normal(size=(6, 2))
    alpha, beta = g.normal(size=(2, 3)) - 1, g.normal(size=(2, 3)) - 2
    tensors = [torch.from_numpy(a) for a in (score, alpha, death, beta)]
    own = {"edges_months": EDGES, "horizon_months": 24.0}
    found = risk(tensors[0], log_odds=tensors[1], death_score=tensors[2], death_log_odds=tensors[3], **own)
    for i in range(6):
        for e in range(2):
            staying, total = 1.0, 0.0
            for a, b in zip(alpha[e], beta[e], strict=True):
                h, d = 1 / (1 + np.exp(-a - score[i, e])), 1 / (1 + np.exp(-b - death[i, e]))
                total += staying * (h * (1 - d) + h * d / 2)  # alone, or first of two: either order is as likely
                staying *= (1 - h) * (1 - d)
            assert float(found[i, e]) == pytest.approx(total, rel=1e-9)
    nobody_dies = risk(tensors[0], log_odds=tensors[1], death_log_odds=torch.full((2, 3), -50.0).double(), **own)
    torch.testing.assert_close(nobody_dies, risk(tensors[0], log_odds=tensors[1], **own))


def test_incidence_agrees_with_a_simulated_population_and_with_aalen_johansen() -> None:
    """Two exponential causes and uniform censoring; the incidence is known in closed form."""
    g, n, metastasis, dying = np.random.default_rng(11), 40_000, 0.012, 0.008
    a, d, c = g.exponential(1 / metastasis, n), g.exponential(1 / dying, n), g.uniform(5, 120, n)
    months = np.minimum(np.minimum(a, d), c)
    event = np.select([months == a, months == d], [1, 2], 0)
    edges = [6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0]
    outcome, everybody = intervals(months, event, edges_months=edges), np.ones((n, 1))
    found = risk(
        torch.zeros(1, 1).double(),
        log_odds=torch.from_numpy(hazard_counts(outcome, everybody).log_odds),
        edges_months=edges,
        horizon_months=60.0,
        death_log_odds=torch.from_numpy(death_counts(outcome, everybody).log_odds),
    )
    truth = metastasis / (metastasis + dying) * (1 - np.exp(-60 * (metastasis + dying)))
    assert float(found) == pytest.approx(truth, abs=0.01)
    estimated = incidence_at(Followup(months, event, np.full(n, "A")), horizon_months=60.0, competing=True)[0]
    assert float(found) == pytest.approx(estimated, abs=0.005)
    alone = 1 - np.exp(-60 * metastasis)  # what a model that censors the dead would say
    assert alone - truth > 0.09


def test_risk_of_metastasis_falls_where_death_comes_first_and_still_rises_with_the_score() -> None:
    score = torch.linspace(-4, 4, 30)[:, None]
    alpha, beta = torch.tensor([[-2.0, -1.0, -3.0]]), torch.tensor([[-2.0, -2.0, -2.0]])
    own = {"log_odds": alpha, "edges_months": EDGES, "horizon_months": 24.0, "death_log_odds": beta}
    young, old = (risk(score, death_score=torch.full_like(score, d), **own) for d in (-1.0, 2.0))
    assert (old < young).all()
    assert (old.diff(dim=0) > 0).all()
