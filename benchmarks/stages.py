"""Stages against peers and limits: ratios of CPU seconds, both sides in turn in one run.

    python benchmarks/stages.py [--only ingest network flood features spot] [--rounds 5]
                                [--peers PYTHON]

PYTHON is one that has openvino, ome-zarr and cellpose 3; without it their rows are left out. One
thread everywhere; medians of the rounds. Images are simulated (gridwell.phantom). One line a
ratio, with the bar that we want to hold:

  ingest      ingest_slide and write_slide of one channel of 37888 x 3200 px, zlib tiles: against
              ome-zarr-py from the same file, and against decoding and encoding alone; memory of a
              process for it and for four times the height
  network     of cells, on 576 x 576 px: against torch as one would write it first (float32,
              channels first), OpenVINO in the same precision, and the rate of this CPU's matrix
              product in that precision
  flood       `instances` of maps of known cells: against Gaussian, label and watershed of
              scikit-image from seeds above 0.45; agree: share of pixels of objects that
              scikit-image's watershed from our centres gives to the same object
  features    `measure`, with all its columns: against regionprops_table with the columns that
              both have, with two other channels as intensities
  spot        network, flood and features of a spot together: against Otsu, distance transform,
              watershed and regionprops_table of scikit-image, and against Cellpose 3; and the
              conventional method against the former; rest: all but the network, in shares of it
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import cv2
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.cells.features import measure  # noqa: E402
from gridwell.config.models import Channel, SegmentMethod, TileOptions  # noqa: E402
from gridwell.config.weights import weights_of  # noqa: E402
from gridwell.images.ingest import ingest_slide  # noqa: E402
from gridwell.images.slide import write_slide  # noqa: E402
from gridwell.images.stores import halve  # noqa: E402
from gridwell.learn.targets import instance_targets  # noqa: E402
from gridwell.network.cells import CellNetwork  # noqa: E402
from gridwell.phantom.fields import field  # noqa: E402
from gridwell.segment.conventional import segment_spot  # noqa: E402
from gridwell.segment.flood import FloodOptions, _flooded, instances  # noqa: E402
from gridwell.segment.learned import LearnedMethod  # noqa: E402

SIDE, WIDTH, ROWS = 576, 37888, 3200
PROPERTIES = (
    *("label", "area", "centroid", "eccentricity", "axis_major_length", "axis_minor_length"),
    *("orientation", "intensity_mean", "intensity_max"),
)
Line = tuple[str, float, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--bring", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bring:
        bring(*options.bring)
        return
    cv2.setNumThreads(1)
    lines: list[Line] = []
    for name in options.only:
        for line in CASES[name](options.rounds, options.peers):
            print(*line, flush=True)
            lines.append((f"{name}: {line[0]}", *line[1:]))
    table = pd.DataFrame(lines, columns=["what", "measured", "bar"])
    print(table.to_string(index=False, float_format="%.3g"))


def medians(rounds: int, *works: Callable[[], object]) -> list[float]:
    """CPU seconds of each work, all in turn, after one round that is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, own in zip(works, seconds, strict=True):
            start = time.process_time()
            work()
            own.append(time.process_time() - start)
    return [float(np.median(own[1:])) for own in seconds]


