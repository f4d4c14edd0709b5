"""The typed surface: right uses pass, wrong ones are reported, line by line, by two checkers; two more are told about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = [HERE / "right.py", HERE / "wrong.py"]
MARK = "# error"

Line = tuple[str, int]


def expected(files: list[Path] = FILES) -> set[Line]:
    """Returns the lines that must be reported: those that end with the mark."""
    return {
        (file.name, number)
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.endswith(MARK)
    }


def run(*command: str) -> str:
    """Returns what a checker prints; it ends with 1 where it reports something."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> str | None:
    """Returns a checker beside this interpreter, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def reported(text: str, pattern: str) -> set[Line]:
    """Returns file name and line of every error in a checker's text."""
    return {(Path(found[1]).name, int(found[2])) for found in re.finditer(pattern, text, re.MULTILINE)}


def mypy() -> set[Line]:
    """Returns the lines mypy --strict reports."""
    text = run(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, FILES))
    return reported(text, r"^(.+?):(\d+)(?::\d+)?: error")


def pyright() -> set[Line]:
    """Returns the lines pyright reports; pyproject.toml makes it strict."""
    text = run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *map(str, FILES))
    found = json.loads(text)["generalDiagnostics"]
    return {(Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in found if d["severity"] == "error"}


def compare(found: set[Line]) -> None:
    """Fails where a wrong use is missed or a right one reported."""
    missed = sorted(expected() - found)
    false = sorted(found - expected())
    assert (missed, false) == ([], [])


@pytest.mark.timeout(300)
def test_mypy_reports_exactly_the_wrong_uses() -> None:
    """mypy --strict reports every marked line and no other."""
    compare(mypy())


@pytest.mark.timeout(300)
def test_pyright_reports_exactly_the_wrong_uses() -> None:
    """Pyright strict reports every marked line and no other."""
    compare(pyright())


@pytest.mark.parametrize(
    ("name", "command", "pattern"),
    [
        ("ty", ("check", "--output-format", "concise"), r"^(.+?):(\d+):\d+: error"),
        ("pyrefly", ("check", "--output-format", "min-text"), r"^\s*ERROR (.+?):(\d+):"),
    ],
)
@pytest.mark.timeout(300)
def test_other_checkers_are_told_about(name: str, command: tuple[str, ...], pattern: str) -> None:
    """ty and pyrefly are counted and printed, and gate nothing: both are young."""
    path = tool(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    found = reported(run(path, *command, *map(str, FILES)), pattern)
    missed, false = sorted(expected() - found), sorted(found - expected())
    print(
        f"{name}: {len(expected()) - len(missed)} of {len(expected())} wrong uses reported, {len(false)} false errors"
    )
    print(f"  missed: {missed}\n  false: {false}")


def test_every_kind_of_use_is_there() -> None:
    """The files stay full: a mark lost in an edit would make the gate weaker without a sound."""
    assert len(expected()) >= 75
    assert expected([HERE / "right.py"]) == set()
