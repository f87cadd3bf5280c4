"""The study's configuration: the only reader of YAML and TSV."""
