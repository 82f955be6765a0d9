"""Mitotic figures as a pathologist counts them: clumped, black, hairy chromosomes without a membrane in a cleared cell.

Forms follow the usual criteria for counting (Donovan et al., Vet Pathol 2021;58:243-257,
DOI 10.1177/0300985820980049): late prometaphase as an
irregular clump with projections; metaphase as a plate seen from the side, or as a ring seen from the pole; anaphase and
telophase as two bars that run apart; atypical figures with three poles. Shares are assumptions.
"""

from __future__ import annotations

import numpy as np

from virtual_cohort.rendering.brush import fill, fixed

PLATE, RING, PAIR, CLUMP = 0.34, 0.50, 0.70, 0.88  # cumulative shares; the rest has three poles


def draw_mitosis(
    canvas: np.ndarray, centre: np.ndarray, *, angle: float, radius: float, value: float, dice: np.ndarray
) -> None:
    """Paint one figure of about the area of a disc of `radius`.

    Args:
        canvas: (h, w) uint8, painted in place.
        centre: (x, y) in px. angle: of the nucleus, radians. radius: in px. value: byte of the chromosomes.
        dice: (8,) numbers in 0..1 that settle form and roughness.
    """
    turn = angle + np.pi * dice[0]
    form = dice[1]
    if form < PLATE:
        _bar(canvas, centre, turn, length=2.9 * radius, width=1.0 * radius, bow=0.06, value=value, dice=dice)
    elif form < RING:
        _jagged(canvas, centre, radius=1.35 * radius, spikes=11, rough=0.16, value=value, dice=dice)
        _jagged(canvas, centre, radius=0.55 * radius, spikes=7, rough=0.12, value=0.0, dice=dice[::-1])
    elif form < PAIR:
        side = np.array([-np.sin(turn), np.cos(turn)]) * radius * (0.85 + 0.65 * dice[2])
        for sign in (-1, 1):
            _bar(
                canvas,
                centre + sign * side,
                turn,
                length=2.4 * radius,
                width=0.7 * radius,
                bow=-0.20 * sign,
                value=value,
                dice=dice,
            )
    elif form < CLUMP:
        _jagged(canvas, centre, radius=1.12 * radius, spikes=9, rough=0.30, value=value, dice=dice)
    else:
        for arm in range(3):
            leg = turn + arm * 2 * np.pi / 3
            tip = centre + 0.8 * radius * np.array([np.cos(leg), np.sin(leg)])
            _bar(canvas, tip, leg, length=1.7 * radius, width=0.6 * radius, bow=0.0, value=value, dice=dice)


def _jagged(
    canvas: np.ndarray, centre: np.ndarray, *, radius: float, spikes: int, rough: float, value: float, dice: np.ndarray
) -> None:
    """A disc with projections."""
    corners = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False)
    corners = corners + 0.5 * np.sin(3 * corners + 6 * dice[4]) * 2 / spikes  # spikes at unequal distances
    reach = 1 + rough * np.sin(corners * 5 + 6 * dice[2]) * np.sin(corners * 3 + 6 * dice[3])
    longer = 0.5 + 0.5 * np.sin(2 * corners + 6 * dice[6])
    reach = radius * reach * (1 + rough * np.where(np.arange(2 * spikes) % 2, 0.8 * longer, -0.3))
    flat = 0.82 + 0.18 * dice[5]
    outline = np.stack([np.cos(corners) * reach, np.sin(corners) * reach * flat], axis=-1)
    fill(canvas, fixed(outline + centre), value)


def _bar(
    canvas: np.ndarray,
    centre: np.ndarray,
    turn: float,
    *,
    length: float,
    width: float,
    bow: float,
    value: float,
    dice: np.ndarray,
) -> None:
    """A bar of chromosomes with a hairy border, its ends bent to one side by `bow` of its length."""
    steps = np.linspace(-1, 1, 9)
    hairy = 1 + 0.22 * np.where(np.arange(9) % 2, 1, -1) + 0.25 * np.sin(steps * 7 + 6 * dice[4])
    hairy[[0, -1]] *= 0.6
    bent = bow * length * steps**2
    top = np.stack([steps * length / 2, bent + hairy * width / 2], axis=-1)
    low = np.stack([steps[::-1] * length / 2, bent[::-1] - (2.1 - hairy[::-1]) * width / 2], axis=-1)
    both = np.concatenate([top, low])
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.stack([both[:, 0] * cos - both[:, 1] * sin, both[:, 0] * sin + both[:, 1] * cos], axis=-1)
    fill(canvas, fixed(turned + centre), value)
