"""Every benchmark at tiny sizes, so that none rots. Nothing here asserts a time."""

import asyncio
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import by_hand
from benchmarks.__main__ import ALL, LONG, main
from benchmarks.core import Situation
from benchmarks.graphs import contenders_of
from benchmarks.rounds import Clock, Rounds, in_turns
from benchmarks.scale import TINY
from benchmarks.shapes import DIAMOND, Shape, chain, fan, layered, noop, once
from benchmarks.table import Table

IN_PROCESSES = {"imports", "million", "stream"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in IN_PROCESSES else []) for n in ALL])
def test_every_benchmark_runs(name: str) -> None:
    """Each gives tables whose figures are numbers above zero."""
    tables = list(ALL[name](TINY))
    assert tables
    for table in tables:
        assert table.rows, table.title
        figures = [figure for _, row in table.rows for figure in row if figure is not None]
        assert all(math.isfinite(figure) and figure > 0 for figure in figures), table.lines()


@pytest.mark.parametrize("shape", [DIAMOND, chain(7), fan(9), layered(250)], ids=["diamond", "chain", "fan", "layers"])
@pytest.mark.parametrize("body", [noop, once])
def test_all_contenders_do_the_same_work(shape: Shape, body: by_hand.Body) -> None:
    """By hand or by asyncflow, in any way, a graph gives one result for each op."""

    async def all_of_them() -> dict[str, object]:
        return {name: await run() for name, run in contenders_of(shape, body).items()}

    given = asyncio.run(all_of_them())
    assert given == dict.fromkeys(given, [1] * len(shape))


def test_shapes_are_what_they_are_called() -> None:
    """Ids are in topological order; layers read two or three of the layer before; the seed fixes them."""
    assert chain(3) == [(), (0,), (1,)]
    assert fan(4) == [(), (0,), (0,), (1, 2)]
    shape = layered(1_000)
    assert shape == layered(1_000)
    assert [len(inputs) for inputs in shape[:100]] == [0] * 100
    assert all(
        len(inputs) in (2, 3) and {j // 100 for j in inputs} == {i // 100 - 1}
        for i, inputs in enumerate(shape)
        if i >= 100
    )


def test_a_contender_that_does_not_do_the_work_is_refused() -> None:
    """Who gives something else than expected is not measured."""

    async def idle() -> list[int]:
        return []

    with pytest.raises(ValueError, match=r"idle gave \[\], not \[1\]"):
        in_turns({"idle": idle}, rounds=1, clock=Clock(), expected=[1])


def test_contenders_take_turns() -> None:
    """Each once beforehand, then in rounds, every second one backwards."""
    order: list[str] = []

    async def a() -> None:
        order.append("a")

    async def b() -> None:
        order.append("b")

    in_turns({"a": a, "b": b}, rounds=3, clock=Clock())
    assert "".join(order) == "ababbaab"


def test_ratios_are_taken_inside_rounds() -> None:
    """A machine that becomes three times slower between two rounds changes no ratio."""
    rounds = Rounds({"floor": [1.0, 3.0, 1.0], "other": [2.0, 6.0, 2.0]})
    assert rounds.ratio("other", "floor") == 2.0
    assert rounds.seconds("other") == 2.0


def test_a_situation_that_dies_out_is_refused() -> None:
    """Where nobody runs any more, there is nothing to measure, and no figure."""
    from asyncflow._limits import Admission

    core = Admission()
    party = core.party(core.group("run"))
    situation = Situation(core, [(party, core.demand([(core.limit("paused", 0), 1)]))])
    with pytest.raises(ValueError, match="nobody runs any more"):
        situation.turn(1)


def test_a_row_of_another_length_is_refused() -> None:
    """A figure under the wrong column would be a lie."""
    table = Table("t", (("a", 1), ("b", 1)))
    with pytest.raises(ValueError, match="x has 1 figures for 2 columns"):
        table.add("x", 1.0)


def test_the_command_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` has what is printed, and what it was measured on."""
    file = tmp_path / "figures.json"
    main(["--quick", "--rounds", "1", "--only", "wiring", "--json", str(file)])
    written = json.loads(file.read_text())
    assert written["about"]["scale"] == "quick"
    assert written["about"]["garbage collector"] == "off while measuring"
    [table] = written["tables"]["wiring"]
    assert table["title"] in capsys.readouterr().out
    assert {"body µs/op", "freeze µs/op", "both µs/op"} == set(table["rows"]["chain of 200"])


def test_the_long_one_runs_only_by_name() -> None:
    """A million ops or items take minutes; nobody gets them by accident."""
    assert {"million", "stream"} == LONG
    assert set(ALL) > LONG


@pytest.mark.slow
def test_the_command_of_the_readme_runs() -> None:
    """`python -m benchmarks` from the root of the project."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--only", "memory"]
    out = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert "bytes per op" in out.stdout
