"""A hospital is known by its colour from figure to figure."""

from __future__ import annotations

import pandas as pd

from sarcnet.compendium.figures import HOSPITALS, hospital_colours


def test_the_order_and_number_of_rows_change_no_colour():
    told = hospital_colours(pd.Series(["IB", "CLB", "IB"]))
    assert told == hospital_colours(["CLB", "IB"]) == {"CLB": HOSPITALS[0], "IB": HOSPITALS[1]}


def test_none_is_left_out_where_there_are_more_hospitals_than_colours():
    names = [f"H{number:02d}" for number in range(2 * len(HOSPITALS) + 1)]
    assert list(hospital_colours(names)) == names
