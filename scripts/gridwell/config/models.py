"""Every option of a study: its type, default, bounds and meaning.

These models are the one owner of the options. ``config/config.yaml``, the JSON Schemas and
the options page in ``docs/`` are generated from them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gridwell.config.spots import parse_spot

SLIDE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
CHANNEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
MODEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"


class Assay(StrEnum):
    """What is measured on a slide; picks the branch of the workflow."""

    VIABILITY = "viability"
    OBJECTS = "objects"
    COLORIMETRY = "colorimetry"


class Role(StrEnum):
    """What a channel shows."""

    GRID = "grid"
    NUCLEI = "nuclei"
    LIVE = "live"
    DEAD = "dead"
    COLOUR = "colour"
    OTHER = "other"


class SpotRole(StrEnum):
    """What a spot is for, in a layout."""

    SAMPLE = "sample"
    NEG_CTRL = "neg_ctrl"
    POS_CTRL = "pos_ctrl"
    BLANK = "blank"
    EMPTY = "empty"
    CALIBRATION = "calibration"
    EXCLUDED = "excluded"


Unit = Literal["M", "mM", "uM", "nM", "pM", "ug/mL", "%"]
"""Units of a concentration."""


Corner = Literal["A1 top left", "A1 top right", "A1 bottom left", "A1 bottom right"]
"""Corner of the image that spot A1 is in; the carrier is turned, never mirrored."""


class Options(BaseModel):
    """Base of all sections: unknown keys are mistakes, values are fixed once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_surprises(cls, value: Any, info: ValidationInfo) -> Any:
        """Take each value for what was meant: no true or false for a number, and the like."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation is not bool:
            # Many YAML readers take a bare `off` for false before it gets here.
            if not value and "off" in get_args(annotation):
                return "off"
            raise PydanticCustomError("bool_unexpected", "true or false is not a value here")
        if isinstance(value, int | float) and str(value) in get_args(annotation):
            return str(value)  # a version such as 0.4, written without quotes
        if value == "" and type(None) in get_args(annotation):
            return None
        return value


class IngestOptions(Options):
    """Bringing raw images into the study."""

    by: Literal["copy", "hard_link"] = Field(
        default="copy",
        description="copy: raw images are copied into raw/<slide>. hard_link: they get a second "
        "name there and take no second room; both must lie on one file system, and the image in "
        "the landing folder becomes read-only with the one in the study. Images that lie in "
        "raw/<slide> already are taken in place, those at a URL are fetched.",
    )
    replace: bool = Field(
        default=False,
        description="true: an image that changed since it was brought in takes the place of the "
        "old one, which stays in the study's history. false: it is a mistake that stops the run.",
    )
    max_gigapixels: Annotated[float, Field(gt=0)] = Field(
        default=4.0,
        description="Largest declared size of one plane, in 10^9 pixels; larger files are "
        "refused before a pixel is decoded.",
    )


class TileOptions(Options):
    """The pyramid in work/<slide>/slide.zarr."""

    ngff_version: Literal["0.5", "0.4"] = Field(
        default="0.5",
        description="Version of OME-Zarr to write: 0.5 (Zarr v3, few files), or 0.4 for older "
        "viewers.",
    )
    chunk: Annotated[int, Field(ge=64, le=4096, multiple_of=16)] = Field(
        default=512, description="Side of a chunk, in pixels."
    )


class GridOptions(Options):
    """Finding the spots. What the carrier of a slide says wins over inference."""

    elements: Literal["network", "filters"] = Field(
        default="network",
        description="What finds candidate spots: the network, with filters as a second opinion "
        "where it does not convince, or the filters alone.",
    )
    polarity: Literal["auto", "bright", "dark"] = Field(
        default="auto",
        description="For the filters: whether spots are brighter or darker than what lies between "
        "them.",
    )
    rows: Annotated[int, Field(ge=1, le=512)] | None = Field(
        default=None, description="Rows of the grid, for slides without a carrier; empty: infer."
    )
    cols: Annotated[int, Field(ge=1, le=512)] | None = Field(
        default=None,
        description="Columns of the grid, for slides without a carrier; empty: infer.",
    )
    max_angle: Annotated[float, Field(ge=0, le=45)] = Field(
        default=45.0, description="Largest rotation of the grid to expect, in degrees."
    )
    orientation: Corner | None = Field(
        default=None,
        description="Where A1 is in the images of this study as they stand, where a slide's "
        "override does not say: for slides that are always scanned on their side or upside down.",
    )
    max_side: Annotated[int, Field(ge=256, le=8192)] = Field(
        default=2048,
        description="Detection works on the pyramid level whose longer side is at most this, in "
        "pixels.",
    )
    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.85,
        description="A grid below this confidence is ambiguous: the slide stops until an "
        "override settles it.",
    )


class SpotsOptions(Options):
    """Cutting the spots out of the slide."""

    margin: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="What is cut around a spot on each side, as a fraction of its width and "
        "height.",
    )


class SegmentMethod(Options):
    """How one channel is segmented. Sizes are in pixels of the raw image."""

    method: Literal[
        "network",
        "auto",
        "otsu",
        "local",
        "percentile",
        "top_hat",
        "difference_of_gaussians",
        "pixel_classifier",
        "none",
    ] = Field(
        # Average precision at an IoU of 0.5 on 79 fields of dsb2018 of six sources that the network
        # had not seen: network 0.813, better than each other method on each source; local 0.724
        # with the size of the nuclei told; a plain Otsu and watershed 0.585. On simulated fields
        # with live bodies 0.53 against 0.35, with dead nuclei 0.68 against 0.58, with nuclei 0.60
        # against 0.45. More in docs/segmentation.md and the cards in resources/models.
        default="network",
        description="What finds the objects: network (one that comes with gridwell, or the study's "
        "own; on fields of unseen sources its AP@0.5 is 0.81, of local 0.72, of Otsu and a "
        "watershed 0.59). Thresholds: local (follows objects and background), "
        "otsu (one per spot), percentile (the brightest part of a spot), top_hat and "
        "difference_of_gaussians (what is brighter than its surroundings of an object's size). "
        "Learned from scribbles: pixel_classifier. auto: the one that the others "
        "agree with most on some spots of the slide. none: the channel is measured under the "
        "objects of others, not segmented.",
    )
    weights: str | None = Field(
        default=None,
        description="For network and pixel_classifier: name of a network that comes with gridwell, "
        "or models/<name> of the study. Empty: by the role of the channel, nuclei for nuclei and "
        "stained-cells for all else.",
    )
    illumination: Literal["opening", "flat_field", "top_hat", "none"] = Field(
        default="opening",
        description="How the background is taken away: opening (subtracted, slopes fitted), "
        "flat_field (objects in dark corners are brightened as well), top_hat (subtracted "
        "unsmoothed; for backgrounds with steps), or none.",
    )
    psf: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0,
        description="Blur of the microscope, as standard deviation of a Gaussian in pixels, to be "
        "undone by deconvolution (Richardson-Lucy). 0: none.",
    )
    iterations: Annotated[int, Field(ge=1, le=200)] = Field(
        default=10, description="Steps of the deconvolution; more sharpen more and raise the noise."
    )
    sigma: Annotated[float, Field(ge=0, le=20)] = Field(
        default=1.0,
        description="Gaussian smoothing before the threshold, in pixels; 0.5 for cells of less "
        "than 6 pixels.",
    )
    background: Annotated[int, Field(ge=0, le=2000)] = Field(
        default=50,
        description="Radius of the illumination correction, in pixels; larger than a clump of "
        "cells. 0: none.",
    )
    threshold: Annotated[float, Field(gt=0, le=10)] = Field(
        default=1.0, description="Factor on the threshold found; below 1 finds fainter objects."
    )
    percentile: Annotated[float, Field(ge=0, le=100)] = Field(
        default=90.0,
        description="For percentile: so many percent of a spot's pixels are background.",
    )
    diameter: Annotated[float, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Diameter of a typical object, in pixels, for top_hat and "
        "difference_of_gaussians (empty: twice `seed_distance`) and for network, which looks at "
        "objects beyond 62 pixels from farther away (empty: it sees by itself, up to about 180).",
    )
    min_snr: Annotated[float, Field(ge=0, le=100)] = Field(
        default=4.0,
        description="Least height of an object over the noise of its spot, in standard "
        "deviations; keeps empty spots empty.",
    )
    min_diameter: Annotated[float, Field(ge=1, le=1000)] = Field(
        default=4.0, description="Smallest object, as diameter of a disc of its area, in pixels."
    )
    max_diameter: Annotated[float, Field(ge=1, le=5000)] = Field(
        default=100.0, description="Largest object, as diameter of a disc of its area, in pixels."
    )
    split: Literal["both", "distance", "intensity", "none"] = Field(
        default="both",
        description="Split touching objects by a watershed: of the distance to their outline, of "
        "their intensity, or of both (distance times relative intensity); none: not at all.",
    )
    seed_distance: Annotated[float, Field(ge=1, le=500)] = Field(
        default=4.0,
        description="Least distance between the centres of two objects, in pixels; about half of "
        "an object's diameter.",
    )


class SegmentOptions(Options):
    """Objects in each channel."""

    default: SegmentMethod = Field(
        default=SegmentMethod(), description="For every channel that is not named below."
    )
    channels: dict[str, SegmentMethod] = Field(
        default={},
        description="Own settings of a channel, by its name in channels.tsv; what is left out "
        "is as in `default` above.",
    )
    ring: Annotated[float, Field(ge=0, le=100)] = Field(
        default=5.0,
        description="Width of the ring around an object in which the other channels are measured "
        "(columns ring_<channel>), in pixels.",
    )

    @model_validator(mode="after")
    def _inherit(self) -> Self:
        """Fill what a channel leaves out from `default`, so that each is complete."""
        for name, own in self.channels.items():
            said = {key: getattr(own, key) for key in own.model_fields_set}
            whole = self.default.model_dump() | said
            self.channels[name] = SegmentMethod.model_validate(whole)
        return self

    def of(self, channel: str, role: Role | str) -> SegmentMethod:
        """Return the settings that hold for a channel of a role."""
        method = self.channels.get(channel, self.default)
        if method.weights is not None:
            return method
        weights = "nuclei" if role == Role.NUCLEI else "stained-cells"
        return method.model_copy(update={"weights": weights})


class LearnModel(Options):
    """A network of this study's own: what it learns from, and how."""

    kind: Literal["instance", "semantic"] = Field(
        default="instance",
        description="instance: objects, touching ones apart. semantic: a class for each pixel.",
    )
    channels: tuple[str, ...] = Field(
        default=(),
        description="Channels that the network is shown, as in channels.tsv; objects are those of "
        "the first. Not for labels: folder.",
    )
    labels: Literal["teacher", "corrected", "both", "folder"] = Field(
        default="teacher",
        description="teacher: labels that a conventional method draws, see `teacher`. corrected: "
        "those that a person corrected, in annotations/<first channel>. both: the corrected ones, "
        "and the teacher's for other spots. folder: a data set of any origin, see `folder`.",
    )
    teacher: SegmentMethod = Field(
        default=SegmentMethod(method="local"),
        description="The conventional method that labels images; options as in segment.default.",
    )
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="How much a label of the teacher counts beside a corrected one."
    )
    suspicious: Literal["ignore", "keep"] = Field(
        default="ignore",
        description="Objects of the teacher with a ragged outline or an unusual size: ignore "
        "(nothing is learned from their pixels) or keep.",
    )
    folder: str | None = Field(
        default=None,
        description="Folder of the data set, for labels: folder: images/, labels/ or classes/, "
        "index.tsv; relative paths start at the study.",
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Names of the classes of a semantic network, background first. With a teacher: "
        "left out, they are background and one class for each channel's objects.",
    )
    slides: tuple[str, ...] = Field(
        default=(), description="Slides to learn from; none named: all that have the channels."
    )
    crops: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=96, description="Spots that the teacher labels, shared out among the slides."
    )
    validation: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.15,
        description="Part of the slides (sources, in a folder) that tell when to stop; a slide is "
        "never divided.",
    )
    test: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.15,
        description="Part of the slides (sources) that are only measured on; a slide is never "
        "divided.",
    )
    validation_slides: tuple[str, ...] = Field(
        default=(), description="Slides (sources) for validation by name, instead of a part."
    )
    test_slides: tuple[str, ...] = Field(
        default=(), description="Slides (sources) for the test by name, instead of a part."
    )
    pretrain: Literal["none", "nuclei", "live", "dead"] = Field(
        default="none", description="Simulated fields of this kind are learned from first."
    )
    pretrain_fields: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="Number of simulated fields."
    )
    start: str | None = Field(
        default=None,
        description="Network to go on from: models/<name> of this study, the name of one that "
        "comes with gridwell, or a file; empty: a new one.",
    )
    preset: Literal["default", "published", "quick"] = Field(
        default="default",
        description="Recipe of the training: default; published (the one of the published "
        "CIP-to-CDL study, slow); quick (to try whether all is in place).",
    )
    recipe: dict[str, bool | int | float | str | tuple[int | float | str, ...]] = Field(
        default={},
        description="Single settings of the recipe instead of the preset's, by name; "
        "docs/learning.md lists them.",
    )
    seed: Annotated[int, Field(ge=0, le=2**31)] = Field(
        default=0, description="Decides on the spots, the first weights and their order."
    )
    gpus: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="GPUs of one machine that train it together, each a part of every batch. Not "
        "more than a batch has crops. The network is the same but for rounding.",
    )

    @field_validator("teacher", mode="before")
    @classmethod
    def _conventional(cls, value: Any) -> Any:
        """Take the local threshold where no method is named, whatever segmentation defaults to."""
        return {"method": "local"} | value if isinstance(value, dict) else value


