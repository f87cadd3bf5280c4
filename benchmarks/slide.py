"""A whole simulated slide through the whole workflow: what each stage takes, and its limit.

    python benchmarks/slide.py --folder DIR [--scale 16 4 1] [--cores 2] [--versioning off]

DIR keeps the simulated slides (3.9 GB for the full one) for the next time; studies are made
beside them and removed. Scale 1 is 4 x 12800 x 37888 pixels with 672 spots, 2 and 4 are a half
and a quarter of its height, 16 a quarter of the width of that. One table for each:

  jobs, wall  number of jobs of the stage, and the sum of their seconds; they run side by side
  cpu, share  CPU seconds of all their processes, and of the whole run; snakemake: its own
              process, without the jobs
  start       CPU seconds until the jobs of the stage have imported what they need, beside them
  MB          most that all processes of one job had resident together
  read, wrote GB, by system calls
  limit       CPU seconds of doing only what the stage cannot avoid, measured in the same run;
              sampled and scaled up where it is long, see LIMITS
  times       cpu / limit

Then the growth of each stage per doubling of the slide, and its memory against the smallest.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from stages import codecs, multiplications, plain_pipeline
from watch_jobs import Job, run_watched

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.models import SegmentOptions  # noqa: E402
from gridwell.config.spots import parse_spot  # noqa: E402
from gridwell.config.weights import weights_of  # noqa: E402
from gridwell.images.slide import open_slide  # noqa: E402
from gridwell.images.spots import SpotStack, open_spots  # noqa: E402
from gridwell.images.stores import PIXELS, old_blosc  # noqa: E402
from gridwell.network.cells import CellNetwork  # noqa: E402
from gridwell.phantom.study import study_slides, write_study  # noqa: E402
from gridwell.segment.learned import LearnedMethod  # noqa: E402

SLIDE = "F1"
SIZES = {1: (14, 48), 2: (7, 48), 4: (4, 48), 16: (4, 12)}
"""Rows and columns of spots of each scale."""
SEGMENTED = ("nuclei", "live", "dead")
SPOTS = 12
"""Spots that a limit is measured on where all would take too long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--scale", type=int, nargs="*", choices=SIZES, default=[1])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--versioning", choices=["datalad", "off"], default="datalad")
    options = parser.parse_args()
    pd.set_option("display.width", 200)
    tables = {}
    for scale in sorted(options.scale, reverse=True):
        images = simulated(options.folder.resolve(), scale)
        study = options.folder.resolve() / f"study-{scale}"
        make_study(study, images, options.versioning)
        wall, own, jobs = run_watched(command(study, options.cores))
        table = stages(jobs, own)
        table["limit"] = limits(study)
        table["times"] = table["cpu"] / table["limit"]
        tables[scale] = table
        say(scale, study, wall, table)
        remove(study)
    if len(tables) > 1:
        print(growth(tables).to_string(float_format="%.2f"))


def command(study: Path, cores: int) -> list[str | Path]:
    """Shell command that runs the workflow."""
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile"]
    return [*snakemake, "--directory", study, "--cores", str(cores)]


def simulated(folder: Path, scale: int) -> Path:
    """A study's config and landing with the slide of a scale, simulated once."""
    place = folder / f"slide-{scale}"
    if not (place / "config/config.yaml").exists():
        (options, name, layout), *_ = study_slides("full")
        rows, cols = SIZES[scale]
        size = {
            "height": options.height // min(scale, 4),
            "width": options.width // (4 if scale == 16 else 1),
        }
        own = options.model_copy(update={"rows": rows, "cols": cols, **size})
        on_it = [
            row < rows and col < cols for row, col in (parse_spot(spot) for spot in layout["spot"])
        ]
        write_study(place, [(own, name, layout[on_it])], "study: Simulated full slide\n")
    return place


def make_study(study: Path, images: Path, versioning: str) -> None:
    """Make a study whose images are hard links."""
    remove(study)
    plain = ["--plain"] if versioning == "off" else []
    subprocess.run([sys.executable, "-m", "gridwell", "new", *plain, study], check=True)
    shutil.copytree(images, study, dirs_exist_ok=True, copy_function=link)
    config = study / "config/config.yaml"
    text = config.read_text()
    config.unlink()
    config.write_text(text + f'versioning: "{versioning}"\n')


def link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    Path(target).hardlink_to(source)


def remove(study: Path) -> None:
    if study.exists():
        subprocess.run(["chmod", "-R", "u+w", str(study)], check=True)
        shutil.rmtree(study)


