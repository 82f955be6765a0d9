"""The price of privacy: a small study of both units, its table and its figure."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sarcnet.federated.hospital_folder import read_folds, read_hospital, read_outcome
from sarcnet.federated.privacy.accountant import rdp_epsilon
from studies.privacy_tradeoff import DELTA, Study, draw_trade_off, patient_noise, trade_off


@pytest.fixture
def study(cohort, make_plan):
    plan, folders = make_plan(rounds=2, local_epochs=2), cohort.hospitals()
    hospitals = {name: read_hospital(folder, protocol=plan.protocol) for name, folder in folders.items()}
    tables = [pd.concat([read(f) for f in folders.values()]) for read in (read_folds, read_outcome)]
    return Study(plan, folders, hospitals, *tables)


def test_the_table_names_unit_releases_and_the_accountants_epsilon(study, tmp_path):
    noise = {"hospital": (0.0, 1.0), "patient": (0.0, 4.0)}
    table = trade_off(study, rounds_folder=tmp_path, noise=noise).set_index(["unit", "noise_multiplier"])
    assert table["releases"].to_dict() == {
        ("hospital", 0.0): 2,
        ("hospital", 1.0): 2,
        ("patient", 0.0): 4,
        ("patient", 4.0): 4,
    }
    assert np.isinf(table.loc[("hospital", 0.0), "epsilon"])
    assert table.loc[("patient", 4.0), "epsilon"] == rdp_epsilon(noise_multiplier=4.0, releases=4, delta=DELTA)
    assert table["auc"].between(0, 1).all()
    fig = draw_trade_off(table.reset_index(), plain_auc=0.7, title="simulated patients")
    ax = fig.axes[0]
    assert "δ = 0.001" in ax.get_xlabel()
    assert next(len(line.get_xdata()) for line in ax.get_lines()) == 1  # no ε is drawn where there is none
    plt.close(fig)


def test_noise_at_the_hospital_is_the_same_twice_and_matters(study):
    first, again = (patient_noise(study, 3.0).network.parameter_arrays() for _ in range(2))
    quiet = patient_noise(study, 0.0).network.parameter_arrays()
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert np.abs(first["tile_weight"] - quiet["tile_weight"]).max() > 0.1


def test_more_noise_blurs_more(study):
    still = dataclasses.replace(study, plan=dataclasses.replace(study.plan, rounds=1))
    quiet = patient_noise(still, 0.0).network.parameter_arrays()["tile_weight"]
    far = [
        np.abs(patient_noise(still, z).network.parameter_arrays()["tile_weight"] - quiet).mean() for z in (1.0, 10.0)
    ]
    assert far[1] == pytest.approx(10 * far[0], rel=0.2)
