"""Strategies side by side, and what a gradient shows of one patient and of many."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.analysis.compare import compare_strategies
from sarcnet.federated.app.ledger import totals
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.privacy.attacks import inspect_gradient


def test_strategies_are_compared_and_finetuning_goes_on_from_fedavgs_rounds(cohort, make_plan):
    plan, folders = make_plan(rounds=2), cohort.hospitals()
    settings = {"hospitals": folders, "rounds_folder": cohort.folder / "rounds"}
    main = simulate(plan, engine="inprocess", **settings)
    patients, folds = cohort.patients(), cohort.folds()
    found = compare_strategies(plan, ["finetuned", "cyclic"], patients=patients, folds=folds, **settings)
    assert found.oof.groupby("model").size().to_dict() == {"sarcnet_cyclic": 54, "sarcnet_finetuned": 54}
    assert list(found.bytes) == ["sarcnet_finetuned", "sarcnet_cyclic"]
    whole = totals(main.messages)["bytes"].sum()
    assert found.bytes["sarcnet_finetuned"] < whole  # one round of two stays at home
    assert abs(found.bytes["sarcnet_cyclic"] / whole - 1) < 0.01  # the model's journey is as long
    assert len(list((cohort.folder / "rounds").glob("*/round_001.json"))) == 2  # fedavg's, and the cycle's own
    again = compare_strategies(plan, ["finetuned"], patients=patients, folds=folds, **settings)
    first = found.oof[found.oof["model"] == "sarcnet_finetuned"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.oof, first, check_exact=True)


def test_an_unknown_strategy_is_refused_before_anything_is_trained(cohort, make_plan):
    with pytest.raises(SarcnetError, match=r"compared_strategies has \['best'\]: choose from fedavg, fedprox"):
        compare_strategies(
            make_plan(),
            ["best"],
            hospitals={},
            rounds_folder=cohort.folder,
            patients=cohort.patients(),
            folds=pd.DataFrame(),
        )


@pytest.mark.parametrize(
    ("aggregator", "fusion"), [("abmil", "late"), ("mean", "concatenation"), ("transmil", "gated")]
)
def test_one_patients_step_shows_the_record_and_a_groups_step_does_not(cohort, make_plan, aggregator, fusion):
    plan = make_plan(aggregator=aggregator, fusion=fusion)
    run = simulate(plan, hospitals=cohort.hospitals(), rounds_folder=cohort.folder / "r", engine="inprocess")
    table = inspect_gradient(run.model, cohort.patients(), row=5, group=20)
    np.testing.assert_allclose(table["from_one"], table["true"], rtol=1e-3, atol=1e-4)
    assert np.abs(table["from_group"] - table["true"]).max() > 0.1
    assert {"age_years", "size_mm"} <= set(table["column"])
