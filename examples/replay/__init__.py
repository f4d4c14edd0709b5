"""Replays recorded workflows under limits, and compares their makespan with its lower bound and with FIFO.

    python -m examples.replay soykb --max-concurrent 16 --tag-limit haplotype_caller=6

`workflow` reads the files, `limits` says what a task asks for, `bounds` and `fifo` are what the replay is compared
with, `play` builds the graph and runs it, `figures` has the comparisons that the tests hold.
"""

from examples.replay.bounds import Bounds
from examples.replay.fifo import fifo
from examples.replay.limits import Limits
from examples.replay.play import Played, play
from examples.replay.workflow import Task, Workflow, load, names

__all__ = ["Bounds", "Limits", "Played", "Task", "Workflow", "fifo", "load", "names", "play"]
