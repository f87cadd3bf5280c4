"""The lazy reader: every flavour of file gives the pixels that were written, or one problem."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.images.ome import read_ome
from gridwell.images.reader import inspect, open_plane, overview
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.images.make_images import noise

H, W = 203, 317


def read(path: Path, index: int = 0, band: int = 50) -> np.ndarray:
    with open_plane(path, index) as plane:
        return np.concatenate([rows for _, rows in plane.bands(band)])


def problem(path: Path, **options: Any) -> str:
    """Read an image that must be refused with one problem that has a remedy."""
    with pytest.raises(InputError) as caught, open_plane(path, **options) as plane:
        for _ in plane.bands(64):
            pass
    assert len(caught.value.problems) == 1
    found = caught.value.problems[0]
    assert found.remedy.endswith((".", str(path)))
    assert path.name in found.file
    return str(found)


FLAVOURS: dict[str, dict[str, Any]] = {
    "striped": {"rowsperstrip": 8, "compression": "zlib"},
    "one strip a row": {"rowsperstrip": 1, "compression": "lzw"},
    "one strip": {"rowsperstrip": H, "compression": "zlib", "predictor": True},
    "uncompressed": {},
    "uncompressed strips": {"rowsperstrip": 16},
    "tiled": {"tile": (32, 48), "compression": "zlib"},
    "tiled, uncompressed": {"tile": (64, 64)},
    "tile larger than the image": {"tile": (512, 512), "compression": "zstd"},
    "big-endian": {"byteorder": ">", "tile": (64, 64), "compression": "lzw", "predictor": True},
    "big-endian, uncompressed": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True, "tile": (64, 64), "compression": "zstd", "predictor": True},
    "packbits": {"rowsperstrip": 10, "compression": "packbits"},
    "lzma": {"tile": (64, 64), "compression": "lzma"},
    "jpeg 2000": {"tile": (64, 64), "compression": "jpeg2000"},
    "jpeg xl": {"tile": (64, 64), "compression": "jpegxl", "compressionargs": {"lossless": True}},
    "lerc": {"tile": (64, 64), "compression": "lerc"},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_gives_the_pixels(tmp_path: Path, flavour: str, dtype: str) -> None:
    image = noise(H, W, dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="minisblack", **FLAVOURS[flavour])
    info = inspect(path)
    assert (info.width, info.height, info.dtype, info.samples, info.planes) == (W, H, dtype, 1, 1)
    assert info.format == ("bigtiff" if flavour == "bigtiff" else "tiff")
    np.testing.assert_array_equal(read(path), image)
    with open_plane(path) as plane:
        np.testing.assert_array_equal(plane.rows(60, 61), image[60:61])
        np.testing.assert_array_equal(plane.rows(190, H), image[190:])
        np.testing.assert_array_equal(plane.rows(10, 90), image[10:90])


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": (64, 48), "compression": "zlib"}], ids=str)
def test_rgb(tmp_path: Path, layout: str, options: dict[str, Any]) -> None:
    image = noise(H, W, "uint8", 3)
    path = tmp_path / "a.tif"
    data = image if layout == "contig" else image.transpose(2, 0, 1)
    tifffile.imwrite(path, data, photometric="rgb", planarconfig=layout, **options)
    assert (inspect(path).samples, inspect(path).planes) == (3, 1)
    np.testing.assert_array_equal(read(path), image)


@pytest.mark.parametrize("options", [{}, {"tile": (64, 48), "compression": "zlib"}], ids=str)
def test_opaque_alpha_is_dropped_and_transparency_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    image = noise(H, W, "uint16", 4)
    image[..., 3] = 65535
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=["unassalpha"], **options)
    assert inspect(path).samples == 3
    np.testing.assert_array_equal(read(path), image[..., :3])
    image[150, 20, 3] = 7
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=["unassalpha"], **options)
    assert "transparent" in problem(path)


def test_jpeg_tiles_in_colour(tmp_path: Path) -> None:
    yy, xx = np.mgrid[0:H, 0:W]
    image = np.stack([yy % 256, xx % 256, (xx + yy) // 3 % 256], -1).astype(np.uint8)
    image = np.sort(image, axis=0)  # smooth, so that JPEG keeps it
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), compression="jpeg")
    # As tifffile itself decodes it, colour space and all.
    np.testing.assert_array_equal(read(path), tifffile.imread(path))


def test_planes_of_a_file_count_in_file_order(tmp_path: Path) -> None:
    images = np.stack([noise(H, W + i)[:, :W] for i in range(5)])
    for name, options in {
        "stack.tif": {"metadata": {"axes": "CYX"}},
        "imagej.tif": {"imagej": True, "metadata": {"axes": "CYX"}},
        "separate.tif": {"planarconfig": "separate", "tile": (64, 64), "compression": "zlib"},
        "truncated.tif": {"imagej": True, "truncate": True, "metadata": {"axes": "CYX"}},
    }.items():
        path = tmp_path / name
        tifffile.imwrite(path, images, photometric="minisblack", **options)
        assert inspect(path).planes == 5, name
        for i, image in enumerate(images):
            np.testing.assert_array_equal(read(path, i), image, err_msg=f"{name} {i}")
        assert "holds 5 planes (found 5). Use index 0 to 4." in problem(path, index=5)
    chunky = tmp_path / "chunky.tif"
    tifffile.imwrite(
        chunky, images.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig",
        tile=(64, 64), compression="zlib",
    )  # fmt: skip
    np.testing.assert_array_equal(read(chunky, 3), images[3])


def write_pyramid(path: Path, images: np.ndarray) -> None:
    """OME-TIFF with SubIFDs, two channels, physical size and date."""
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(
            images,
            subifds=2,
            tile=(64, 64),
            compression="zlib",
            photometric="minisblack",
            metadata={
                "axes": "CYX",
                "PhysicalSizeX": 325.0,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.325,
                "PhysicalSizeYUnit": "µm",
                "AcquisitionDate": "2026-01-31T10:00:00",
                "Channel": {"Name": ["Hoechst", "Calcein"]},
            },
        )
        for step in (2, 4):
            tif.write(images[:, ::step, ::step], subfiletype=1, tile=(64, 64), compression="zlib")


def test_pyramidal_ome_tiff(tmp_path: Path) -> None:
    images = np.stack([noise(H, W), noise(H, W)[::-1]])
    path = tmp_path / "a.ome.tif"
    write_pyramid(path, images)
    info = inspect(path, index=1)
    assert info.format == "ome-tiff"
    assert info.planes == 2
    assert info.pixel_size_um == pytest.approx(0.325)
    assert info.channel_names == ("Hoechst", "Calcein")
    assert info.acquired == "2026-01-31T10:00:00"
    np.testing.assert_array_equal(read(path, 1), images[1])


def test_pyramid_of_flat_pages_has_one_plane(tmp_path: Path) -> None:
    image = noise(H, W)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(image)
        tif.write(image[::2, ::2], subfiletype=1)
        tif.write(image[::-1])
    assert inspect(path).planes == 2
    np.testing.assert_array_equal(read(path, 1), image[::-1])


def multifile_header(uuids: list[str]) -> str:
    data = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="c{i}.ome.tif">{uuid}</UUID></TiffData>'
        for i, uuid in enumerate(uuids)
    )
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="OWN"><Image ID="Image:0"><AcquisitionDate>2025-12-24T18:00:00Z</AcquisitionDate>'
        f'<Pixels ID="P" DimensionOrder="XYCZT" Type="uint16" SizeX="{W}" SizeY="{H}" SizeZ="1" '
        'SizeT="1" SizeC="3" PhysicalSizeX="1.5" PhysicalSizeY="1.5">'
        '<Channel ID="C:0" Name="blue"/><Channel ID="C:1" Name="green"/>'
        f'<Channel ID="C:2" Name="red"/>{data}</Pixels></Image></OME>'
    )


def test_multi_file_ome_counts_the_planes_of_the_file_itself(tmp_path: Path) -> None:
    uuids = [f"urn:uuid:{i}" for i in range(3)]
    images = [noise(H, W + i)[:, :W] for i in range(3)]
    for i, image in enumerate(images):
        text = multifile_header(uuids).replace("OWN", uuids[i])
        tifffile.imwrite(
            tmp_path / f"c{i}.ome.tif", image, description=text.encode(), metadata=None, ome=False
        )
    for i, image in enumerate(images):
        info = inspect(tmp_path / f"c{i}.ome.tif")
        assert info.channel_names == (("blue", "green", "red")[i],)
        assert (info.planes, info.pixel_size_um) == (1, 1.5)
        assert info.acquired == "2025-12-24T18:00:00+00:00"
        np.testing.assert_array_equal(read(tmp_path / f"c{i}.ome.tif"), image)
    text = problem(tmp_path / "c0.ome.tif", index=1)
    assert "holds 1 plane" in text
    assert "c1.ome.tif, c2.ome.tif" in text
    # A renamed file still knows itself by its UUID.
    (tmp_path / "c2.ome.tif").rename(tmp_path / "other.ome.tif")
    assert inspect(tmp_path / "other.ome.tif").channel_names == ("red",)


def test_ome_entities_are_refused(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' \
        "<OME><Image><Pixels PhysicalSizeX='1'/>&a;</Image></OME>"  # fmt: skip
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(H, W), description=text, metadata=None)
    assert "declares a document type" in problem(path)
    tifffile.imwrite(path, noise(H, W), description="<OME><Image></OME>", metadata=None)
    assert "cannot be parsed" in problem(path)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ("0.65", "µm", 0.65),
        ("0.65", "μm", 0.65),
        ("650", "nm", 0.65),
        ("6500", "Å", 0.65),
        ("0.00065", "mm", 0.65),
        ("6.5e-7", "m", 0.65),
        ("1", "pixel", None),
        ("x", "µm", None),
        ("-1", "µm", None),
        ("nan", "µm", None),
    ],
)
def test_ome_units(size: str, unit: str, expected: float | None) -> None:
    pixels = "".join(f' PhysicalSize{a}="{size}" PhysicalSize{a}Unit="{unit}"' for a in "XY")
    found = read_ome(f"<OME><Image><Pixels{pixels}/></Image></OME>", "a.tif", 1).pixel_size_um
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (1e4 / 1.98, 1e4 / 1.98), "resolutionunit": "CENTIMETER"}, 1.98),
        ({"resolution": (1200, 1200), "resolutionunit": "INCH"}, 25400 / 1200),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (5000, 2000), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (2, 2), "resolutionunit": "NONE"}, None),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}, 0.5),
        ({}, None),
    ],
)
def test_pixel_size_from_tags(tmp_path: Path, options: Any, expected: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), **options)
    found = inspect(path).pixel_size_um
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_date_from_the_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64), datetime="2026:01:31 10:00:00")
    assert inspect(path).acquired == "2026-01-31T10:00:00"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [1, 3])
def test_png(tmp_path: Path, dtype: str, samples: int) -> None:
    image = noise(H, W, dtype, samples)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(image))
    info = inspect(path)
    assert (info.format, info.dtype, info.samples) == ("png", dtype, samples)
    np.testing.assert_array_equal(read(path), image)
    path.write_bytes(path.read_bytes()[:-500])
    assert "cut off" in problem(path)


def test_png_with_palette_and_alpha(tmp_path: Path) -> None:
    image = noise(H, W, "uint8", 3) // 64 * 64
    path = tmp_path / "a.png"
    Image.fromarray(image).quantize(200).save(path)
    assert inspect(path).samples == 3
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path).convert("RGB")))
    alpha = np.dstack([image, np.full((H, W), 255, np.uint8)])
    Image.fromarray(alpha).save(path)
    np.testing.assert_array_equal(read(path), image)
    alpha[5, 5, 3] = 0
    Image.fromarray(alpha).save(path)
    assert "transparent" in problem(path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(H, W, "uint8", 3)).convert(mode).save(path, progressive=mode == "L")
    info = inspect(path)
    assert (info.format, info.dtype, info.samples) == ("jpeg", "uint8", 1 if mode == "L" else 3)
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path)))
    path.write_bytes(path.read_bytes()[:-3000])
    assert "damaged" in problem(path)
    path.write_bytes(path.read_bytes()[:40])
    assert "cut off" in problem(path)
    Image.fromarray(noise(H, W, "uint8", 4), "CMYK").save(path)
    assert "4 samples" in problem(path)


def test_files_that_are_no_images(tmp_path: Path) -> None:
    assert "is not there" in problem(tmp_path / "missing.tif")
    assert "is a folder" in problem(tmp_path)
    empty = tmp_path / "empty.tif"
    empty.touch()
    assert "is empty" in problem(empty)
    text = tmp_path / "text.tif"
    text.write_text("not an image at all")
    assert "is not an image" in problem(text)
    czi = tmp_path / "a.czi"
    czi.write_bytes(b"ZISRAWFILE" + bytes(100))
    assert "Zeiss CZI" in problem(czi)
    header = tmp_path / "header.tif"
    header.write_bytes(b"II*\0\x08\0\0\0")
    assert "cut off or not a valid TIFF" in problem(header)
    link = tmp_path / "link.tif"
    link.symlink_to(".git/annex/objects/x")
    assert f"datalad get {link}" in problem(link)
    elsewhere = tmp_path / "elsewhere.tif"
    elsewhere.symlink_to("nowhere.tif")
    assert "is a link to a file that is not there (found 'nowhere.tif')" in problem(elsewhere)
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    assert "is a device or pipe" in problem(pipe)
    pointer = tmp_path / "pointer.tif"
    pointer.write_text("/annex/objects/SHA256E-s100--abc.tif\n")
    assert "datalad get" in problem(pointer)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 64))
    path.chmod(0)
    assert "may not be read" in problem(path)


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint32", "bool"])
def test_other_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((H, W), dtype))
    assert "8- or 16-bit unsigned" in problem(path)


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}], ids=str)
@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_cut_off_file_is_refused_from_its_header(
    tmp_path: Path, options: dict[str, Any], keep: float
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(H, W), **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputError, match="cut off"):
        inspect(path)


@pytest.mark.parametrize("codec", ["zlib", "zstd", "lzw", "lerc", "jpeg2000"])
def test_damaged_tile_is_named(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(H, W), tile=(64, 64), compression=codec)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, count = page.dataoffsets[12], page.databytecounts[12]  # row 2 of 5 columns
    data = bytearray(path.read_bytes())
    data[offset + 1 : offset + count] = bytes(count - 1)
    path.write_bytes(data)
    text = problem(path)
    assert "tile row 2 (pixel rows 128 to 191)" in text
    with open_plane(path) as plane:  # the rest is still there
        np.testing.assert_array_equal(plane.rows(0, 128), noise(H, W)[:128])


def test_budget_is_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    tail = b"\0\0\0\0IEND\xaeB`\x82"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + head + bytes(4) + tail)
    assert "declares 10 gigapixels, more than the 4 allowed" in problem(path)
    tiff = tmp_path / "a.tif"
    tifffile.imwrite(tiff, noise(H, W), tile=(64, 64), compression="zlib")
    assert "more than" in problem(tiff, max_gigapixels=1e-6)


def test_impossible_tiles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(H, W), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages.first.tags["TileLength"].overwrite(65520)
        tif.pages.first.tags["TileWidth"].overwrite(65520)
    assert "impossible tiles" in problem(path)


def test_tile_without_bytes_is_background(tmp_path: Path) -> None:
    image = noise(128, 128)
    path = tmp_path / "a.tif"
    tiles = [imagecodecs.zlib_encode(image[:64, :64]), b"", b"", b""]
    tifffile.imwrite(
        path, iter(tiles), shape=image.shape, dtype=image.dtype, tile=(64, 64), compression="zlib"
    )
    expected = np.zeros_like(image)
    expected[:64, :64] = image[:64, :64]
    np.testing.assert_array_equal(read(path), expected)


def test_lookup_table_is_not_a_palette(tmp_path: Path) -> None:
    image = noise(H, W, "uint8")
    ramp = np.zeros((3, 256), np.uint16)
    ramp[2] = np.arange(256) * 257
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(read(path), image)
    tifffile.imwrite(path, image, photometric="palette", colormap=ramp[:, ::-1].copy())
    assert "palette" in problem(path)


def test_each_tile_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(H, W), tile=(48, 64), compression="zlib")
    decoded: list[int] = []
    with open_plane(path) as plane:
        place = plane._read.__self__._place  # type: ignore[attr-defined]

        def counting(out: Any, top: int, segment: int, data: Any) -> None:
            decoded.append(segment)
            place(out, top, segment, data)

        monkeypatch.setattr(plane._read.__self__, "_place", counting)  # type: ignore[attr-defined]
        for _ in plane.bands(37):
            pass
    assert sorted(decoded) == list(range(5 * 5))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 70),
    tile=st.sampled_from([16, 32, 48]),
    band=st.integers(1, 100),
    data=st.data(),
)
def test_rows_do_not_depend_on_how_they_are_asked_for(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    tile: int,
    band: int,
    data: st.DataObject,
) -> None:
    image = noise(height, width)
    path = tmp_path_factory.getbasetemp() / "rows.tif"
    tifffile.imwrite(path, image, tile=(tile, tile), compression="zlib", photometric="minisblack")
    with open_plane(path) as plane:
        np.testing.assert_array_equal(np.concatenate([r for _, r in plane.bands(band)]), image)
        for _ in range(3):
            y0 = data.draw(st.integers(0, height - 1))
            y1 = data.draw(st.integers(y0 + 1, height))
            np.testing.assert_array_equal(plane.rows(y0, y1), image[y0:y1])


@pytest.mark.parametrize("samples", [1, 3])
def test_overview_is_the_area_mean(tmp_path: Path, samples: int) -> None:
    image = noise(H, W, "uint8", samples)
    path = tmp_path / "a.tif"
    photometric = "rgb" if samples == 3 else "minisblack"
    tifffile.imwrite(path, image, photometric=photometric, rowsperstrip=5, compression="zlib")
    small, scale = overview(path, max_side=100)
    assert scale == 4.0
    assert small.shape[:2] == (51, 80)
    for y, x in ((0, 0), (7, 31), (50, 3), (20, 79), (50, 79)):
        block = image[y * 4 : y * 4 + 4, x * 4 : x * 4 + 4].astype(float)
        expected = np.floor(block.mean(axis=(0, 1)) + 0.5)
        np.testing.assert_array_equal(small[y, x], expected)
    whole_image, scale = overview(path)
    assert scale == 1.0
    np.testing.assert_array_equal(whole_image, image)


def test_broken_headers_are_problems_not_crashes(tmp_path: Path) -> None:
    """Bytes of headers changed at random: read, or refused with a reason; never a traceback."""
    rng = np.random.default_rng(5)
    image = noise(100, 130)
    files = [imagecodecs.png_encode(image), imagecodecs.jpeg8_encode((image >> 8).astype("uint8"))]
    for options in (
        {}, {"tile": (32, 32), "compression": "zlib"}, {"rowsperstrip": 8, "compression": "lzw"},
        {"bigtiff": True, "tile": (32, 48)}, {"imagej": True}, {"ome": True, "compression": "zlib"},
    ):  # fmt: skip
        tifffile.imwrite(tmp_path / "a.tif", image, **options)
        files.append((tmp_path / "a.tif").read_bytes())
    path = tmp_path / "x.img"
    refused = 0
    for _ in range(1000):
        data = bytearray(files[rng.integers(len(files))])
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(4, min(len(data), 600))] = rng.integers(256)
        path.write_bytes(data)
        try:
            with open_plane(path, max_gigapixels=0.05) as plane:
                for _, rows in plane.bands(64):
                    assert rows.shape[1] == plane.info.width
        except InputError as error:
            refused += "\n" not in str(error)
    assert refused > 100


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    peaks = []
    for height in (2048, 16384):
        path = tmp_path / f"{height}.tif"
        tiles = (np.zeros((512, 512), np.uint16) for _ in range(height // 512 * 4))
        tifffile.imwrite(
            path, tiles, shape=(height, 2048), dtype="uint16", tile=(512, 512), compression="zlib"
        )
        code = (
            "import resource, sys\n"
            "from gridwell.images.reader import open_plane\n"
            "with open_plane(sys.argv[1]) as plane:\n"
            "    for _, rows in plane.bands(1024): pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": "scripts"},
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 15, peaks  # MB; the image itself is 56 MB larger


@pytest.mark.shared
def test_real_files(shared: Path) -> None:
    folder = shared / "formats" / "ome_tiff"
    two = inspect(folder / "cells-2c.ome.tif", index=1)
    assert (two.planes, two.samples, two.height, two.width) == (2, 1, 131, 93)
    np.testing.assert_array_equal(
        read(folder / "cells-2c.ome.tif", 1), tifffile.imread(folder / "cells-2c.ome.tif", key=1)
    )
    colour = tifffile.imread(folder / "cells.ome.tif", key=0)
    np.testing.assert_array_equal(read(folder / "cells.ome.tif"), colour.transpose(1, 2, 0))
    assert inspect(folder / "cells-gray16.tif").dtype == "uint16"
    svs = shared / "formats" / "svs" / "cmu-1-small-region.svs"
    np.testing.assert_array_equal(read(svs, band=256), tifffile.imread(svs, key=0))
    for vendor in ("czi/DAPI_GFP.czi", "nd2/cluster.nd2"):
        with pytest.raises(InputError, match="not read yet"):
            inspect(shared / "formats" / vendor)
    for name, samples in {
        "gitter_1536/sample.jpg": 3,
        "pyphe_1536/p1.jpg": 1,
        "segment_multiwell_onerow/test_plate_onerow.png": 3,
        "dotblot_chemokine_goedhart/Dotblot_Example-data.tif": 1,
    }.items():
        small, _ = overview(shared / "grids" / name, max_side=200)
        assert max(small.shape[:2]) <= 200
        assert inspect(shared / "grids" / name).samples == samples
