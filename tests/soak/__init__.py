"""Fuzzers that run for as long as they are given: `python -m tests.soak`."""
