"""The review sheet: what is chosen, what a reader can and cannot learn from it, and what is done with what comes back."""

from __future__ import annotations

import base64
import csv
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sarcnet.compendium.errors import SarcnetError
from sarcnet.interpret.attribution.tiles import SeenTile
from sarcnet.interpret.review.design import CODE_LENGTH, QUESTIONS, choose_tiles, make_review
from sarcnet.interpret.review.parse import read_answers, read_key
from sarcnet.interpret.review.sheet import page, write_sheet


def cohort(patients: int = 20, tiles: int = 10) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        [
            (f"HOSP-T{p:04d}", "CLB" if p % 2 else "IB", f"HOSP-T{p:04d}-S1", t)
            for p in range(patients)
            for t in range(tiles)
        ],
        columns=["patient_id", "centre", "slide_id", "tile"],
    )
    frame["x_px"], frame["y_px"] = 224.5 * frame["tile"], 1789.25
    frame["contribution"] = generator.normal(scale=0.037, size=len(frame))
    frame["strength"] = frame["contribution"] * tiles
    return frame


def picture(number: int, *, side: int = 32) -> np.ndarray:
    return np.random.default_rng(number).integers(90, 220, (side, side, 3)).astype(np.uint8)


def review(*, count: int = 12, repeats: int = 3, checks: int = 2, seed: int = 4):
    generator = np.random.default_rng(seed)
    chosen = choose_tiles(cohort(), count=count, per_patient_max=2, rng=generator)
    seen = [SeenTile(row, picture(index), 112.0) for index, row in chosen.iterrows()]
    return make_review(seen, repeats=repeats, checks=checks, rng=generator)


def test_strata_are_filled_alike_and_no_patient_fills_the_sheet():
    tiles = cohort()
    chosen = choose_tiles(tiles, count=30, per_patient_max=2, rng=np.random.default_rng(1))
    assert chosen["stratum"].value_counts().to_dict() == {"high": 10, "between": 10, "low": 10}
    assert chosen["patient_id"].value_counts().max() <= 2
    low, high = tiles["strength"].quantile([0.2, 0.8])
    assert (chosen.loc[chosen["stratum"] == "high", "strength"] >= high).all()
    assert (chosen.loc[chosen["stratum"] == "low", "strength"] <= low).all()
    assert chosen.loc[chosen["stratum"] == "between", "strength"].between(low, high).all()
    again = choose_tiles(
        tiles.sample(frac=1, random_state=3), count=30, per_patient_max=2, rng=np.random.default_rng(1)
    )
    assert again.equals(chosen)
    assert len(choose_tiles(tiles, count=999, per_patient_max=1, rng=np.random.default_rng(1))) == 20


def test_order_is_shuffled_repeats_lie_apart_and_checks_are_marked():
    made = review(count=30, repeats=6, checks=2)
    key = made.key
    assert key["item_id"].tolist() == [item.item_id for item in made.items]
    assert key["item_id"].is_unique
    assert key["kind"].value_counts().to_dict() == {"tile": 30, "repeat": 6, "check": 2}
    tiles = key[key["kind"] == "tile"]
    assert abs(tiles["strength"].corr(tiles["position"], method="spearman")) < 0.5
    place = key.set_index("item_id")["position"]
    pixels = {item.item_id: item.pixels for item in made.items}
    for row in key[key["kind"] == "repeat"].itertuples():
        assert row.position - place[row.first_item_id] > 10
        first, again = pixels[row.first_item_id], pixels[row.item_id]
        assert not np.array_equal(first, again)
        assert np.array_equal(np.sort(first.ravel()), np.sort(again.ravel()))
    assert key.loc[key["kind"] == "check", "expected"].tolist().count("3") == 1
    assert key.loc[key["kind"] != "check", "expected"].eq("").all()


