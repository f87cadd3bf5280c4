"""Cut every grid position out of the slide, rotation removed, into one stack per channel."""

from pathlib import Path

from gridwell.grid.model import read_grid, settled_frame
from gridwell.images.slide import open_slide
from gridwell.images.spots import crop_spots
from job import running

if __name__ == "__main__":
    with running(snakemake):
        slide = open_slide(Path(snakemake.input.slide))
        grid = read_grid(Path(snakemake.input.json), Path(snakemake.input.csv))
        crop_spots(
            slide,
            Path(snakemake.output.spots),
            grid=settled_frame(grid, snakemake.wildcards.slide, slide.info["pixel_size_um"]),
            margin=snakemake.params.margin,
            threads=snakemake.threads,
        )
