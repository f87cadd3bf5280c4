"""Simulated slides with known truth."""
