"""The replay of recorded workflows: its figures, what they are compared with, and its command line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import asyncflow
from asyncflow import DemandError, RunStatus
from examples.replay import Bounds, Limits, Task, Workflow, fifo, load, names, play
from examples.replay.__main__ import main
from examples.replay.figures import Figure, figures, measure
from examples.replay.limits import CAP, find_tool, tag_limit
from examples.usage import usage

ROOT = Path(__file__).parents[2]

SMALL = Workflow(
    "small",
    (
        Task(2.0, slots={"a": 1}),
        Task(3.0, slots={"a": 2}),
        Task(1.0, slots={"a": 1}, tool="x"),
        Task(4.0, parents=(0, 2), tool="x"),
    ),
    pools={"a": 2},
)


@pytest.mark.parametrize("figure", list(figures()), ids=lambda figure: figure.name)
def test_figure(figure: Figure) -> None:
    """The default order reaches every figure in virtual time, and no makespan lies below the lower bound."""
    found = measure(figure)
    assert found.bounds.lower <= found.fifo + 1e-6
    assert found.bounds.lower <= found.makespan + 1e-6
    assert found.makespan <= figure.reach + 1e-6, (
        f"missed by {found.makespan - figure.reach:.2f} s (FIFO {found.fifo:.2f})"
    )


def test_limits_hold_in_every_figure() -> None:
    """No limit is ever exceeded, and every task runs."""
    for figure in figures():
        result = play(figure.workflow, figure.limits).result
        used = usage(result)
        assert len(result.timeline) == len(figure.workflow.tasks)
        assert {name for name, use in used.items() if use.peak > figure.limits.capacities[name]} == set()
        assert set(used) == set(figure.limits.capacities)


def test_starts_are_the_same_every_time() -> None:
    """The sequence of starts is identical across two runs and two values of PYTHONHASHSEED."""
    program = (
        "from examples.replay.figures import figures\n"
        "from examples.replay.play import play as run\n"
        "for figure in figures():\n"
        "    for op in run(figure.workflow, figure.limits).result.timeline:\n"
        "        print(figure.name, op.key, op.started_at)\n"
    )

    def starts(seed: str) -> str:
        path = os.pathsep.join([str(Path(asyncflow.__file__).parents[1]), str(ROOT)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, check=True, text=True
        )
        assert done.stdout.count("\n") == sum(len(figure.workflow.tasks) for figure in figures())
        return hashlib.sha256(done.stdout.encode()).hexdigest()

    first = starts("1")
    assert [starts("1"), starts("2")] == [first, first]


def test_thousands_of_tasks() -> None:
    """Twenty workflows side by side in one graph of 4,160 ops keep a cap busy and below it."""
    workflow = load("1000genome").copies(20)
    limits = Limits(64)
    played = play(workflow, limits)
    use = usage(played.result)[CAP]
    assert len(played.result.timeline) == 4160
    assert use.peak == 64
    assert played.makespan <= 1.05 * Bounds.of(workflow, limits).lower


# ── what it is compared with ──────────────────────────────────────────────────────────────────────────────────────


def test_bounds() -> None:
    """The lower bound is the largest of the longest path and each limit's work over its capacity."""
    bounds = Bounds.of(SMALL, Limits(3, tools={"x": 1}, pools={"a": 2}))
    assert bounds.longest_path == 6.0
    assert bounds.spread == {CAP: 10 / 3, tag_limit("x"): 5.0, "a": 9 / 2}  # seconds × slots over the capacity
    assert (bounds.lower, bounds.reason) == (6.0, "longest path")
    assert Bounds.of(SMALL, Limits(1)).reason == CAP


def test_fifo_passes_over() -> None:
    """What does not fit is passed over: the third task runs beside the first; with a blocking head it waits."""
    limits = Limits(pools={"a": 2})
    assert fifo(SMALL, limits) == 6.0  # 0 and 2 at once, then 1 and 3 at once
    assert fifo(SMALL, limits, head_blocks=True) == 10.0  # 0, then 1, then 2, then 3
    assert fifo(SMALL, Limits(1)) == 10.0


def test_fifo_refuses_what_can_never_start() -> None:
    """A task that asks for more than there is would wait for ever."""
    with pytest.raises(ValueError, match="it can never start"):
        fifo(SMALL, Limits(pools={"a": 1}))


def test_replay_refuses_what_can_never_start() -> None:
    """asyncflow says so before anything runs."""
    with pytest.raises(DemandError, match="asks for 2 of 'a', whose limit is 1"):
        play(SMALL, Limits(pools={"a": 1}))