def test_the_sheet_reveals_no_score_patient_slide_hospital_or_kind(tmp_path):
    """Every text of the page is known: codes, questions, pictures. Pictures carry no metadata."""
    made = review()
    sheet, table, key = write_sheet(made, folder=tmp_path, note="Simulated").paths
    assert sorted(path.name for path in sheet.parent.iterdir()) == ["answers.csv", "sheet.html"]
    text = sheet.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*)</script>', text)[1])
    assert set(data) == {"sheet", "note", "columns", "cannotJudge", "questions", "items", "tileUm", "barUm"}
    assert all(set(item) == {"id", "src"} for item in data["items"])
    bare = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text) + table.read_text(encoding="utf-8")
    secrets = {str(value) for name in ("patient_id", "centre", "slide_id") for value in made.key[name] if value}
    secrets |= {f"{value:.6g}" for name in ("contribution", "strength", "y_px") for value in made.key[name].dropna()}
    assert not [secret for secret in secrets if secret in bare]
    for word in ("HOSP", "IB-", "CLB", "stratum", "strength", "repeat", "expected"):
        assert word not in bare.replace("repeat(", "")
    assert re.fullmatch(f"[A-Z0-9]{{{CODE_LENGTH}}}", data["sheet"])
    for item, shown in zip(made.items, data["items"], strict=True):
        with Image.open(io.BytesIO(base64.b64decode(shown["src"].partition(",")[2]))) as image:
            assert not image.getexif()
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert np.abs(np.asarray(image).astype(int) - item.pixels).mean() < 12
    assert "http" not in bare.replace("http-equiv", "")
    assert pd.read_csv(key)["strength"].notna().sum() == 15


def test_codes_do_not_follow_from_tiles_and_a_seed_gives_the_same_bytes():
    one, two, other = review(seed=4), review(seed=4), review(seed=5)
    assert page(one, note="") == page(two, note="")
    assert not set(one.key["item_id"]) & set(other.key["item_id"])


def test_a_text_cannot_end_the_script():
    assert "</script><b>" not in page(review(), note="</script><b>")


def test_unreadable_tiles_and_too_many_repeats_are_refused_together():
    row = pd.Series({"slide_id": "s7", "tile": 3})
    with pytest.raises(
        SarcnetError, match=r"(?s)2 faults.*Tile 3 of s7 cannot be read.*9 repeats of 1 tiles are too many"
    ):
        make_review([SeenTile(row, None, 112.0)], repeats=9, checks=0, rng=np.random.default_rng(0))
    with pytest.raises(SarcnetError, match="no tile to show"):
        make_review([], repeats=0, checks=0, rng=np.random.default_rng(0))


