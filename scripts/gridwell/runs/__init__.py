"""Runs of the workflow: how far they are, what failed and where its log is."""
