"""Benchmarks: ratios against the same work by hand, in one run. `python -m benchmarks`; README.md has the budgets."""
