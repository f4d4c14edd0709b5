"""`asyncflow plan`: text, Mermaid, SVG; to stdout or a file; nothing runs."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_text(command: Command) -> None:
    """A line for each op: its name, what limits it, what it waits for; inputs that are missing stay open."""
    said = command("plan", "flows:crawl")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "crawl (at most 4)\n"
        "  → (input urls)\n"
        "  ● fetch[] × each  web  ← (input urls)\n"
        "  ● count[] × each       ← fetch[]\n"
        "  ■ result               ← count[]\n"
    )


def test_with_inputs(command: Command) -> None:
    """What the graph does with these inputs: items are known."""
    said = command("plan", "flows:crawl", "-i", 'urls=["a", "b"]')
    assert "fetch[0]" in said.out
    assert "fetch[1]" in said.out


def test_forms(command: Command) -> None:
    """Mermaid and SVG on stdout."""
    assert command("plan", "flows:single", "--format", "mermaid").out.startswith("flowchart TB\n")
    assert ET.fromstring(command("plan", "flows:single", "--format", "svg").out).tag.endswith("svg")  # noqa: S314 — our own picture


@pytest.mark.parametrize(
    ("name", "begins"),
    [("plan.svg", "<svg"), ("plan.mmd", "flowchart TB"), ("plan.txt", "single\n"), ("PLAN.SVG", "<svg")],
)
def test_files(command: Command, folder: Path, name: str, begins: str) -> None:
    """The end of a file's name says what is written into it."""
    assert command("plan", "flows:single", "-o", name).out == ""
    assert (folder / name).read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flows:fetch"], "flows:fetch is an op, and only graphs have a plan"),
        (["flows:looking"], "input 'number' of looking"),
        (["flows:broken", "-i", "number=0"], "broken could not be wired: ZeroDivisionError"),
        (["flows:crawl", "-i", "urls=3"], "crawl takes list"),
        (["flows:crawl", "-o", "nowhere/plan.svg"], "nowhere/plan.svg cannot be written"),
        (["flows:crawl", "--format", "png"], '"text", "mermaid", "svg"'),
        (["flows:crwl"], "did you mean 'crawl'?"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], message: str) -> None:
    """Exit code 2 and a line on stderr; nothing on stdout."""
    said = command("plan", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_nothing_runs(command: Command) -> None:
    """A plan calls no op."""
    assert "said by an op" not in command("plan", "flows:nothing").out
