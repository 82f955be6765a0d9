"""What is published of a run: its statements reach the README's block and the page of results, and follow the numbers."""

from __future__ import annotations

from sarcnet.compendium.readme import results_block, results_page

NUMBERS = {
    "profile": "study",
    "data_kind": "simulated",
    "git": {"commit": "0123456789abcdef"},
}


def results(verdict: str) -> dict[str, object]:
    return {
        "heading": "AUC at 5 years",
        "columns": ["model", "AUC"],
        "rows": [["network", "0.800"]],
        "note": "A note.",
        "statements": ["Primary comparison: shown."],
        "calibration": {"validation": verdict},
    }


def test_the_verdict_on_calibration_stands_under_the_table():
    for verdict in ("Risks are too timid.", "Risks are too extreme."):
        text = results_block(NUMBERS, results(verdict))
        assert f"- {verdict}" in text
        assert "- Primary comparison: shown." in text
        assert text.startswith("**Simulated patients**")


def test_the_page_of_a_profile_holds_its_table_and_statements():
    page = results_page(NUMBERS, results("Risks are too timid."), {"Net benefit": "| a |\n| --- |\n| 1 |"})
    assert page.startswith("# Results of the profile `study`")
    for part in (
        "| network | 0.800 |",
        "- Risks are too timid.",
        "## Net benefit\n\n| a |",
        "0123456789ab",
    ):
        assert part in page
    assert "Simulated patients" in page
