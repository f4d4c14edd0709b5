"""Retry policies by themselves: which delay follows which failure."""

from __future__ import annotations

import copy
import math
import random
from datetime import timedelta

import pytest

from asyncflow import ConfigurationError, Failure, Retry, RetryRequested
from asyncflow.retry import LONGEST, next_delay

DRAWS = 10_000


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def delays(policy: Retry, draw=middle) -> list[float | None]:
    return [next_delay(policy, ValueError(), n, draw) for n in range(1, policy.max_retries + 2)]


def test_back_offs_with_a_delay_of_one() -> None:
    """LINEAR n·d is 1, 2, 3; EXPONENTIAL (2ⁿ − 1)·d is 1, 3, 7; CONSTANT 1, 1, 1; then none is left."""
    assert delays(Retry(max_retries=3, delay=1)) == [1, 1, 1, None]
    assert delays(Retry(max_retries=3, delay=1, backoff="linear")) == [1, 2, 3, None]
    assert delays(Retry(max_retries=3, delay=1, backoff="exponential")) == [1, 3, 7, None]
    assert Retry(delay=0.5, backoff="exponential").delays() == (0.5, 1.5, 3.5)
    assert delays(Retry(max_retries=2)) == [0, 0, None]
    assert delays(Retry(max_retries=2, delay=timedelta(minutes=1))) == [60, 60, None]


def test_no_computed_delay_is_longer_than_max_delay() -> None:
    """max_delay caps the back-off, and what jitter makes of it."""
    policy = Retry(max_retries=6, delay=1, backoff="exponential", max_delay=10)
    assert delays(policy)[:-1] == [1, 3, 7, 10, 10, 10]
    rng = random.Random(1)
    jittered = Retry(max_retries=6, delay=8, jitter="plus_minus", max_delay=10)
    drawn = [next_delay(jittered, ValueError(), 6, rng.uniform) for _ in range(DRAWS)]
    assert max(drawn) == 10


def test_full_jitter_stays_between_zero_and_the_delay(seed: int) -> None:
    """FULL is U(0, x): over 10,000 draws all lie inside, near both ends, and average half of it."""
    rng = random.Random(seed)
    policy = Retry(max_retries=3, delay=1, backoff="linear", jitter="full")
    for failed in (1, 2, 3):
        drawn = [next_delay(policy, ValueError(), failed, rng.uniform) or 0.0 for _ in range(DRAWS)]
        assert 0 <= min(drawn) < 0.01 * failed
        assert 0.99 * failed < max(drawn) <= failed
        assert abs(sum(drawn) / DRAWS - failed / 2) < 0.02 * failed


def test_plus_minus_jitter_stays_within_one_delay_of_the_back_off(seed: int) -> None:
    """PLUS_MINUS is x ± d: over 10,000 draws all lie inside, near both ends, and average x."""
    rng = random.Random(seed)
    policy = Retry(max_retries=3, delay=1, backoff="exponential", jitter="plus_minus")
    for failed, x in ((1, 1), (2, 3), (3, 7)):
        drawn = [next_delay(policy, ValueError(), failed, rng.uniform) or 0.0 for _ in range(DRAWS)]
        assert x - 1 <= min(drawn) < x - 0.98
        assert x + 0.98 < max(drawn) <= x + 1
        assert abs(sum(drawn) / DRAWS - x) < 0.04


def test_the_same_draws_give_the_same_delays(seed: int) -> None:
    """Randomness is an argument: two generators of one seed decide alike."""
    policy = Retry(max_retries=50, delay=1, backoff="linear", jitter="full")
    assert delays(policy, random.Random(seed).uniform) == delays(policy, random.Random(seed).uniform)


def test_on_names_the_failures_that_are_tried_again() -> None:
    """A class, a tuple of classes, or a function of the exception."""
    for on in (OSError, (OSError, KeyError), lambda error: isinstance(error, OSError)):
        policy = Retry(on=on)
        assert next_delay(policy, ConnectionError(), 1, middle) == 0
        assert next_delay(policy, ValueError(), 1, middle) is None
    assert next_delay(Retry(on=()), ValueError(), 1, middle) is None


