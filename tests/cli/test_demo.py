"""`asyncflow demo`: the example, from wherever it is."""

import re
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from asyncflow.cli import demo as module
from asyncflow.errors import ConfigurationError
from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_example_runs(process: Command, folder: Path) -> None:
    """Twelve files are indexed into the folder that was named."""
    said = process("demo", "--limit", "12", "--out", "here", "--plain", PYTHONWARNINGS="default")
    assert said.code == 0, said.err
    assert "12 source files" in said.out
    connection = sqlite3.connect(folder / "here" / "index.db")
    assert connection.execute("SELECT count(*) FROM modules").fetchone() == (12,)
    connection.close()


def test_an_installation_without_the_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where neither copy is there, that is said."""
    monkeypatch.setattr(module, "_FOLDERS", (tmp_path,))
    with pytest.raises(ConfigurationError, match="the example is not part of this installation"):
        module.demo(tmp_path, None, plain=True)


@pytest.mark.slow
def test_the_wheel_has_the_example(tmp_path: Path) -> None:
    """So is every module that it imports, and all of the package; nothing stands beside the package."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    prefix = "asyncflow/cli/_demo/"
    inside = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "examples" / "stdlib_index").glob("*.py")}
    beside = {"examples/__init__.py", "examples/table.py", "examples/usage.py"}
    assert inside == sources | beside
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in inside]
    imported = {found for text in texts for found in re.findall(r"^from (examples\.\w+)", text, re.MULTILINE)}
    assert {name for name in imported if f"{name.replace('.', '/')}.py" not in beside} == {"examples.stdlib_index"}
    package = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert package <= set(names)
    assert {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} == {"asyncflow"}
