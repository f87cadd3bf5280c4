"""gridwell: from the raw images of screening slides to reports, one slide after the other.

Run it on a study:  snakemake --snakefile path/to/Snakefile --directory STUDY
The stages stand in rules/, in the order of the data; what passes between them is in docs/design.md.
"""

from snakemake.utils import min_version

min_version("9.27")


# What --software-deployment-method conda apptainer makes the environments of envs/ in.
container: "docker://condaforge/miniforge3:26.3.2-3"


include: "rules/common.smk"


wildcard_constraints:
    slide=any_of(study.slides),
    channel=any_of(
        channel.channel for own in study.channels.values() for channel in own
    ),
    model=any_of(trained),


include: "rules/ingest.smk"
include: "rules/versioning.smk"
include: "rules/tile.smk"
include: "rules/grid.smk"
include: "rules/spots.smk"
include: "rules/learn.smk"
include: "rules/segment.smk"
include: "rules/measure.smk"
include: "rules/screen.smk"
include: "rules/report.smk"
include: "rules/collect.smk"


rule all:
    default_target: True
    input:
        rules.version_results.output.record,


onstart:
    begin()
    begin_log()


onsuccess:
    run_log.end(success=True)


onerror:
    run_log.end(success=False)
    print(failure_summary())
