"""Clinical variables as columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarcnet.cohort.schema import PATIENTS
from sarcnet.compendium.errors import SarcnetError
from sarcnet.model.clinical import CATEGORIES, NUMERIC, clinical_columns, clinical_values

TABLE = pd.DataFrame(
    {
        "patient_id": ["A", "B", "C"],
        "size_mm": [100.0, np.nan, 25.0],
        "histotype": ["UPS", "leiomyosarcoma", None],
        "sex": ["male", "female", "male"],
    }
)


def test_variables_are_columns_of_the_cohort() -> None:
    columns = {column.name: column for column in PATIENTS}
    assert all(columns[name].numeric and columns[name].low >= 0 for name in NUMERIC)
    assert set(CATEGORIES) == {"sex", "depth", "site", "histotype"}
    assert all(len(categories) > 1 for categories in CATEGORIES.values())


def test_columns_are_declared_not_found() -> None:
    columns = clinical_columns(["histotype"])
    assert columns[0] == "histotype=leiomyosarcoma"
    assert clinical_values(TABLE.iloc[:1], variables=["histotype"]).shape == (1, len(columns))


def test_missing_stays_missing_and_is_said() -> None:
    values = clinical_values(TABLE, variables=["size_mm", "sex"])
    frame = pd.DataFrame(values, columns=list(clinical_columns(["size_mm", "sex"])))
    assert frame["size_mm"].tolist() == pytest.approx([10.0, np.nan, 5.0], nan_ok=True)
    assert frame["size_mm_missing"].tolist() == [0.0, 1.0, 0.0]
    assert frame["sex=male"].tolist() == [1.0, 0.0, 1.0]
    assert np.isnan(clinical_values(TABLE, variables=["histotype"])[2, 0])


def test_misspelt_variable_names_its_neighbour() -> None:
    with pytest.raises(SarcnetError, match="did you mean 'fnclcc_grade'"):
        clinical_columns(["age_years", "fnlcc_grade"])


def test_all_faults_of_all_patients_come_at_once() -> None:
    wrong = TABLE.assign(sex=["male", "woman", "male"], size_mm=[-5.0, 10.0, 10.0])
    with pytest.raises(SarcnetError) as caught:
        clinical_values(wrong, variables=["size_mm", "sex", "depth"])
    text = str(caught.value)
    assert "Patient B: sex is 'woman'" in text
    assert "Patient A: size_mm is '-5.0'" in text
    assert "no column 'depth'" in text