class FuseOptions(Options):
    """Matching nuclei with live and dead bodies of the same spot."""

    method: Literal["posterior", "knn", "overlap"] = Field(
        default="posterior",
        description="posterior: shifts between the channels undone, bodies matched one to one, and "
        "the stain's intensity under each nucleus as a second witness. knn: the nearest body "
        "within the gate, as published. overlap: the body that covers most of the nucleus. The "
        "last two take the match alone for a proof and undo no shift.",
    )
    gate: Annotated[float, Field(gt=0, le=10)] = Field(
        default=1.25,
        description="Farthest match, as a multiple of the sum of half of both objects' diameters "
        "(knn: of half of the body's).",
    )
    max_shift: Annotated[float, Field(ge=0, le=200)] = Field(
        default=12.0,
        description="Largest stage shift between two channels to look for, in pixels.",
    )
    ambiguous: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.1,
        description="A cell is ambiguous when p_live or p_dead lies between this and one minus "
        "this.",
    )
    min_cells: Annotated[int, Field(ge=1)] = Field(
        default=10,
        description="Spots with fewer nuclei (objects assay: objects) are flagged few_cells.",
    )


ColourMetric = Literal[
    "gray",
    "red",
    "green",
    "blue",
    "absorbance_red",
    "absorbance_green",
    "absorbance_blue",
    "red_green",
    "green_blue",
    "blue_red",
    "hue",
    "saturation",
    "lightness",
    "a",
    "b",
    "chroma",
    "lab_hue",
    "delta_e",
    "pca",
    "lda",
    "pls",
    "lab_curve",
]
"""Names of the numbers that a colour can be turned into; gridwell.colour.metrics computes them."""