def test_retry_after_overrides_the_computed_delay() -> None:
    """Seconds that the exception tells win, max_delay or not; None leaves it to the policy."""
    policy = Retry(delay=1, max_delay=2, retry_after=lambda error: error.args[0])
    assert next_delay(policy, ValueError(30), 1, middle) == 30
    assert next_delay(policy, ValueError(None), 1, middle) == 1
    assert next_delay(policy, ValueError(0), 1, middle) == 0
    for nonsense in ("soon", math.nan, -1):
        with pytest.raises(ConfigurationError, match="retry_after returned"):
            next_delay(policy, ValueError(nonsense), 1, middle)


def test_what_the_op_raises_overrules_its_policy() -> None:
    """RetryRequested asks for a retry in any case, with its own delay and number; Failure may forbid one."""
    never = Retry(max_retries=0, on=(KeyError,))
    assert next_delay(never, RetryRequested(delay=5, max_retries=1), 1, middle) == 5
    assert next_delay(never, RetryRequested(delay=5, max_retries=1), 2, middle) is None
    assert next_delay(never, RetryRequested(), 1, middle) is None
    assert next_delay(Retry(delay=4), RetryRequested(), 1, middle) == 4
    assert [next_delay(None, RetryRequested(), n, middle) for n in (1, 2, 3, 4)] == [0, 0, 0, None]
    assert next_delay(None, ValueError(), 1, middle) is None
    assert next_delay(Retry(), Failure("no", metadata={"a": 1}, allow_retries=False), 1, middle) is None
    assert next_delay(Retry(), Failure("no"), 1, middle) == 0
    assert Failure("no", metadata={"a": 1}).metadata == {"a": 1}


def test_both_can_be_copied() -> None:
    """As other exceptions can: what was said survives."""
    asked = copy.copy(RetryRequested(delay=2, max_retries=7))
    assert (asked.delay, asked.max_retries) == (2, 7)
    failed = copy.copy(Failure("why", metadata={"a": 1}, allow_retries=False))
    assert (str(failed), failed.metadata, failed.allow_retries) == ("why", {"a": 1}, False)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("max_retries", {"max_retries": -1}),
        ("max_retries", {"max_retries": True}),
        ("max_retries", {"max_retries": 1.0}),
        ("delay", {"delay": -1}),
        ("delay", {"delay": math.nan}),
        ("delay", {"delay": "1"}),
        ("delay", {"delay": True}),
        ("delay", {"delay": timedelta(seconds=-1)}),
        ("max_delay", {"delay": 1, "max_delay": -0.1}),
        ("backoff", {"delay": 1, "backoff": "fast"}),
        ("jitter", {"delay": 1, "jitter": math.nan}),
        ("no delay", {"backoff": "linear"}),
        ("no delay", {"jitter": "full"}),
        ("Retry.on", {"on": "ValueError"}),
        ("Retry.on", {"on": BaseException}),
        ("Retry.on", {"on": (ValueError, KeyboardInterrupt)}),
        ("retry_after", {"retry_after": 3}),
    ],
)
def test_row_7_policies_that_mean_nothing_are_refused_by_field(field: str, options: dict[str, object]) -> None:
    """Row 7: negative counts, jitter that is no jitter, a cancellation as `on` …: the field is named."""
    with pytest.raises(ConfigurationError, match=field):
        Retry(**options)


def test_row_7_a_back_off_that_overflows_is_capped() -> None:
    """Row 7: the 10,000th failure of an exponential policy waits a year, not for ever; huge delays likewise."""
    policy = Retry(max_retries=20_000, delay=1, backoff="exponential")
    assert next_delay(policy, ValueError(), 10_000, middle) == LONGEST
    assert next_delay(Retry(delay=10**400), ValueError(), 1, middle) == LONGEST
    assert next_delay(Retry(delay=math.inf, max_delay=5), ValueError(), 1, middle) == 5