def test_scaled_time() -> None:
    """Scaled time runs the same tasks in the real clock; here a nanosecond for each recorded second."""
    result = play(SMALL, Limits(pools={"a": 2}), scale=1e-9).result
    assert (result.status, len(result.timeline)) == (RunStatus.SUCCEEDED, 4)


def test_needs_go_by_asyncflows_names() -> None:
    """What the bounds and FIFO think a task asks for is what asyncflow says it asked for."""
    limits = Limits(3, tools={"x": 1}, pools={"a": 2})
    asked = [dict(op.needs) for op in play(SMALL, limits).result.ops.values()]
    assert asked == [limits.needs(task) for task in SMALL.tasks]


# ── files and names ───────────────────────────────────────────────────────────────────────────────────────────────


def test_recorded_files() -> None:
    """Every recorded workflow can be read, and has its source and licence beside it."""
    sizes = {name: len(load(name).tasks) for name in names()}
    assert sizes == {
        "1000genome-8ch-100k": 208,
        "atacseq": 265,
        "epigenomics-hep-2seq-100k": 119,
        "j1206_7": 120,
        "j304_5": 30,
        "j6013_4": 60,
        "soykb-10fastq-10ch": 96,
    }
    told = (ROOT / "examples/replay/workflows/README.md").read_text()
    assert [name for name in sizes if f"`{name}`" not in told] == []


@pytest.mark.parametrize(("name", "message"), [("j", "j1206_7, j304_5, j6013_4"), ("soykp", "there is")])
def test_unknown_workflow(name: str, message: str) -> None:
    """A name that fits none or several is refused, and near ones are told."""
    with pytest.raises(ValueError, match=message):
        load(name)


def test_unknown_format(tmp_path: Path) -> None:
    """Another format, or a parent that stands behind its child, is refused by name."""
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"format": "odd-1"}))
    with pytest.raises(ValueError, match="has the format 'odd-1'; known are dagtrace-1, rcpsp-1"):
        load(str(path))
    path.write_text(
        json.dumps({"format": "dagtrace-1", "name": "odd", "tags": ["t"], "tasks": [[0, 1.0, [0], None, None]]})
    )
    with pytest.raises(ValueError, match="task 0 comes after"):
        load(str(path))


def test_find_tool() -> None:
    """Tools go by their name, by how it ends, or by their place; what is not clear is refused with help."""
    workflow = load("atacseq")
    assert find_tool(workflow, "#1") == next(iter(workflow.work_by_tool()))
    assert find_tool(workflow, "BWA_MEM") == "NFCORE_ATACSEQ.ATACSEQ.FASTQ_ALIGN_BWA.BWA_MEM"
    with pytest.raises(ValueError, match="tools end in 'SAMTOOLS_INDEX'"):
        find_tool(workflow, "SAMTOOLS_INDEX")
    with pytest.raises(ValueError, match="did you mean 'BWA_MEM'"):
        find_tool(workflow, "BWA_MEN")
    with pytest.raises(ValueError, match="no tool #99"):
        find_tool(workflow, "#99")


# ── the command line ──────────────────────────────────────────────────────────────────────────────────────────────


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the makespan beside bound and FIFO, and what became of each limit."""
    assert main(["j304_5", "--max-concurrent", "8", "--fifo"]) == 0
    told = capsys.readouterr().out
    rows = [line.split("  ")[1].strip() for line in told.splitlines() if line.startswith("  ")]
    assert rows == [
        "", "lower bound", "best known", "asyncflow", "FIFO", "strict FIFO",
        "limit", "max_concurrent", "r1", "r2", "r3", "r4", "(longest path)",
    ]  # fmt: skip


def test_command_with_tag_limits(capsys: pytest.CaptureFixture[str]) -> None:
    """Tag limits are given by tool; their peaks are shown."""
    assert main(["soykb", "--virtual", "--max-concurrent", "16", "--tag-limit", "haplotype_caller=6"]) == 0
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if "tool haplotype_caller" in line)
    assert row[:4] == ["tool", "haplotype_caller", "6", "6"]


def test_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a workflow the recorded ones are listed."""
    assert main([]) == 0
    told = capsys.readouterr().out
    assert [name for name in names() if name not in told] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no single recorded workflow"),
        (["soykb", "--tag-limit", "haplotype=6"], "has no tool"),
        (["soykb", "--tag-limit", "6"], "is not a name"),
        (["soykb", "--max-concurrent", "0"], "not at least 1"),
        (["soykb", "--scale", "0"], "is not above 0"),
        (["soykb", "--scale", "1", "--virtual"], "not allowed with"),
        (["j304_5", "--pool", "r1=1"], "could never start"),
    ],
)
def test_command_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input ends with a sentence and exit code 2."""
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert message in capsys.readouterr().err
