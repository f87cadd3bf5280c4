"""What a simulated slide looks like: every option, with defaults of a real droplet slide."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gridwell.config.models import SLIDE_PATTERN, Assay, Options

Pair = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]

CHANNELS: dict[Assay, dict[str, str]] = {
    Assay.VIABILITY: {"brightfield": "grid", "nuclei": "nuclei", "live": "live", "dead": "dead"},
    Assay.OBJECTS: {"brightfield": "grid", "nuclei": "nuclei", "reporter": "other"},
    Assay.COLORIMETRY: {"scan": "colour"},
}
"""Channels of each assay, in the order of the files, and their roles."""


class Curve(Options):
    """Known answer of the cells to one agent.

    The response at dose ``d`` is ``bottom + (top - bottom) / (1 + (d / ec50)**hill)``: it falls
    from `top` to `bottom` for a positive `hill` and rises from `bottom` to `top` for a negative
    one.
    """

    agent: str = Field(description="Name of the agent, as in the layout.")
    ec50: float = Field(gt=0, description="Dose of half the effect, in `unit`.")
    unit: str = Field(default="uM", description="Unit of ec50 and of the layout's doses.")
    hill: float = Field(default=1.2, description="Steepness; negative for a rising response.")
    top: float = Field(default=0.93, description="Response at the upper end.")
    bottom: float = Field(default=0.05, description="Response at the lower end.")

    def response(self, dose: float) -> float:
        """Response at `dose`, which is in `unit`."""
        if dose <= 0:
            return self.top if self.hill > 0 else self.bottom
        return self.bottom + (self.top - self.bottom) / (1 + (dose / self.ec50) ** self.hill)


class PhantomOptions(Options):
    """One simulated slide. Lengths are pixels unless the name says otherwise.

    A *response* is the share of live cells (viability) or the brightness of the reporter in the
    nuclei relative to the nuclear stain (objects).
    """

    slide: str = Field(default="phantom", pattern=f"^{SLIDE_PATTERN}$", description="Name.")
    group: str = Field(default="", description="Patient or cell line, as in slides.tsv.")
    assay: Assay = Field(default=Assay.VIABILITY, description="What the slide is for.")
    seed: int = Field(default=1, ge=0, lt=2**63, description="Another seed, another slide.")

    rows: int = Field(default=8, ge=1, le=512, description="Rows of spots.")
    cols: int = Field(default=12, ge=1, le=512, description="Columns of spots.")
    pitch: Pair = Field(default=(240.0, 240.0), description="Spacing of columns and of rows.")
    spot_size: Pair = Field(default=(180.0, 180.0), description="Width and height of a spot.")
    shape: Literal["square", "round"] = Field(default="square", description="Outline of spots.")
    block_rows: tuple[int, ...] = Field(
        default=(), description="Rows of each block; sums up to rows. Empty: one block."
    )
    block_cols: tuple[int, ...] = Field(
        default=(), description="Columns of each block; sums up to cols. Empty: one block."
    )
    block_gap: Pair = Field(
        default=(120.0, 120.0), description="Extra space between blocks, across and down."
    )
    angle: float = Field(
        default=0.8, ge=-180, le=180, description="Rotation in degrees, clockwise on screen."
    )
    margin: float = Field(default=120.0, ge=0, description="Around the outermost pitch cells.")
    width: int | None = Field(default=None, ge=16, description="Of the image; empty: to fit.")
    height: int | None = Field(default=None, ge=16, description="Of the image; empty: to fit.")
    pixel_size_um: float = Field(default=1.98, gt=0, description="Size of a pixel.")

    jitter: float = Field(
        default=0.01, ge=0, le=0.5, description="Scatter of spots, as a fraction of the pitch."
    )
    size_jitter: float = Field(
        default=0.015, ge=0, le=0.5, description="Scatter of spot sizes, as a fraction."
    )
    missing: Share = Field(default=0.0, description="Share of spots that were not printed.")
    merged: Share = Field(default=0.0, description="Share of spots that ran into a neighbour.")
    debris: float = Field(default=0.15, ge=0, description="Particles and fibres per spot.")
    polarity: Literal["bright", "dark"] = Field(
        default="dark", description="Whether spots are brighter or darker in the grid channel."
    )
    illumination: float = Field(
        default=0.15, ge=0, le=0.8, description="Loss of light towards the corners, as a fraction."
    )
    texture: float = Field(
        default=0.014, ge=0, le=0.5, description="Unevenness of the carrier in the grid channel."
    )
    shifts: dict[str, Pair] = Field(
        default={}, description="Stage shift of a channel against the nuclei: channel -> (dx, dy)."
    )

    cells: float = Field(default=75.0, ge=0, description="Mean number of cells in a spot.")
    cells_spread: float = Field(
        default=0.15, ge=0, le=1, description="Scatter of that number between spots, as a fraction."
    )
    cell_radius: Pair = Field(default=(4.0, 6.0), description="Radii of nuclei, from and to.")
    body: float = Field(
        default=1.3, ge=1, le=3, description="Radius of the cell body, in radii of its nucleus."
    )
    clumps: Share = Field(default=0.15, description="Share of cells that touch another.")
    negative: float = Field(default=0.93, ge=0, description="Response of untreated spots.")
    positive: float = Field(default=0.05, ge=0, description="Response of positive controls.")
    spot_spread: float = Field(
        default=0.25, ge=0, description="Scatter of the response between equal spots (log odds)."
    )
    dying: Share = Field(default=0.12, description="Share of dying among cells that do not live.")
    inactive: Share = Field(
        default=0.08, description="Share of cells without either stain among those not live."
    )
    loss: Share = Field(
        default=0.1, description="Share of cells gone where the response is that of `positive`."
    )
    curves: tuple[Curve, ...] = Field(default=(), description="Known answer to each agent.")
    out_of_focus: Share = Field(default=0.0, description="Share of spots that are out of focus.")
    bleed_through: Share = Field(
        default=0.03, description="Part of the live stain that shows in the dead channel."
    )
    haze: float = Field(
        default=0.03, ge=0, description="Fluorescence of the medium in a spot, relative to cells."
    )
    blur: float = Field(default=1.2, gt=0, le=20, description="Of the optics, Gaussian sigma.")

    pka: float = Field(default=7.1, description="pKa of the indicator (colorimetry).")
    acid: tuple[float, float, float] = Field(
        default=(0.04, 0.12, 0.8),
        description="Absorbance of the acid form in red, green and blue (colorimetry).",
    )
    base: tuple[float, float, float] = Field(
        default=(0.85, 0.3, 0.05),
        description="Absorbance of the base form in red, green and blue (colorimetry).",
    )
    middle: tuple[float, float, float] | None = Field(
        default=None,
        description="Absorbance of a form between the two, for an indicator of three colours; its "
        "steps are at pka and pka2 (colorimetry). Empty: there is none.",
    )
    pka2: float = Field(
        default=8.3, description="pKa of the step from the middle to the base form (colorimetry)."
    )
    dye_spread: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Scatter of the dye in a spot, as a fraction of its absorbance (colorimetry).",
    )
    value_range: Pair = Field(
        default=(6.0, 8.2), description="Lowest and highest pH of samples (colorimetry)."
    )

    exposure: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="Light of the scanner; what is brighter than full scale is cut (colorimetry).",
    )
    tint: tuple[float, float, float] = Field(
        default=(1.0, 1.0, 1.0), description="Colour of the scanner's lamp (colorimetry)."
    )
    gradient: Share = Field(
        default=0.0, description="Loss of light from the left to the right edge (colorimetry)."
    )
    patches: bool = Field(
        default=False,
        description="A white and a black square in the top left corner, outside the grid "
        "(colorimetry); truth/phantom.json says where.",
    )
    photons: float = Field(
        default=800.0, gt=0, description="Photons in a pixel of a typical object; fewer, noisier."
    )
    read_noise: float = Field(default=4.0, ge=0, description="Of the camera, in electrons.")
    bits: Literal[8, 16] = Field(default=16, description="Bits per pixel.")
    files: Literal["per_channel", "multi_channel", "bigtiff", "striped", "png", "jpeg"] = Field(
        default="per_channel",
        description="per_channel: one OME-TIFF each; multi_channel: one OME-TIFF; bigtiff: plain "
        "tiled BigTIFF; striped: plain striped TIFF; png; jpeg (8-bit scans only).",
    )
    compression: Literal["none", "lzw", "zlib", "zstd"] = Field(
        default="none", description="Of TIFF files. Bytes are the same on any machine for none."
    )
    labels: bool = Field(default=True, description="Write truth/labels, an image of all objects.")

    @field_validator("pitch", "spot_size", "block_gap", "cell_radius", "value_range", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _consistent(self) -> PhantomOptions:
        for name, count in (("block_rows", self.rows), ("block_cols", self.cols)):
            blocks = getattr(self, name)
            if blocks and (min(blocks) < 1 or sum(blocks) != count):
                raise ValueError(f"{name} must be 1 or more each and sum up to {count}")
        if min(*self.pitch, *self.spot_size, *self.cell_radius) <= 0:
            raise ValueError("pitch, spot_size and cell_radius must be above 0")
        unknown = sorted(set(self.shifts) - set(self.channels))
        if unknown:
            raise ValueError(f"shifts names channels that the assay does not have: {unknown}")
        if self.files == "jpeg" and (self.bits != 8 or self.assay != Assay.COLORIMETRY):
            raise ValueError("jpeg is for 8-bit colour scans")
        if self.assay == Assay.COLORIMETRY and self.files == "multi_channel":
            raise ValueError("a colour scan has one channel: files cannot be multi_channel")
        return self

    @property
    def channels(self) -> dict[str, str]:
        """Channels of the slide in the order of its files -> role."""
        return CHANNELS[self.assay]

    @property
    def patch_places(self) -> dict[str, tuple[int, int, int, int]]:
        """Places of the white and the black patch as x, y, width, height; none without them."""
        side = int(self.margin * 0.6)
        if not self.patches or self.assay != Assay.COLORIMETRY:
            return {}
        return {"white": (2, 2, side, side), "black": (4 + side, 2, side, side)}

    def shift(self, channel: str) -> Pair:
        """Stage shift of `channel` in pixels, (dx, dy)."""
        return self.shifts.get(channel, (0.0, 0.0))