def stages(jobs: list[Job], own: float) -> pd.DataFrame:
    """One row a rule, in the order in which they began, and one of Snakemake itself."""
    rows = []
    for rule in dict.fromkeys(job.rule for job in jobs):
        those = [job for job in jobs if job.rule == rule]
        rows.append(
            {
                "stage": rule,
                "jobs": len(those),
                "wall": sum(job.ended - job.begun for job in those),
                "cpu": sum(job.cpu for job in those),
                "start": start_up(rule) * len(those),
                "MB": max(job.memory for job in those) / 1e6,
                "read": sum(job.read for job in those) / 1e9,
                "wrote": sum(job.written for job in those) / 1e9,
            }
        )
    table = pd.DataFrame([*rows, {"stage": "snakemake", "cpu": own}]).set_index("stage")
    table.insert(3, "share", table["cpu"] / table["cpu"].sum())
    return table


def start_up(rule: str) -> float:
    """CPU seconds of a process that imports what the script of a rule does, and no more."""
    tree = ast.parse((REPOSITORY / "scripts" / f"{rule}.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "from snakemake import script\n" + "\n".join(map(ast.unparse, imports))
    before = children()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return children() - before


def children() -> float:
    """CPU seconds of the processes that this one has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def say(scale: int, study: Path, wall: float, table: pd.DataFrame) -> None:
    """Print what a run of one slide took."""
    total = table["cpu"].sum()
    network = table["cpu"].get("segment", math.nan)
    own = table["start"].sum() + table.loc["snakemake", "cpu"]
    files = {
        name: sum(path.is_file() for path in (study / name).rglob("*"))
        for name in ("work", "results")
    }
    print(f"\n1/{scale} of a slide: {wall:.0f} s, {total:.0f} CPU s, "
          f"{100 * network / total:.0f} % of them segmentation; Snakemake, start-up and imports "
          f"{100 * own / total:.1f} %; files {files}")  # fmt: skip
    print(table.to_string(float_format="%.2f", na_rep=""), flush=True)


def growth(tables: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """CPU time per doubling of the spots, and memory, between each two scales."""
    scales = list(tables)
    found = {}
    for small, large in pairwise(scales):
        doublings = math.log2(math.prod(SIZES[large]) / math.prod(SIZES[small]))
        times = tables[large]["cpu"] / tables[small]["cpu"]
        found[f"1/{small}-1/{large}"] = times ** (1 / doublings)
        found[f"MB {small}-{large}"] = tables[large]["MB"] / tables[small]["MB"]
    return pd.DataFrame(found)


# -- limits ---------------------------------------------------------------------------------------


@dataclass
class Timed:
    """CPU seconds of this process within a ``with`` block."""

    seconds: float = 0.0

    def __enter__(self) -> Timed:
        self._start = time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.process_time() - self._start


def copied(study: Path) -> float:
    """Copy the raw images and hash them on the way."""
    with Timed() as timed, tempfile.TemporaryDirectory(dir=study) as folder:
        for path in raw(study):
            digest = hashlib.sha256()
            with path.open("rb") as file, (Path(folder) / path.name).open("wb") as out:
                while block := file.read(2**22):
                    digest.update(block)
                    out.write(block)
            (Path(folder) / path.name).unlink()
    return timed.seconds


def decoded_and_encoded(study: Path) -> float:
    """Decode each raw image and encode all chunks of all its levels."""
    return sum(codecs(path) for path in raw(study))


def read_and_encoded(study: Path) -> float:
    """Read every region of the slide that a row of spots covers once; encode as many crops."""
    slide, stack = open_slide(study / f"work/{SLIDE}/slide.zarr"), spots(study)
    codec = old_blosc(PIXELS)
    row = stack.frame.rows // 2
    names = range(row * stack.frame.cols, (row + 1) * stack.frame.cols)
    middle = int(np.mean([stack.frame.y[i] for i in names]))
    half = stack.frame.crop[0] // 2
    crops = stack.read("nuclei", names.start, names.stop)
    with Timed() as timed:
        slide.read("nuclei", y0=middle - half, y1=middle + half)
        for crop in crops:
            codec.encode(np.ascontiguousarray(crop))
    return timed.seconds * stack.frame.rows * len(stack.channels)


def multiplied(study: Path) -> float:
    """The network's multiplications at the rate at which this CPU can multiply such numbers."""
    from torch.utils.flop_counter import FlopCounterMode

    stack = spots(study)
    operations = 0
    for name in SEGMENTED:
        network = CellNetwork.load(weights_of_channel(name), policy="forbid", precision="float32")
        with FlopCounterMode(display=False) as counter:
            network.maps(looked_at(stack, stack.read(name, 0, 1)[0]))
        operations += counter.get_total_flops()
    return operations * len(stack.names) / multiplications(network_of("nuclei").numbers)


def looked_at(stack: SpotStack, crop: np.ndarray) -> np.ndarray:
    """The part of a crop that its network is shown; of all channels the same."""
    window = LearnedMethod(weights_of_channel("nuclei")).window(stack.frame.mask(*crop.shape))
    return crop[window]


def weights_of_channel(channel: str) -> Path:
    """Weights that segment a channel when nothing is told; roles are called like channels."""
    return weights_of(SegmentOptions().of(channel, channel).weights)


def network_of(channel: str) -> CellNetwork:
    """Network that segments a channel when nothing is told."""
    return CellNetwork.load(weights_of_channel(channel), policy="forbid")


def network_alone(study: Path) -> float:
    """Show the networks every spot, and do nothing with what they see."""
    stack = spots(study)
    return per_spot(study, lambda name, image: network_of(name).maps(looked_at(stack, image)))


def plain_segmentation(study: Path) -> float:
    """Otsu's threshold, distance transform, watershed and regionprops_table of scikit-image."""
    return per_spot(study, lambda _, image: plain_pipeline(image[None]))


def per_spot(study: Path, work: Callable[[str, np.ndarray], object]) -> float:
    """CPU seconds of some work on every spot of every segmented channel, from a sample."""
    stack = spots(study)
    places = np.linspace(0, len(stack.names) - 1, SPOTS).astype(int)
    images = [(name, stack.read(name, at, at + 1)[0]) for name in SEGMENTED for at in places]
    for name in SEGMENTED:
        work(name, images[0][1])
    with Timed() as timed:
        for name, image in images:
            work(name, image)
    return timed.seconds * len(stack.names) / SPOTS


def related(study: Path) -> float:
    """Two stains under each nucleus by scikit-image, and its nearest bodies by SciPy."""
    import zarr
    from scipy.spatial import cKDTree
    from skimage.measure import regionprops_table

    stack = spots(study)
    labels = zarr.open_group(study / f"results/{SLIDE}/labels/nuclei.zarr", mode="r")["labels"]
    bodies = [
        pd.read_parquet(study / f"results/{SLIDE}/instances/{name}.parquet") for name in SEGMENTED
    ]
    seconds = 0.0
    for at in np.linspace(0, len(stack.names) - 1, SPOTS).astype(int):
        image = np.stack([stack.read(name, at, at + 1)[0] for name in SEGMENTED[1:]], -1)
        own = np.asarray(labels[at])
        trees = [table.loc[table["spot"] == stack.names[at], ["x", "y"]] for table in bodies]
        with Timed() as timed:
            regionprops_table(own, image, properties=("label", "centroid", "intensity_mean"))
            for tree in trees[1:]:
                if len(tree) and len(trees[0]):
                    cKDTree(tree).query(trees[0], 3)
        seconds += timed.seconds
    return seconds * len(stack.names) / SPOTS


def pictures_encoded(study: Path) -> float:
    """Encode the pictures of the slide's report again."""
    html = (study / f"results/{SLIDE}/report.html").read_text()
    seconds = 0.0
    # All are WebP: such a file begins with RIFF. Those with transparency are without loss.
    for text in re.findall(r"UklGR[A-Za-z0-9+/=]+", html):
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), -1)
        quality = 101 if picture.ndim == 3 and picture.shape[2] == 4 else 30
        with Timed() as timed:
            cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])
        seconds += timed.seconds
    return seconds


LIMITS: dict[str, Callable[[Path], float]] = {
    "ingest": copied,
    "tile": decoded_and_encoded,
    "crop_spots": read_and_encoded,
    "segment": multiplied,
    "fuse": related,
    "report_slide": pictures_encoded,
}
BESIDE = {"network alone": network_alone, "scikit-image, segment": plain_segmentation}


def limits(study: Path) -> pd.Series:
    """CPU seconds of each stage's limit; what stands beside them is printed."""
    cv2.setNumThreads(1)
    for name, work in BESIDE.items():
        print(f"{name}: {work(study):.1f} CPU s")
    return pd.Series({stage: work(study) for stage, work in LIMITS.items()})


def raw(study: Path) -> list[Path]:
    """Raw images of the slide."""
    info = json.loads((study / f"raw/{SLIDE}/slide.json").read_text())
    return [study / f"raw/{SLIDE}" / file["name"] for file in info["files"]]


def spots(study: Path) -> SpotStack:
    return open_spots(study / f"work/{SLIDE}/spots.zarr")


if __name__ == "__main__":
    main()
