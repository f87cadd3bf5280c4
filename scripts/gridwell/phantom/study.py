"""A small simulated screen, laid out as a study: images, sample sheets, layouts, configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from gridwell.config.files import whole, write_csv
from gridwell.config.models import Assay
from gridwell.config.spots import parse_spot, spot_name
from gridwell.phantom.files import file_names
from gridwell.phantom.options import Curve, PhantomOptions
from gridwell.phantom.scene import Stream, stream
from gridwell.phantom.slide import simulate_slide

Size = Literal["tiny", "demo", "full"]

LAYOUT_COLUMNS = (
    "spot", "agent", "concentration", "unit", "role", "replicate", "value", "sample",
)  # fmt: skip
_HALF_LOGS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def simulate_study(
    root: Path,
    size: Size = "demo",
    *,
    seed: int = 1,
    versioning: Literal["datalad", "off"] = "datalad",
) -> None:
    """Simulate a screen as a study folder that only has to be run.

    Writes ``landing/<slide>/`` (images, truth beside them), ``config/slides.tsv``,
    ``config/channels.tsv``, ``config/layouts/*.csv`` and ``config/config.yaml`` (the keys that
    differ from the defaults). What else stands in `root` is left alone.

    Parameters
    ----------
    root
        Folder of the study.
    size
        ``tiny``: one viability slide of 3 x 4 spots. ``demo``: two viability slides (two
        patients), one of round spots with a reporter, one colour scan. ``full``: one viability
        slide of 14 x 48 spots, 37888 x 12800 pixels in four channels (3.9 GB).
    seed
        Another seed, another screen.
    versioning
        What the study's configuration says of it.
    """
    off = 'versioning: "off"\n' if versioning == "off" else ""
    write_study(Path(root), study_slides(size, seed=seed), _CONFIG[size] + off)


def write_study(
    root: Path, slides: Sequence[tuple[PhantomOptions, str, pd.DataFrame]], config: str
) -> None:
    """Simulate slides and write the sample sheets and layouts of a study of them.

    Parameters
    ----------
    root
        The study's folder.
    slides
        Options, name of the layout and the layout of each.
    config
        Text of ``config/config.yaml``.
    """
    sheet, channels = [], []
    for options, layout_name, layout in slides:
        write_csv(root / "config" / "layouts" / layout_name, layout)
        simulate_slide(options, root / "landing" / options.slide, layout=layout)
        sheet.append((options.slide, options.assay.value, "", layout_name, options.group))
        for channel, (name, index) in file_names(options).items():
            path = f"landing/{options.slide}/{name}"
            # A PNG or JPEG does not say how large its pixels are.
            pixel = options.pixel_size_um if name.endswith((".png", ".jpg")) else ""
            row = (options.slide, channel, options.channels[channel], path, index, pixel)
            channels.append(row)
    _write_tsv(
        root / "config" / "slides.tsv", ["slide", "assay", "carrier", "layout", "group"], sheet
    )
    _write_tsv(
        root / "config" / "channels.tsv",
        ["slide", "channel", "role", "path", "index", "pixel_size_um"],
        channels,
    )
    with whole(root / "config" / "config.yaml") as part:
        part.write_text(config, encoding="utf-8")


def study_slides(size: Size, *, seed: int = 1) -> list[tuple[PhantomOptions, str, pd.DataFrame]]:
    """Return the slides of a simulated study: options, name of the layout, the layout."""
    return {"tiny": _tiny, "demo": _demo, "full": _full}[size](seed)


_CONFIG = {
    "tiny": "study: Simulated slide\n",
    "full": "study: Simulated full slide\n",
    "demo": """\
study: Simulated screen
segment:
  channels:
    reporter: {method: none} # measured in the nuclei, has no objects of its own
colour:
  unit: pH
screen:
  metric: mean(nuclei.mean_reporter) # slides without a reporter: the number of their assay
""",
}

_Slide = tuple[PhantomOptions, str, pd.DataFrame]


def _tiny(seed: int) -> list[_Slide]:
    layout = _doses(
        seed, 3, 4, agents=("venetoclax",), doses=_HALF_LOGS, replicates=1, controls=2, mixed=False
    )
    options = PhantomOptions(
        slide="T01",
        group="patient-1",
        seed=seed * 1000,
        rows=3,
        cols=4,
        pitch=(160.0, 160.0),
        spot_size=(120.0, 120.0),
        angle=1.2,
        margin=60,
        cells=25,
        cells_spread=0.1,
        shifts={"live": (2.0, -1.5), "dead": (-1.0, 2.5)},
        curves=(Curve(agent="venetoclax", ec50=0.5),),
    )
    return [(options, "tiny.csv", layout)]


def _demo(seed: int) -> list[_Slide]:
    drugs = ("venetoclax", "idelalisib")
    mixed = _doses(
        seed, 8, 12, agents=drugs, doses=_HALF_LOGS, replicates=5, controls=8, mixed=True
    )
    ordered = _doses(
        seed, 8, 12, agents=drugs, doses=_HALF_LOGS, replicates=5, controls=8, mixed=False
    )
    reporter = _doses(
        seed, 6, 8, agents=("forskolin",), doses=_HALF_LOGS, replicates=4, controls=8, mixed=True
    )
    first = PhantomOptions(
        slide="P1",
        group="patient-1",
        seed=seed * 1000 + 1,
        angle=1.2,
        missing=0.02,
        out_of_focus=0.02,
        shifts={"live": (2.0, -1.5), "dead": (-1.5, 3.0)},
        curves=(
            Curve(agent="venetoclax", ec50=0.12, hill=1.3),
            Curve(agent="idelalisib", ec50=2.0, hill=1.0, bottom=0.15),
        ),
    )
    second = PhantomOptions(
        slide="P2",
        group="patient-2",
        seed=seed * 1000 + 2,
        angle=-1.1,
        missing=0.03,
        negative=0.88,
        shifts={"live": (-2.5, 1.0), "dead": (1.0, 1.5)},
        curves=(
            Curve(agent="venetoclax", ec50=1.5, hill=1.1, top=0.88),
            Curve(agent="idelalisib", ec50=0.4, hill=1.4, top=0.88, bottom=0.1),
        ),
        files="multi_channel",
    )
    third = PhantomOptions(
        slide="R1",
        group="reporter-line",
        assay=Assay.OBJECTS,
        seed=seed * 1000 + 3,
        rows=6,
        cols=8,
        shape="round",
        polarity="bright",
        angle=0.6,
        missing=0.02,
        cells=45,
        cell_radius=(5.0, 7.0),
        negative=0.12,
        positive=0.9,
        loss=0.5,
        shifts={"reporter": (1.5, 1.0)},
        curves=(Curve(agent="forskolin", ec50=0.6, hill=-1.2, top=0.9, bottom=0.12),),
        files="bigtiff",
    )
    scan = PhantomOptions(
        slide="C1",
        assay=Assay.COLORIMETRY,
        seed=seed * 1000 + 4,
        shape="round",
        pitch=(100.0, 100.0),
        spot_size=(70.0, 70.0),
        margin=60,
        angle=-0.7,
        pixel_size_um=42.3,
        bits=8,
        debris=0.05,
        dye_spread=0.01,
        exposure=0.9,
        gradient=0.15,
        files="striped",
    )
    return [
        (first, "patient-1.csv", mixed),
        (second, "patient-2.csv", ordered),
        (third, "reporter.csv", reporter),
        (scan, "colour.csv", _colours(seed, 8, 12)),
    ]


def _full(seed: int) -> list[_Slide]:
    doses = tuple(float(f"{0.001 * 10 ** (i / 2):.3g}") for i in range(10))
    agents = ("venetoclax", "idelalisib", "ibrutinib", "fludarabine", "doxorubicin", "nutlin-3")
    layout = _doses(
        seed, 14, 48, agents=agents, doses=doses, replicates=10, controls=36, mixed=True
    )
    ec50 = (0.02, 0.3, 0.6, 2.0, 0.08, 5.0)
    options = PhantomOptions(
        slide="F1",
        group="patient-1",
        seed=seed * 1000 + 9,
        rows=14,
        cols=48,
        pitch=(758.0, 758.0),
        spot_size=(505.0, 505.0),
        angle=0.4,
        width=37888,
        height=12800,
        missing=0.01,
        cells=490,
        cells_spread=0.3,
        cell_radius=(4.0, 6.5),
        out_of_focus=0.01,
        shifts={"live": (3.0, -2.0), "dead": (-2.0, 2.5)},
        curves=tuple(
            Curve(agent=agent, ec50=value) for agent, value in zip(agents, ec50, strict=True)
        ),
        labels=False,
    )
    return [(options, "full.csv", layout)]


def _doses(
    seed: int,
    rows: int,
    cols: int,
    *,
    agents: Sequence[str],
    doses: Sequence[float],
    replicates: int,
    controls: int,
    mixed: bool,
) -> pd.DataFrame:
    """Layout with every dose of every agent and both controls; in order, or randomised."""
    wells: list[tuple[object, ...]] = []
    for replicate in range(1, controls + 1):
        wells.append((None, None, None, "neg_ctrl", replicate))
        wells.append((None, None, None, "pos_ctrl", replicate))
    for agent in agents:
        for replicate in range(1, replicates + 1):
            wells += [(agent, dose, "uM", "sample", replicate) for dose in doses]
    wells += [(None, None, None, "empty", None)] * (rows * cols - len(wells))
    order = np.arange(rows * cols)
    if mixed:
        order = stream(seed, Stream.VALUE, 0, channel=2).permutation(order)
    # In order means down the columns, so that each line of a plot is a line of spots.
    spots = [spot_name(int(i) % rows, int(i) // rows) for i in order]
    table = pd.DataFrame(wells, columns=["agent", "concentration", "unit", "role", "replicate"])
    table["replicate"] = table["replicate"].astype("Int64")
    table["spot"] = spots
    return _sorted(table)


def _colours(seed: int, rows: int, cols: int) -> pd.DataFrame:
    """Layout of a colour scan: three columns of known pH, the rest samples."""
    known = np.round(np.linspace(6.0, 8.2, rows), 2)
    records: list[dict[str, object]] = []
    for row in range(rows):
        for col in range(cols):
            spot = spot_name(row, col)
            if col < 3:
                records.append(
                    {"spot": spot, "role": "calibration", "value": known[row], "replicate": col + 1}
                )
            else:
                number = row * 3 + (col - 3) // 3 + 1
                records.append(
                    {
                        "spot": spot,
                        "role": "sample",
                        "sample": f"sample-{number:02d}",
                        "replicate": (col - 3) % 3 + 1,
                    }
                )
    return _sorted(pd.DataFrame(records))


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Columns as in config/layouts, rows in the order of the grid."""
    order = table["spot"].map(parse_spot).sort_values().index
    return table.reindex(columns=list(LAYOUT_COLUMNS)).loc[order].reset_index(drop=True)


def _write_tsv(path: Path, columns: list[str], rows: Sequence[Sequence[object]]) -> None:
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    with whole(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
