"""Indexes the standard library of the Python that runs it: a real job under limits.

    python -m examples.stdlib_index --limit 200

`workflow` is the graph; read it first. `sources` finds and reads files, `parsing` turns them into records, `imports`
resolves who imports whom, `database` keeps all of it in SQLite, `ranking` ranks modules, `report` and `picture` write
what came out; `progress` tells what happens while it does, and `account` where the time went.
"""

from examples.stdlib_index.report import Report
from examples.stdlib_index.workflow import build_index, index_stdlib

__all__ = ["Report", "build_index", "index_stdlib"]
