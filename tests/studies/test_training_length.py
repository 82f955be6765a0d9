"""The length of training follows from a rule that can be broken, and is looked at without being changed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sarcnet.compendium.paths import root
from sarcnet.model.protocol import Protocol
from sarcnet.model.settings import ModelSettings
from sarcnet.model.training.experiment import Variant, cross_validate
from studies.training_length import FEDERATED, Cohort, choose, joined, page, summary, train_all


def lengths(slope: list[float], brier: list[float], *, model: str = FEDERATED) -> pd.DataFrame:
    rows = pd.DataFrame({"length": range(15, 15 + 10 * len(slope), 10), "slope": slope, "brier": brier})
    return rows.assign(model=model, group="demo", cohort="1", auc=0.8, intercept=0.0)


@pytest.mark.parametrize(
    ("slope", "brier", "chosen"),
    [
        ([1.8, 1.2, 1.05, 0.97], [0.18, 0.171, 0.170, 0.1705], 35),
        ([1.05, 1.0, 0.97, 0.95], [0.18, 0.176, 0.171, 0.170], 35),  # the slope is right before the score is
        ([1.8, 1.5, 1.3, 1.2], [0.18, 0.171, 0.170, 0.170], None),
        ([0.8, 0.7, 0.6, 0.5], [0.17, 0.18, 0.19, 0.20], None),
        ([1.0, 0.9, 0.8, 0.7], [0.17, 0.18, 0.19, 0.20], 15),
    ],
)
def test_the_rule_takes_the_shortest_length_that_keeps_both_of_its_parts(slope, brier, chosen):
    assert choose(lengths(slope, brier)) == chosen


def test_the_rule_looks_at_the_mean_over_cohorts_and_the_page_says_what_it_takes():
    one, two = lengths([1.6, 1.2, 1.0], [0.2] * 3), lengths([1.2, 0.9, 0.7], [0.2] * 3)
    table = pd.concat([one, two.assign(cohort="2"), lengths([2.0] * 3, [0.2] * 3, model="clinical_only")])
    assert summary(table).query("chosen")[["model", "length", "slope"]].to_numpy().tolist() == [[FEDERATED, 25, 1.05]]
    text = page(table, seeds=[1, 2], local_epochs=2, sizes={"demo": "2 cohorts."})
    assert "The rule takes **25 rounds**." in text
    assert "| 25 | 1.05 | 0.90 to 1.20 | 0.2000 | 0.800 |" in text
    assert text.count("No length keeps both parts of the rule. None of these has a slope between 0.9 and 1.1") == 1
    late = lengths([1.5, 1.0, 0.8], [0.3, 0.3, 0.2], model="local_IB")
    said = page(late, seeds=[1], local_epochs=2, sizes={"demo": "1 cohort."})
    assert "The shortest that keeps the first is **25 epochs** (decided after the table was seen)." in said


SETTINGS = {
    "run_dir": "x",
    "seed": 3,
    "folds": 2,
    "repeats": 1,
    "clinical_variables": ["age_years", "size_mm", "depth"],
    "horizon_months": 60.0,
    "hazard_edges_months": [6.0, 12.0, 24.0, 60.0],
    "aggregator": "abmil",
    "fusion": "late",
    "loss": "competing_hazards",
    "embedding_dim": 4,
    "epochs": [30],
    "learning_rate": 0.01,
    "early_stopping_share": 0.0,
    "weight_decay": [0.1],
}


def test_a_model_looked_at_on_the_way_is_the_model_of_a_shorter_training(cohort, tmp_path):
    settings = ModelSettings(**SETTINGS)
    looked = train_all(
        Cohort(cohort.table, cohort.slides, cohort.features), settings, tmp_path,
        rounds=(1, 2), epochs=(2, 3), local_epochs=1, message_dtype="float32",
    ).set_index(["model", "length"])  # fmt: skip
    protocol = dataclasses.replace(
        Protocol.of(settings, outcome="metastasis", centres=["CLB", "IB"], encoder="random", feature_dim=11), epochs=2
    )
    short = cross_validate(
        protocol, patients=cohort.patients(protocol), folds=cohort.folds(protocol), variant=Variant("sarcnet_pooled")
    )
    from studies.training_length import judge

    expected = judge(short.oof.assign(length=2), cohort.table, horizon_months=60.0).iloc[0]
    assert looked.loc[("sarcnet_pooled", 2), "brier"] == pytest.approx(expected["brier"], abs=1e-7)
    assert set(looked.loc[FEDERATED].index) == {1, 2}
    assert {"image_only", "clinical_only", "local_CLB", "local_IB"} <= set(looked.index.get_level_values("model"))


def test_joined_cohorts_keep_everybody(cohort):
    def named(prefix: str) -> Cohort:
        table = cohort.table.assign(patient_id=prefix + cohort.table["patient_id"])
        features = {prefix + name: path for name, path in cohort.features.items()}
        return Cohort(table, prefix + cohort.slides, features)

    both = joined([named("a-"), named("b-")])
    assert (len(both.patients), len(both.slides), len(both.features)) == (108, 108, 108)


def test_the_profiles_use_what_the_page_says():
    text = (root() / "docs" / "training-length.md").read_text(encoding="utf-8")
    demo, study = (
        yaml.safe_load((root() / "papermill_params" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("demo", "study")
    )
    used = {("demo", FEDERATED): demo["rounds"], ("study", FEDERATED): study["rounds"]}
    kinds = ("sarcnet_pooled", "image_only", "clinical_only", "one hospital alone")
    used |= {("demo", kind): epochs for kind, epochs in zip(kinds, demo["epochs"], strict=True)}
    for (group, model), length in used.items():
        own = (
            text.partition(f"## {group}\n")[2].partition("\n## ")[0].partition(f"### {model}\n")[2].partition("###")[0]
        )
        assert re.search(rf"\*\*{length} (rounds|epochs)\*\*", own), (
            f"{group}, {model}: {length} is not what the page says"
        )


def test_no_profile_s_own_cohort_is_among_those_looked_at():
    text = (root() / "docs" / "training-length.md").read_text(encoding="utf-8")
    seeds = {int(word.strip(".,")) for word in text.partition("of the seeds ")[2].split(", none")[0].split(",")}
    own = {yaml.safe_load(path.read_text(encoding="utf-8")).get("seed") for path in profiles()}
    assert seeds
    assert not seeds & own


def profiles() -> list[Path]:
    return sorted((root() / "papermill_params").glob("*.yaml"))
