"""Two programs that use asyncflow on real input; run them with `python -m examples.<name>` from a checkout."""
