"""The index of the standard library: on a small library made here, and on some files of the real one."""

import io
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import anyio
import pytest

from asyncflow import (
    OpBlocked,
    OpEnded,
    OpStarted,
    OpStatus,
    Outcome,
    RunEnded,
    RunResult,
    RunStarted,
    RunStatus,
)
from examples.stdlib_index import Report, build_index
from examples.stdlib_index.__main__ import main
from examples.stdlib_index.account import account
from examples.stdlib_index.database import Database
from examples.stdlib_index.imports import Known, link, resolve
from examples.stdlib_index.parsing import UnreadableSourceError, parse
from examples.stdlib_index.picture import picture
from examples.stdlib_index.progress import Progress
from examples.stdlib_index.ranking import is_test, rank, standings
from examples.stdlib_index.records import Function, Import, Module, Source, Text
from examples.stdlib_index.sources import choose, module_name
from examples.stdlib_index.workflow import capacities
from examples.usage import usage

LIBRARY = {
    "alpha.py": "import sys\nimport os.path\nfrom pack import helper, value\n\ndef run(a, *, b): ...\n",
    "broken.py": "def (:\n",
    "latin.py": "# coding: latin-1\nname = 'é'\n",
    "os.py": "import sys\n",
    "pack/__init__.py": "from .helper import value\nfrom . import helper\n\ndef main(): ...\n",
    "pack/helper.py": "from .. import nothing\nimport alpha\nimport nowhere\nvalue = 1\n",
    "pack/main.py": "from pack import main\n\nclass C:\n    async def m(self): ...\n",
    "site-packages/other.py": "import sys\n",
    "test/test_alpha.py": "import alpha\n",
}
"""A library of eight modules: names that are both module and function, a broken file, one in Latin-1, strangers."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The small library, indexed: `result` and the folder `out`."""
    root, out = tmp_path_factory.mktemp("library"), tmp_path_factory.mktemp("out")
    for path, text in LIBRARY.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(text.encode("latin-1"))
    return SimpleNamespace(result=_index(out, root=root), out=out, root=root)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Sixty files of the running Python's library, indexed: `result`, the folder `out` and the `events`."""
    out, events = tmp_path_factory.mktemp("out"), []
    return SimpleNamespace(result=_index(out, limit=60, observer=events.append), out=out, events=events)


def _index(out: Path, **options: object) -> RunResult[Report]:
    async def index() -> RunResult[Report]:
        return await build_index(out, **options)

    return anyio.run(index)