@pytest.fixture
def sent(tmp_path):
    """A review of 6 tiles and the writer of filled tables: fill(name, reader, {item: {question: text}}, …)."""
    made = review(count=6, repeats=1, checks=1)
    write_sheet(made, folder=tmp_path, note="Simulated")
    key = tmp_path / "key.csv"

    def fill(name, reader, changes=None, *, extra=(), separator=",", drop=(), sheet=True, bom=False):
        with (tmp_path / "for_pathologists" / "answers.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        plain = rows[0] | {"reader": reader, **dict.fromkeys(QUESTIONS, "1")}
        for row in rows:
            row |= {"reader": reader, **dict.fromkeys(QUESTIONS, "1")} | (changes or {}).get(row["item_id"], {})
        rows = [row for row in rows if row["item_id"] not in drop] + [plain | more for more in extra]
        columns = [column for column in rows[0] if sheet or column != "sheet_id"]
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
            writer = csv.DictWriter(file, columns, delimiter=separator, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return key, fill, list(read_key(key)["item_id"])


def test_clean_sheets_come_back_as_they_were_filled(sent):
    key, fill, items = sent
    paths = [
        fill("a.csv", "AB", {items[2]: {"atypia": "3", "necrosis": "NA", "comment": "ink, “blue”; odd"}}),
        fill("b.csv", "CD", {items[0]: {"mitoses": " 0 "}}, separator=";", sheet=False, bom=True),
    ]
    filled = read_answers(paths, key=key)
    assert filled.problems.empty
    assert filled.pathologists == ["AB", "CD"]
    answers = filled.answers.set_index(["reader", "item_id", "question"])
    assert len(answers) == 2 * 8 * 5
    assert answers.loc[("AB", items[2], "atypia"), "answer"] == 3
    assert answers.loc[("AB", items[2], "necrosis"), "state"] == "cannot judge"
    assert answers.loc[("CD", items[0], "mitoses"), "answer"] == 0
    assert filled.comments["comment"].tolist() == ["ink, “blue”; odd"]
    assert (
        "2 pathologists (AB, CD), 8 tiles: 79 answers, 1 times “cannot judge”, 0 missing; 1 comments."
        in filled.summary_text()
    )


def test_a_cell_too_many_or_too_few_costs_no_other_row(sent):
    """As when somebody types a comma into a comment without quotes, or cuts a line short."""
    key, fill, items = sent
    path = fill("a.csv", "AB")
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] += "pale, folded"
    lines[2] = lines[2].rpartition(",1,")[0]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    answers = read_answers([path], key=key)
    assert answers.comments["comment"].tolist() == ["pale"]
    assert answers.problems[["row", "item_id", "problem", "question"]].to_numpy().tolist() == [
        [3, items[1], "missing", "mitoses"]
    ]


def test_every_problem_is_named_and_counted_and_none_is_guessed(sent):
    key, fill, items = sent
    path = fill(
        "a.csv", "AB",
        {items[0]: {"atypia": "mild", "necrosis": "", "cellularity": "2-3"}, items[1]: {"mitoses": "4"}},
        extra=[
            {"item_id": "ZZZZZ"},
            {"item_id": items[2]},
            {"item_id": items[3], "atypia": "3"},
            {"item_id": items[4], "sheet_id": "OTHER"},
        ],
        drop=[items[5]],
    )  # fmt: skip
    filled = read_answers([path], key=key)
    assert filled.problems["problem"].value_counts().to_dict() == {
        "not an answer": 3,
        "missing": 1,
        "unknown tile": 1,
        "another sheet": 1,
        "repeated row": 1,
        "contradiction": 2,
        "tile without a row": 1,
    }
    said = filled.summary_text()
    assert "not an answer: 3 (counts as missing): a.csv row 2, " in said
    for piece in ("“mild”", "“2-3”", "“4”", "ZZZZZ", "“OTHER”", f"pathologist AB, {items[5]}"):
        assert piece in said
    answers = filled.answers.set_index(["item_id", "question"])
    assert (answers.loc[items[3], "state"] == "missing").all()
    assert (answers.loc[items[5], "state"] == "missing").all()
    assert (answers.loc[items[2], "answer"] == 1).all()


def test_files_that_cannot_be_used_are_refused_all_at_once(sent, tmp_path):
    key, fill, _ = sent
    (tmp_path / "columns.csv").write_text("reader,item_id,atypia\nX,Y,1\n")
    (tmp_path / "binary.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    (tmp_path / "empty.csv").write_text(",".join(["reader", "item_id", *QUESTIONS]) + "\n")
    paths = [fill("a.csv", "AB"), fill("again.csv", "AB"), fill("nameless.csv", "")]
    paths += [tmp_path / name for name in ("columns.csv", "binary.csv", "empty.csv", "nowhere.csv")]
    with pytest.raises(SarcnetError) as caught:
        read_answers(paths, key=key)
    said = str(caught.value)
    assert "6 faults" in said
    for piece in (
        "AB comes in a.csv and in again.csv", "nameless.csv names no pathologist in row 2, 3", "columns.csv lacks the columns",
        "binary.csv cannot be read", "empty.csv has no rows", "nowhere.csv cannot be read",
    ):  # fmt: skip
        assert piece in said
    with pytest.raises(SarcnetError, match="No filled sheet"):
        read_answers([], key=key)
    with pytest.raises(SarcnetError, match="lacks sheet_id, position"):
        read_key(tmp_path / "columns.csv")
