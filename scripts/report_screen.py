"""Write the screen's report: one HTML file that opens anywhere."""

from pathlib import Path

from gridwell.config.models import Config
from gridwell.report.screen import report_screen
from job import running

if __name__ == "__main__":
    with running(snakemake):
        config = Config(**snakemake.params.config)
        report_screen(
            Path(snakemake.input.spots).parent,
            study=config.study,
            slide_reports={slide: f"../{slide}/report.html" for slide in snakemake.params.slides},
            out=Path(snakemake.output.html),
            config=config,
            provenance=snakemake.params.provenance,
        )