class ColourChart(Options):
    """A colour chart that lies beside the spots in every scan."""

    kind: Literal[
        "ColorChecker24 - Before November 2014", "ColorChecker24 - After November 2014"
    ] = Field(
        default="ColorChecker24 - After November 2014",
        description="Which chart it is, as colour-science names it.",
    )
    corners: tuple[tuple[float, float], ...] = Field(
        min_length=4,
        max_length=4,
        description="Centres of its four outermost patches in pixels of the scan, as [x, y]: dark "
        "skin, bluish green, white, black, in this order.",
    )


class ColourOptions(Options):
    """From the colour of a spot to a number."""

    metric: Literal["auto", ColourMetric] = Field(
        default="auto",
        description="Number computed from the spot's colour. auto: with calibration spots the one "
        "that predicts levels best that it was not calibrated with, without them delta_e. In "
        "linear light, 1 is white: gray, red, green, blue. Absorbance, -log10 of these: "
        "absorbance_red, _green, _blue, and differences of two, log10 of a ratio: red_green, "
        "green_blue, blue_red. HSV: hue (degrees), saturation. CIE L*a*b*: lightness, a, b, "
        "chroma, lab_hue (degrees), delta_e (CIEDE2000 from `reference`). Learned from calibration "
        "spots, in L*a*b*: pca, lda, pls (one direction each), lab_curve (the place on the curve "
        "that the levels draw).",
    )
    inner: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.7,
        description="Part of the spot that is measured, as a fraction of its width; keeps off "
        "the rim.",
    )
    unit: str = Field(
        default="",
        max_length=40,
        description="Unit of calibrated values, such as pH; with `calibration`, empty: its own.",
    )
    calibration: str | None = Field(
        default=None,
        description="The calibration.json that another study made, for slides measured with the "
        "same scanner; relative paths start at the study. Empty: each slide is calibrated by its "
        "own spots of role calibration.",
    )
    white_patch: tuple[float, float, PositiveFloat, PositiveFloat] | None = Field(
        default=None,
        description="A white patch in every scan, in pixels: [x, y, width, height]. It is white "
        "then; uneven light is still seen on the background. Empty: blank spots are white, or "
        "else the background around the spots.",
    )
    black_patch: tuple[float, float, PositiveFloat, PositiveFloat] | None = Field(
        default=None,
        description="A black patch, likewise: stray light, which is subtracted. Empty: none.",
    )
    chart: ColourChart | None = Field(
        default=None,
        description="A colour chart in every scan, {corners: [[x, y], ...]}: colours are corrected "
        "by it, so that scanners agree. Empty: none.",
    )
    reference: (
        tuple[
            Annotated[float, Field(ge=0, le=255)],
            Annotated[float, Field(ge=0, le=255)],
            Annotated[float, Field(ge=0, le=255)],
        ]
        | None
    ) = Field(
        default=None,
        description="The colour that delta_e is the distance from, sRGB as [red, green, blue] from "
        "0 to 255. Empty: the lowest level of the calibration, white without one.",
    )
    max_drift: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.25,
        description="How much white may differ between `calibration` and a slide that uses it, as "
        "a share. Its tint may by 0.1, black by 0.02 of full scale; more is an error.",
    )


