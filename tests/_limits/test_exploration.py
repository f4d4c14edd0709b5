"""Small worlds, completely."""

import pytest

from tests._limits.core_kit import CORE
from tests._limits.exploration import Explored, Variant, explore

FEW_OVERTAKES = Variant(max_overtakes=1, newest_first=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant(), Explored(places=23_725, decisions=148_397, starts=25_690)),
        (FEW_OVERTAKES, Explored(places=32_140, decisions=184_350, starts=31_998)),
    ],
    ids=["by_age", "against_age_with_gathering"],
)
def test_all_states_of_three_waiters_on_two_limits(variant: Variant, expected: Explored) -> None:
    """Three waiters, each enqueued, withdrawn and released once, two resizes, limits 0–2, demands ≤ 2: all is right.

    Each state is expanded once and every grant compared; the counts show that nothing was left out.
    """
    assert explore(CORE, variant) == expected
