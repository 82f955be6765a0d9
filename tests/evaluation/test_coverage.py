"""The simulation of coverage, small: what it reports is possible, and it would notice intervals that are too narrow."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.evaluation import coverage as module
from sarcnet.evaluation.bootstrap import Estimate


@pytest.fixture(scope="module")
def found():
    return module.coverage(3, studies=6, samples=60, patients=1500, refit=False)


def test_every_method_is_judged_for_every_quantity(found):
    assert set(found.index.get_level_values("method")) == {
        module.BY_CENTRE, module.STRATIFIED, module.BCA, module.JACKKNIFE, module.DELONG
    }  # fmt: skip
    assert set(found.index.get_level_values("quantity")) == {module.GRADE, module.COX, module.GAP}
    assert (found["coverage"] + found["below"] + found["above"]).to_numpy() == pytest.approx(np.ones(len(found)))
    assert found["coverage"].mean() > 0.6
    assert found["width"].between(0.02, 0.2).all()


def test_intervals_that_are_too_narrow_are_found_out(monkeypatch):
    def narrow(risks, followup, *, samples, generator):
        return {(module.GRADE, "narrow"): Estimate(0.9, 0.89, 0.91)}

    monkeypatch.setattr(module, "intervals", narrow)
    found = module.coverage(3, studies=2, samples=60, patients=1500, refit=False)
    assert found.loc[(module.GRADE, "narrow"), "coverage"] == 0
    assert found.loc[(module.GRADE, "narrow"), "above"] == 1
