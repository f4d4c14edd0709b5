"""Retry policies: whether a failed attempt is followed by another one, and after how long. Pure; ours to decide.

    n               how many attempts have failed
    CONSTANT        d, d, d …
    LINEAR          n·d             1, 2, 3 for d = 1
    EXPONENTIAL     (2ⁿ − 1)·d      1, 3, 7 for d = 1
    FULL            U(0, x) of the delay x above
    PLUS_MINUS      U(x − d, x + d)

Jitter takes its randomness as an argument, so the same draws give the same delays. What an op raises may overrule its
policy: `RetryRequested` asks for another attempt, `Failure(allow_retries=False)` for none. A cancellation never gets
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from asyncflow.errors import ConfigurationError, ResourceError

Backoff: TypeAlias = Literal["constant", "linear", "exponential"]
Jitter: TypeAlias = Literal["full", "plus_minus"]

RetryOn: TypeAlias = "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]"
"""Which failures are tried again: a class, classes, or a function of the exception."""

Draw: TypeAlias = Callable[[float, float], float]
"""Draws a number between two, as `random.Random().uniform` does."""

LONGEST: Final = 366 * 86_400.0
"""Seconds of the longest delay that a back-off reaches."""


class RetryRequested(Exception):  # noqa: N818 — the contract names it; it is a request, not an error
    """Raised by an op: try me again, whatever the policy's `on` says. Without a policy, up to 3 times.

    Args:
        delay: Seconds to wait, instead of what the policy computes; no delay without a policy.
        max_retries: How many retries there may be in all, instead of the policy's number.

    >>> raise RetryRequested(delay=2.5) from error  # doctest: +SKIP
    """

    def __init__(self, *, delay: float | timedelta | None = None, max_retries: int | None = None) -> None:
        self.delay = check_delay(delay, field="RetryRequested.delay")
        self.max_retries = None if max_retries is None else check_retries(max_retries, field="RetryRequested")
        super().__init__()

    def __str__(self) -> str:
        return "the op asked for another attempt, and there are none left"


class Failure(Exception):  # noqa: N818 — the contract names it
    """Raised by an op: it failed, for a reason that it can tell.

    Args:
        description: Why.
        metadata: What is worth knowing about it, as data.
        allow_retries: False makes it final: no policy tries it again.

    >>> Failure("no such customer", metadata={"customer": "7"}, allow_retries=False)
    Failure('no such customer')
    """

    def __init__(
        self, description: str = "", *, metadata: Mapping[str, Any] | None = None, allow_retries: bool = True
    ) -> None:
        super().__init__(description)
        self.description = description
        self.metadata: Mapping[str, Any] = {} if metadata is None else dict(metadata)
        self.allow_retries = allow_retries


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after which delays, something that failed is tried again.

    During a delay nothing is held, and afterwards it has its old place in order. Cancellations are never tried again.

    Args:
        max_retries: How many attempts may follow the first; 0 is none.
        delay: Seconds (or a `timedelta`) that `backoff` is made of; None is no delay.
        backoff: `"constant"` d, `"linear"` n·d, `"exponential"` (2ⁿ − 1)·d after the n-th failure.
        jitter: `"full"` draws from 0 to the delay, `"plus_minus"` from delay − d to delay + d.
        max_delay: No computed delay is longer; None is a year.
        on: Which failures are tried again: a class, a tuple of classes, or a function of the exception.
        retry_after: A function from the exception to seconds, or None, that overrides the computed delay: what a
            server asked for.

    Raises:
        ConfigurationError: naming the field that does not fit.

    >>> Retry(max_retries=3, delay=1, backoff="exponential").delays()
    (1.0, 3.0, 7.0)
    """

    max_retries: int = 3
    delay: float | timedelta | None = None
    backoff: Backoff = "constant"
    jitter: Jitter | None = None
    max_delay: float | timedelta | None = None
    on: RetryOn = (Exception,)
    retry_after: Callable[[Exception], float | None] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "max_retries", check_retries(self.max_retries, field="Retry.max_retries"))
        put(self, "delay", check_delay(self.delay, field="Retry.delay"))
        put(self, "max_delay", check_delay(self.max_delay, field="Retry.max_delay"))
        if self.backoff not in get_args(Backoff):
            raise ConfigurationError(f"Retry.backoff must be one of {_told(Backoff)}, got {self.backoff!r:.60}")
        if self.jitter is not None and self.jitter not in get_args(Jitter):
            raise ConfigurationError(f"Retry.jitter must be None or one of {_told(Jitter)}, got {self.jitter!r:.60}")
        if self.delay is None and (self.backoff != "constant" or self.jitter is not None):
            raise ConfigurationError("Retry has a backoff or jitter and no delay to apply it to; give it a delay")
        put(self, "on", check_on(self.on))
        if self.retry_after is not None and not callable(self.retry_after):
            raise ConfigurationError(
                f"Retry.retry_after must be a function of the exception, not {type(self.retry_after).__name__}"
            )

    def takes(self, error: Exception) -> bool:
        """Returns whether `on` names this failure, or what a provider raised that could not open a resource for the op.

        What a function given as `on` raises is raised.
        """
        on = self.on
        if isinstance(on, tuple):
            within = error.exceptions if type(error) is ResourceError else ()
            return any(issubclass(type(one), on) for one in (error, *within))
        ask = cast("Callable[[Exception], bool]", on)
        return bool(ask(error))

    def computed(self, failed: int, draw: Draw) -> float:
        """Returns the delay after `failed` attempts have failed, in seconds.

        Args:
            failed: How many attempts have failed, from 1.
            draw: Where jitter comes from.
        """
        base = 0.0 if self.delay is None else cast("float", self.delay)
        most = LONGEST if self.max_delay is None else cast("float", self.max_delay)
        if not base:
            return 0.0
        if self.backoff == "linear":
            delay = failed * base
        elif self.backoff == "exponential":
            delay = (2.0**failed - 1) * base if failed < 1000 else math.inf
        else:
            delay = base
        delay = min(delay, most)
        if self.jitter == "full":
            delay = draw(0.0, delay)
        elif self.jitter == "plus_minus":
            delay = draw(delay - base, delay + base)
        return min(max(delay, 0.0), most)

    def delays(self) -> tuple[float, ...]:
        """Returns all delays it would compute, without jitter; the first thousand of them."""
        return tuple([self.computed(n, _middle) for n in range(1, min(self.max_retries, 1000) + 1)])


