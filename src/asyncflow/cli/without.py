"""What `asyncflow` says where the extra `cli` is not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from asyncflow.cli.exit_code import ExitCode


def main(arguments: Sequence[str] | None = None) -> int:
    """Tells what to install, and returns the exit code of a usage error."""
    del arguments
    sys.stderr.write("the command asyncflow needs cyclopts and rich: pip install 'asyncflow-executor[cli]'\n")
    return ExitCode.NOT_STARTED
