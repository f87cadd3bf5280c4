"""Carriers, metrics, YAML and did-you-means."""

from __future__ import annotations

import pytest
from gridwell.config import carriers
from gridwell.config.carriers import carrier_names, load_carrier, read_carrier
from gridwell.config.errors import InputError
from gridwell.config.explain import closest, short, suggest
from gridwell.config.metric import AGGREGATES, COMPARISONS, Metric, parse_metric
from gridwell.config.yamls import read_yaml
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)


def test_carriers_are_those_known():
    sizes = {name: (load_carrier(name).rows, load_carrier(name).cols) for name in carrier_names()}
    assert sizes == {
        "dma-588": (14, 42),
        "dma-672": (14, 48),
        "dma-672-blocks": (14, 48),
        "dma-672-round": (14, 48),
        "sbs-6": (2, 3),
        "sbs-12": (3, 4),
        "sbs-24": (4, 6),
        "sbs-48": (6, 8),
        "sbs-96": (8, 12),
        "sbs-384": (16, 24),
        "sbs-1536": (32, 48),
    }
    assert list(sizes) == sorted(sizes, key=lambda name: (name[:3], sizes[name]))


def test_microplates_fit_their_footprint():
    # ANSI/SLAS 1-2004: 127.76 x 85.48 mm; wells lie within it and do not overlap.
    for name in carrier_names():
        if name.startswith("sbs-"):
            carrier = load_carrier(name)
            assert carrier.rows * carrier.cols == int(name[4:])
            assert carrier.cols * carrier.pitch_um[0] <= 127_760
            assert carrier.rows * carrier.pitch_um[1] <= 85_480
            assert carrier.spot_um is None or carrier.spot_um[0] < carrier.pitch_um[0]
            for side in (0, 1):
                lines = (carrier.cols, carrier.rows)[side]
                last = carrier.a1_um[side] + (lines - 1) * carrier.pitch_um[side]
                assert last < carrier.footprint_um[side]
                if carrier.spot_um is None:  # standardised: in the middle of the plate
                    right = carrier.footprint_um[side] - last
                    assert right == pytest.approx(carrier.a1_um[side], abs=10)


def test_droplet_slides_fit_their_glass():
    for name in carrier_names():
        if name.startswith("dma-"):
            carrier = load_carrier(name)
            for lines, pitch, length in zip(
                (carrier.cols, carrier.rows), carrier.pitch_um, carrier.footprint_um, strict=True
            ):
                assert lines * pitch <= length


def test_a_carrier_of_the_study_wins(tmp_path):
    own = tmp_path / "config/carriers"
    own.mkdir(parents=True)
    (own / "chip.yaml").write_text(
        "title: Chip\nrows: 4\ncols: 6\nblock_cols: [3, 3]\ngap_um: [900, 500]\n"
        "marks: [[-1, 0]]\nempty: [D6]\n"
    )
    (own / "sbs-96.yaml").write_text("title: Ours\nrows: 8\ncols: 12\n")
    assert {"chip", "sbs-384"} <= set(carrier_names(tmp_path))
    chip = load_carrier("chip", tmp_path)
    assert (chip.marks, chip.empty, chip.gap_um) == (((-1, 0),), ("D6",), (900, 500))
    assert load_carrier("sbs-96", tmp_path).title == "Ours"
    assert load_carrier("sbs-96").title != "Ours"
    with pytest.raises(InputError, match="no known carrier"):
        load_carrier("chip")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("gap_um: [900, 500]", "no blocks"),
        ("spot_um: [600, 500]", "wider than their spacing"),
        ("marks: [[3, 2]]", "lie in the grid"),
        ("empty: [E1]", "outside its grid"),
        ("empty: [nowhere]", "no spot"),
        ("a1_um: [900, 100]", "beyond its edge"),
    ],
)
def test_carriers_that_cannot_be(line, reason, tmp_path):
    path = tmp_path / "chip.yaml"
    path.write_text(
        f"title: x\nrows: 4\ncols: 6\npitch_um: [500, 500]\nfootprint_um: [800, 800]\n{line}\n"
    )
    with pytest.raises(InputError, match=reason):
        read_carrier(path)


def test_unknown_carrier():
    with pytest.raises(InputError, match="Did you mean 'dma-672'") as caught:
        load_carrier("DMA_672")
    assert caught.value.problems[0].column == "carrier"
    with pytest.raises(InputError, match="no known carrier"):
        load_carrier("../carriers/dma-672")


def test_a_wrong_carrier_is_told(tmp_path, monkeypatch):
    (tmp_path / "carriers").mkdir()
    text = "title: x\nrows: 4\ncols: 6\nblock_cols: [4, 4]\n"
    (tmp_path / "carriers/own.yaml").write_text(text)
    monkeypatch.setattr(carriers, "resources", lambda: tmp_path)
    with pytest.raises(InputError, match="do not sum up"):
        load_carrier("own")
    (tmp_path / "carriers/own.yaml").write_text(text.replace("rows", "lines"))
    with pytest.raises(InputError, match=r"own.yaml, row 2, lines: is no known option"):
        load_carrier("own")


