"""One simulated slide: images and truth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gridwell.phantom.files import write_images
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.render import Renderer
from gridwell.phantom.scene import place_spots, treat
from gridwell.phantom.truth import write_truth


def simulate_slide(
    options: PhantomOptions,
    out_dir: Path,
    *,
    layout: pd.DataFrame | None = None,
    band: int | None = None,
) -> None:
    """Write the images of a simulated slide into `out_dir` and its truth into ``truth`` there.

    Parameters
    ----------
    options
        What the slide looks like.
    out_dir
        Folder, made where needed; files of the same names are replaced.
    layout
        What is in each spot, as read by ``config.layouts``; None: untreated cells (or unknown
        samples of an indicator) everywhere.
    band
        Rows rendered at a time; the bytes do not depend on it.

    Raises
    ------
    InputError
        If the layout does not fit the grid or the curves.
    """
    geometry = place_spots(options)
    renderer = Renderer(options, geometry, treat(options, geometry, layout))
    write_images(renderer, Path(out_dir), band)
    write_truth(renderer, Path(out_dir))
