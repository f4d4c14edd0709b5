"""The figures that asyncflow's default order is held to: each workflow under its limits, and what it must reach.

No hint about durations is given (`expected=` is not set): the order knows the shape of the graph and the sizes of the
limits, nothing else. For the projects, the best makespan ever found stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from examples.replay.bounds import Bounds
from examples.replay.fifo import fifo
from examples.replay.limits import Limits
from examples.replay.play import play
from examples.replay.workflow import Workflow, load

PROJECTS = {"j304_5": 59.0, "j6013_4": 112.0, "j1206_7": 194.0}
"""Project scheduling instances under their own pools: the makespan to reach."""

TRACES = {
    "1000genome-8ch-100k": (1110.0, 4260.0, 2840.0),
    "atacseq": (950.0, 2095.0, 1015.0),
    "epigenomics-hep-2seq-100k": (315.0, 820.0, 525.0),
    "soykb-10fastq-10ch": (3185.0, 4780.0, 3835.0),
}
"""Traces: the makespan to reach with 16 at once, with 4, and with 16 and limits on the two busiest tools, 6 and 3."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison.

    Args:
        workflow: What is replayed.
        limits: Under which limits.
        told: The limits in words.
        reach: The makespan that asyncflow must reach.
    """

    workflow: Workflow
    limits: Limits
    told: str
    reach: float

    @property
    def name(self) -> str:
        """Workflow and limits."""
        return f"{self.workflow.name}, {self.told}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its numbers, all in seconds."""

    figure: Figure
    makespan: float
    fifo: float
    bounds: Bounds

    @property
    def reached(self) -> bool:
        """True where asyncflow is as good as it must be. Sums of floats may differ in the last bits."""
        return self.makespan <= self.figure.reach + 1e-6


def figures() -> Iterator[Figure]:
    """Yields every comparison."""
    for name, reach in PROJECTS.items():
        project = load(name)
        yield Figure(project, Limits(pools=project.pools), "its pools", reach)
    for name, (sixteen, four, by_tool) in TRACES.items():
        trace = load(name)
        busiest, following = list(trace.work_by_tool())[:2]
        yield Figure(trace, Limits(16), "16 at once", sixteen)
        yield Figure(trace, Limits(4), "4 at once", four)
        yield Figure(trace, Limits(16, tools={busiest: 6, following: 3}), "16 at once, tools 6 and 3", by_tool)


def measure(figure: Figure) -> Measured:
    """Replays a figure in virtual time and computes what it is compared with."""
    return Measured(
        figure,
        makespan=play(figure.workflow, figure.limits).makespan,
        fifo=fifo(figure.workflow, figure.limits),
        bounds=Bounds.of(figure.workflow, figure.limits),
    )
