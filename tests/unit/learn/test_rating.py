"""Ratings: the published test's numbers, tables of several raters, and mistakes in them."""

from __future__ import annotations

import pandas as pd
import pytest
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.learn.rating import compare_ratings, ratings_in_words, read_ratings


def table(path, scores: dict[str, list[float]], rater: str = "x") -> object:
    rows = [
        {"rater": rater, "image": f"im{place}", "method": method, "score": score}
        for method, of_method in scores.items()
        for place, score in enumerate(of_method)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("above", "distance", "p"),
    # 20 images each: none, one and two of the scores of B lie above those of A, all others below.
    [(0, 1.0, 1.45e-11), (1, 0.95, 5.8e-10), (2, 0.9, 1.13e-8)],
)
def test_chances_are_the_exact_ones(tmp_path, above, distance, p):
    path = table(tmp_path / "r.csv", {"A": [8] * 20, "B": [10] * above + [2] * (20 - above)})
    (row,) = compare_ratings(read_ratings([path])).to_dict("records")
    assert row["ks"] == pytest.approx(distance)
    assert row["p"] == pytest.approx(p, rel=0.01)


def test_means_medians_and_wins_of_each_rater_and_all(tmp_path):
    one = table(tmp_path / "1.csv", {"CIP": [1, 2, 6], "CDL": [5, 9, 6]}, "ann")
    two = table(tmp_path / "2.csv", {"CDL": [4, 4, 4], "CIP": [4, 5, 3]}, "bob")
    ratings = read_ratings([one, two])
    assert list(ratings.columns) == column_names("ratings.csv")
    found = compare_ratings(ratings).set_index("rater")
    # First is CDL, second CIP, by name.
    assert found.loc["ann", ["mean_first", "mean_second"]].tolist() == pytest.approx([20 / 3, 3])
    assert found.loc["ann", ["median_first", "median_second"]].tolist() == [6, 2]
    assert found.loc["bob", ["better_first", "better_second", "alike"]].tolist() == [1, 1, 1]
    assert found.loc["", ["better_first", "better_second", "alike"]].tolist() == [3, 1, 2]
    assert found.loc["", "n_first"] == 6
    # CDL 4 4 4 5 6 9, CIP 1 2 3 4 5 6: at 3 none of six against three of them.
    assert found.loc["", "ks"] == pytest.approx(3 / 6)
    text = ratings_in_words(ratings)
    assert "3 images; CDL and CIP" in text
    assert "all" in text


def test_a_rater_of_one_method_alone(tmp_path):
    both = table(tmp_path / "1.csv", {"A": [1, 2], "B": [3, 4]}, "ann")
    half = table(tmp_path / "2.csv", {"B": [3, 4]}, "bob")
    found = compare_ratings(read_ratings([both, half])).set_index("rater")
    assert found.p.isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,method,score\na,A,5\na,B,11\n", "row 3, score: is no score (found '11')"),
        ("image,method,score\na,A,5\na,B,\n", "row 3"),
        ("image,method,score\na,A,5.5\na,B,5\n", "row 2"),
        ("image,method,score\na,A,5\na,A,6\na,B,1\n", "row 3, score: was scored before"),
        ("image,method,score\na,A,5\n", "scores of 1 methods (A)"),
        ("image,method\na,A\n", "no column score"),
        ("", "cannot be read"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_ratings([tmp_path / "r.csv"])
    assert said in str(error.value)


def test_one_table_given_twice(tmp_path):
    path = table(tmp_path / "r.csv", {"A": [1], "B": [2]})
    with pytest.raises(InputError, match="two scores of x for im0"):
        read_ratings([path, path])
