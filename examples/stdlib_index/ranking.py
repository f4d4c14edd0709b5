"""Which modules the library rests on: how many others import each, and PageRank.

PageRank (Brin and Page 1998) follows imports at random, and now and then starts anew at any module: a module is
important where important modules import it. The same edges in the same order give the same floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyncflow import op

DAMPING: Final = 0.85
ROUNDS: Final = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a module stands.

    Args:
        module: Its name.
        importers: How many modules of the library proper import it.
        tests: How many modules of its tests do.
        rank: Its PageRank; all together make 1.
        place: Its place by PageRank, from 1.
    """

    module: str
    importers: int
    tests: int
    rank: float
    place: int

    @property
    def total(self) -> int:
        """All modules that import it."""
        return self.importers + self.tests


@op(tags={"kind": "cpu"})
def rank(edges: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Returns the PageRank of every module that imports or is imported."""
    names = sorted({name for edge in edges for name in edge})
    place = {name: i for i, name in enumerate(names)}
    targets: list[list[int]] = [[] for _ in names]
    for importer, imported in edges:
        targets[place[importer]].append(place[imported])
    count = len(names)
    ranks = [1.0 / max(count, 1)] * count
    for _ in range(ROUNDS):
        loose = sum(ranks[i] for i in range(count) if not targets[i])  # what imports nothing passes on to all
        following = [(1.0 - DAMPING + DAMPING * loose) / max(count, 1)] * count
        for i, reached in enumerate(targets):
            for j in reached:
                following[j] += DAMPING * ranks[i] / len(reached)
        ranks = following
    return dict(zip(names, ranks, strict=True))


@op(tags={"kind": "cpu"})
def standings(edges: Sequence[tuple[str, str]], ranks: Mapping[str, float]) -> list[Standing]:
    """Returns all modules that something imports, most imported first."""
    importers: dict[str, int] = {}
    tests: dict[str, int] = {}
    for importer, imported in edges:
        counts = tests if is_test(importer) else importers
        counts[imported] = counts.get(imported, 0) + 1
    by_rank = sorted(ranks, key=lambda name: (-ranks[name], name))
    found = [
        Standing(name, importers.get(name, 0), tests.get(name, 0), ranks[name], place)
        for place, name in enumerate(by_rank, start=1)
        if name in importers or name in tests
    ]
    return sorted(found, key=lambda standing: (-standing.importers, -standing.tests, standing.module))


def is_test(module: str) -> bool:
    """Says whether a module is a test, or belongs to the tests."""
    return not {"test", "tests", "idle_test"}.isdisjoint(module.split("."))
