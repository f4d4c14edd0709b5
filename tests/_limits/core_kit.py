"""The fast core as a side of a pair."""

from asyncflow._limits import Admission, Claim, ReturnedClaim
from tests._limits.pair import Kit

CORE = Kit(
    "core",
    Admission,
    Claim,
    lambda _, claim, limit: claim.own_of(limit),
    lambda _, claim, limit: claim.borrowed_of(limit),
    ReturnedClaim,
    full=True,
)
