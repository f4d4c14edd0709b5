"""The checker of decision logs: a good log is proved, and every kind of violation put into it is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from asyncflow._limits.checker import Violation, check_log
from asyncflow._limits.log import DecisionLog, Record
from tests._limits.core_kit import CORE
from tests._limits.histories import Historian
from tests._limits.pair import Pair, Setup, Side, Step

Records = list[Record]
Mutation = Callable[[Records], Records]

LOCAL = Setup(max_overtakes=64, limits=((2, True, True, False),), weights=(1.0,), parties=((0, 0),))
GATHERING = Setup(max_overtakes=2, limits=((2, True, True, False),), weights=(1.0,), parties=((0, 0),))
TWO_LIMITS = Setup(limits=((1, True, True, False), (1, True, True, False)), weights=(1.0,), parties=((0, 0),))
REMOTE = Setup(limits=((1, True, True, False), (1, True, True, True)), weights=(1.0,), parties=((0, 0),))

ONE, BOTH, ANY_REMOTE = ((0, 1),), ((0, 2),), ((0, 1), (1, 1))


def enqueue(number: int, needs: Any = ONE, parent: int = -1) -> Step:
    """A claim of the only party."""
    return ("enqueue", number, 0, needs, number, parent)


ROUND: Step = ("round", 1)

SCENES: dict[str, tuple[Setup, list[Step]]] = {
    # Four want one unit each of two; all is over at the end.
    "plain": (
        LOCAL,
        [
            *(enqueue(number) for number in range(1, 5)), ROUND,
            ("release", 1), ROUND, ("release", 2), ROUND, ("release", 3), ("release", 4), ROUND,
        ],
    ),
    # A wide claim (9, ordered last) is passed by small ones until it gathers.
    "gathering": (
        GATHERING,
        [
            enqueue(1), enqueue(2), ROUND,
            ("enqueue", 9, 0, BOTH, 99, -1), enqueue(3), enqueue(4), enqueue(5), enqueue(6),
            ("release", 1), ROUND, ("release", 2), ROUND, ("release", 3), ROUND, ("release", 4), ROUND,
            ("release", 9), ROUND, ("release", 5), ("release", 6), ROUND,
        ],
    ),
    # The child borrows its parent's unit.
    "borrowing": (
        LOCAL,
        [enqueue(1, BOTH), ROUND, enqueue(2, ONE, 1), ROUND, ("release", 2), ("release", 1), ROUND],
    ),
    # Two parents hold one limit each, and their children want the other one.
    "deadlock": (
        TWO_LIMITS,
        [
            enqueue(1, ((0, 1),)), enqueue(2, ((1, 1),)), ROUND,
            enqueue(3, ((1, 1),), 1), enqueue(4, ((0, 1),), 2), ROUND,
            ("release", 2), ROUND, ("release", 3), ("release", 1), ROUND,
        ],
    ),
    # A run starts with its root, in one step.
    "ghosts": (
        TWO_LIMITS,
        [("ghosts", ((1, 2), (3, 4)), 0, ((0, 1),), (((1, 1),), ()), -1), ROUND, ("release", 2), ("release", 1), ROUND],
    ),
    # Of three for a remote pool one starts, one is dropped for a local waiter, and one grant is sent back.
    "remote": (
        REMOTE,
        [
            enqueue(1, ANY_REMOTE), ROUND, ("remote_grant", 1), ROUND, ("release", 1), ROUND,
            enqueue(2, ANY_REMOTE), ROUND, enqueue(3), ("round", 10), ("remote_grant", 2), ROUND,
            ("release", 3), ("withdraw", 2), ROUND,
        ],
    ),
    # A parked claim lends what it holds, and goes on when it is back.
    "stream": (
        LOCAL,
        [
            enqueue(1, BOTH), ROUND, enqueue(2), ("lend", 1, "claim", 2), ROUND, ("unpark", 1), ROUND,
            ("release", 2), ROUND, ("release", 1), ROUND,
        ],
    ),
}  # fmt: skip


def log_of(scene: str) -> Records:
    """The log that the core writes of a scene."""
    setup, steps = SCENES[scene]
    log = DecisionLog()
    side = Side(CORE, setup, log=log)
    now = 0
    for step in steps:
        now += step[1] if step[0] == "round" else 0
        side.apply(("round", now) if step[0] == "round" else step)
    return list(log.records)


def kinds(violations: list[Violation]) -> set[str]:
    """The kinds among some violations."""
    return {violation.kind for violation in violations}


# --------------------------------------------------------------------------------------------------------- mutations
def renumbered(records: Records) -> Records:
    """The records with numbers without gaps, as if the fault were in the core and not in the log."""
    return [{**record, "n": number} for number, record in enumerate(records, 1)]


def places(records: Records, **fields: Any) -> list[int]:
    """Where the records are that have these values."""
    return [place for place, record in enumerate(records) if fields.items() <= record.items()]


def without(which: int, **fields: Any) -> Mutation:
    """Takes one of the records with these values out."""

    def mutate(records: Records) -> Records:
        place = places(records, **fields)[which]
        return renumbered(records[:place] + records[place + 1 :])

    return mutate


def twice(which: int, **fields: Any) -> Mutation:
    """Writes one of the records with these values a second time."""

    def mutate(records: Records) -> Records:
        place = places(records, **fields)[which]
        return renumbered(records[: place + 1] + records[place:])

    return mutate


def changed(which: int, change: dict[str, Any], **fields: Any) -> Mutation:
    """Changes one of the records with these values."""

    def mutate(records: Records) -> Records:
        records[places(records, **fields)[which]].update(change)
        return records

    return mutate


def swapped(which: int, **fields: Any) -> Mutation:
    """Swaps one of the records with these values with the next record of that sort."""

    def mutate(records: Records) -> Records:
        there = places(records, **fields)
        one, two = there[which], there[which + 1]
        records[one], records[two] = records[two], records[one]
        return renumbered(records)

    return mutate


def inserted(before: int, record: Record, **fields: Any) -> Mutation:
    """Puts a record before one of those with these values."""

    def mutate(records: Records) -> Records:
        place = places(records, **fields)[before]
        return renumbered([*records[:place], record, *records[place:]])

    return mutate


def command_for_first(name: str) -> Mutation:
    """Puts a command for the first claim at the end of the first round."""

    def mutate(records: Records) -> Records:
        first = records[places(records, kind="start")[0]]["claim"]
        return inserted(0, {"kind": "command", "command": name, "claim": first}, kind="end_round")(records)

    return mutate


def released_by_a_waiter(records: Records) -> Records:
    """Lets the first release be of the claim that starts last."""
    last = records[places(records, kind="start")[-1]]["claim"]
    return changed(0, {"claim": last}, kind="release")(records)


def other_victim(records: Records) -> Records:
    """Lets the other nested waiter be the victim."""
    *_, older, _ = [record["claim"] for record in records if record["kind"] == "enqueue"]
    return changed(0, {"claim": older}, kind="command", command="Deadlocked")(records)


def shrunk(records: Records) -> Records:
    """Shrinks the limit after its second start."""
    limit = records[places(records, kind="limit")[0]]["limit"]
    return inserted(1, {"kind": "resize", "limit": limit, "capacity": 1}, kind="round")(records)


def paused(records: Records) -> Records:
    """Pauses the limit after its second start."""
    limit = records[places(records, kind="limit")[0]]["limit"]
    return inserted(1, {"kind": "pause", "limit": limit}, kind="round")(records)


def taken(records: Records) -> Records:
    """Says of the borrower that it owns its unit."""
    limit = records[places(records, kind="limit")[0]]["limit"]
    return changed(1, {"own": [[limit, 1]]}, kind="start")(records)


def more(records: Records) -> Records:
    """Says of a start that it owns more than it asked for."""
    limit = records[places(records, kind="limit")[0]]["limit"]
    return changed(0, {"own": [[limit, 2]]}, kind="start")(records)


def taken_back(records: Records) -> Records:
    """Withdraws the first claim before it starts."""
    first = records[places(records, kind="start")[0]]["claim"]
    return inserted(0, {"kind": "withdraw", "claim": first}, kind="round")(records)


def early(records: Records) -> Records:
    """Moves the un-parking to the round before."""
    place = places(records, kind="command", command="Unparked")[0]
    unparked = records.pop(place)
    end = max(one for one in places(records, kind="end_round") if one < place - 1)
    records.insert(end, unparked)
    return renumbered(records)


def late_waiter(records: Records) -> Records:
    """Lets one more claim arrive after the last round."""
    one = records[places(records, kind="enqueue")[0]]
    return renumbered([*records, {**one, "claim": 999}])


WRONG: list[tuple[str, str, str, Mutation]] = [
    ("plain", "a record is lost", "record", lambda records: records[:7] + records[8:]),
    ("plain", "the log does not begin", "record", lambda records: renumbered(records[1:])),
    ("plain", "another format", "record", changed(0, {"format": 99}, kind="open")),
    ("plain", "time goes back", "record", changed(-1, {"now": 0}, kind="round")),
    ("plain", "a round is not closed", "record", without(-1, kind="end_round")),
    ("plain", "a round inside a round", "record", without(0, kind="end_round")),
    ("plain", "a start outside a round", "record", without(0, kind="round")),
    ("plain", "an unknown kind", "record", changed(0, {"kind": "guess"}, kind="round")),
    ("plain", "an unknown claim", "record", changed(0, {"claim": 999}, kind="release")),
    ("plain", "an unknown limit", "record", changed(0, {"needs": [[999, 1]]}, kind="enqueue")),
    ("plain", "more starts than units", "limit", changed(0, {"capacity": 1}, kind="limit")),
    ("plain", "a start above a shrunk limit", "limit", shrunk),
    ("plain", "a start on a paused limit", "limit", paused),
    ("plain", "a release that did not happen", "limit", without(0, kind="release")),
    ("borrowing", "a unit taken instead of borrowed", "limit", taken),
    ("plain", "a part of a demand", "atomicity", changed(0, {"own": []}, kind="start")),
    ("plain", "more than was asked", "atomicity", more),
    ("ghosts", "a run without its root", "left-behind", without(1, kind="start")),
    ("ghosts", "a root before its run", "order", swapped(0, kind="start")),
    ("plain", "a start twice", "identity", twice(0, kind="start")),
    ("plain", "a claim that was taken back starts", "identity", taken_back),
    ("plain", "a release twice", "identity", twice(0, kind="release")),
    ("plain", "a release by a waiter", "identity", released_by_a_waiter),
    ("plain", "an enqueue twice", "identity", twice(0, kind="enqueue")),
    ("plain", "starts in another order", "order", swapped(0, kind="start")),
    ("plain", "a start is missing", "left-behind", without(2, kind="start")),
    ("gathering", "what gathers is passed", "overtaking", changed(0, {"max_overtakes": 1}, kind="open")),
    ("gathering", "a gatherer is not announced", "overtaking", without(0, kind="command", command="Gathering")),
    ("plain", "a gatherer without reason", "overtaking", command_for_first("Gathering")),
    ("deadlock", "a deadlock is not resolved", "deadlock", without(0, kind="command", command="Deadlocked")),
    ("deadlock", "another victim", "deadlock", other_victim),
    ("plain", "a victim without reason", "deadlock", command_for_first("Deadlocked")),
    ("remote", "a start without a remote grant", "remote", without(0, kind="remote_grant")),
    ("remote", "a ticket is not asked for", "left-behind", without(0, kind="command", command="AskRemote")),
    ("remote", "a ticket is not dropped", "remote", without(0, kind="command", command="DropTicket")),
    ("remote", "a ticket dropped too soon", "remote", changed(0, {"earmark_ns": 1_000}, kind="open")),
    ("remote", "a grant is not sent back", "remote", without(0, kind="command", command="ReturnRemote")),
    ("stream", "an un-parked claim is forgotten", "left-behind", without(0, kind="command", command="Unparked")),
    ("stream", "un-parked while others have its units", "left-behind", early),
    ("plain", "a unit is never given back", "leak", without(-1, kind="release")),
    ("plain", "a waiter is left", "leak", late_waiter),
]


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_a_good_log_is_proved(scene: str) -> None:
    """The core's own log of every scene has no violation, in memory and as lines of JSON."""
    records = log_of(scene)
    assert check_log(records, ended=True) == []
    log = DecisionLog()
    log.records.extend(records)
    assert DecisionLog.parse(log.lines()) == records


