"""Where the extra `cli` is not installed, and what importing costs others."""

import subprocess
import sys

import pytest

from tests.cli.conftest import SOURCE

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def run(script: str) -> "subprocess.CompletedProcess[str]":
    """Runs a script on this project."""
    return subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_one_line_says_what_to_install(missing: str) -> None:
    """Exit code 2, the command to type, no traceback."""
    done = run(HIDE.replace("{hidden}", repr({missing})) + "from asyncflow.cli import main\nsys.exit(main(['run']))")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "the command asyncflow needs cyclopts and rich: pip install 'asyncflow-executor[cli]'\n"


@pytest.mark.slow
def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    """A defect of the command is told as one."""
    done = run(HIDE.replace("{hidden}", repr({"shutil"})) + "import asyncflow.cli")
    assert "No module named 'shutil'" in done.stderr


@pytest.mark.slow
def test_the_library_does_not_import_the_command() -> None:
    """`import asyncflow` loads nothing of it."""
    done = run(
        "import sys, asyncflow, asyncflow.testing; print([m for m in sys.modules if m.startswith('asyncflow.cli')])"
    )
    assert done.stdout.strip() == "[]"
