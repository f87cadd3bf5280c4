"""Which sources are learned from: never one on both sides."""

from __future__ import annotations

import pytest
from gridwell.config.errors import InputError
from gridwell.learn.split import split_sources
from hypothesis import given
from hypothesis import strategies as st

SOURCES = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40)
SHARE = st.floats(0, 0.5)


@given(SOURCES, SHARE, SHARE)
def test_every_source_is_on_one_side(sources, validation, test):
    split = split_sources(sources, validation=validation, test=test)
    assert set(split) == sources
    count = list(split.values()).count
    assert count("train") >= 1
    assert count("test") == 0 or test > 0
    if len(sources) > 1 and test > 0:
        assert count("test") >= 1
    if len(sources) > 2 and test > 0 and validation > 0:
        assert count("validation") >= 1 or count("train") == 1
    assert split == split_sources(sorted(sources, reverse=True), validation=validation, test=test)


@given(SOURCES, SHARE, SHARE, st.randoms(use_true_random=False))
def test_what_was_decided_before_stays(sources, validation, test, random):
    known = {source: random.choice(["train", "validation", "test"]) for source in sources}
    del known[sorted(known)[0]]
    split = split_sources(sources, validation=validation, test=test, known=known)
    assert {source: split[source] for source in known} == known


@given(SOURCES.filter(lambda sources: len(sources) > 2), SHARE, SHARE)
def test_named_sources_are_where_they_were_named(sources, validation, test):
    first, second, *_ = sorted(sources)
    named = {first: "test", second: "validation"}
    split = split_sources(sources, validation=validation, test=test, named=named)
    assert [source for source in split if split[source] == "test"] == [first]
    assert [source for source in split if split[source] == "validation"] == [second]


def test_one_source_has_no_test():
    assert split_sources(["A"], validation=0.2, test=0.2) == {"A": "train"}


def test_two_sources_have_no_validation():
    sides = split_sources(["A", "B"], validation=0.2, test=0.2).values()
    assert sorted(sides) == ["test", "train"]


def test_the_split_is_fixed():
    split = split_sources([f"S{n:02}" for n in range(12)], validation=0.2, test=0.2)
    assert [name for name in split if split[name] == "test"] == ["S03", "S06"]
    assert [name for name in split if split[name] == "validation"] == ["S04", "S08"]


def test_what_cannot_be_done_is_told():
    with pytest.raises(InputError, match="Did you mean 'S1'"):
        split_sources(["S1", "S2"], validation=0, test=0, named={"S1x": "test"})
    with pytest.raises(InputError, match="leaves no source to learn from"):
        split_sources(["S1"], validation=0, test=0, named={"S1": "test"})
