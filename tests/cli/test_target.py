"""Finding what is named: nearest names, and where a module breaks."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("flws:single", "there is no module 'flws'; did you mean 'flows'?"),
        ("nowhere_at_all:single", "there is no module 'nowhere_at_all' in "),
        ("asyncflow.nowhere:single", "there is no module 'asyncflow.nowhere'"),
        ("asyncflow.grph:single", "there is no module 'asyncflow.grph'; did you mean 'graph'?"),
        ("flows:singel", "flows has no 'singel'; did you mean 'single'?"),
        ("flows:xyzzyx", "flows has no 'xyzzyx'; it has flows:fetch"),
        ("flows", "say which graph or op of flows: it has flows:fetch, flows:count"),
        ("flows:not_a_graph", "flows:not_a_graph is no graph or op, but a value of type int"),
        ("flows:Page", "is no graph or op, but the class Page"),
        ("flows:asyncio", "is no graph or op, but the module asyncio"),
        ("os.path:join", "is no graph or op, but the function join; put @graph on it"),
        ("flows:loader.laod", "flows:loader has no 'laod'; did you mean 'load'?"),
        ("flows.py:singel", "flows.py has no 'singel'; did you mean 'single'?"),
        ("flws.py:single", "there is no file flws.py; did you mean 'flows.py'?"),
        ("nowhere/flows.py:single", "there is no file nowhere/flows.py"),
        ("a-b:single", "'a-b' is no name of a module"),
        (":single", "'' is no name of a module"),
        ("flows:", "say which graph or op of flows"),
    ],
)
def test_wrong_targets(command: Command, target: str, message: str) -> None:
    """What does not exist is answered with what does; exit code 2, one line."""
    said = command("run", target)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "importing broken_one failed: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("1 / 0", "importing broken_one failed: ZeroDivisionError: division by zero"),
        ("def f(:", "importing broken_one failed: SyntaxError"),
        ("from asyncflow import op\n@op(pool=3)\ndef f(): ...", "importing broken_one failed: pool must be a name"),
    ],
)
def test_modules_that_break(command: Command, folder: Path, text: str, message: str) -> None:
    """One line says what was raised and where; the traceback is there for the asking."""
    (folder / "broken_one.py").write_text(text)
    said = command("run", "broken_one:graph")
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert ("broken_one.py:1" in said.err) == ("op(pool" not in text)
    assert "Traceback" in command("run", "broken_one:graph", "--traceback").err


def test_a_file_in_a_folder(command: Command, folder: Path) -> None:
    """`jobs/nightly.py:job` is the module `jobs.nightly`, so that its imports of neighbours work."""
    (folder / "jobs").mkdir()
    (folder / "jobs" / "near.py").write_text("number = 3")
    (folder / "jobs" / "nightly.py").write_text(
        "from asyncflow import graph\nfrom jobs.near import number\n@graph\ndef job(): return number\n"
    )
    assert command("run", "jobs/nightly.py:job").out == "3\n"
    assert command("run", "jobs.nightly:job").out == "3\n"
    (folder / "my jobs").mkdir()
    (folder / "my jobs" / "lonely.py").write_text("from asyncflow import graph\n@graph\ndef job(): return 4\n")
    assert command("run", "my jobs/lonely.py:job").out == "4\n"


def test_nothing_of_a_name_commands_the_terminal(command: Command) -> None:
    """Escapes in what was written are shown as what they are not: commands."""
    said = command("run", "flows:\x1b[2Jx")
    assert "\x1b" not in said.err