def test_metrics():
    assert parse_metric(" viability ") == Metric("column", column="viability")
    assert parse_metric("mean(nuclei.area)") == Metric(
        "aggregate", aggregate="mean", channel="nuclei", numerator="area"
    )
    ratio = parse_metric("median( gfp-1 . mean_gfp-1/gfp-1.ring_gfp-1 )")
    assert ratio == Metric(
        "aggregate",
        aggregate="median",
        channel="gfp-1",
        numerator="mean_gfp-1",
        denominator="ring_gfp-1",
    )
    assert str(ratio) == "median(gfp-1.mean_gfp-1 / gfp-1.ring_gfp-1)"


@given(st.sampled_from(AGGREGATES), NAMES, NAMES, st.none() | NAMES)
def test_metrics_come_back(aggregate, channel, numerator, denominator):
    if aggregate == "share":
        aggregate = "mean"
    metric = Metric("aggregate", None, aggregate, channel, numerator, denominator)
    assert parse_metric(str(metric)) == metric


@given(st.sampled_from(COMPARISONS), st.floats(allow_nan=False, allow_infinity=False), NAMES)
def test_shares_come_back(comparison, threshold, name):
    metric = Metric("aggregate", None, "share", name, name, None, comparison, threshold)
    assert parse_metric(str(metric)) == metric


def test_a_share_has_one_threshold():
    share = parse_metric("share(nuclei.mean_gfp/nuclei.ring_gfp>=1.5)")
    assert (share.comparison, share.threshold, share.denominator) == (">=", 1.5, "ring_gfp")
    assert str(share) == "share(nuclei.mean_gfp / nuclei.ring_gfp >= 1.5)"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "column of spots.csv"),
        ("a + b", "column of spots.csv"),
        ("mean(nuclei)", "channel.feature"),
        ("mean()", "channel.feature"),
        ("mean(a.b / a.c / a.d)", "the ratio of two"),
        ("mean(a.b > 3)", "share(nuclei.mean_gfp > 500)"),
        ("share(a.b)", "one threshold, a number"),
        ("share(a.b > c)", "one threshold, a number"),
        ("share(a.b > nan)", "one threshold, a number"),
        ("share(a.b > 1 > 2)", "one threshold, a number"),
        ("share(b > 1)", "channel.feature"),
        ("mean(a.b, a.c)", "channel.feature"),
        ("maen(a.b)", "Did you mean 'mean'"),
        ("mean(a.b / c.b)", "a.… on both sides"),
        ("mean(mean(a.b))", "column of spots.csv"),
        ("mean(a.b); import os", "column of spots.csv"),
    ],
)
def test_metrics_that_are_none(text, remedy):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_metric(text)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("no", "no"),
        ("true", True),
        ("010", "010"),
        ("12", 12),
        ("-3", -3),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("[1, 2.5]", [1, 2.5]),
        (".inf", ".inf"),
    ],
)
def test_yaml_means_what_it_looks_like(tmp_path, text, value):
    path = tmp_path / "x.yaml"
    path.write_text(f"key: {text}\n")
    read = read_yaml(path, "x.yaml").options["key"]
    assert (read, type(read)) == (value, type(value))


def test_yaml_lines(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# note\na: 1\nb:\n  c:\n    - 1\n    - 2\n  1: x\n")
    document = read_yaml(path, "x.yaml")
    assert document.options == {"a": 1, "b": {"c": [1, 2], "1": "x"}}
    assert document.line(("b", "c", 1)) == 6
    assert document.line(("b", "c", 9)) == 4
    assert document.line(("nothing",)) is None


def test_empty_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    for text in ("", "# nothing\n", "---\n", "null\n"):
        path.write_text(text)
        assert read_yaml(path, "x.yaml").options == {}


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("Nuclei", ["nuclei", "live"], "nuclei"),
        ("well", ["spot", "agent"], "spot"),
        ("color", ["colour", "objects"], "colour"),
        ("dose", ["unit", "concentration"], "concentration"),
        ("zzz", ["spot"], None),
        ("UM", ["uM", "nM"], "uM"),
    ],
)
def test_closest(word, known, meant):
    assert closest(word, known) == meant


def test_suggest_does_not_flood():
    known = [f"slide{i}" for i in range(100)]
    assert suggest("Slide7", known) == "Did you mean 'slide7'?"
    assert suggest("???", known, "slides").endswith("and 88 more.")
    assert "no value" in suggest("x", [])


def test_long_values_are_shortened():
    assert len(short("x" * 1000)) == 80
    assert short(3.5) == 3.5
