"""The rules of admission once more, slow and obvious: lists that are scanned, nothing kept twice.

The fast core is held to this version decision by decision (the tests drive both), and `check_log` replays decision
logs with it. It shares no code with the fast core, so that a fault must be made twice to go unseen.

    waiter      the nouns: limits, claims, waiters, loans
    books       who owns and who lends what
    hall        who waits and who holds, and what each stimulus changes
    fitting     does it fit, and what do gatherers reserve
    order       who is next
    counting    who has been passed too often
    earmarking  waiters that need a remote grant too
    reduction   who is deadlocked

Where the rules leave a choice, this is how they are read:

R1  Stimuli act at once, but an arrival is *integrated* by the next round, in the order of arrival. Who is withdrawn
    before never waited at all. A rematched waiter arrives again, with its old age.
R2  A round: time charged; service of what ended since; arrivals; earmarks and remote grants; un-parkers; picks until
    none fits; mature earmarks that somebody wants, and picks again; deadlocks; ledger and commands.
R3  One counter numbers claims and starts. A group begins to wait when its first waiter is integrated.
R4  A ghost is one waiter: needs of run and root added, all else that of its run-level claim.
R5  *Nested* is judged now: some source (ancestor, or lender by an edge) is granted and holds something. A class is a
    vector of named needs, whoever asks; inside one class the two orders together are one total order.
R6  A start of a waiter that is not nested is counted before it takes its units, on each local limit it asks for, for
    each priority at or above its own that waits there, highest first. *Eligible* are waiters of exactly that priority
    that could ever fit now and do not gather. Counter A, one per limit and priority: the first of them by run
    arrival, order and age (not by share: what was served last would change it all the time) does not fit. Counter B,
    kept with the waiter so that a pause does not restart it: the oldest of them was passed. At the bound of B it is
    ripe: no longer counted as the oldest, and gathering from the end of the round on, if it still waits then.
R7  Reservations are computed from nothing wherever they are asked for. Gatherers are not preferred among those who
    fit; they just fit.
R8  A gatherer is announced at the end of the round, if it still waits.
R9  A unit that was borrowed may be lent on. Earmarks count as taken for everybody.
R10 A lender's end: what it lent becomes the borrower's own as far as it owned it, the rest is handed on to whom it had
    borrowed from.
R11 Service is own units at the end, times the whole age of the grant.
R12 A nested arrival that asks a limit that never lends for more than its ancestors leave there is deadlocked at once.
R13 The reduction looks at claims inside claims and at un-parkers; everybody else starts some day.
R14 Un-parking removes the edges at once and goes on in a round, when what was lent (not to its own children) is back
    or can be borrowed.
R15 Withdrawing a ghost withdraws that ghost only. The winner's run-level claim takes first, and commands name it.
R16 External limits take no part in fits and reservations. A waiter with external needs whose local part fits in its
    turn is earmarked and asked for; the remote grant makes it a start. One whose earmark a round dropped sits that
    round out: no candidate, not eligible, reserves nothing.
R17 The ledger charges by demand: limits with free − reserved < need, else the external ones, else the order.
R18 Groups are never forgotten here; in the core they live as long as somebody holds them.
"""

from asyncflow._limits.audit.books import Books
from asyncflow._limits.audit.hall import Hall
from asyncflow._limits.audit.order import pick
from asyncflow._limits.audit.reduction import Reduction
from asyncflow._limits.audit.waiter import Claim, Demand, Group, Limit, Party, State, Waiter

__all__ = ["Books", "Claim", "Demand", "Group", "Hall", "Limit", "Party", "Reduction", "State", "Waiter", "pick"]
