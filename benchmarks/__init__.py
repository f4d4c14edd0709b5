"""Benchmarks: ratios against the same work by hand, in one run."""
