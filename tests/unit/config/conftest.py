"""A small study without mistakes, for tests to spoil."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SLIDES = [
    "slide\tassay\tcarrier\tlayout\tgroup",
    "S01\tviability\tdma-672\tdrugs.csv\tpatient 1",
    "S02\tobjects\tsbs-96\t\t",
    "S03\tcolorimetry\t\tph.csv\t",
]
CHANNELS = [
    "slide\tchannel\trole\tpath\tindex\tpixel_size_um",
    "S01\thoechst\tnuclei\timages/s01.ome.tif\t0\t1.98",
    "S01\tcalcein\tlive\timages/s01.ome.tif\t1\t1.98",
    "S01\tpi\tdead\timages/s01.ome.tif\t2\t1.98",
    "S02\tdapi\tnuclei\timages/s02_dapi.tif\t\t",
    "S02\tgfp\tother\timages/s02_gfp.tif\t\t",
    "S03\tscan\tcolour\timages/s03.png\t\t",
]
DRUGS = [
    "spot,agent,concentration,unit,role,replicate",
    "A1,,,,neg_ctrl,",
    "A2,doxorubicin,0.1,uM,sample,1",
    "A3,doxorubicin,1,uM,sample,1",
    "B2,doxorubicin,0.1,uM,sample,2",
    "B2,cisplatin,5,uM,sample,2",
]
PH = ["spot,role,value", "A1,calibration,4.0", "A2,calibration,7.0", "A3,sample,"]
CONFIG = [
    "study: A test",
    "versioning: off",
    "segment:",
    "  channels:",
    "    gfp:",
    "      method: none",
    "screen:",
    "  metric: mean(nuclei.mean_gfp / nuclei.ring_gfp)",
]
FILES = {
    "config/slides.tsv": SLIDES,
    "config/channels.tsv": CHANNELS,
    "config/layouts/drugs.csv": DRUGS,
    "config/layouts/ph.csv": PH,
    "config/config.yaml": CONFIG,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study without mistakes."""
    for name, lines in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def write(root: Path) -> Callable[[str, str | bytes], None]:
    """Write a file of the study."""

    def write(name: str, text: str | bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return write
