"""Colorimetry of single images: a simulated plate by the command, photographs of real plates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.cli import main
from gridwell.colour.image import measure_image
from gridwell.config.models import ColourOptions
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide


def test_the_command_measures_a_plate_and_uses_what_it_learned(tmp_path: Path, capsys) -> None:
    levels = np.tile(np.round(np.linspace(6.0, 8.2, 6), 2), 2)
    spots = [f"{row}{col}" for row in "ABCDE" for col in range(1, 9)]
    layout = pd.DataFrame({"spot": spots, "role": "sample", "value": np.nan})
    layout.loc[: len(levels) - 1, "role"] = "calibration"
    layout.loc[: len(levels) - 1, "value"] = levels
    layout.to_csv(tmp_path / "plate.csv", index=False)
    options = PhantomOptions(
        slide="P", assay="colorimetry", shape="round", rows=5, cols=8, pitch=70.0, spot_size=50.0,
        margin=60, bits=8, exposure=0.8, gradient=0.15, patches=True, files="jpeg",
    )  # fmt: skip
    simulate_slide(options, tmp_path / "P", layout=layout)
    truth = pd.read_csv(tmp_path / "P/truth/spots.csv")["value"]
    patches = {name: ",".join(map(str, place)) for name, place in options.patch_places.items()}
    common = [
        "measure-colour", str(tmp_path / "P/P_scan.jpg"), "--white-patch", patches["white"],
        "--black-patch", patches["black"],
    ]  # fmt: skip

    made = tmp_path / "made"
    calibrate = ["--layout", str(tmp_path / "plate.csv"), "--metric", "pls", "--unit", "pH"]
    assert main([*common, "--out", str(made), *calibrate]) == 0
    first = pd.read_csv(made / "spots.csv")
    assert (first["value"] - truth).abs().max() < 0.1
    assert (made / "colours.parquet").exists()

    named = ["--calibration", str(made / "calibration.json")]
    assert main([*common, "--out", str(tmp_path / "used"), *named]) == 0
    used = pd.read_csv(tmp_path / "used/spots.csv")
    np.testing.assert_allclose(used["value"], first["value"], rtol=1e-7)

    capsys.readouterr()
    assert main([*common, "--out", str(tmp_path / "wrong"), *named, "--unit", "mM"]) == 1
    assert "colour.unit: is not that of the calibration" in capsys.readouterr().err
    assert not (tmp_path / "wrong/spots.csv").exists()


@pytest.mark.shared
@pytest.mark.slow
def test_empty_wells_of_a_photograph_are_alike_once_some_are_called_blank(
    shared: Path, tmp_path: Path
) -> None:
    """The plate's back is smeared with pen: there is no background to take for white."""
    rows, cols = np.divmod(np.arange(96), 12)
    spots = [f"{'ABCDEFGH'[row]}{col + 1}" for row, col in zip(rows, cols, strict=True)]
    blank = (rows % 2 == 0) & (cols % 2 == 0)
    layout = pd.DataFrame({"spot": spots, "role": np.where(blank, "blank", "sample")})
    slopes = {}
    for name, own in (("without", None), ("with", layout)):
        measure_image(
            shared / "grids/eliza_96/BlankFar.jpg",
            out_dir=tmp_path / name,
            options=ColourOptions(metric="gray"),
            layout=own,
        )
        table = pd.read_csv(tmp_path / name / "spots.csv", keep_default_na=False)
        other = ~blank & ~np.isin(spots, ["H1", "H2", "H3"])  # these are stained
        place = np.stack([np.ones(96), table["x"], table["y"]], axis=1)[other]
        logs = np.log(table["metric"][other])
        slopes[name] = np.ptp(place @ np.linalg.lstsq(place, logs, rcond=None)[0])
        assert table["flags"].str.contains("no_white").all() == (own is None)
    assert slopes["with"] < 0.15 * slopes["without"]


@pytest.mark.shared
@pytest.mark.slow
def test_the_background_of_a_plate_of_agar_is_even(shared: Path, tmp_path: Path) -> None:
    path = shared / "grids/cp_yeast_patches_96/1832-48hours-gal-1.JPG"
    measure_image(path, out_dir=tmp_path, options=ColourOptions())
    colours = pd.read_parquet(tmp_path / "colours.parquet")
    assert len(colours) == 96
    assert np.ptp(colours["white_green"]) > 0.3 * colours["white_green"].median()
    even = colours["background_green"].dropna()
    assert np.subtract(*np.percentile(even, [75, 25])) < 0.05
