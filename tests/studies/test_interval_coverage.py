"""The simulation of coverage, small: what it reports is possible, and it would notice intervals that are too narrow."""

from __future__ import annotations

import numpy as np
import pytest

from sarcnet.evaluation.metrics.bootstrap import Estimate
from studies import interval_coverage as module


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


def test_false_alarms_are_counted_where_nothing_is_to_be_found():
    found = module.false_alarms(3, studies=4, samples=50, sizes=(30, 50))["share"]
    checks = [name for name in found.index if "number" not in name]
    assert len(checks) == 6
    assert found[checks].between(0, 1).all()
    assert found["heterogeneity: number of tests"] >= 2
    assert found[checks].mean() < 0.6


def test_other_sizes_give_other_widths():
    small = module.coverage(3, studies=2, samples=60, patients=1500, sizes=(30, 40))
    large = module.coverage(3, studies=2, samples=60, patients=1500, sizes=(100, 150), refit=False)
    for quantity in (module.GRADE, module.COX):
        assert small.loc[(quantity, module.BCA), "width"] > large.loc[(quantity, module.BCA), "width"]
    assert np.isfinite(small.loc[(module.FOLD_MEAN, "value only"), "bias"])
    assert np.isnan(small.loc[(module.FOLD_MEAN, "value only"), "coverage"])
