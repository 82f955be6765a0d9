"""Masks that cancel: the sum is exact to its step, one message is noise, and what would give a term away is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

from sarcnet.compendium.errors import SarcnetError
from sarcnet.federated.app.secure_aggregation import SecureAggregation
from sarcnet.federated.engines.simulation import simulate
from sarcnet.federated.privacy.masking import (
    STATISTICS,
    TRAINING,
    Fixed,
    mask,
    new_key,
    public_key,
    unmask_sum,
)
from sarcnet.federated.strategies import strategy_config

NAMES = ("CLB", "IB", "Lille", "Nice")


@pytest.fixture(scope="module")
def keys():
    return {name: new_key() for name in NAMES}


def arrays_of(hospital, scale=1.0):
    generator = np.random.default_rng(NAMES.index(hospital))
    return {"w": scale * generator.normal(size=(2, 3, 50)), "n": generator.integers(1, 90, 2).astype(float)}


def messages(keys, hospitals, fixed=TRAINING, question="train 1"):
    public = {name: public_key(keys[name]) for name in hospitals}
    return {
        own: mask(arrays_of(own), fixed=fixed, own=own, private=keys[own], public=public, question=question)
        for own in hospitals
    }


@pytest.mark.parametrize("hospitals", [NAMES[:3], NAMES], ids=["three", "four"])
@pytest.mark.parametrize("fixed", [TRAINING, STATISTICS], ids=["32 bits", "64 bits"])
def test_the_sum_is_the_sum_to_half_a_step_a_hospital(keys, hospitals, fixed):
    total = unmask_sum(messages(keys, hospitals, fixed), hospitals=hospitals, fixed=fixed)
    for name in ("w", "n"):
        plain = np.sum([arrays_of(h)[name] for h in hospitals], axis=0)
        np.testing.assert_allclose(total[name], plain, rtol=0, atol=len(hospitals) * fixed.step / 2 + 1e-12)
    np.testing.assert_array_equal(total["n"], np.sum([arrays_of(h)["n"] for h in hospitals], axis=0))


def test_one_message_is_uniform_noise_whatever_it_says(keys):
    public = {name: public_key(keys[name]) for name in NAMES}
    nothing = {"w": np.zeros(20_000)}
    sent = mask(nothing, fixed=TRAINING, own="IB", private=keys["IB"], public=public, question="q")["w"]
    assert kstest(sent / 2.0**32, "uniform").pvalue > 1e-4
    two = mask({"w": np.ones(20_000)}, fixed=TRAINING, own="IB", private=keys["IB"], public=public, question="r")["w"]
    assert abs(np.corrcoef(sent.astype(float), two.astype(float))[0, 1]) < 0.04  # another question, other masks


def test_the_sum_of_some_is_noise_and_is_not_read(keys):
    sent = messages(keys, NAMES)
    del sent["Lille"]
    with pytest.raises(SarcnetError, match="Lille did not answer, and without its masks"):
        unmask_sum(sent, hospitals=NAMES, fixed=TRAINING)
    some = unmask_sum(sent, hospitals=tuple(sent), fixed=TRAINING)["w"]  # as an onlooker would try
    plain = np.sum([arrays_of(h)["w"] for h in sent], axis=0)
    assert np.median(np.abs(some - plain)) > 100


def test_masks_of_two_arrays_of_one_question_differ(keys):
    public = {name: public_key(keys[name]) for name in NAMES}
    same = {"a": np.zeros(100), "b": np.zeros(100)}
    sent = mask(same, fixed=TRAINING, own="CLB", private=keys["CLB"], public=public, question="q")
    assert (sent["a"] != sent["b"]).mean() > 0.99


def test_two_hospitals_are_refused_and_this_is_why(keys):
    with pytest.raises(SarcnetError, match="needs 3 hospitals, and there are 2: with two each subtracts"):
        messages(keys, NAMES[:2])
    clb, ib = arrays_of("CLB")["w"], arrays_of("IB")["w"]
    share = 0.4  # of CLB's patients; every hospital receives the mean
    mean = share * clb + (1 - share) * ib
    np.testing.assert_allclose((mean - share * clb) / (1 - share), ib, atol=1e-12)


def test_a_key_that_was_exchanged_on_the_way_is_noticed_by_its_owner(keys):
    public = {name: public_key(keys[name]) for name in NAMES} | {"IB": public_key(new_key())}
    with pytest.raises(SarcnetError, match="do not hold the one IB sent: nothing is sent"):
        mask(arrays_of("IB"), fixed=TRAINING, own="IB", private=keys["IB"], public=public, question="q")


@pytest.mark.parametrize("value", [np.nan, np.inf, 700.0, -700.0])
def test_numbers_that_would_come_out_as_others_are_refused(value):
    """32 bits of 2^-20 hold ±2048; of three hospitals each may use a third, ±682.7."""
    with pytest.raises(SarcnetError, match=r"w holds a number that is not finite or beyond ±682.7"):
        TRAINING.write(np.array([0.0, value]), hospitals=3, name="w")
    assert Fixed(32, 2.0**-20).read(TRAINING.write(np.array([-682.0]), hospitals=3)) == -682.0


@pytest.fixture
def three(cohort, make_plan):
    """The cohort dealt to three hospitals, and its plan."""
    table = cohort.table.assign(centre=np.resize(["CLB", "IB", "Lille"], len(cohort.table)))
    split = dataclasses.replace(cohort, table=table, folder=cohort.folder / "three")
    return split, make_plan(rounds=3, local_epochs=2, optimizer="sgd", centres=("CLB", "IB", "Lille"))


def federate(cohort, plan, name):
    hospitals = cohort.hospitals(plan.protocol)
    return simulate(plan, hospitals=hospitals, rounds_folder=cohort.folder / name, engine="inprocess")


def test_the_app_trains_the_same_model_on_sums_it_cannot_take_apart(three):
    cohort, plan = three
    plain = federate(cohort, plan, "plain")
    secure = federate(cohort, dataclasses.replace(plan, secure_sum=True), "secure")
    a, b = (run.model.network.state_dict() for run in (plain, secure))
    for name in a:
        np.testing.assert_allclose(a[name].numpy(), b[name].numpy(), atol=2e-5, err_msg=name)
    assert plain.evaluation.auc == pytest.approx(secure.evaluation.auc, abs=1e-6)
    assert set(secure.rounds["hospital"]) == {"all together"}
    arrays = secure.messages[(secure.messages["to"] == "server") & (secure.messages["shape"] != "")]
    assert set(arrays["dtype"]) == {"uint32", "uint64"}  # nothing readable leaves a hospital
    again = federate(cohort, dataclasses.replace(plan, secure_sum=True), "again")
    assert all(
        a.equal(b) for a, b in zip(*(r.model.network.state_dict().values() for r in (secure, again)), strict=True)
    )
    once, twice = (r.messages[r.messages["name"] == "tile_weight"] for r in (secure, again))
    assert set(once.loc[once["to"] == "server", "sha256"]).isdisjoint(twice.loc[twice["to"] == "server", "sha256"])


def test_plans_that_would_give_terms_away_are_refused(make_plan, three):
    with pytest.raises(SarcnetError, match="needs 3 hospitals, and there are 2"):
        dataclasses.replace(make_plan(), secure_sum=True)
    for settings in (
        {"strategy": strategy_config("median")},
        {"strategy": strategy_config("scaffold")},
        {"message_dtype": "float16"},
    ):
        with pytest.raises(SarcnetError, match="use a strategy of the plain mean"):
            dataclasses.replace(three[1], secure_sum=True, **settings)


def test_a_question_is_answered_once(three, monkeypatch):
    cohort, plan = three
    monkeypatch.setattr(
        SecureAggregation,
        "record",
        lambda self, question, record=SecureAggregation.record: record(self, "always the same"),
    )
    with pytest.raises(SarcnetError, match="'always the same' was asked twice"):
        federate(cohort, dataclasses.replace(plan, secure_sum=True), "twice")