@pytest.mark.parametrize(("scene", "what", "kind", "mutation"), WRONG, ids=[f"{one[0]}: {one[1]}" for one in WRONG])
def test_every_kind_of_violation_is_found(scene: str, what: str, kind: str, mutation: Mutation) -> None:
    """A good log in which one thing is changed is refused, and the violation has the right kind."""
    violations = check_log(mutation(deepcopy(log_of(scene))), ended=True)
    assert kind in kinds(violations), violations


def test_all_kinds_are_tried() -> None:
    """The table above puts in every kind that the checker knows."""
    known = {
        "record",
        "limit",
        "atomicity",
        "identity",
        "order",
        "left-behind",
        "overtaking",
        "deadlock",
        "remote",
        "leak",
    }
    assert {kind for _, _, kind, _ in WRONG} == known


def test_a_sink_takes_the_records() -> None:
    """With a sink nothing is kept in memory."""
    seen: Records = []
    log = DecisionLog(sink=seen.append)
    log.round_began(3)
    log.round_ended()
    assert seen == [{"n": 1, "kind": "round", "now": 3}, {"n": 2, "kind": "end_round"}]
    assert log.records == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(26))
def test_any_decision_changed_in_any_log_is_found(seed: int) -> None:
    """In random logs each start taken out, given to another claim, or swapped with the next one is found."""
    records = random_log(seed)
    random = Random(seed)
    others = [record["claim"] for record in records if record["kind"] == "start"]
    for place in places(records, kind="start"):
        start = records[place]
        assert check_log(renumbered(records[:place] + records[place + 1 :])), f"{start} taken out"
        other = random.choice(others)
        if other != start["claim"]:
            mutant = [*records[:place], {**start, "claim": other}, *records[place + 1 :]]
            assert check_log(mutant), f"{start} given to {other}"
        if records[place + 1]["kind"] == "start":
            mutant = [*records[:place], records[place + 1], start, *records[place + 2 :]]
            assert check_log(renumbered(mutant)), f"{start} swapped with the next"


def random_log(seed: int) -> Records:
    """The log of one of the walker's histories."""
    historian = Historian(seed)
    log = DecisionLog()
    pair = Pair(historian.setup, CORE, log=log)
    steps = 0
    while steps < historian.length:
        for step in historian.steps(pair):
            pair.apply(step)
            steps += 1
    assert check_log(log.records) == []
    return log.records
