"""Exit codes: what a shell learns of how it ended."""

from __future__ import annotations

import signal
from enum import IntEnum

from asyncflow.results import RunStatus


class ExitCode(IntEnum):
    """The exit codes of `asyncflow`."""

    SUCCEEDED = 0
    """The run SUCCEEDED, or there was nothing to run."""
    FAILED = 1
    """The run FAILED."""
    NOT_STARTED = 2
    """Nothing was started: wrong usage, nothing of that name, an input that does not fit, no plan."""
    CANCELED = 3
    """The run was cancelled or refused, and not by a signal."""
    INTERRUPTED = 128 + signal.SIGINT
    """The run was ended by Ctrl-C."""
    TERMINATED = 128 + signal.SIGTERM
    """The run was ended by SIGTERM."""

    @staticmethod
    def of(status: RunStatus, *, caught: int | None) -> int:
        """Returns the exit code of a run that ended with `status`, given the signal that was caught, if any."""
        if status is RunStatus.SUCCEEDED:
            return ExitCode.SUCCEEDED
        if status is RunStatus.FAILED:
            return ExitCode.FAILED
        return ExitCode.CANCELED if caught is None else 128 + caught