class ScreenOptions(Options):
    """From spots to doses, curves and quality."""

    metric: str = Field(
        default="auto",
        description="Number of a spot that is screened: a column of spots.csv (viability, "
        "viability_stained, n_nuclei, value…) or an aggregate of an instance feature, such as "
        "mean(nuclei.area), median(nuclei.mean_gfp), mean(nuclei.mean_gfp / nuclei.ring_gfp); "
        "aggregates are mean, median, sum, std, count, and share: share(nuclei.mean_gfp > 500) is "
        "the share of the objects above (>=, <, <= likewise), fitted as counts. auto: viability, "
        "the count of the first segmented channel (objects), or value (colorimetry).",
    )
    normalise: Literal["percent_of_control", "percent_inhibition", "none"] = Field(
        default="percent_of_control",
        description="percent_of_control: 100 at the slide's negative controls, 0 at zero. "
        "percent_inhibition: 0 at the negative, 100 at the positive controls. none: as measured. "
        "The value of colorimetry has no true zero: it stays as measured under "
        "percent_of_control.",
    )
    correct: Literal["auto", "never"] = Field(
        default="auto",
        description="auto: a gradient over the slide is taken off where 12 or more negative "
        "controls prove it: leaving each of them out, the others' surface predicts it better "
        "than their mean does, by more than chance (p < 0.03). never: it is only shown.",
    )
    min_doses: Annotated[int, Field(ge=3)] = Field(
        default=5, description="Fewest distinct doses to fit a curve to."
    )
    interval: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        default=0.95, description="Level of the intervals of fitted parameters."
    )
    curves: tuple[Literal["flat", "3pl", "4pl", "5pl"], ...] = Field(
        default=("flat", "4pl"),
        min_length=1,
        description="Candidates for a dose-response curve: flat (no effect), 3pl (lower level 0), "
        "4pl, 5pl (asymmetric). On simulated screens flat and 4pl alone gave the most honest "
        "intervals (docs/dose-response.md).",
    )
    choose: Literal["f_test", "aicc"] = Field(
        default="f_test",
        description="How one of several curves is chosen: f_test (a parameter more where p < "
        "0.05) or aicc. Flat is left only where an F-test says so.",
    )


