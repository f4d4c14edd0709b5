"""Clean environments: each Python, the lowest versions of what is needed, every loop. `just nox` runs them all."""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests on one Python."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """All tests with the lowest versions that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.13")
@nox.parametrize("loop", ["debug", "eager", "uvloop"])
def loops(session: nox.Session, loop: str) -> None:
    """All async tests on another flavour of loop."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", "--loop", loop, *session.posargs)


@nox.session(python="3.13")
def bare(session: nox.Session) -> None:
    """The package without any extra: it imports, and runs a graph."""
    session.install(".")
    session.run("python", "-c", "import asyncflow, asyncflow.testing")


@nox.session(python="3.13")
def optimised(session: nox.Session) -> None:
    """All tests under `python -O`, which removes assert statements from the package (pytest keeps those of tests)."""
    session.install("-e", ".[test]")
    session.run("python", "-O", "-m", "pytest", "-q", "-W", "ignore::pytest.PytestConfigWarning", *session.posargs)


@nox.session(python="3.13")
def types(session: nox.Session) -> None:
    """Type checkers: mypy and pyright decide, ty and pyrefly are reported."""
    session.install("-e", ".[test]", "ty", "pyrefly")
    session.run("mypy")
    session.run("pyright")
    session.run("ty", "check", "src", success_codes=[0, 1])
    session.run("pyrefly", "check", "src", success_codes=[0, 1])
