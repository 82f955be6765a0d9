"""Local fine-tuning: the last epochs of the budget at home, nothing sent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.analysis.fine_tuning import fine_tune, predict_at_home, shortened
from sarcnet.federated.engines.simulation import simulate


def test_each_hospital_goes_on_from_the_common_model_on_its_own_patients(cohort, make_plan):
    plan, folders = make_plan(rounds=3), cohort.hospitals()
    common_plan = shortened(plan, rounds_at_home=1)
    assert common_plan.rounds == 2
    common = simulate(common_plan, hospitals=folders, rounds_folder=cohort.folder / "rounds", engine="inprocess").model
    before = common.network.parameter_arrays()
    own = {
        name: fine_tune(common, folder=folder, plan=plan, rounds_at_home=1, model="sarcnet_finetuned")
        for name, folder in folders.items()
    }
    for name, array in before.items():
        np.testing.assert_array_equal(common.network.parameter_arrays()[name], array)
    assert all(
        np.abs(own[c].network.parameter_arrays()["image_weight"] - before["image_weight"]).max() > 0 for c in own
    )
    oof = predict_at_home(own, cohort.patients(), folds=cohort.folds())
    assert sorted(oof["patient_id"]) == sorted(cohort.table["patient_id"])
    assert set(oof["model"]) == {"sarcnet_finetuned"}
    alone = predict_at_home({"IB": own["IB"]}, cohort.patients(), folds=cohort.folds())
    pd.testing.assert_frame_equal(oof[oof["centre"] == "IB"].reset_index(drop=True), alone)


@pytest.mark.parametrize("rounds_at_home", [0, 3, 7])
def test_a_common_round_must_be_left(make_plan, rounds_at_home):
    with pytest.raises(SarcnetError, match="give 1 to 2 of the 3 rounds"):
        shortened(make_plan(rounds=3), rounds_at_home=rounds_at_home)