class ReportOptions(Options):
    """What the HTML reports show."""

    max_spots: Annotated[int, Field(ge=0, le=2000)] = Field(
        default=24, description="Spots shown with their outlines in a slide's report."
    )


class Config(Options):
    """A study's configuration, config/config.yaml."""

    study: str = Field(
        default="gridwell study", max_length=200, description="Title shown in reports."
    )
    versioning: Literal["datalad", "off"] = Field(
        default="datalad",
        description="datalad: raw images and results are saved in the study's DataLad dataset. "
        "off: the study is a plain folder.",
    )
    gpu: Literal["require", "allow", "forbid"] = Field(
        default="allow",
        description="require: detect_grid and segment stop where no GPU is found. allow: use one "
        "where there is one. forbid: CPU only, none is asked of the scheduler.",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        default="auto",
        description="Numbers that networks of cells multiply: float32, bfloat16, int8 (whole "
        "numbers of 8 bits, on a CPU alone: all CPUs find the same but for a few pixels, those "
        "with VNNI instructions several times as fast), or auto: int8 on a CPU where ranges for "
        "it stand with the weights, else bfloat16 where a GPU or CPU has it, else float32.",
    )
    export: Literal["none", "plate"] = Field(
        default="none",
        description="plate: also write each slide as an OME-Zarr HCS plate, one well a spot, in "
        "results/<slide>/plate.zarr (thousands of files).",
    )
    ingest: IngestOptions = IngestOptions()
    tile: TileOptions = TileOptions()
    grid: GridOptions = GridOptions()
    spots: SpotsOptions = SpotsOptions()
    segment: SegmentOptions = SegmentOptions()
    learn: dict[str, LearnModel] = Field(
        default={},
        description="Networks that learn from this study, by name: snakemake … models trains them "
        "into models/<name>.safetensors. docs/learning.md shows how.",
    )
    fuse: FuseOptions = FuseOptions()
    colour: ColourOptions = ColourOptions()
    screen: ScreenOptions = ScreenOptions()
    report: ReportOptions = ReportOptions()