def _rows(out: Path, query: str) -> list[tuple]:
    connection = sqlite3.connect(out / "index.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# ── the whole job ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_imports_are_resolved(small: SimpleNamespace) -> None:
    """Every import becomes an edge to the module it means; strangers and the module itself do not."""
    assert small.result.errors == ()
    assert _rows(small.out, "SELECT importer, imported, line FROM imports ORDER BY 1, 2") == [
        ("alpha", "os", 2),
        ("alpha", "pack", 3),  # `value` is defined there
        ("alpha", "pack.helper", 3),
        ("alpha", "sys", 1),
        ("os", "sys", 1),
        ("pack", "pack.helper", 1),
        ("pack.helper", "alpha", 2),
        ("pack.main", "pack", 1),  # the function `main`, not the module
        ("test.test_alpha", "alpha", 1),
    ]


def test_functions_are_stored(small: SimpleNamespace) -> None:
    """Functions go by their qualified names, with parameters and kind."""
    assert _rows(small.out, "SELECT module, name, line, parameters, is_async FROM functions ORDER BY 1, 2") == [
        ("alpha", "run", 5, 2, 0),
        ("pack", "main", 4, 0, 0),
        ("pack.main", "C.m", 4, 1, 1),
    ]


def test_broken_files_are_reported(small: SimpleNamespace) -> None:
    """A file that cannot be parsed fails its op, not the run: it is stored with the reason."""
    assert small.result.status is RunStatus.SUCCEEDED
    assert [key for key, op in small.result.ops.items() if op.status is OpStatus.FAILED] == ["parse[1]"]
    assert small.result.output.problems == [{"path": "broken.py", "problem": "SyntaxError: invalid syntax"}]
    assert _rows(small.out, "SELECT count(*), count(lines) FROM modules") == [(8, 7)]


def test_totals(small: SimpleNamespace) -> None:
    """The report counts everything; what lies in site-packages is not of the library."""
    assert {**small.result.output.totals, "bytes": 0} == {
        "modules": 8,
        "unreadable": 1,
        "bytes": 0,
        "lines": 21,
        "classes": 1,
        "functions": 3,
        "imports": 9,
    }


def test_same_library_same_bytes(small: SimpleNamespace, tmp_path: Path) -> None:
    """Whatever order the threads ran in, report, picture and tables have the same content."""
    _index(tmp_path, root=small.root)
    for name in ("report.json", "most-imported.svg"):
        assert (tmp_path / name).read_bytes() == (small.out / name).read_bytes()
    for name in ("modules", "functions", "imports"):
        assert _rows(tmp_path, f"SELECT * FROM {name}") == _rows(small.out, f"SELECT * FROM {name}")  # noqa: S608 — names from here


def test_real_files(real: SimpleNamespace) -> None:
    """Sixty real files pass all four ops, and everything is written."""
    result = real.result
    assert (result.status, result.errors) == (RunStatus.SUCCEEDED, ())
    counts = {
        stage: sum(key.startswith(f"{stage}[") for key in result.ops) for stage in ("read", "parse", "link", "write")
    }
    assert counts == {"read": 60, "parse": 60, "link": 60, "write": 60}
    assert json.loads((real.out / "report.json").read_text())["totals"]["modules"] == 60
    assert _rows(real.out, "SELECT count(*) FROM modules") == [(60,)]
    assert ET.parse(real.out / "most-imported.svg").getroot().tag.endswith("svg")  # noqa: S314 — our own picture
    assert sorted(path.name for path in real.out.iterdir()) == ["index.db", "most-imported.svg", "report.json"]


def test_limits_hold(real: SimpleNamespace) -> None:
    """The peak of every limit is at most its capacity, and the writer is alone."""
    peaks = {name: use.peak for name, use in usage(real.result).items()}
    assert set(peaks) == set(capacities())
    assert {name for name, peak in peaks.items() if peak > capacities()[name]} == set()
    assert peaks["db"] == 1


def test_files_move_on_by_themselves(real: SimpleNamespace) -> None:
    """No step waits for all files: some are written before others are read."""
    ops = real.result.ops
    written = [ops[f"write[{i}]"].ended_at for i in range(60)]
    read = [ops[f"read[{i}]"].started_at for i in range(60)]
    assert min(written) < max(read)


# ── progress and account ──────────────────────────────────────────────────────────────────────────────────────────


def test_progress_of_a_run(real: SimpleNamespace) -> None:
    """The events of a real run end in a line that says all is done."""
    stream = io.StringIO()
    progress = Progress(stream, live=False, stages=("read", "parse", "link", "write"))
    for event in real.events:
        progress(event)
    last = stream.getvalue().splitlines()[-1]
    assert last.split("of 60 ")[0].endswith(" 100% ")
    failed = len(real.result.output.problems)
    tail = f"  {failed} failed" if failed else ""
    assert last.endswith(f"read 60  parse 60  link 60  write 60{tail}")


def _events() -> Iterator[object]:
    run = ("r", "g")
    yield RunStarted(10.0, *run)
    yield OpStarted(10.0, *run, "read[0]")
    yield OpBlocked(10.0, *run, "read[1]", ("disk",))
    yield OpEnded(11.0, *run, "read[0]", OpStatus.SUCCEEDED)
    yield OpStarted(11.0, *run, "parse[0]")
    yield OpEnded(13.5, *run, "parse[0]", OpStatus.FAILED)
    yield RunEnded(14.0, *run, RunStatus.SUCCEEDED)


def test_progress_in_plain_lines() -> None:
    """Elsewhere than on a terminal it writes a line every two seconds, and one at the end."""
    stream = io.StringIO()
    progress = Progress(stream, live=False, stages=("read", "parse"))
    for event in _events():
        progress(event)
    assert stream.getvalue().splitlines() == [
        "  0.0 s  looking for source files",
        "  3.5 s  ██████░░░░░░  50% of 2  read 1  parse 1  1 failed",
        "  4.0 s  ██████░░░░░░  50% of 2  read 1  parse 1  1 failed",
    ]


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal one line is replaced in place, and what does not fit into the window is left out."""
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    progress = Progress(stream, live=True, stages=("read", "parse"))
    for event in _events():
        progress(event)
    first, *lines = stream.getvalue().split("\r\x1b[2K")
    assert (first, len(lines)) == ("", 3 + 1)
    assert [line.endswith("\n") for line in lines] == [False, False, False, True]
    assert lines[-1] == "  4.0 s  ███░░░  50% of 2  read 1\n"


def test_account(real: SimpleNamespace) -> None:
    """The account names every op and every limit; what ops waited for is no more than the time they were blocked."""
    told = account(real.result, capacities())
    expected = ("read", "parse", "link", "write", "rank", *capacities())
    assert [name for name in expected if f"\n  {name} " not in told] == []
    assert set(real.result.waits) <= {*capacities(), "order"}
    assert sum(real.result.waits.values()) <= sum(op.blocked for op in real.result.ops.values()) + 1e-3


# ── the pieces ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "importer", "target"),
    [
        (Import("os.path", None, 0, 1), "a.py", "os"),
        (Import("pack.sub", None, 0, 1), "a.py", "pack.sub"),
        (Import("pack", "sub", 0, 1), "a.py", "pack.sub"),
        (Import("pack", "main", 0, 1), "a.py", "pack"),  # a function of the package, which hides the module
        (Import("pack", "*", 0, 1), "a.py", "pack"),
        (Import("", "sub", 1, 1), "pack/other.py", "pack.sub"),
        (Import("", "sub", 1, 1), "pack/__init__.py", "pack.sub"),
        (Import("sub", "x", 2, 1), "pack/deep/x.py", "pack.sub"),
        (Import("", "x", 3, 1), "pack/x.py", None),
        (Import("numpy", None, 0, 1), "a.py", None),
    ],
)
def test_resolve(written: Import, importer: str, target: str | None) -> None:
    """An import means the module Python would import, or nothing where that is not of the library."""
    known = Known(
        frozenset({"os", "pack", "pack.sub", "pack.main", "pack.deep", "pack.deep.x"}), frozenset({"pack.main"})
    )
    assert resolve(written, Source("/", importer, module_name(importer)), known) == target


def test_parse() -> None:
    """Functions and imports are found however deep they stand."""
    lines = [
        "try:",
        "  import a",
        "except ImportError:",
        "  from b import c",
        "match 1:",
        "  case 1:",
        "    def f(x, /, *a, **k):",
        "      import d",
    ]
    text = "\n".join(lines) + "\n"
    parsed = parse.fn(Text(Source("/", "m.py", "m"), text.encode()))
    assert parsed.imports == (Import("a", None, 0, 2), Import("b", "c", 0, 4), Import("d", None, 0, 8))
    assert parsed.functions == (Function("f", 7, 2, 3, is_async=False),)
    assert parsed.lines == 8


@pytest.mark.parametrize("data", [b"def (", b"a\0b", b"# coding: nonsense\n", b"'\xff'"])
def test_parse_refuses(data: bytes) -> None:
    """Whatever Python would refuse is one kind of error, which names the file."""
    with pytest.raises(UnreadableSourceError, match=r"^m\.py: "):
        parse.fn(Text(Source("/", "m.py", "m"), data))


def test_link_passes_defects_on() -> None:
    """Only unreadable files are tolerated: any other failure of a parse is raised again."""
    with pytest.raises(KeyError):
        link.fn(Outcome(OpStatus.FAILED, error=KeyError("defect")), Known(frozenset(), frozenset()))


def test_choose() -> None:
    """A limit takes files evenly spread over all, in order of their paths."""
    sources = [Source("/", f"{i}.py", f"{i}") for i in range(9)]
    assert [source.path for source in choose([sources[5:], sources[:5]], 3)] == ["0.py", "3.py", "6.py"]
    assert choose([sources], None) == choose([sources], 100) == sources


def test_rank() -> None:
    """What all import stands first; ranks make 1 together, whatever the modules that import nothing."""
    ranks = rank.fn([("a", "core"), ("b", "core"), ("b", "a"), ("test.x", "b")])
    assert max(ranks, key=lambda name: ranks[name]) == "core"
    assert sum(ranks.values()) == pytest.approx(1.0)
    assert rank.fn([]) == {}


def test_standings() -> None:
    """Importers in the library count first, those in its tests apart."""
    edges = [("a", "x"), ("test.t", "x"), ("test.t", "y"), ("test.u", "y"), ("b", "z")]
    found = standings.fn(edges, rank.fn(edges))
    assert [(one.module, one.importers, one.tests) for one in found] == [("x", 1, 1), ("z", 1, 0), ("y", 0, 2)]
    assert [is_test(name) for name in ("test.x", "idlelib.idle_test.y", "unittest.case", "doctest")] == [
        True,
        True,
        False,
        False,
    ]


def test_database_refuses_two_at_once(tmp_path: Path) -> None:
    """Where the pool's limit is forgotten, the second writer raises instead of joining the first one's transaction."""
    with Database(tmp_path / "index.db") as database:
        with database._alone(), pytest.raises(RuntimeError, match="give the pool 'db' the limit 1"):
            database.write.fn(Module(Source("/", "m.py", "m"), None, problem="x"))
        database.write.fn(Module(Source("/", "m.py", "m"), None, problem="x"))
        assert database.totals.fn()["unreadable"] == 1


def test_database_takes_back(tmp_path: Path) -> None:
    """A write that fails leaves nothing of itself."""
    module = Module(Source("/", "m.py", "m"), None, imported=(("a", 1), ("b", None)))
    with Database(tmp_path / "index.db") as database:
        with pytest.raises(sqlite3.IntegrityError):
            database.write.fn(module)
        assert database.totals.fn()["modules"] == 0


def test_picture_of_nothing() -> None:
    """No imports at all give a picture without bars."""
    totals = dict.fromkeys(("modules", "functions", "imports"), 0)
    drawn = ET.fromstring(picture(Report("3.x", totals, [], [])))  # noqa: S314 — our own picture
    assert [node for node in drawn if node.get("class") == "bar"] == []


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command tells progress, account and result, and leaves the interpreter as it was."""
    before = sys.getswitchinterval()
    assert main(["--out", str(tmp_path / "deep" / "out"), "--limit", "12"]) == 0
    told = capsys.readouterr().out
    for part in (
        "looking for source files",
        "% of 12 ",
        "What ran: ",
        "The limits: ",
        "Where the time went: ",
        "12 source files",
    ):
        assert part in told
    assert sys.getswitchinterval() == before


def test_command_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """A limit below 1 ends with a sentence and exit code 2."""
    with pytest.raises(SystemExit) as refused:
        main(["--limit", "0"])
    assert refused.value.code == 2
    assert "at least 1" in capsys.readouterr().err
