"""Who may start now, and why not: the pure admission core."""

from asyncflow._limits.admission import Admission, ReleaseError
from asyncflow._limits.book import FOLLOWS, Follows, LimitBook, PoolQuota, PoolQuotas
from asyncflow._limits.claim import Claim, ClaimState, ReturnedClaim, chain
from asyncflow._limits.command import AskRemote, Command, Deadlocked, DropTicket, Gathering, ReturnRemote, Unparked
from asyncflow._limits.demand import Demand
from asyncflow._limits.explanation import Blocker, Explanation
from asyncflow._limits.group import Group, Party
from asyncflow._limits.limit import UNLIMITED, Limit
from asyncflow._limits.preview import Preview
from asyncflow._limits.proposal import Changes, NewLimit
from asyncflow._limits.run_book import RunBook, RunQuotas, alike
from asyncflow._limits.snapshot import HolderView, LimitView, Snapshot, Views, WaiterView

__all__ = [
    "FOLLOWS",
    "UNLIMITED",
    "Admission",
    "AskRemote",
    "Blocker",
    "Changes",
    "Claim",
    "ClaimState",
    "Command",
    "Deadlocked",
    "Demand",
    "DropTicket",
    "Explanation",
    "Follows",
    "Gathering",
    "Group",
    "HolderView",
    "Limit",
    "LimitBook",
    "LimitView",
    "NewLimit",
    "Party",
    "PoolQuota",
    "PoolQuotas",
    "Preview",
    "ReleaseError",
    "ReturnRemote",
    "ReturnedClaim",
    "RunBook",
    "RunQuotas",
    "Snapshot",
    "Unparked",
    "Views",
    "WaiterView",
    "alike",
    "chain",
]
