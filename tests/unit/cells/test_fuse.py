"""From pixels to states and spots, against cells whose states are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from gridwell.cells.fuse import fuse_slide
from gridwell.cells.instances import segment_channel
from gridwell.cells.match import assign
from gridwell.cells.shift import estimate_shift
from gridwell.cells.viability import wilson
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.models import FuseOptions, SegmentMethod, SegmentOptions
from scipy.spatial import cKDTree

from tests.unit.cells.simulate import CHANNELS, Scene, draw

STATES = np.array([["inactive", "dead"], ["live", "dying"]])


@dataclass
class Slide:
    """A simulated slide and what came out."""

    folder: Path
    truth: pd.DataFrame

    def path(self, kind: str) -> dict[str, Path]:
        return {channel: self.folder / f"{channel}.{kind}" for channel in CHANNELS}

    def segment(self) -> None:
        for channel in CHANNELS:
            segment_channel(
                self.folder / "spots.zarr",
                channel,
                labels_out=self.path("zarr")[channel],
                instances_out=self.path("parquet")[channel],
                options=SegmentOptions(default=SegmentMethod(method="local")),
                threads=1,
            )

    def fuse(self, roles: tuple[str, ...] = CHANNELS, **options: Any) -> None:
        fuse_slide(
            self.folder / "spots.zarr",
            {role: self.path("parquet")[role] for role in roles},
            {role: self.path("zarr")[role] for role in roles},
            cells_out=self.folder / "cells.parquet",
            spots_out=self.folder / "spots.csv",
            shifts_out=self.folder / "shifts.json",
            controls=options.pop("controls", None),
            threads=options.pop("threads", 1),
            options=FuseOptions(**options),
        )

    @property
    def cells(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "cells.parquet")

    @property
    def spots(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "spots.csv", keep_default_na=True)

    @property
    def shifts(self) -> dict:
        return json.loads((self.folder / "shifts.json").read_text())

    def accuracy(self) -> float:
        """Part of the nuclei found that have their true state."""
        right = total = 0
        nuclei = self.cells[self.cells["nuclei_label"].notna()]
        for spot, found in nuclei.groupby("spot"):
            true = self.truth[self.truth["spot"] == spot]
            away, at = cKDTree(true[["x", "y"]]).query(found[["x", "y"]])
            state = STATES[true["live"].astype(int), true["dead"].astype(int)][at]
            right += int((state == found["state"].to_numpy())[away < 3].sum())
            total += len(found)
        return right / total

    def viability_error(self) -> float:
        live = self.truth["live"] & ~self.truth["dead"]
        true = live.groupby(self.truth["spot"]).mean()
        return float((self.spots.set_index("spot")["viability"] - true).abs().max())


def make(folder: Path, scene: Scene) -> Slide:
    slide = Slide(folder, draw(scene, folder / "spots.zarr"))
    slide.segment()
    slide.fuse()
    return slide


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    scene = Scene(shift_live=(3, -2), shift_dead=(-2, 4), empty=(5,), clumps=0.2)
    return make(tmp_path_factory.mktemp("slide"), scene)


def test_states_and_viability_are_right(slide: Slide) -> None:
    assert slide.accuracy() > 0.98
    assert slide.viability_error() < 0.03
    turn = np.deg2rad(1.5)
    for role, (x, y) in {"live": (3, -2), "dead": (-2, 4)}.items():
        fact = slide.shifts[role]
        expected = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        assert np.hypot(fact["dx"] - expected[0], fact["dy"] - expected[1]) < 0.2
        assert fact["registered"]
        assert fact["quality"] > 0.7
        assert fact["calibration"] == "intensity+match"
    assert slide.shifts["dead"]["bleed"] == pytest.approx(0.03, abs=0.01)


def test_tables_have_their_columns_and_every_spot(slide: Slide) -> None:
    cells, spots = slide.cells, slide.spots
    first = column_names("cells.parquet")
    assert list(cells.columns[: len(first)]) == first
    assert {"nuclei_area", "live_mean", "dead_edge", "nuclei_ring_live"} <= set(cells.columns)
    assert "nuclei_x" not in cells
    assert all(str(cells[f"{role}_label"].dtype) == "Int64" for role in CHANNELS)
    assert list(spots.columns) == column_names("spots.csv (viability)")
    assert spots["spot"].tolist() == [f"{row}{col}" for row in "ABC" for col in range(1, 5)]
    assert spots["row"].tolist() == [row for row in "ABC" for _ in range(4)]
    assert spots["col"].tolist() == [1, 2, 3, 4] * 3


def test_states_sum_up_and_labels_are_used_once(slide: Slide) -> None:
    cells, spots = slide.cells, slide.spots
    states = ["n_live", "n_dying", "n_dead", "n_inactive"]
    assert (spots[states].sum(axis=1) == spots["n_nuclei"]).all()
    for role in CHANNELS:
        table = pd.read_parquet(slide.path("parquet")[role])
        used = cells[["spot", f"{role}_label"]].dropna()
        assert not used.duplicated().any()
        assert len(used) == len(table), "every object is in the table of cells"
    orphans = cells["nuclei_label"].isna()
    assert set(cells["state"][orphans]) <= {"orphan_live", "orphan_dead"}
    assert cells.loc[orphans, ["p_live", "p_dead"]].isna().all(axis=None)
    counts = cells["state"].value_counts()
    for state in ("live", "dying", "dead", "inactive", "orphan_live", "orphan_dead"):
        assert spots[f"n_{state}"].sum() == counts.get(state, 0)
    per_spot = cells.groupby("spot")["cell"]
    assert all(numbers.tolist() == list(range(1, len(numbers) + 1)) for _, numbers in per_spot)


def test_an_empty_spot_has_no_viability(slide: Slide) -> None:
    spot = slide.spots.set_index("spot").loc["B2"]
    assert spot["n_nuclei"] == 0
    assert spot["flags"] == "empty"
    assert spot[["viability", "viability_low", "viability_high"]].isna().all()
    assert np.isnan(spot["viability_stained"])
    others = slide.spots.set_index("spot").drop("B2")
    assert others["flags"].isna().all()
    assert (others["viability_low"] <= others["viability"]).all()
    assert (others["viability"] <= others["viability_high"]).all()


def test_the_order_of_rows_and_labels_does_not_matter(slide: Slide, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    other = Slide(tmp_path, slide.truth)
    (tmp_path / "spots.zarr").symlink_to(slide.folder / "spots.zarr")
    back: dict[str, dict[tuple[str, int], int]] = {}
    for role in CHANNELS:
        table = pd.read_parquet(slide.path("parquet")[role])
        source = zarr.open_group(slide.path("zarr")[role], mode="r")
        labels = np.asarray(source["labels"][:])
        names = {spot: i for i, spot in enumerate(source.attrs["gridwell"]["spots"])}
        back[role] = {}
        for spot, rows in table.groupby("spot"):
            turned = rng.permutation(len(rows)) + 1
            back[role] |= {
                (spot, int(new)): int(old) for new, old in zip(turned, rows["label"], strict=True)
            }
            lookup = np.zeros(len(rows) + 1, np.uint32)
            lookup[rows["label"]] = turned
            labels[names[spot]] = lookup[labels[names[spot]]]
            table.loc[rows.index, "label"] = turned
        table.sample(frac=1, random_state=1).to_parquet(other.path("parquet")[role], index=False)
        group = zarr.open_group(other.path("zarr")[role], mode="w")
        group.create_array(
            "labels",
            data=labels,
            chunks=(1, *labels.shape[1:]),
            config={"write_empty_chunks": True},
        )
        group.attrs.update(source.attrs)
    other.fuse(("dead", "nuclei", "live"))
    assert (tmp_path / "spots.csv").read_bytes() == (slide.folder / "spots.csv").read_bytes()
    assert (tmp_path / "shifts.json").read_bytes() == (slide.folder / "shifts.json").read_bytes()
    cells = other.cells
    for role, name in [
        *((role, f"{role}_label") for role in CHANNELS),
        *((role, f"{role}_shared") for role in CHANNELS[1:]),
    ]:
        cells[name] = [
            pd.NA if pd.isna(label) else back[role][spot, int(label)]
            for spot, label in zip(cells["spot"], cells[name], strict=True)
        ]
        cells[name] = cells[name].astype("Int64")
    pd.testing.assert_frame_equal(cells[slide.cells.columns], slide.cells)


@pytest.mark.parametrize(
    ("shares", "viability"), [((1, 0, 0, 0), 1), ((0, 0, 1, 0), 0), ((0, 0, 0, 1), 0)]
)
def test_slides_of_one_class(tmp_path: Path, shares: tuple, viability: float) -> None:
    slide = make(tmp_path, Scene(rows=2, cols=3, shares=shares))
    assert slide.accuracy() > 0.97
    assert slide.spots["viability"].sub(viability).abs().max() < 0.05
    assert "match" in {fact["calibration"] for fact in slide.shifts.values()}
    assert all(fact["registered"] for fact in slide.shifts.values())


def test_a_slide_without_cells(tmp_path: Path) -> None:
    slide = make(tmp_path, Scene(rows=1, cols=2, cells=0))
    assert slide.spots["n_nuclei"].tolist() == [0, 0]
    assert slide.spots["flags"].tolist() == ["empty", "empty"]
    assert len(slide.cells) == 0


def test_a_channel_of_another_slide_is_not_fused(tmp_path: Path) -> None:
    scene = Scene(rows=2, cols=3)
    slide = Slide(tmp_path, draw(scene, tmp_path / "spots.zarr"))
    draw(Scene(rows=2, cols=3, seed=99), tmp_path / "other.zarr")
    strange = zarr.open_group(tmp_path / "other.zarr", mode="r")["live"][:]
    zarr.open_group(tmp_path / "spots.zarr", mode="r+")["live"][:] = strange
    slide.segment()
    slide.fuse()
    spots = slide.spots
    assert not slide.shifts["live"]["registered"]
    assert slide.shifts["dead"]["registered"]
    assert (spots["flags"] == "unregistered").all()
    assert spots[["viability", "viability_stained", "n_live"]].isna().all(axis=None)
    assert (spots["n_nuclei"] > 0).all()
    assert slide.cells["state"].isna().all()


def test_out_of_focus_and_few_cells_are_flagged(tmp_path: Path) -> None:
    slide = make(tmp_path, Scene(rows=2, cols=4, blurred=(2,), cells=40))
    flags = [set(words.split(";")) for words in slide.spots["flags"].fillna("")]
    assert ["out_of_focus" in words for words in flags] == [at == 2 for at in range(8)]
    few = make(tmp_path / "few", Scene(rows=1, cols=3, cells=4))
    assert few.spots["flags"].tolist() == ["few_cells"] * 3


def test_a_stain_that_was_not_segmented_is_measured(tmp_path: Path) -> None:
    slide = Slide(tmp_path, draw(Scene(shift_live=(0, 0)), tmp_path / "spots.zarr"))
    slide.segment()
    slide.fuse(("nuclei", "dead"))
    assert slide.shifts["live"]["calibration"] == "intensity"
    assert slide.accuracy() > 0.97
    assert slide.cells["live_label"].isna().all()


def test_a_missing_role_is_named(tmp_path: Path) -> None:
    draw(Scene(rows=1, cols=2), tmp_path / "spots.zarr")
    group = zarr.open_group(tmp_path / "spots.zarr", mode="r+")
    facts = dict(group.attrs["gridwell"])
    facts["channels"] = [
        c | {"role": "other"} if c["role"] == "dead" else c for c in facts["channels"]
    ]
    group.attrs["gridwell"] = facts
    slide = Slide(tmp_path, pd.DataFrame())
    slide.segment()
    with pytest.raises(InputError, match="needs a dead channel"):
        slide.fuse()


def test_intervals_are_those_of_wilson_and_wider_with_doubt() -> None:
    low, high = wilson(np.array([0.0, 5, 10]), np.array([10, 10, 10]), np.zeros(3))
    # Wilson's interval as in R's prop.test(correct = FALSE).
    assert low == pytest.approx([0, 0.2366, 0.7225], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.7634, 1], abs=1e-4)
    wide = wilson(np.array([5.0]), np.array([10]), np.array([0.1]))
    assert wide[0][0] < low[1]
    assert wide[1][0] > high[1]


def test_the_interval_covers_the_true_share() -> None:
    rng = np.random.default_rng(0)
    n, share = 80, 0.7
    live = rng.random((4000, n)) < share
    # Each cell is called right with the probability that it is given.
    sure = rng.uniform(0.6, 1, live.shape)
    called = np.where(rng.random(live.shape) < sure, live, ~live)
    doubt = (sure * (1 - sure)).mean(axis=1)
    for calls, uncertain in ((live, 0 * doubt), (called, doubt)):
        expected = live.mean(axis=1) if calls is called else share
        bias = (calls.mean() - live.mean()) * n
        low, high = wilson(calls.sum(axis=1) - bias, np.full(4000, n), uncertain)
        assert ((low <= expected) & (expected <= high)).mean() > 0.93


@pytest.mark.parametrize("method", ["knn", "overlap"])
def test_the_other_methods_take_matches_at_their_word(tmp_path: Path, method: str) -> None:
    scene = Scene(rows=2, cols=3)
    slide = make(tmp_path, scene)
    best = slide.accuracy()
    slide.fuse(method=method)
    assert 0.85 < slide.accuracy() <= best
    cells = slide.cells
    assert set(cells["p_live"].dropna()) <= {0.0, 1.0}
    assert not cells["ambiguous"].any()
    nuclei = cells[cells["nuclei_label"].notna()]
    held = nuclei["live_label"].notna() | nuclei["live_shared"].notna()
    assert (held == (nuclei["p_live"] == 1)).all()
    assert not cells[["spot", "live_label"]].dropna().duplicated().any()
    assert {fact["calibration"] for fact in slide.shifts.values()} == {"match"}


def test_matching_alone_does_not_undo_a_shift(tmp_path: Path) -> None:
    slide = make(tmp_path, Scene(rows=2, cols=3, shift_live=(8, -5)))
    assert slide.accuracy() > 0.98
    for method in ("knn", "overlap"):
        slide.fuse(method=method)
        assert slide.accuracy() < 0.8


def test_bodies_that_hold_several_nuclei_are_shared(tmp_path: Path) -> None:
    """Labels of touching live bodies are joined by hand."""
    slide = Slide(tmp_path, draw(Scene(rows=1, cols=3, clumps=0.6), tmp_path / "spots.zarr"))
    slide.segment()
    path = slide.path("zarr")["live"]
    group = zarr.open_group(path, mode="r+")
    joined = pd.read_parquet(slide.path("parquet")["live"])
    lost = []
    for at, spot in enumerate(group.attrs["gridwell"]["spots"]):
        labels = np.asarray(group["labels"][at])
        own = joined[joined["spot"] == spot]
        places = own[["x", "y"]].to_numpy()
        used: set[int] = set()
        for i, j in sorted(cKDTree(places).query_pairs(14)):
            if {i, j} & used:
                continue
            used |= {i, j}
            keep, gone = own.index[i], own.index[j]
            labels[labels == own["label"][gone]] = own["label"][keep]
            area = own["area"][[keep, gone]].to_numpy()
            weight = area / area.sum()
            joined.loc[keep, ["x", "y"]] = weight @ places[[i, j]]
            joined.loc[keep, "area"] = area.sum()
            lost.append(gone)
        group["labels"][at] = labels
    assert len(lost) > 15
    joined.drop(index=lost).to_parquet(slide.path("parquet")["live"], index=False)
    slide.fuse()
    assert slide.accuracy() > 0.97
    cells = slide.cells
    shared = cells[cells["live_shared"].notna()]
    assert len(shared) > 0.6 * len(lost)
    assert shared["state"].isin(["live", "dying"]).all()
    owners = cells.dropna(subset=["live_label"]).set_index(["spot", "live_label"])
    assert all(
        (spot, label) in owners.index for spot, label in shared[["spot", "live_shared"]].to_numpy()
    )
    spots = slide.spots
    assert (spots["n_merged"] >= shared["spot"].value_counts()[spots["spot"]].to_numpy()).all()
    flagged = spots["flags"].fillna("").str.contains("merged_bodies")
    assert (flagged == (spots["n_merged"] > 0.2 * spots["n_nuclei"])).all()
    assert flagged.any()


def test_controls_anchor_the_calibration(slide: Slide, tmp_path: Path) -> None:
    """All cells of the third row live, those of the first are dead: they are its controls."""
    scene = Scene(rows=2, cols=3, cells=60, shares=(1, 0, 0, 0))
    other = Slide(tmp_path, draw(scene, tmp_path / "spots.zarr"))
    dead = draw(
        Scene(rows=2, cols=3, cells=60, shares=(0, 0, 1, 0), seed=4), tmp_path / "dead.zarr"
    )
    for channel in CHANNELS:
        source = zarr.open_group(tmp_path / "dead.zarr", mode="r")[channel]
        zarr.open_group(tmp_path / "spots.zarr", mode="r+")[channel][:1] = source[:1]
    other.truth = pd.concat([dead[dead["spot"] == "A1"], other.truth[other.truth["spot"] != "A1"]])
    other.segment()
    other.fuse(controls={"A1": "pos_ctrl", "B3": "neg_ctrl"})
    assert {fact["calibration"] for fact in other.shifts.values()} == {"controls+match"}
    assert other.accuracy() > 0.98
    other.fuse(controls={"B1": "pos_ctrl", "B3": "neg_ctrl"})  # they are alike: no anchors
    assert {fact["calibration"] for fact in other.shifts.values()} <= {"intensity+match", "match"}
    assert other.accuracy() > 0.98


def test_threads_do_not_change_a_byte(slide: Slide) -> None:
    before = [(slide.folder / name).read_bytes() for name in ("cells.parquet", "spots.csv")]
    slide.fuse(threads=3)
    assert before == [(slide.folder / name).read_bytes() for name in ("cells.parquet", "spots.csv")]


SCENARIOS = {
    # density, shift, missed, debris as a part, least accuracy of matching alone
    "typical": (150, (0, 0), 0.02, 0.03, 0.95),
    "shift 3": (150, (2.2, -2.0), 0.02, 0.03, 0.95),
    "dense": (600, (0, 0), 0.02, 0.03, 0.94),
    "shift 5 dense": (600, (-3.5, 3.5), 0.02, 0.03, 0.94),
    "debris": (150, (0, 0), 0.02, 0.3, 0.94),
    "missed": (150, (2, 2), 0.15, 0.03, 0.82),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_points_are_matched_as_well_as_they_can_be(name: str) -> None:
    """Positions only, 2 um pixels: nuclei of radius 2, bodies of 3.2, a spot of 505 pixels."""
    count, shift, missed, debris, least = SCENARIOS[name]
    rng = np.random.default_rng(1)
    nuclei, bodies, states = [], {"live": [], "dead": []}, []
    for _ in range(16):
        place = rng.uniform(0, 505, (count, 2))
        state = rng.choice(4, count, p=(0.65, 0.05, 0.25, 0.05))
        nuclei.append(place)
        states.append(state)
        for stain, has in (("live", state < 2), ("dead", (state == 1) | (state == 2))):
            seen = place[has & (rng.random(count) > missed)]
            seen = seen + shift + rng.normal(0, 0.7, seen.shape)
            junk = rng.uniform(0, 505, (round(debris * count / 2), 2))
            bodies[stain].append(np.vstack([seen, junk]))
    called = np.zeros((2, 16, count), bool)
    for k, stain in enumerate(("live", "dead")):
        found = estimate_shift(nuclei, bodies[stain], 12.0)
        assert np.hypot(found.dx - shift[0], found.dy - shift[1]) < 0.2
        radius = 3.2 if stain == "live" else 2.0
        for at, (place, body) in enumerate(zip(nuclei, bodies[stain], strict=True)):
            moved = body - (found.dx, found.dy)
            sizes = np.full(len(place), 2.0), np.full(len(body), radius)
            called[k, at] = assign(place, sizes[0], moved, sizes[1], 1.25).body >= 0
    truth = np.array(states)
    live, dead = truth < 2, (truth == 1) | (truth == 2)
    assert ((called[0] == live) & (called[1] == dead)).mean() > least


def test_a_stain_that_was_not_segmented_or_is_rare_is_registered_by_its_image(
    tmp_path: Path,
) -> None:
    scene = Scene(rows=1, cols=3, cells=40, shares=(0.9, 0, 0.1, 0), shift_live=(4, -5))
    slide = Slide(tmp_path, draw(scene, tmp_path / "spots.zarr"))
    slide.segment()
    slide.fuse(("nuclei", "dead"))
    turn = np.deg2rad(scene.angle)
    x, y = scene.shift_live
    expected = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    fact = slide.shifts["live"]
    assert np.hypot(fact["dx"] - expected[0], fact["dy"] - expected[1]) < 0.5
    assert slide.accuracy() > 0.97
    # Three dead bodies are left: too few to tell a shift by their places.
    table = pd.read_parquet(slide.path("parquet")["dead"])
    table.iloc[:0].to_parquet(slide.path("parquet")["dead"], index=False)
    slide.fuse()
    assert np.hypot(slide.shifts["dead"]["dx"], slide.shifts["dead"]["dy"]) < 0.5
    assert slide.shifts["live"]["quality"] > 0.8
