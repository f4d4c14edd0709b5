"""Inputs on the command line and in files become what the annotations say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

TYPED = """
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel

from asyncflow import graph, op

class Page(BaseModel):
    url: str
    size: int = 0

@dataclass
class Point:
    x: int
    y: int = 0

class Mode(enum.Enum):
    FAST = "fast"

class Opaque: pass

@graph
def text(x: str): return repr(x)
@graph
def number(x: int): return repr(x)
@graph
def real(x: float): return repr(x)
@graph
def flag(x: bool): return repr(x)
@graph
def maybe(x: int | None): return repr(x)
@graph
def either(x: int | str): return repr(x)
@graph
def path(x: Path): return repr(x.as_posix())
@graph
def day(x: date): return repr(x)
@graph
def mode(x: Mode): return repr(x)
@graph
def choice(x: Literal["a", "b"]): return repr(x)
@graph
def texts(x: list[str]): return repr(x)
@graph
def numbers(x: Sequence[int]): return repr(list(x))
@graph
def several(x: Iterable[str]): return repr(list(x))
@graph
def mapping(x: dict[str, int]): return repr(x)
@graph
def model(x: Page): return repr(x)
@graph
def record(x: Point): return repr(x)
@graph
def anything(x: Any): return repr(x)
@graph
def unsaid(x): return repr(x)
@graph
def doubled(x: Annotated[int, AfterValidator(lambda v: 2 * v)]): return repr(x)
@graph
def positional(x: int, /, y: int = 1): return repr((x, y))
@graph
def named(**more: int): return repr(more)
@graph
def opaque(x: Opaque): return repr(x)
@graph
def two(x: int, y: str = "b"): return repr((x, y))
@op
async def alone(x: Page, day: date): return f"{x.url} {day.year}"
"""


@pytest.fixture
def typed(folder: Path) -> None:
    """A module with a graph of each kind of input."""
    (folder / "typed.py").write_text(TYPED)


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("graph", "written", "value"),
    [
        ("text", "x=5", "'5'"),
        ("text", 'x="5"', "'\"5\"'"),
        ("text", "x=", "''"),
        ("text", "x=a=b", "'a=b'"),
        ("text", 'x:="5"', "'5'"),
        ("number", "x=5", "5"),
        ("number", "x=-5", "-5"),
        ("number", "x:=5", "5"),
        ("real", "x=1e3", "1000.0"),
        ("flag", "x=false", "False"),
        ("flag", "x=yes", "True"),
        ("maybe", "x=5", "5"),
        ("maybe", "x=null", "None"),
        ("either", "x=5", "'5'"),
        ("either", "x:=5", "5"),
        ("path", "x=a/b", "'a/b'"),
        ("day", "x=2026-11-24", "datetime.date(2026, 11, 24)"),
        ("mode", "x=fast", "<Mode.FAST: 'fast'>"),
        ("choice", "x=b", "'b'"),
        ("texts", 'x=["a", "b"]', "['a', 'b']"),
        ("numbers", "x=[1, 2]", "[1, 2]"),
        ("several", 'x=["ab"]', "['ab']"),
        ("mapping", 'x={"a": 1}', "{'a': 1}"),
        ("model", 'x={"url": "a", "size": "3"}', "Page(url='a', size=3)"),
        ("record", 'x={"x": 1}', "Point(x=1, y=0)"),
        ("anything", "x=5", "5"),
        ("anything", "x=five", "'five'"),
        ("unsaid", "x=[1]", "[1]"),
        ("unsaid", "x=1.10.2", "'1.10.2'"),
        ("doubled", "x=2", "4"),
        ("positional", "x=2", "(2, 1)"),
        ("named", "z=2", "{'z': 2}"),
    ],
)
def test_values(command: Command, graph: str, written: str, value: str) -> None:
    """Text where the annotation takes text, JSON where it does not, and JSON in any case behind `:=`."""
    said = command("run", f"typed:{graph}", "-i", written)
    assert (said.out, said.err.startswith("error")) == (f"{value}\n", False)


@pytest.mark.usefixtures("typed")
def test_an_op_gets_values_of_its_types(command: Command) -> None:
    """Ops do not check their inputs, so the command converts them: a model is a model, a date a date."""
    said = command("run", "typed:alone", "-i", 'x={"url": "a"}', "-i", "day=2026-11-24")
    assert said.out == "a 2026\n"


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("graph", "written", "message"),
    [
        ("number", ["x=five"], "number takes int as 'x'; x: Input should be a valid integer"),
        ("number", ["x:=five"], "--input x:= is no JSON"),
        ("model", ['x={"url": 1}'], "x['url']: Input should be a valid string"),
        ("numbers", ["x=[1, true, null]"], "x[2]: Input should be a valid integer"),
        ("several", ["x=ab"], "several takes"),
        ("choice", ["x=c"], "Input should be 'a' or 'b'"),
        ("opaque", ["x=1"], "cannot be written on a command line"),
        ("two", ["y=1"], "typed:two needs x=<int>: --input x=…"),
        ("two", ["x=1", "z=1"], "two has no input 'z'; it takes x, y"),
        ("two", ["x=1", "yy=1"], "did you mean 'y'?"),
        ("two", ["x=1", "x=2"], "--input x= is given twice"),
        ("two", ["x"], "must be key=value"),
        ("two", ["=1"], "must be key=value"),
    ],
)
def test_wrong_values(command: Command, graph: str, written: list[str], message: str) -> None:
    """Refused before anything runs, naming the input and what it takes."""
    said = command("run", f"typed:{graph}", *[part for one in written for part in ("--input", one)])
    assert (said.code, said.out) == (2, "")
    assert message in said.err


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("name", ["in.json", "in.yaml", "in.yml"])
def test_files(command: Command, folder: Path, name: str) -> None:
    """A file has inputs by name; one on the command line replaces that of the file."""
    (folder / name).write_text('{"x": 1, "y": "from the file"}')
    assert command("run", "typed:two", "--inputs", name).out == "(1, 'from the file')\n"
    assert command("run", "typed:two", "--inputs", name, "-i", "y=z").out == "(1, 'z')\n"


@pytest.mark.usefixtures("typed")
def test_a_file_with_models_and_dates(command: Command, folder: Path) -> None:
    """Values of a file are converted as JSON is."""
    (folder / "in.json").write_text(json.dumps({"x": {"url": "a"}, "day": "2026-11-24"}))
    assert command("run", "typed:alone", "--inputs", "in.json").out == "a 2026\n"


@pytest.mark.slow
def test_stdin(process: Command) -> None:
    """`--inputs -` reads JSON from stdin."""
    said = process("run", "flows:crawl", "--inputs", "-", stdin='{"urls": ["a"]}')
    assert (said.code, said.out) == (0, "[3]\n")


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("in.json", "[1]", "in.json must be an object of inputs by name, not list"),
        ("in.json", "{", "in.json is no JSON"),
        ("in.json", '{"x": 1, "x": 2}', "'x' stands there twice"),
        ("in.json", b"\xff", "in.json is no text in UTF-8"),
        ("in.yaml", "- 1", "in.yaml must be a mapping, not list"),
        ("in.yaml", "x: 1\nx: 2", "'x' stands there twice"),
        ("in.yaml", "x: [", "in.yaml, line 1 is no YAML"),
        ("in.json", None, "in.json cannot be read: No such file"),
        ("in.yaml", None, "in.yaml cannot be read: No such file"),
    ],
)
def test_wrong_files(command: Command, folder: Path, name: str, text: Any, message: str) -> None:
    """A file that cannot be read says why; nothing runs."""
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    said = command("run", "typed:two", "--inputs", name)
    assert said.code == 2
    assert message in said.err
