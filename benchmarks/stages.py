"""Stages against peers and limits: ratios of CPU seconds, both sides in turn in one run.

    python benchmarks/stages.py [--only ingest network flood features spot] [--rounds 5]
                                [--rows 3200] [--peers PYTHON ...]

Each PYTHON has some of ome-zarr 0.18, openvino, cellpose 3 and stardist 0.9; rows of a package
that none has are left out. One thread everywhere; medians of the rounds, after one that does not
count. `bar` is what we want to hold and `met` whether it does; rows without a bar inform.

  ingest    `ingest_slide` and `write_slide`, each time in a new process, of one channel 37888 px
            wide in zlib tiles of 512 px: simulated spots (gridwell.phantom) with the noise of a
            camera, which zlib makes smaller as told. Against ome-zarr-py `write_image` of the same
            levels; against codecs alone, tifffile's decoding of all tiles and Blosc's encoding of
            all chunks, without halving, hashing, copying and Zarr, and `write_slide` alone against
            the same. Memory: most resident of the process, and that for four times the rows
  network   of nuclei, 576 x 576 px: against torch as one writes it first (float32, channels
            first, batch normalisation not folded), and against itself and OpenVINO in bfloat16,
            or in float32 where this CPU is slower in that; the share of the rate at which this
            CPU multiplies such numbers at best. Then against torch again where oneDNN has no
            more than AVX2
  flood     `instances` of maps drawn from known cells (gridwell.learn.targets), and of those that
            the network sees, against scikit-image: its Gaussian of the same height, labels of what
            is above 0.45 as seeds, watershed in the same mask. Both sides also choose the seeds,
            each in its way: objects tells how many more scikit-image finds. Its watershed alone,
            given our seeds and heights, stands beside that. agree: share of the pixels of our
            objects, and of those of either side, that this watershed, from our centres on the same
            heights in 1024 steps, gives to the same object
  features  `measure` with all its columns, those that scikit-image lacks too (background, ring
            around the object, edge), against regionprops_table with the columns that both have;
            two more channels. differ: largest difference, relative or, below 1, absolute, but for
            directions of what is as long as it is wide
  spot      workers of three channels on four spots of some 400 cells, all alike: read,
            normalise, network, flood, measure. rest: all but the network's forward pass, as a
            share of it. Against a plain scikit-image pipeline from arrays (Gaussian, Otsu,
            distance transform, peaks, watershed, regionprops_table on three channels), which the
            conventional methods are compared with as well. Cellpose 3 and StarDist
            (2D_versatile_fluo) with random weights: the forward pass, then objects from the flows
            or distances of labels that gridwell found, at native scale; they measure nothing
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    MALLOC_ARENA_MAX="1",  # as rules/common.smk sets it for all jobs
)

import cv2
import numpy as np
import pandas as pd
from side_by_side import Line, Options, Peer, Work, medians, python_with, verdict

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.cells.features import measure  # noqa: E402
from gridwell.cells.instances import _Worker  # noqa: E402
from gridwell.config.models import Channel, SegmentMethod, SegmentOptions, TileOptions  # noqa: E402
from gridwell.config.weights import weights_of  # noqa: E402
from gridwell.images.ingest import ingest_slide  # noqa: E402
from gridwell.images.ngff import level_factors  # noqa: E402
from gridwell.images.slide import open_slide, write_slide  # noqa: E402
from gridwell.images.spots import SpotFrame, crop_spots, open_spots  # noqa: E402
from gridwell.images.stores import PIXELS, halve, old_blosc  # noqa: E402
from gridwell.learn.targets import instance_targets  # noqa: E402
from gridwell.network.cells import CellNetwork, shown  # noqa: E402
from gridwell.phantom.fields import draw_look, paint  # noqa: E402
from gridwell.segment.flood import _STEPS, FloodOptions, _flooded, instances  # noqa: E402

SIDE, WIDTH, TILE = 576, 37888, 512
CELLS = (100, 500, 1500)
ROW = 4
KINDS = ("nuclei", "live", "dead")
PROPERTIES = {
    "label": "label", "area": "area", "centroid-0": "y", "centroid-1": "x",
    "eccentricity": "eccentricity", "axis_major_length": "major_axis",
    "axis_minor_length": "minor_axis", "orientation": "orientation", "solidity": "solidity",
    "intensity_mean-0": "mean", "intensity_mean-1": "mean_live", "intensity_mean-2": "mean_dead",
    "intensity_median-0": "median", "intensity_max-0": "max",
}  # fmt: skip
"""Columns of regionprops_table, and ours."""
NAMES = list(dict.fromkeys(name.rsplit("-", 1)[0] for name in PROPERTIES))

Array = np.ndarray[Any, np.dtype[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3200, help="height of the channel to ingest")
    parser.add_argument("--peers", type=Path, nargs="+", default=[], metavar="PYTHON")
    parser.add_argument("--bring", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--forward", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.bring:
        bring(*given.bring)
        return
    if given.forward:
        print(json.dumps(forward(given.rounds)))
        return
    options = Options(given.rounds, given.rows, given.peers)
    lines = []
    for case in given.only:
        for what, measured, bar in CASES[case](options):
            lines.append((case, what, f"{measured:.4g}", bar, verdict(measured, bar)))
            print(*lines[-1], flush=True)
    table = pd.DataFrame(lines, columns=["case", "what", "measured", "bar", "met"])
    print("\n" + table.to_string(index=False))


def spot_of(number: int, kind: str = "nuclei", side: int = SIDE) -> tuple[Array, Array]:
    """Simulate a spot of about so many small cells: image and labels."""
    # A field has 1200 objects at most: more lie in four.
    if number > 1000:
        parts = [spot_of(number // 4 + k, kind, side // 2) for k in range(4)]
        image, labels = (np.block([[a, b], [c, d]]) for a, b, c, d in zip(*parts, strict=True))
        before = np.cumsum([0, *(int(own.max()) for _, own in parts[:3])]).reshape(2, 2)
        step = before.repeat(side // 2, 0).repeat(side // 2, 1)
        return image, np.where(labels > 0, labels + step, 0).astype(np.int32)
    rng = np.random.default_rng([number, KINDS.index(kind)])
    look = replace(
        draw_look(kind, rng), diameter=10.5, sizes=0.12, share=number * 86.6 / side**2,
        crowded=False, clumped=0.3, close=0.95, haze=0.05, halo=0.0, above=0, blur=1.0, gap=0.3,
        piled=0.0, debris=1.0, well=False, light=0.1, photons=400.0, read=3.0, bits=16, fill=0.02,
        dark=0.002, packed=0,
    )  # fmt: skip
    drawn = paint(kind, look, side, rng)
    return drawn.image, drawn.labels


# -- ingest ---------------------------------------------------------------------------------------


def ingest(options: Options) -> Iterator[Line]:
    python = python_with("ome_zarr", options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, large = (written(folder / f"{n}.tif", n * options.rows) for n in (1, 4))
        smaller = options.rows * WIDTH * 2 / image.stat().st_size
        yield "zlib makes the image smaller, times", smaller, ""
        told: list[dict[str, float]] = []
        levels = len(level_factors(max(options.rows, WIDTH), 512))

        def ours() -> float:
            told.append(brought(image, folder / "ours"))
            return told[-1]["seconds"]

        with ExitStack() as stack:
            works: list[Work] = [ours, lambda: codecs(image)]
            if python:
                arguments = (image, folder / "theirs", levels)
                works.append(stack.enter_context(Peer(python, "pyramid_ome_zarr", *arguments)))
            own, limit, *theirs = medians(options.rounds, *works)
        if theirs:
            yield "ome-zarr-py, times ours", theirs[0] / own, ">= 3.5"
        yield "times codecs alone", own / limit, "<= 2.2"
        tiled = float(np.median([one["tiled"] for one in told[1:]]))
        yield "of that write_slide", tiled / limit, ""
        least = float(np.median([one["memory"] for one in told]))
        most = brought(large, folder / "large")
        yield "MB, four times the rows", most["memory"], "<= 450"
        yield "memory, times that of a quarter of the rows", most["memory"] / least, "<= 1.15"
        yield "CPU, times that of a quarter of the rows", most["seconds"] / own, "<= 4.4"


def written(path: Path, rows: int) -> Path:
    """Write a channel as a microscope does: a zlib-compressed BigTIFF of 512 x 512 tiles."""
    import tifffile

    drawn = [spot_of(number)[0][:TILE, :TILE] for number in (5, 100, 300, 500)]
    tiles = (drawn[(y * 7 + x) % 4] for y in range(-(-rows // TILE)) for x in range(WIDTH // TILE))
    tifffile.imwrite(
        path, tiles, shape=(rows, WIDTH), dtype=drawn[0].dtype, tile=(TILE, TILE),
        compression="zlib", bigtiff=True, resolution=(5050, 5050), resolutionunit="CENTIMETER",
        metadata=None,
    )  # fmt: skip
    return path


def brought(image: Path, out: Path) -> dict[str, float]:
    """CPU seconds and MB of a new process that ingests and tiles an image."""
    command = [sys.executable, __file__, "--bring", image, out]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(out)
    return dict(json.loads(done.stdout))


def bring(image: Path, out: Path) -> None:
    """Ingest and tile an image, in this process; print CPU seconds and most MB resident."""
    start = time.process_time()
    channel = Channel(slide="S", channel="nuclei", role="nuclei", path=str(image))
    ingest_slide("S", [channel], {"nuclei": image}, out / "raw")
    middle = time.process_time()
    write_slide(out / "raw", out / "slide.zarr", TileOptions())
    end = time.process_time()
    # What getrusage says holds the memory of the process that this one was forked from.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    told = {"seconds": end - start, "tiled": end - middle, "memory": int(most) / 1000}
    print(json.dumps(told))


def codecs(image: Path) -> float:
    """CPU seconds of decoding all tiles and encoding all chunks of all levels."""
    import numcodecs
    import tifffile

    codec = old_blosc(PIXELS)
    numcodecs.blosc.use_threads = False
    start = time.process_time()
    with tifffile.TiffFile(image) as file:
        for _ in file.pages.first.segments(maxworkers=1):
            pass
    seconds = time.process_time() - start
    chunks = [
        np.ascontiguousarray(plane[y : y + TILE, x : x + TILE])
        for plane in pyramid(tifffile.imread(image, maxworkers=1))
        for y in range(0, plane.shape[0], TILE)
        for x in range(0, plane.shape[1], TILE)
    ]
    start = time.process_time()
    for chunk in chunks:
        codec.encode(chunk)
    return seconds + time.process_time() - start


def pyramid(plane: Array) -> list[Array]:
    """All levels, down to one that a screen shows."""
    levels = [plane]
    while max(levels[-1].shape) > 512:
        levels.append(halve(levels[-1]))
    return levels


# -- network --------------------------------------------------------------------------------------


def network(options: Options) -> Iterator[Line]:
    found = forward(options.rounds, options)
    half = found["floating"] == "bfloat16"
    yield f"Mpx per CPU second, {found['numbers']}", SIDE**2 / found["ours"] / 1e6, ""
    yield "eager float32, times ours", found["eager"] / found["ours"], ">= 3" if half else ">= 1"
    yield f"ours in {found['floating']}, times ours", found["same"] / found["ours"], ""
    rate = found["operations"] / found["ours"] / found["rate"]
    yield "share of the rate of multiplications", rate, ""
    if "openvino" in found:
        yield f"OpenVINO in {found['floating']}, times ours", found["openvino"] / found["ours"], ""
        yield "the same, times ours in these numbers", found["openvino"] / found["same"], ">= 0.8"
    command = [sys.executable, __file__, "--forward", "--rounds", str(options.rounds)]
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=limited)
    found = json.loads(done.stdout.splitlines()[-1])
    yield "AVX2 alone: eager float32, times ours", found["eager"] / found["ours"], ">= 1"


def forward(rounds: int, options: Options | None = None) -> dict[str, Any]:
    """CPU seconds of forward passes, multiplications a second, and what they compute."""
    import torch
    from gridwell.network.device import half_precision
    from gridwell.network.weights import load_network
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    path = weights_of("nuclei")
    ours = CellNetwork.load(path, policy="forbid")
    floating = "bfloat16" if half_precision(torch.device("cpu")) else "float32"
    same = CellNetwork.load(path, policy="forbid", precision=floating)
    known = load_network(path)
    plain = type(known)(**known.shape, norm=torch.nn.BatchNorm2d).eval()
    plain = plain.to(memory_format=torch.contiguous_format)
    given = np.random.default_rng(1).random((1, known.inputs, SIDE, SIDE), np.float32)
    image = torch.from_numpy(given)
    names = ["ours", "same", "eager"]
    works: list[Work] = [
        lambda: ours.compute(given), lambda: same.compute(given), lambda: plain(image)
    ]  # fmt: skip
    python = python_with("openvino", options) if options else None
    with ExitStack() as stack, torch.inference_mode():
        if python:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "given.pt"
            buffer = io.BytesIO()
            torch.jit.save(torch.jit.trace(known, image), buffer)
            traced = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
            precision = {"bfloat16": "bf16", "float32": "f32"}[floating]
            torch.save({"network": traced, "image": image, "precision": precision}, file)
            works.append(stack.enter_context(Peer(python, "network_openvino", file)))
            names.append("openvino")
        seconds = dict(zip(names, medians(rounds, *works), strict=True))
        with FlopCounterMode(display=False) as counter:
            plain(image)
    return {
        **seconds,
        "numbers": ours.numbers,
        "floating": floating,
        "rate": multiplications(ours.numbers),
        "operations": counter.get_total_flops(),
    }


def multiplications(numbers: str) -> float:
    """Multiplications and additions a CPU second of a network's numbers, in the best case.

    Of a matrix product; of whole numbers, a convolution of many channels.
    """
    import torch
    from gridwell.network import eight_bits

    torch.set_num_threads(1)
    if numbers == "int8" and eight_bits.in_hardware():
        layer = torch.nn.Conv2d(256, 256, 3)
        read = torch.randint(0, 256, (1, 256, 66, 66), dtype=torch.uint8)
        read = read.contiguous(memory_format=torch.channels_last)
        weights = eight_bits._weights(layer, torch.ones(256))
        whole, each = eight_bits._in_8_bits(layer, *weights, said=1.0), 2 * 64**2 * 256**2 * 9
        (seconds,) = medians(9, lambda: whole(read))
    else:
        one = torch.rand(2048, 2048).to(getattr(torch, numbers.replace("int8", "float32")))
        each = 2 * 2048**3
        (seconds,) = medians(5, lambda: one @ one)
    return each / seconds


# -- flood and features ---------------------------------------------------------------------------


def flood(options: Options) -> Iterator[Line]:
    for number in CELLS:
        _, labels = spot_of(number)
        maps = instance_targets(labels)
        density = labels.max() / SIDE**2 * 1e6
        dense = density >= 500
        about = f"{labels.max()} cells ({density:.0f} per Mpx): "
        for what, measured, bar in flooded(maps.cell, maps.neighbour, maps.inside, options.rounds):
            yield about + what, measured, bar if dense else ""
    image, _ = spot_of(500)
    maps = CellNetwork.load(weights_of("nuclei"), policy="forbid").maps(image)
    for what, measured, bar in flooded(maps.cell, maps.neighbour, maps.chance[1], options.rounds):
        yield f"as the network sees 500 cells: {what}", measured, bar


def flooded(cell: Array, neighbour: Array, inside: Array, rounds: int) -> Iterator[Line]:
    from skimage.filters import gaussian
    from skimage.measure import label
    from skimage.segmentation import watershed

    chosen = FloodOptions()

    def plain() -> Array:
        height = gaussian(cell - chosen.apart * neighbour**2, 0.7)
        return watershed(-height, label(height > 0.45), mask=inside > chosen.inside)

    labels, centres = _flooded(cell, neighbour, inside, chosen)
    markers = np.zeros(labels.shape, np.int32)
    markers.ravel()[centres] = labels.ravel()[centres]
    height = np.clip(cell - chosen.apart * np.clip(neighbour, 0, 1) ** 2, -1, 1)
    height = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 0.7)
    depth = -((height + 1) * (_STEPS / 2 - 0.5)).astype(np.int16)
    mask = inside > chosen.inside

    def seeded() -> Array:
        return watershed(depth, markers, mask=mask)

    own, theirs, alone = medians(
        rounds, lambda: instances(cell, neighbour, inside, chosen), plain, seeded
    )
    yield "scikit-image, times ours", theirs / own, ">= 3"
    yield "its watershed alone, times all of ours", alone / own, ""
    yield "objects, scikit-image's over ours", plain().max() / len(centres), ""
    other = seeded()
    agree = other == labels
    yield "agree, on our objects", float(agree[labels > 0].mean()), ">= 0.99"
    yield "agree, on objects of either", float(agree[(labels > 0) | (other > 0)].mean()), ">= 0.99"


def features(options: Options) -> Iterator[Line]:
    from skimage.measure import regionprops_table

    for number in CELLS:
        image, labels = spot_of(number)
        live, dead = (spot_of(number, kind)[0] for kind in KINDS[1:])
        stack = np.stack([image, live, dead], -1)

        def ours(
            labels: Array = labels, image: Array = image, live: Array = live, dead: Array = dead
        ) -> pd.DataFrame:
            return measure(labels, image, {"live": live, "dead": dead}, 4.0)

        def theirs(
            names: list[str] = NAMES, labels: Array = labels, stack: Array = stack
        ) -> dict[str, Array]:
            return regionprops_table(labels, stack, properties=names)

        def soft(theirs: Callable[..., object] = theirs) -> None:
            theirs([name for name in NAMES if name != "solidity"])

        own, whole, without = medians(options.rounds, ours, theirs, soft)
        bar = ">= 20" if number >= 500 else ""
        about = f"{labels.max()} cells: "
        yield about + "regionprops_table, times ours", whole / own, bar
        yield about + "without solidity, times ours with it", without / own, bar
        yield about + "differ", difference(ours(), theirs()), "<= 1e-6"


def difference(ours: pd.DataFrame, theirs: dict[str, Array]) -> float:
    """Largest difference of what both measure, relative or, below 1, absolute."""
    most = 0.0
    for name, own in PROPERTIES.items():
        one, other = ours[own].to_numpy(float), np.asarray(theirs[name], float)
        apart = np.abs(one - other)
        if own == "orientation":
            # Theirs is the angle from the y axis, in radians; directions repeat after 180 degrees.
            other = 90 - np.degrees(other)
            apart = np.abs((one - other + 90) % 180 - 90)
            # What is as long as it is wide has no direction: ours is 0 then, theirs 45 degrees.
            apart[ours["eccentricity"] < 1e-6] = 0
        most = max(most, float((apart / np.maximum(np.abs(other), 1)).max()))
    return most


# -- a spot ---------------------------------------------------------------------------------------


def spot(options: Options) -> Iterator[Line]:
    import torch

    torch.set_num_threads(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = workers_of(folder)
        images = np.stack([work._stack.read(work.channel, 0, 1)[0] for work in workers])
        labels = [work(range(1))[0][0] for work in workers]
        maps = [work.maps(range(1))[0] for work in workers]
        mask = workers[0]._stack.frame.mask(*images[0].shape)
        window = workers[0].learned.window(mask)
        batches = [
            multiple_of_16(presented(work, image[window]))[None]
            for work, image in zip(workers, images, strict=True)
        ]
        row = range(ROW)

        def whole() -> None:
            for work in workers:
                assert not any(reason for _, _, reason in work(row))

        def net() -> None:
            for work, batch in zip(workers, batches, strict=True):
                for _ in row:
                    work.learned._network.compute(batch)

        def rest() -> None:
            for work, image, own in zip(workers, images, maps, strict=True):
                for _ in row:
                    presented(work, image[window])
                work(row, [own] * ROW)

        def read() -> None:
            for work in workers:
                for channel in KINDS:
                    work._stack.read(channel, 0, ROW)

        def flood_and_size() -> None:
            for work, own in zip(workers, maps, strict=True):
                for _ in row:
                    work.learned.labels(own, work.method, mask[window])

        def measured() -> None:
            for work, own, image in zip(workers, labels, images, strict=True):
                others = dict(zip(KINDS, images, strict=True))
                del others[work.channel]
                for _ in row:
                    measure(own, image, others, work.ring, mask)

        def plain() -> None:
            for _ in row:
                plain_pipeline(images)

        def conventional(method: str) -> Work:
            own = [
                replace(work, learned=None, method=SegmentMethod(method=method)) for work in workers
            ]
            return lambda: [work(row) for work in own]

        works = {
            "whole": whole, "net": net, "rest": rest, "read": read, "flood": flood_and_size,
            "measure": measured, "plain": plain,
            "otsu": conventional("otsu"), "local": conventional("local"),
        }  # fmt: skip
        # Random maps lead nowhere: peers make objects of those of labels.
        np.savez(folder / "given.npz", images=images, labels=np.stack(labels))
        for package, script in (("cellpose", "spot_cellpose"), ("stardist", "spot_stardist")):
            if python := python_with(package, options):
                given = Peer(python, script, folder / "given.npz")
                works[package] = stack.enter_context(given)
        seconds = dict(zip(works, medians(options.rounds, *works.values()), strict=True))
    count = sum(int(own.max()) for own in labels)
    yield "objects of a channel", count / len(labels), ""
    yield "rest, share of the network", seconds["rest"] / seconds["net"], "<= 0.1"
    for name in ("read", "flood", "measure"):
        yield f"of that {name}", seconds[name] / seconds["net"], ""
    yield "whole, times plain scikit-image", seconds["whole"] / seconds["plain"], "<= 1.5"
    yield "objects, its over ours", plain_pipeline(images) / count, ""
    for name in ("otsu", "local"):
        yield f"{name}, times plain scikit-image", seconds[name] / seconds["plain"], "<= 0.5"
    for name, bar in (("cellpose", ">= 10"), ("stardist", ">= 1.3")):
        if name in seconds:
            yield f"{name}, times ours", ROW * seconds[name] / seconds["whole"], bar


def presented(work: _Worker, image: Array) -> Array:
    """Return what the network is shown of an image."""
    assert work.levels is not None
    return shown(image[None], [work.levels])


def multiple_of_16(images: Array) -> Array:
    """Let the last rows and columns of images (c, h, w) go on, as the network wants them."""
    below, right = (-side % 16 for side in images.shape[1:])
    return np.pad(images, ((0, 0), (0, below), (0, right)), mode="edge")


def workers_of(folder: Path) -> list[_Worker]:
    """Make a slide of some spots, all alike, of three channels, and the channels' workers."""
    import tifffile

    channels, files = [], {}
    for kind in KINDS:
        files[kind] = folder / f"{kind}.tif"
        image = np.tile(spot_of(580, kind, 620)[0], (1, ROW))
        tifffile.imwrite(
            files[kind], image, resolution=(5050, 5050), resolutionunit="CENTIMETER", metadata=None
        )
        channels.append(Channel(slide="S", channel=kind, role=kind, path=str(files[kind])))
    ingest_slide("S", channels, files, folder / "raw")
    write_slide(folder / "raw", folder / "slide.zarr", TileOptions())
    names, x = [f"A{at + 1}" for at in range(ROW)], [309.5 + 620 * at for at in range(ROW)]
    frame = SpotFrame(
        "S", 1, ROW, names, x, [309.5] * ROW, 0.0, 505.0, 505.0, "square", [True] * ROW, 1.98
    )
    slide = open_slide(folder / "slide.zarr")
    crop_spots(slide, folder / "spots.zarr", grid=frame, margin=0.07, threads=1)
    assert open_spots(folder / "spots.zarr").inside == (True,) * ROW
    return [
        _Worker.of_channel(
            folder / "spots.zarr", kind, SegmentOptions(), gpu="forbid", precision="auto",
            study=folder,
        )
        for kind in KINDS
    ]  # fmt: skip


def plain_pipeline(images: Array) -> int:
    """Otsu, distance transform, watershed, regionprops_table, of every channel; count objects."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import label, regionprops_table
    from skimage.segmentation import watershed

    count = 0
    for k, image in enumerate(images):
        smooth = gaussian(image, 1, preserve_range=True)
        mask = smooth > threshold_otsu(smooth)
        distance = ndimage.distance_transform_edt(mask)
        seeds = np.zeros(mask.shape, np.int32)
        places = peak_local_max(distance, min_distance=4, labels=label(mask))
        seeds[tuple(places.T)] = np.arange(1, len(places) + 1)
        found = watershed(-distance, seeds, mask=mask)
        stack = np.stack([image, *(images[i] for i in range(len(images)) if i != k)], -1)
        regionprops_table(found, stack, properties=NAMES)
        count += len(places)
    return count


CASES: dict[str, Callable[[Options], Iterator[Line]]] = {
    "ingest": ingest,
    "network": network,
    "flood": flood,
    "features": features,
    "spot": spot,
}


if __name__ == "__main__":
    main()
