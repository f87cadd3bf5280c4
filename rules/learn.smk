"""Networks of the study's own: from slides and labels to weights and a model card."""


localrules:
    models,


rule gather_examples:
    """Gather what a network learns from, split by slide."""
    input:
        spots=get_learned_spots,
        labelled=get_labelled,
        known=get_known_sides,
        teacher=get_teacher_weights,
    output:
        data=directory("work/learn/{model}/data"),
    log:
        "logs/gather_examples/{model}.log",
    conda:
        "../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=learning_memory(2000),
        runtime=minutes(60),
    params:
        model=model_options(
            "kind channels labels teacher teacher_weight suspicious folder classes crops "
            "validation test validation_slides test_slides seed"
        ),
        slides=lambda wildcards: learned_slides(wildcards.model),
        labelled=lambda wildcards: labelled_folder(wildcards.model),
        code=code("gather_examples"),
    script:
        "../scripts/gather_examples.py"


rule pretrain:
    """Train a network on simulated fields of cells first."""
    output:
        weights="work/learn/{model}/pretrained.safetensors",
    log:
        "logs/pretrain/{model}.log",
    benchmark:
        "benchmarks/pretrain/{model}.tsv"
    conda:
        "../envs/gpu.yaml"
    threads: learning_threads
    resources:
        mem_mb=learning_memory(3000),
        runtime=minutes(480),
        gpu=learning_gpus,
    params:
        model=model_options("channels pretrain pretrain_fields preset recipe seed"),
        work="work/learn/{model}/pretraining",
        gpu=study.config.gpu,
        code=code("pretrain"),
    script:
        "../scripts/pretrain.py"


# What is unfinished lies in work/learn, beside the outputs: Snakemake removes those of a job
# that failed, and a training of hours goes on where it was killed. What is done stays there too:
# another test set is another data set, but no reason to train again.
rule train:
    """Train a network."""
    input:
        data=rules.gather_examples.output.data,
        start=get_start,
    output:
        weights="models/{model}.safetensors",
        curve="models/{model}.curves.csv",
        picture=report(
            "models/{model}.curves.png",
            category="Networks",
            labels={"model": "{model}"},
        ),
    log:
        "logs/train/{model}.log",
    benchmark:
        "benchmarks/train/{model}.tsv"
    conda:
        "../envs/gpu.yaml"
    threads: learning_threads
    resources:
        mem_mb=learning_memory(3000),
        runtime=minutes(480),
        gpu=learning_gpus,
    params:
        model=model_options("kind channels classes preset recipe seed"),
        work="work/learn/{model}/training",
        gpu=study.config.gpu,
        code=code("train"),
    script:
        "../scripts/train.py"


rule evaluate_model:
    """Measure a network on slides that it never learned from."""
    input:
        data=rules.gather_examples.output.data,
        weights=rules.train.output.weights,
        curve=rules.train.output.curve,
        start=get_start,
    output:
        card="models/{model}.md",
        scores="models/{model}.scores.csv",
    log:
        "logs/evaluate_model/{model}.log",
    conda:
        "../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=learning_memory(3000),
        runtime=minutes(60),
    params:
        model=model_options(),
        code=code("evaluate_model"),
    script:
        "../scripts/evaluate_model.py"


rule models:
    input:
        expand(rules.evaluate_model.output.card, model=study.config.learn),
