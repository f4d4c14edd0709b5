"""The job as a graph, and the limits it runs under.

One file passes four ops: it is read, parsed, linked and written. Each is an `each` over the one before, so a file
moves on as soon as its own last step is done, and those that have begun finish before others begin. Four limits hold
at once: how many ops run at all, how many of them are CPU work, how many read the disk, and one writer.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from asyncflow import Deployment, Event, RunResult, TagLimit, apply, each, graph
from examples.stdlib_index.database import Database
from examples.stdlib_index.imports import known_names, link, list_names, packages
from examples.stdlib_index.parsing import parse
from examples.stdlib_index.picture import write_picture
from examples.stdlib_index.ranking import rank, standings
from examples.stdlib_index.report import Report, compile_report, write_json
from examples.stdlib_index.sources import choose, list_folders, list_sources, read, stdlib_folder

CPUS: Final = os.cpu_count() or 1
MAX_CONCURRENT: Final = CPUS + 3
POOLS: Final = {"disk": 4, "db": 1}
THREADS: Final = 32


@graph(max_concurrent=MAX_CONCURRENT, tag_concurrency_limits=[TagLimit(key="kind", value="cpu", limit=CPUS)])
def index_stdlib(root: Path, out: Path, database: Database, limit: int | None = None) -> Report:
    """Indexes the standard library below `root` into `database`, and writes report and picture into `out`."""
    sources = apply(choose, each(list_sources, list_folders(root), root), limit)
    known = apply(known_names, sources, each(list_names, apply(packages, sources)))

    texts = each(read, sources)
    parsed = each(parse.settled, texts)  # some files are broken on purpose: their outcome is kept, the run goes on
    modules = each(link, parsed, known)
    written = each(database.write, modules)

    edges = database.edges.after(written)()
    ranks = rank(edges)
    database.write_ranks(ranks)
    report = compile_report(
        database.totals.after(written)(), database.problems.after(written)(), standings(edges, ranks)
    )
    write_json(report, out)
    write_picture(report, out)
    return report


async def build_index(
    out: Path,
    *,
    root: Path | None = None,
    limit: int | None = None,
    observer: Callable[[Event], None] | None = None,
    store: str | None = None,
    run_id: str | None = None,
    resume_from: str | None = None,
) -> RunResult[Report]:
    """Indexes a standard library and returns everything about the run.

    Args:
        out: The folder for `index.db`, `report.json` and `most-imported.svg`; made where it is missing.
        root: The folder of the library; that of the running Python where it is not given.
        limit: How many files at most, evenly spread over all; None for all.
        observer: Called with every event.
        store: Where records of the run are kept: `sqlite:///runs.db`.
        run_id: The id of the run.
        resume_from: The id of an earlier run in the store: what it achieved is not done again.
    """
    out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 — before anything runs that it could hold up
    deployment = Deployment("stdlib-index", concurrency={"pools": {"limits": POOLS}}, threads=THREADS, store=store)
    if observer is not None:
        deployment.subscribe(observer)
    with Database(out / "index.db", keep=resume_from is not None) as database, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the parser warns of odd escapes in tests; filters are global, so not in threads
        job = index_stdlib.options(run_id=run_id, resume_from=resume_from)
        return await job.on(deployment).try_run(root or stdlib_folder(), out, database, limit)


def capacities() -> dict[str, int]:
    """Returns the capacity of every limit of the job by the name asyncflow gives it in results."""
    return {"@max_concurrent": MAX_CONCURRENT, "@tag:kind=cpu": CPUS, **POOLS, "@threads": THREADS}
