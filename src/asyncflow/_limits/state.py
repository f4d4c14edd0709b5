"""Everything an `Admission` remembers between two calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncflow._limits.books import Books
from asyncflow._limits.claim import Claim
from asyncflow._limits.command import Command
from asyncflow._limits.earmark import Earmarks
from asyncflow._limits.gathering import Gathering
from asyncflow._limits.ledger import Bill, Ledger
from asyncflow._limits.lending import Lending
from asyncflow._limits.limit import Limit
from asyncflow._limits.log import DecisionLog
from asyncflow._limits.queue import Queue
from asyncflow._limits.seats import Seats
from asyncflow._limits.suspicion import Suspicion


class State:
    """The state of an `Admission`.

    Args:
        max_overtakes: How often a waiter may be passed before it gathers.
        fair: False: one order for all, without groups.
        earmark_ns: How long a waiter's first earmark is safe.
        earmark_cap_ns: How long one is safe at most.
        log: Where stimuli and decisions are recorded.
        describe: How owners are called in texts.

    Attributes:
        now: The reading of the last round.
        seq: The last number given to a claim or a start.
        limits: In order of creation.
        arrivals: Claims that no round has seen since they were enqueued or rematched.
        open_bills: Bills of rematched waiters, to be closed by the next round.
        resting: Waiters whose earmark was dropped in the last round.
        ripe: Waiters that were passed often enough in this round, and fitted all the same.
        commands: What the caller has to do beside starting.
        due: True where a round has more to do than to look at arrivals.
    """

    def __init__(
        self,
        *,
        max_overtakes: int,
        fair: bool,
        earmark_ns: int,
        earmark_cap_ns: int,
        log: DecisionLog | None,
        describe: Callable[[Any], str],
    ) -> None:
        self.max_overtakes = max_overtakes
        self.fair = fair
        self.earmark_ns = earmark_ns
        self.earmark_cap_ns = earmark_cap_ns
        self.log = log
        self.describe = describe
        self.now = 0
        self.seq = 0
        self.limits: dict[Limit, None] = {}
        self.lending = Lending()
        self.suspicion = Suspicion()
        self.books = Books(self.lending, self.suspicion)
        self.ledger = Ledger()
        self.seats = Seats(self.lending, self.suspicion, fair=fair)
        self.queue = Queue(self.seats, self.ledger)
        self.gathering = Gathering()
        self.earmarks = Earmarks(self.books, first=earmark_ns, longest=earmark_cap_ns)
        self.arrivals: list[Claim] = []
        self.open_bills: list[Bill] = []
        self.resting: list[Claim] = []
        self.ripe: dict[Claim, None] = {}
        self.commands: list[Command] = []
        self.due = False

    def command(self, command: Command) -> None:
        """Asks the caller for something."""
        self.commands.append(command)
        if self.log is not None:
            self.log.commanded(command)
