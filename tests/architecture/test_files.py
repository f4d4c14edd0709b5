"""What every file keeps to: size, name, reasons."""

import ast
import re

import pytest

from tests.architecture.source import PACKAGE, ROOT, functions, modules, project_files

LINES = 400
LONG = 40
"""Lines of a function that is long. Most are not."""

VERY_LONG = 60
VAGUE = frozenset(
    {"util", "utils", "helper", "helpers", "common", "base", "misc", "manager", "managers", "stuff", "lib"}
)
IGNORES = re.compile(
    r"#\s*(type: ignore|pyright: ignore|noqa)"
    r"(?P<codes>\[[\w\-, ]+\]|: ?[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)?"
    r"(?P<rest>.*)"
)
REASON = re.compile(r"^\s*(# )?(— ?)?\S+ \S+")


def test_files_are_short() -> None:
    """No file of the package has more than 400 lines; there is no list of exceptions."""
    long = {module.path: lines for module in modules() if (lines := len(module.text.splitlines())) > LINES}
    assert long == {}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the lines of a function, its docstring left out: what is public explains itself at length."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_functions_are_short() -> None:
    """Most functions have fewer than 40 lines, and none has more than 60."""
    lengths = {
        f"{module.at(function)} {function.name}": length(function)
        for module in modules()
        for function in functions(module.tree)
    }
    assert {place: lines for place, lines in lengths.items() if lines > VERY_LONG} == {}
    long = [place for place, lines in lengths.items() if lines > LONG]
    assert len(long) <= len(lengths) * 0.05, long


def test_file_names_are_nouns_of_the_glossary() -> None:
    """A file that could hold anything will."""
    vague = [module.path for module in modules() if set(module.name.lower().split(".")[-1].split("_")) & VAGUE]
    assert vague == []


@pytest.mark.parametrize("folder", ["src", "tests", "examples", "benchmarks"])
def test_every_ignore_has_a_code_and_a_reason(folder: str) -> None:
    """Whoever silences a tool says what and why: `# noqa: X — why`, `# type: ignore[code]  # — why`."""
    bare: list[str] = []
    for file in project_files():
        name = str(file.relative_to(ROOT))
        if (
            file.suffix != ".py"
            or not name.startswith(folder + "/")
            or name.startswith(("tests/typing", "tests/architecture"))
        ):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found = IGNORES.search(line)
            if found and not (found["codes"] and REASON.search(found["rest"])):
                bare.append(f"{name}:{number}: {line.strip()}")
    assert bare == []


def test_the_project_stands_alone() -> None:
    """Nothing in the project names what lies beside its clone."""
    outside = "../" + "shared"
    naming = [str(file.relative_to(ROOT)) for file in project_files() if outside in file.read_text(encoding="utf-8")]
    assert naming == []


def test_tests_mirror_the_rooms() -> None:
    """A folder of tests that is named like a room is a room's."""
    folders = {folder.name for folder in (ROOT / "tests").iterdir() if folder.is_dir() and folder.name[0] == "_"}
    assert {name for name in folders if name != "__pycache__" and not (PACKAGE / name).is_dir()} == set()


def test_every_test_says_what_must_hold() -> None:
    """A test has a docstring; whoever breaks it reads there what was meant."""
    tests = [file for file in project_files() if file.match("test_*.py") and ROOT / "tests" in file.parents]
    silent = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"
        for file in tests
        for function in functions(ast.parse(file.read_text(encoding="utf-8")))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_the_package_is_typed() -> None:
    """Type checkers of users read the annotations."""
    assert (PACKAGE / "py.typed").is_file()