class Slide(Options):
    """A row of config/slides.tsv."""

    slide: str = Field(
        pattern=f"^{SLIDE_PATTERN}$",
        description="Name of the slide; letters, digits, _ . and -, beginning with a letter or "
        "digit, 64 at most.",
    )
    assay: Assay = Field(description="viability, objects or colorimetry.")
    carrier: str | None = Field(
        default=None,
        description="Name of a known carrier, in config/carriers or among those that come with "
        "gridwell; empty: infer the grid.",
    )
    layout: str | None = Field(
        default=None,
        description="A file in config/layouts; of a file with several plates, file.csv#PLATE; "
        "empty: no layout, no statistics.",
    )
    group: str | None = Field(
        default=None, description="Patient, cell line or batch; curves are fitted per group."
    )
    time_h: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Hours after treatment at which the slide was imaged; 0: before treatment. "
        "A group with slides at 0 and later gets growth rates; slides at 0 are part of no curve, "
        "and each later time has its own curves. Empty or no such column: one time.",
    )


class Channel(Options):
    """A row of config/channels.tsv."""

    slide: str = Field(description="Slide that the channel belongs to, as in slides.tsv.")
    channel: str = Field(
        pattern=f"^{CHANNEL_PATTERN}$",
        description="Name of the channel; letters, digits, _ and -.",
    )
    role: Role = Field(description="grid, nuclei, live, dead, colour or other.")
    path: str = Field(
        min_length=1,
        description="Image file, or the URL of one (http, https); relative paths start at the "
        "study.",
    )
    index: int = Field(default=0, ge=0, description="Plane in the file, from 0.")
    pixel_size_um: float | None = Field(
        default=None,
        gt=0,
        description="Size of a pixel in micrometres; empty: as the file says, if it does.",
    )

    @property
    def url(self) -> str | None:
        """Where the image is fetched from, if not from a file."""
        return self.path if self.path.startswith(("http://", "https://")) else None


class LayoutRow(Options):
    """A row of a layout: one spot and one agent in it."""

    spot: str = Field(description="Spot, as C7; or give row and col instead.")
    agent: str | None = Field(default=None, description="Drug or other agent; empty: none.")
    concentration: float | None = Field(
        default=None, ge=0, description="Dose of the agent, in `unit`."
    )
    unit: Unit | None = Field(
        default=None, description="Unit of the concentration: M mM uM nM pM ug/mL %."
    )
    role: SpotRole = Field(
        default=SpotRole.SAMPLE,
        description="sample, neg_ctrl, pos_ctrl, blank, empty, calibration or excluded.",
    )
    replicate: str | None = Field(default=None, description="Label of the replicate; optional.")
    value: float | None = Field(
        default=None, description="Known value of the spot, such as its pH; for calibration."
    )
    sample: str | None = Field(default=None, description="Sample in the spot; optional.")
    plate: str | None = Field(
        default=None,
        description="Plate of the row, where one file lays out several; a slide names its own as "
        "layout.csv#PLATE in slides.tsv.",
    )


