"""Write results/record.json and commit the results with a record that can be rerun."""

from pathlib import Path

from gridwell.versions.record import write_record
from job import running

if __name__ == "__main__":
    with running(snakemake):
        write_record(
            Path.cwd(),
            map(Path, snakemake.input.results),
            map(Path, snakemake.input.raw),
            versioning=snakemake.params.versioning,
            command=snakemake.params.command,
            repository=Path(snakemake.params.repository),
        )
