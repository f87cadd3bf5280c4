"""Write a slide's report: one HTML file that opens anywhere."""

from pathlib import Path

from gridwell.config.layouts import read_layout
from gridwell.config.models import Config, Slide
from gridwell.report.slide import report_slide
from job import running

if __name__ == "__main__":
    with running(snakemake):
        given, channels = snakemake.input, snakemake.params.channels
        slide = Slide(**snakemake.params.slide)
        shifts, cells = ([Path(path) for path in one] for one in (given.shifts, given.cells))
        config = Config(**snakemake.params.config)
        report_slide(
            slide,
            study=config.study,
            grid_json=Path(given.json),
            grid_csv=Path(given.csv),
            grid_png=Path(given.png),
            spots_csv=Path(given.table),
            spots_zarr=Path(given.spots),
            labels=dict(zip(channels, map(Path, given.labels), strict=True)),
            instances=dict(zip(channels, map(Path, given.instances), strict=True)),
            layout=read_layout(Path("config/layouts", slide.layout)) if slide.layout else None,
            out=Path(snakemake.output.html),
            options=config.report,
            shifts_json=shifts[0] if shifts else None,
            cells_parquet=cells[0] if cells else None,
            slide_json=Path(given.slide),
            config=config,
            provenance=snakemake.params.provenance,
        )