def peer(python: Path, script: str, *arguments: object) -> float:
    """CPU seconds that a peer says of itself."""
    command = [python, REPOSITORY / "benchmarks/peers" / f"{script}.py", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def cells(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A simulated spot with about so many cells: image and labels."""
    tiles = []
    for seed in range(400):
        drawn = field("nuclei", seed, SIDE)
        tiles.append((abs(int(drawn.labels.max()) - number), seed))
        if tiles[-1][0] <= 0.15 * number:
            break
    drawn = field("nuclei", min(tiles)[1], SIDE)
    return drawn.image, drawn.labels


# -- ingest ---------------------------------------------------------------------------------------


def ingest(rounds: int, peers: Path | None) -> Iterator[Line]:
    import numcodecs
    import tifffile

    codec = numcodecs.Blosc(cname="zstd", clevel=1, shuffle=numcodecs.Blosc.BITSHUFFLE)
    numcodecs.blosc.use_threads = False

    def limit() -> None:
        plane, levels = tifffile.imread(image, maxworkers=1), 0
        while max(plane.shape) > 512 or not levels:
            for y in range(0, plane.shape[0], 512):
                for x in range(0, plane.shape[1], 512):
                    codec.encode(np.ascontiguousarray(plane[y : y + 512, x : x + 512]))
            plane, levels = halve(plane), levels + 1

    with tempfile.TemporaryDirectory() as name:
        folder, ours, memory = Path(name), [], []
        image = written(folder / "one.tif", ROWS)
        limits, theirs = [], []
        for round_ in range(min(3, rounds)):
            ours.append(brought(image, folder / f"ours-{round_}")[0])
            limits.append(medians(1, limit)[0])
            if peers:
                out = folder / f"theirs-{round_}"
                theirs.append(peer(peers, "pyramid_ome_zarr", image, out, 7))
        own = float(np.median(ours))
        yield "times pure codecs", own / float(np.median(limits)), "<= 2.2"
        if theirs:
            yield "ome-zarr-py, times ours", float(np.median(theirs)) / own, ">= 3.5"
        for rows in (ROWS, 4 * ROWS):
            large = written(folder / f"{rows}.tif", rows)
            memory.append(brought(large, folder / f"large-{rows}")[1])
        yield "MB", memory[1], "<= 450"
        yield "memory, four times the height", memory[1] / memory[0], "<= 1.15"


def written(path: Path, rows: int) -> Path:
    """Write a channel as a microscope does: a zlib-compressed BigTIFF of 512 x 512 tiles."""
    import tifffile

    drawn = np.concatenate([field("nuclei", seed, SIDE).image for seed in range(8)], 1)
    band = np.tile(drawn, (-(-512 // SIDE), -(-WIDTH // drawn.shape[1])))[:512, :WIDTH]
    tiles = (
        np.ascontiguousarray(np.pad(band[:, x : x + 512], ((0, 512 - band.shape[0]), (0, 0))))
        for _ in range(0, rows, 512)
        for x in range(0, WIDTH, 512)
    )
    tifffile.imwrite(
        path, tiles, shape=(rows, WIDTH), dtype=band.dtype, tile=(512, 512), compression="zlib",
        bigtiff=True, resolution=(5050, 5050), resolutionunit="CENTIMETER", metadata=None,
    )  # fmt: skip
    return path


def brought(image: Path, out: Path) -> tuple[float, float]:
    """CPU seconds and MB of a process that ingests and tiles an image."""
    command = [sys.executable, __file__, "--bring", image, out]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory


def bring(image: Path, out: Path) -> None:
    """Ingest and tile an image, in this process; print CPU seconds and most MB resident."""
    start = time.process_time()
    channel = Channel(slide="S", channel="nuclei", role="nuclei", path=str(image))
    ingest_slide("S", [channel], {"nuclei": image}, out / "raw")
    write_slide(out / "raw", out / "slide.zarr", TileOptions())
    # What getrusage says holds the memory of the process that this one was forked from.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(time.process_time() - start, int(most) / 1000)


# -- network --------------------------------------------------------------------------------------


def network(rounds: int, peers: Path | None) -> Iterator[Line]:
    import torch

    torch.set_num_threads(1)
    ours = CellNetwork.load(weights_of("nuclei"), policy="forbid")
    dtype = torch.bfloat16 if ours._half else torch.float32
    plain = CellNetwork.load(weights_of("nuclei"), policy="forbid", precision="float32")._network
    plain = type(plain)(**plain.shape).eval().to(memory_format=torch.contiguous_format)
    shown = np.random.default_rng(1).random((1, 2, SIDE, SIDE), np.float32)
    image, matrix = torch.from_numpy(shown), torch.rand(2048, 2048).to(dtype)
    with torch.inference_mode():
        own, eager, product = medians(
            rounds, lambda: ours.compute(shown), lambda: plain(image), lambda: matrix @ matrix
        )
    yield f"Mpx per CPU second, {str(dtype).removeprefix('torch.')}", SIDE**2 / own / 1e6, ""
    yield "eager float32, times ours", eager / own, ">= 3" if ours._half else ">= 1"
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        plain(image)
    share = counter.get_total_flops() / own / (2 * 2048**3 / product)
    yield "share of the matrix rate", share, ""
    if peers:
        with tempfile.TemporaryDirectory() as name, torch.inference_mode():
            buffer = io.BytesIO()
            torch.jit.save(torch.jit.trace(plain, image), buffer)
            given = {
                "network": torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8),
                "image": image,
                "precision": "bf16" if ours._half else "f32",
                "rounds": rounds,
            }
            torch.save(given, Path(name) / "given.pt")
            theirs = peer(peers, "network_openvino", Path(name) / "given.pt")
            (again,) = medians(rounds, lambda: ours.compute(shown))
        yield "OpenVINO, times ours", theirs / again, ">= 0.8"


# -- flood and features ---------------------------------------------------------------------------


def flood(rounds: int, peers: Path | None) -> Iterator[Line]:
    from skimage.filters import gaussian
    from skimage.measure import label
    from skimage.segmentation import watershed

    options = FloodOptions()
    for number in (100, 300, 600):
        _, labels = cells(number)
        maps = instance_targets(labels.astype(np.int32))

        def plain(maps: object = maps) -> None:
            height = gaussian(maps.cell - options.apart * maps.neighbour**2, 0.7)
            watershed(-height, label(height > 0.45), mask=maps.inside > 0.5)

        def ours(maps: object = maps) -> None:
            instances(maps.cell, maps.neighbour, maps.inside, options)

        own, theirs = medians(rounds, ours, plain)
        found = f"{labels.max()} cells ({labels.max() / SIDE**2 * 1e6:.0f} per Mpx)"
        yield f"{found}: scikit-image, times ours", theirs / own, ">= 3 from 500 per Mpx"
        flooded, centres = _flooded(maps.cell, maps.neighbour, maps.inside, options)
        markers = np.zeros(flooded.shape, np.int32)
        markers.ravel()[centres] = flooded.ravel()[centres]
        height = np.clip(maps.cell - options.apart * np.clip(maps.neighbour, 0, 1) ** 2, -1, 1)
        height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.7)
        other = watershed(-height, markers, mask=maps.inside > options.inside)
        objects = flooded > 0
        yield f"{found}: agree", float((other == flooded)[objects].mean()), ">= 0.99"


def features(rounds: int, peers: Path | None) -> Iterator[Line]:
    from skimage.measure import regionprops_table

    for number in (100, 300, 600):
        image, labels = cells(number)
        beside = {"live": image[::-1].copy(), "dead": image[:, ::-1].copy()}
        stack = np.stack([image, *beside.values()], -1)

        def ours(
            labels: np.ndarray = labels, image: np.ndarray = image, others: dict = beside
        ) -> None:
            measure(labels, image, others, 4.0)

        def theirs(labels: np.ndarray = labels, stack: np.ndarray = stack) -> None:
            regionprops_table(labels, stack, properties=PROPERTIES)

        def solid(labels: np.ndarray = labels, stack: np.ndarray = stack) -> None:
            regionprops_table(labels, stack, properties=(*PROPERTIES, "solidity"))

        own, plain, whole = medians(rounds, ours, theirs, solid)
        yield f"{labels.max()} cells: regionprops_table, times ours", plain / own, ""
        yield f"{labels.max()} cells: with solidity, as ours", whole / own, ">= 20 from 500"


# -- a spot ---------------------------------------------------------------------------------------


def spot(rounds: int, peers: Path | None) -> Iterator[Line]:
    learned = LearnedMethod(weights_of("nuclei"), policy="forbid")
    method, conventional = SegmentMethod(), SegmentMethod(method="local", diameter=12.0)
    image, labels = cells(300)
    beside = {"live": image[::-1].copy(), "dead": image[:, ::-1].copy()}
    maps = learned.maps([image])[0]

    def rest() -> None:
        found = learned.labels(maps, method)
        measure(found, image, beside, 4.0)

    def net() -> None:
        learned.maps([image])

    def own_conventional() -> None:
        measure(segment_spot(image, conventional, None), image, beside, 4.0)

    after, network_, plain, ours = medians(
        rounds, rest, net, lambda: scikit_image(image), own_conventional
    )
    yield "rest, share of the network", after / network_, "<= 0.1"
    yield "times plain scikit-image", (after + network_) / plain, "<= 1.5"
    yield "conventional, times plain scikit-image", ours / plain, "<= 0.5"
    if peers:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "given.npz"
            np.savez(path, images=np.stack([image] * 3), labels=np.stack([labels] * 3))
            yield (
                "Cellpose 3, times ours", peer(peers, "spot_cellpose", path) / (after + network_),
                ">= 10",
            )  # fmt: skip


def scikit_image(image: np.ndarray) -> None:
    """Otsu, distance transform, watershed, regionprops_table."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import label, regionprops_table
    from skimage.segmentation import watershed

    smooth = gaussian(image, 1, preserve_range=True)
    mask = smooth > threshold_otsu(smooth)
    distance = ndimage.distance_transform_edt(mask)
    seeds = np.zeros(mask.shape, np.int32)
    places = peak_local_max(distance, min_distance=4, labels=label(mask))
    seeds[tuple(places.T)] = np.arange(1, len(places) + 1)
    found = watershed(-distance, seeds, mask=mask)
    regionprops_table(found, image, properties=(*PROPERTIES, "solidity"))


CASES: dict[str, Callable[[int, Path | None], Iterator[Line]]] = {
    "ingest": ingest,
    "network": network,
    "flood": flood,
    "features": features,
    "spot": spot,
}


if __name__ == "__main__":
    main()
