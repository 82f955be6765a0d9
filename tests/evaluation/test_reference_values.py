"""Every estimator against R 4.2: riskRegression, cmprsk, survival, pec, pROC and geepack on four made-up data sets.

`reference/R.csv` holds R's values at 60 months, one column a data set; `reference/<name>.csv` the data (time in months;
event 0 censored, 1 metastasis, 2 death without; two risks; a covariate x). plain: 300 patients without deaths; comp: 300
with; ties: 200, times rounded up to 6 months; small: 30. R knows one censoring curve for all, hence one centre here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from oracles import accuracy_index

from sarcnet.cohort.incidence import at, curve, incidence_at
from sarcnet.cohort.outcome import CENSORED, DEATH, METASTASIS, Followup
from sarcnet.evaluation.metrics.auc import auc, naive_auc
from sarcnet.evaluation.metrics.brier import brier
from sarcnet.evaluation.metrics.calibration import calibrate
from sarcnet.evaluation.metrics.concordance import concordance
from sarcnet.evaluation.metrics.delong import delong
from sarcnet.evaluation.metrics.gray import gray_test

FOLDER = Path(__file__).parent / "reference"
R = pd.read_csv(FOLDER / "R.csv", index_col="value")
NAMES = ("plain", "comp", "ties", "small")
HORIZON, LEVEL = 60.0, 0.95
#: riskRegression and pROC were told to take a patient censored at the very horizon for lost; here such a patient is a
#: control. In `ties` there are five. A horizon a hair later makes them lost here too.
R_HORIZON = float(np.nextafter(HORIZON, np.inf))


def ours(name: str) -> dict[str, float]:
    """The package's value for each row of R.csv that it has a function for."""
    table = pd.read_csv(FOLDER / f"{name}.csv")
    months, event, x = table["time"].to_numpy(float), table["event"].to_numpy(int), table["x"].to_numpy()
    followup = Followup(months, event, np.full(len(table), "one"))
    risk, other = table["risk"].to_numpy(), table["risk2"].to_numpy()
    one = delong(risk, followup, horizon_months=R_HORIZON, level=LEVEL)
    gap = delong(risk, followup, horizon_months=R_HORIZON, level=LEVEL, other=other)
    score, index = (f(risk, followup, horizon_months=R_HORIZON) for f in (brier, accuracy_index))
    lived, net = (at(curve(followup, competing=flag, level=LEVEL), HORIZON) for flag in (True, False))
    made = calibrate(
        risk, followup, horizon_months=HORIZON, competing=True, level=LEVEL, counts=np.ones((2, len(table)), int)
    )
    tested = gray_test(months, event, x > 0)
    found = {
        "auc": auc(risk, followup, horizon_months=R_HORIZON),
        "auc2": auc(other, followup, horizon_months=R_HORIZON),
        "naive": naive_auc(risk, followup, horizon_months=R_HORIZON),
        "dl_lo": one.low,
        "dl_hi": one.high,
        "dld": gap.value,
        "dld_lo": gap.low,
        "dld_hi": gap.high,
        "dld_p": gap.p,
        "brier": score,
        "brier_null": score / (1 - index),
        "ipa": index,
        "inc_True": lived["risk"],
        "sf_inc": incidence_at(followup, horizon_months=HORIZON, competing=True)[0],
        "cmprsk_lo": lived["low"],
        "cmprsk_hi": lived["high"],
        "inc_False": net["risk"],
        "inc_False_lo": net["low"],
        "inc_False_hi": net["high"],
        "gray": tested.statistic,
        "grayp": tested.p,
        "gray3": gray_test(months, event, np.digitize(x, [-0.6, 0.6])).statistic,
        "harrell": concordance(risk, followup, upto_months=HORIZON, weighted=False),
        "harrell_all": concordance(risk, followup, upto_months=np.inf, weighted=False),
        "pec_c": concordance(risk, followup, upto_months=HORIZON, weighted=True),
        "uno": concordance(risk, followup, upto_months=HORIZON, weighted=True),
        "ici": made.ici.value,
        **{f"{row}{tail}": getattr(getattr(made, full), end)
           for row, full in (("slope", "slope"), ("int", "intercept"))
           for tail, end in (("", "value"), ("_lo", "low"), ("_hi", "high"))},
    }  # fmt: skip
    if (event == DEATH).any():
        swapped = np.select([event == DEATH, event == METASTASIS], [METASTASIS, DEATH], CENSORED)
        found["gray_death"] = gray_test(months, swapped, x > 0).statistic
    if name == "plain":
        found["pec_c"] = 1 - found["pec_c"]  # R printed it in the other direction
    return found


#: Rows without a function here: survfit's own bounds, which are formed on the scale log(−log F), and a check of R's.
WITHOUT = {"inc_True_lo", "inc_True_hi", "pseudo_maxdiff"}
#: Absolute tolerance; 1e-6 for what is not named. geepack stops iterating earlier than we do.
TOLERANCES = dict.fromkeys(("ici", *(f"{a}{b}" for a in ("slope", "int") for b in ("", "_lo", "_hi"))), 0.0001)
#: These intervals take the censoring as known, R's do not, and they hold DeLong's m / (m - 1).
KNOWN_WEIGHTS = ("dl_lo", "dl_hi", "dld_lo", "dld_hi", "dld_p")


@pytest.fixture(scope="module")
def computed() -> dict[str, dict[str, float]]:
    return {name: ours(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_r_is_ours(computed, name):
    expected = R[name].dropna().drop([row for row in WITHOUT if row in R.index])
    found = computed[name]
    assert set(expected.index) <= set(found), "a row of R.csv has no function here"
    wrong = [
        f"{row}: {found[row]:.7f}, R {value:.7f}"
        for row, value in expected.items()
        if row not in KNOWN_WEIGHTS and abs(found[row] - value) > TOLERANCES.get(row, 1e-6)
    ]
    assert not wrong, "; ".join(wrong)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["dl", "dld"])
def test_closed_intervals_are_r_s_within_four_per_cent_of_their_width(computed, name, what):
    low, high = (R.loc[f"{what}_{end}", name] for end in ("lo", "hi"))
    allowed = 0.04 * (high - low)
    assert computed[name][f"{what}_lo"] == pytest.approx(low, abs=allowed)
    assert computed[name][f"{what}_hi"] == pytest.approx(high, abs=allowed)
    assert computed[name]["dld_p"] == pytest.approx(R.loc["dld_p", name], abs=0.005)