class Carrier(Options):
    """A known carrier: resources/carriers/<name>.yaml, or config/carriers/<name>.yaml of a study.

    Distances are in micrometres on the carrier as it lies with spot A1 at the top left.
    """

    title: str = Field(description="What it is, for people.")
    rows: int = Field(ge=1, le=512, description="Rows of spots.")
    cols: int = Field(ge=1, le=512, description="Columns of spots.")
    pitch_um: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="Spacing of columns and of rows, in micrometres."
    )
    spot_um: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="Width and height of a spot, in micrometres."
    )
    shape: Literal["square", "round"] | None = Field(default=None, description="Outline of a spot.")
    block_rows: tuple[PositiveInt, ...] = Field(
        default=(), description="Rows of each block, where gaps part the grid; sums up to rows."
    )
    block_cols: tuple[PositiveInt, ...] = Field(
        default=(), description="Columns of each block; sums up to cols."
    )
    gap_um: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None,
        description="Spacing across a gap between blocks, from the last column to the next and "
        "from the last row to the next, centre to centre, in micrometres.",
    )
    footprint_um: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="Width and height of the whole carrier, in micrometres."
    )
    a1_um: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None,
        description="Centre of spot A1 from the left and the top edge of the carrier, in "
        "micrometres.",
    )
    marks: tuple[tuple[float, float], ...] = Field(
        default=(),
        description="Marks that look like spots and lie off the grid, in columns and rows from "
        "A1: [-1, 0] is left of A1. They tell which corner of the image A1 is in.",
    )
    empty: tuple[str, ...] = Field(
        default=(), description="Spots that stay empty by design, as H12; they tell the same."
    )
    source: str = Field(default="", description="Where the numbers come from.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for blocks, lines in ((self.block_rows, self.rows), (self.block_cols, self.cols)):
            if blocks and sum(blocks) != lines:
                raise PydanticCustomError("blocks", "has blocks that do not sum up to the grid")
        if self.gap_um and max(len(self.block_rows), len(self.block_cols)) < 2:
            raise PydanticCustomError("gap", "has a gap but no blocks that it could part")
        if self.spot_um and self.pitch_um and _any_larger(self.spot_um, self.pitch_um):
            raise PydanticCustomError("spots", "has spots that are wider than their spacing")
        if self.a1_um and self.footprint_um and _any_larger(self.a1_um, self.footprint_um):
            raise PydanticCustomError("a1", "has its spot A1 beyond its edge")
        for column, row in self.marks:
            if 0 <= column <= self.cols - 1 and 0 <= row <= self.rows - 1:
                raise PydanticCustomError("marks", "has marks that lie in the grid")
        for name in self.empty:
            _check_spot_of(name, self.rows, self.cols)
        return self


def _any_larger(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return any(a > b for a, b in zip(one, other, strict=True))


def _check_spot_of(name: str, rows: int, cols: int) -> None:
    try:
        row, col = parse_spot(name)
    except ValueError as error:
        raise PydanticCustomError("spot", "names an empty spot that is no spot") from error
    if row >= rows or col >= cols:
        raise PydanticCustomError("spot", "names an empty spot that lies outside its grid")


class GridOverride(Options):
    """config/overrides/<slide>.yaml: what a person knows of a grid. Any subset will do."""

    rows: int | None = Field(default=None, ge=1, le=512, description="Rows of the grid.")
    cols: int | None = Field(default=None, ge=1, le=512, description="Columns of the grid.")
    pitch: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="Spacing of columns and of rows, in pixels: [x, y]."
    )
    angle: float | None = Field(
        default=None,
        ge=-180,
        le=180,
        description="Direction from A1 to A2 in degrees, clockwise on screen; 0 is to the right.",
    )
    origin: tuple[float, float] | None = Field(
        default=None, description="Centre of spot A1, in pixels: [x, y]; taken as it stands."
    )
    spot: tuple[PositiveFloat, PositiveFloat] | None = Field(
        default=None, description="Width and height of a spot, in pixels."
    )
    corners: dict[str, tuple[float, float]] | None = Field(
        default=None,
        description="Clicked spots: name and centre in pixels, as A1: [512, 480]. A click may be "
        "off by a quarter of the spacing.",
    )
    orientation: Corner | None = Field(
        default=None,
        description="Where A1 is in the image as it stands: A1 top left, A1 top right, A1 bottom "
        "left or A1 bottom right.",
    )
    same_as: str | None = Field(
        default=None,
        description="Another slide of the study whose grid this one has: rows, columns, spacing, "
        "spot size and bends are taken from it, place and angle are found on this slide's image.",
    )