def next_delay(policy: Retry | None, error: Exception, failed: int, draw: Draw) -> float | None:
    """Returns after how many seconds another attempt follows, or None where there is none.

    Args:
        policy: What was said about retries; None where nothing was.
        error: What the last attempt raised.
        failed: How many attempts have failed, that one included.
        draw: Where jitter comes from.

    Raises:
        Exception: what `on` or `retry_after` raised, or ConfigurationError for a delay that is none.
    """
    kind = type(error)
    if issubclass(kind, Failure) and not cast("Failure", error).allow_retries:
        return None
    if issubclass(kind, RetryRequested):
        asked = cast("RetryRequested", error)
        rules = policy or _ASKED_FOR
        most = rules.max_retries if asked.max_retries is None else asked.max_retries
        if failed > most:
            return None
        return rules.computed(failed, draw) if asked.delay is None else asked.delay
    if policy is None or failed > policy.max_retries or not policy.takes(error):
        return None
    if policy.retry_after is not None:
        told = check_delay(policy.retry_after(error), field="what Retry.retry_after returned")
        if told is not None:
            return told
    return policy.computed(failed, draw)


def run_delay(policy: Retry, errors: Sequence[Exception], failed: int, draw: Draw) -> float | None:
    """Returns after how many seconds a run that failed is tried again, or None where it is not.

    It is where every one of its errors is of those that the policy takes, and none of them is a final `Failure`; the
    longest that `retry_after` tells for one of them counts.

    Raises:
        Exception: what `on` or `retry_after` raised, or ConfigurationError for a delay that is none.
    """
    if failed > policy.max_retries or not all(policy.takes(error) for error in errors):
        return None
    told: list[float] = []
    for error in errors:
        if issubclass(type(error), Failure) and not cast("Failure", error).allow_retries:
            return None
        asked = None if policy.retry_after is None else policy.retry_after(error)
        seconds = check_delay(asked, field="what Retry.retry_after returned")
        told.extend([] if seconds is None else [seconds])
    return max(told) if told else policy.computed(failed, draw)


def check_retry(value: object, *, field: str = "retry") -> Retry | None:
    """Returns a retry policy, or None.

    Raises:
        ConfigurationError: for anything else.
    """
    if value is None or isinstance(value, Retry):
        return value
    raise ConfigurationError(
        f"{field} must be a Retry, not {type(value).__name__}; write `{field}=Retry(max_retries=2, delay=0.1)`"
    )


def check_retries(value: object, *, field: str) -> int:
    """Returns a number of retries: a whole number of at least 0."""
    if type(value) is not int or value < 0:
        raise ConfigurationError(f"{field} must be a whole number of at least 0, got {value!r:.60}")
    return value


def check_delay(value: object, *, field: str) -> float | None:
    """Returns a delay in seconds, also from a `timedelta`; None stays None."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{field} must be seconds, a timedelta or None, not {type(value).__name__}")
    seconds = float(min(value, LONGEST)) if value > 0 else float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ConfigurationError(f"{field} must be finite and not negative, got {value!r:.60}")
    return seconds


def check_on(value: object) -> RetryOn:
    """Returns classes as a tuple, or the function that decides."""
    classes: tuple[object, ...] = (value,)
    if isinstance(value, tuple):
        classes = cast("tuple[object, ...]", value)
    elif callable(value) and not isinstance(value, type):
        return cast("Callable[[Exception], bool]", value)
    if all(isinstance(one, type) and issubclass(one, Exception) for one in classes):
        return cast("tuple[type[Exception], ...]", classes)
    raise ConfigurationError(
        f"Retry.on must be an exception class, a tuple of them, or a function of the exception, got {value!r:.60}; what"
        " is no Exception, cancellation above all, is never tried again"
    )


def _told(choices: object) -> str:
    return ", ".join([repr(choice) for choice in get_args(choices)])


def _middle(low: float, high: float) -> float:
    return (low + high) / 2


_ASKED_FOR: Final = Retry()
"""Holds for a `RetryRequested` of an op without a policy."""
