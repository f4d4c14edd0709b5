"""`asyncflow run`: what comes out, where, and with which exit code."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own(process: Command) -> None:
    """The result goes to stdout and nothing else does; how it ended goes to stderr, without a colour in it."""
    said = process("run", "flows:crawl", "--input", 'urls=["a.org", "bb.org"]', "-i", "factor=2")
    assert (said.code, said.out) == (0, "[14, 16]\n")
    note, ended = said.err.splitlines()[:2]
    assert note == "note: pool 'web' has no limit: it is unlimited"
    assert ended.startswith("✔ crawl SUCCEEDED in ")
    assert ended.endswith(" · 4 ops")
    assert "\x1b" not in said.err


def test_a_failed_run(command: Command) -> None:
    """Exit code 1; every failure by its key, in the order of failing; nothing on stdout; the traceback when asked."""
    said = command("run", "flows:checked", "-i", "numbers=[1, -2, -3]")
    assert (said.code, said.out) == (1, "")
    lines = said.err.splitlines()
    assert "FAILED" in lines[0]
    assert lines[0].endswith("3 ops, 2 failed")
    assert [line.strip() for line in lines if "ValueError" in line] == [
        "check[1]  ValueError: -2 is below zero",
        "check[2]  ValueError: -3 is below zero",
    ]
    assert "Traceback" not in said.err
    assert "Traceback" in command("run", "flows:checked", "-i", "numbers=[-1]", "--traceback").err


def test_a_tolerated_failure_is_none(command: Command) -> None:
    """What `settled` keeps counts neither for the exit code nor among the failures that are told."""
    said = command("run", "flows:tolerant", "-i", "number=-1")
    assert said.code == 0
    assert "1 failed" in said.err
    assert "ValueError" not in said.err


@pytest.mark.parametrize(
    ("target", "printed"),
    [("flows:fetch", "<a>\n"), ("flows:bound", "<a>\n"), ("flows:single", "3\n"), ("flows.py:single", "3\n")],
)
def test_ops_graphs_and_files(command: Command, target: str, printed: str) -> None:
    """An op runs as a graph does; text is printed as it is, anything else as Python writes it."""
    assert command("run", target, "-i", "url=a").out == printed


def test_a_graph_without_a_result(command: Command) -> None:
    """None prints nothing; what ops print stays on stdout."""
    assert command("run", "flows:nothing").out == "said by an op\n"


def test_a_method_of_an_instance(command: Command) -> None:
    """`module:instance.method` is bound; through the class there is no instance, and that is said."""
    assert command("run", "flows:loader.load", "-i", "key=a").out == "A\n"
    said = command("run", "flows:Loader.load", "-i", "key=a")
    assert said.code == 2
    assert "there is no instance to call it on: name one, module:instance.method" in said.err


def test_json(command: Command) -> None:
    """One JSON document on stdout has everything; what ops print goes to stderr instead."""
    said = command("run", "flows:crawl", "-i", 'urls=["a", "b"]', "--json")
    document = json.loads(said.out)
    assert (said.code, document["status"], document["output"], document["graph"]) == (0, "SUCCEEDED", [3, 3], "crawl")
    assert {key: op["status"] for key, op in document["ops"].items()} == dict.fromkeys(
        ["fetch[0]", "fetch[1]", "count[0]", "count[1]"], "SUCCEEDED"
    )
    assert set(document) == {
        "run_id", "graph", "status", "reason", "seconds", "queued", "output", "errors", "ops", "waits",
    }  # fmt: skip
    said = command("run", "flows:nothing", "--json")
    assert json.loads(said.out)["output"] is None
    assert "said by an op" in said.err


def test_json_of_a_failure(command: Command) -> None:
    """Status, errors with their ops, and who was abandoned because of whom."""
    said = command("run", "flows:checked", "-i", "numbers=[-2]", "--json")
    document = json.loads(said.out)
    error = {"type": "ValueError", "message": "-2 is below zero"}
    assert (said.code, document["status"], document["output"]) == (1, "FAILED", None)
    assert document["errors"] == [{"op": "check[0]", **error}]
    assert document["ops"]["check[0]"]["error"] == error


def test_json_of_what_is_no_json(command: Command) -> None:
    """An output without a JSON form is null, with its beginning beside; a number that JSON lacks is text."""
    document = json.loads(command("run", "flows:opaque", "--json").out)
    assert document["output"] is None
    assert document["output_repr"].startswith("<flows.Opaque object")
    assert json.loads(command("run", "flows:not_a_number", "--json").out)["output"] == "NaN"


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_what_cannot_be_shown(command: Command, more: list[str]) -> None:
    """An exception or a value that raises when it is looked at does not hide how the run ended."""
    said = command("run", "flows:mute", "-i", "fails=true", *more)
    assert said.code == 1
    assert "mute  Mute: (its message cannot be read)" in said.err
    said = command("run", "flows:mute", "-i", "fails=false", *more)
    assert (said.code, "repr-error" in said.out) == (0, True)


def test_json_of_what_never_started(command: Command) -> None:
    """A program that reads stdout finds a document there too: status null, and the error."""
    said = command("run", "flows:crawl", "--json")
    assert said.code == 2
    document = json.loads(said.out)
    assert (document["status"], document["error"]["type"]) == (None, "InputError")
    assert document["error"]["message"] in said.err


def test_deployments(command: Command, folder: Path) -> None:
    """A deployment, a branch of one, or a file of limits: the run is under them."""
    assert command("run", "flows:single", "--deployment", "flows:prod").out == "7\n"
    assert command("run", "flows:single", "--deployment", "flows:branch").out == "7\n"
    (folder / "limits.yaml").write_text("concurrency:\n  pools:\n    strict: true\n    limits: {db: 1}\n")
    said = command("run", "flows:single", "--concurrency", "limits.yaml")
    assert said.code == 2
    assert "web" in said.err


def test_a_refused_run(command: Command) -> None:
    """A queue that is full refuses: exit code 3, as JSON too."""
    said = command("run", "flows:single", "--deployment", "flows:full", "--json")
    assert said.code == 3
    assert json.loads(said.out)["error"]["type"] == "RunRejected"


def test_a_part(command: Command) -> None:
    """`--select` runs a part; what it still needs is said, and an unknown name answered; an op has no parts."""
    assert command("run", "flows:single", "--select", "*count").out == "{'fetch': '<a.org>', 'count': 7}\n"
    said = command("run", "flows:single", "--select", "count")
    assert (said.code, said.out) == (2, "")
    assert "also needs the value of 'fetch'" in said.err
    assert "did you mean 'fetch'?" in command("run", "flows:single", "--select", "fetsh").err
    assert "is an op, and --select belongs to graphs" in command("run", "flows:fetch", "--select", "fetch").err
    planned = command("plan", "flows:single", "--select", "fetch").out.splitlines()
    assert [line.split()[1] for line in planned[1:]] == ["fetch", "result"]


def test_options_of_the_run(command: Command) -> None:
    """Cap, tags and priority belong to graphs; on an op they are refused by name."""
    assert command("run", "flows:single", "--max-concurrent", "1", "--tag", "team=a", "--priority", "3").code == 0
    said = command("run", "flows:fetch", "-i", "url=a", "--tag", "team=a", "--max-concurrent", "1")
    assert said.code == 2
    assert "flows:fetch is an op, and --max-concurrent, --tag belongs to graphs" in said.err


def test_a_run_that_asks_for_more_than_there_is_waits_for_nobody(command: Command) -> None:
    """`--max-concurrent -1` is refused before anything starts, with the rule for limits."""
    said = command("run", "flows:single", "--max-concurrent", "-1")
    assert (said.code, said.out) == (2, "")
    assert "max_concurrent must not be negative" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "TARGET"),
        (["rnu", "flows:single"], 'Did you mean "run"?'),
        (["run", "flows:single", "--jsno"], "Did you mean --json?"),
        (["run", "flows:single", "--priority", "high"], "--priority"),
        (["run", "flows:single", "--tag", "team"], "--tag 'team' must be key=value"),
        (["run", "flows:broken", "-i", "number=0"], "broken could not be wired: ZeroDivisionError"),
        (["run", "flows:single", "--deployment", "flows:single"], "is no deployment"),
        (["run", "flows:single", "--deployment", "flows:prd"], "flows has no 'prd'; did you mean 'prod'?"),
        (["run", "flows:single", "--deployment", "flows:prod", "--concurrency", "x"], "leave --concurrency"),
        (["run", "flows:single", "--concurrency", "none.yaml"], "none.yaml cannot be read"),
        (["demo", "--limit", "0"], "--limit must be at least 1"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], message: str) -> None:
    """One line on stderr says what is wrong, nothing is on stdout, no traceback, exit code 2."""
    said = command(*arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err


def test_an_op_that_leaves_the_process(command: Command) -> None:
    """SystemExit of an op leaves as itself, with its own code."""
    with pytest.raises(SystemExit) as left:
        command("run", "flows:leave")
    assert left.value.code == 7


def test_version_and_help(command: Command) -> None:
    """Both end with 0; without any argument the commands are listed."""
    assert command("--version").out.strip()[0].isdigit()
    assert (command("--help").code, command().code) == (0, 0)
    assert "Exit codes:" in command("run", "--help").out


@pytest.mark.slow
def test_a_reader_that_went_away(process: Command, folder: Path) -> None:
    """`asyncflow run … | head -1` complains about nothing."""
    import subprocess
    import sys

    script = f"{sys.executable} -m asyncflow run flows:crawl -i 'urls={json.dumps(['x'] * 9)}' | true"
    assert process("--version").code == 0
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_run_that_is_kept_goes_on(command: Command, tmp_path: Path) -> None:
    """Given --store: a run that failed says how to go on, and going on does not run again what succeeded."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    given = ["run", "flows:checked", "-i", "numbers=[1, -2]", "--store", store]
    said = command(*given)
    assert said.code == 1
    last = said.err.splitlines()[-1]
    assert last.startswith("to go on: --resume-from ")
    again = command(*given, "--resume-from", last.rpartition(" ")[2], "--json")
    ops = json.loads(again.out)["ops"]
    assert [ops[key]["status"] for key in ("check[0]", "check[1]")] == ["REUSED", "FAILED"]
    other = command("run", "flows:checked", "-i", "numbers=[1, 3]", "--store", store, "--resume-from", last[24:])
    assert (other.code, "had another 'numbers'" in other.err) == (2, True)
    alone = command("run", "flows:fetch", "-i", "url=a", "--resume-from", "unknown")
    assert (alone.code, "has no store" in alone.err) == (2, True)
    bound = command("run", "flows:bound", "--store", store)
    assert (bound.code, "in the code, Deployment(store=…)" in bound.err) == (2, True)
