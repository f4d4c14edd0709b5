"""The command `asyncflow`: run a graph from a shell, look at its plan, see a demo. Needs the extra `cli`.

`command` has the commands, `target` finds what to run, `given` reads its inputs, `session` runs it, `interrupts` ends
it, `tally` counts what happens meanwhile, `live` and `lines` show that, `summary` tells how it ended.

Everything here uses what any program could use; the core never imports it.
"""

try:
    from asyncflow.cli.command import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
        raise
    from asyncflow.cli.without import main

__all__ = ["main"]
