"""Where the boxes of a picture go: layers from top to bottom, each nested call a block of its own.

The method is Sugiyama's (1981) in four passes, none of which recurses: layers by longest way, order inside a layer by
the mean position of neighbours, swept down and up, x by the mean of neighbours under the distances that must be kept,
and curves. The x pass is an isotonic regression: with the widths taken out, positions in the wanted order that lie
closest to the wanted places are found by pooling neighbours that violate it (Ayer et al., 1955), in linear time.

A nested call is laid out first and then stands in its caller's layout as one box, so that frames never overlap. An
arrow that skips layers is given a place in each, so that it runs between boxes and not behind them, as long as those
places are not more than `BENDS`.

Rejected: network simplex, which is finer and long; a global layout with frames drawn around what belongs together,
since those frames overlap.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

GAP_X: Final = 26.0
GAP_Y: Final = 46.0
PAD: Final = 16.0
TITLE: Final = 22.0
SWEEPS: Final = 6
BENDS: Final = 4000
"""Places for arrows that skip layers, in one frame."""


class Size(NamedTuple):
    """Width and height."""

    width: float
    height: float


class Point(NamedTuple):
    """A place; of a box or frame its upper left corner."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is. `ways[i]` are the places that arrow i passes between its ends."""

    boxes: tuple[Point, ...]
    frames: tuple[Point, ...]
    frame_sizes: tuple[Size, ...]
    ways: tuple[tuple[Point, ...], ...]


@dataclass(slots=True)
class Block:
    """The inside of one frame: its members, which are boxes and frames, and the arrows among them."""

    members: list[int] = field(default_factory=list[int])
    arrows: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])


@dataclass(frozen=True, slots=True)
class Placed:
    """A block laid out: its size, its members' places and the ways of its arrows, from its own corner."""

    size: Size
    places: dict[int, Point]
    ways: dict[int, tuple[Point, ...]]


def arrange(
    sizes: Sequence[Size],
    frame_of: Sequence[int],
    parents: Sequence[int],
    titles: Sequence[float],
    arrows: Sequence[tuple[int, int]],
) -> Layout:
    """Returns where boxes, frames and arrows go.

    Args:
        sizes: Of each box.
        frame_of: The frame of each box.
        parents: The parent of each frame; frame 0 is the outermost, parents come before children.
        titles: How wide the title of each frame is.
        arrows: Pairs of boxes.
    """
    count = len(sizes)
    blocks = blocks_of(count, frame_of, parents, arrows)
    member_sizes = [*sizes, *[Size(0, 0)] * len(parents)]
    placed: dict[int, Placed] = {}
    for frame in range(len(parents) - 1, -1, -1):
        inside = placed[frame] = place(blocks[frame], member_sizes)
        title = TITLE if frame else 0.0
        member_sizes[count + frame] = Size(
            max(inside.size.width, titles[frame]) + 2 * PAD, inside.size.height + 2 * PAD + title
        )
    corners = [Point(0, 0)] * (count + len(parents))
    ways: list[tuple[Point, ...]] = [()] * len(arrows)
    for frame in range(len(parents)):
        inside = placed[frame]
        corner = corners[count + frame]
        room = member_sizes[count + frame].width - inside.size.width
        left, top = corner.x + room / 2, corner.y + PAD + (TITLE if frame else 0.0)
        for member, point in inside.places.items():
            corners[member] = Point(left + point.x, top + point.y)
        for arrow, way in inside.ways.items():
            ways[arrow] = tuple([Point(left + point.x, top + point.y) for point in way])
    return Layout(tuple(corners[:count]), tuple(corners[count:]), tuple(member_sizes[count:]), tuple(ways))


def blocks_of(
    count: int, frame_of: Sequence[int], parents: Sequence[int], arrows: Sequence[tuple[int, int]]
) -> list[Block]:
    """Returns the inside of every frame; frame f is member `count + f` of its parent.

    An arrow belongs to the innermost frame that holds both its ends, and joins the members that hold them there.
    """
    blocks = [Block() for _ in parents]
    for member, frame in enumerate(frame_of):
        blocks[frame].members.append(member)
    for frame, parent in enumerate(parents):
        if parent >= 0:
            blocks[parent].members.append(count + frame)
    depth = [0] * len(parents)
    for frame, parent in enumerate(parents):
        depth[frame] = depth[parent] + 1 if parent >= 0 else 0
    for number, (start, end) in enumerate(arrows):
        low, high, a, b = start, end, frame_of[start], frame_of[end]
        while a != b:
            if depth[a] >= depth[b]:
                low, a = count + a, parents[a]
            else:
                high, b = count + b, parents[b]
        if low != high:
            blocks[a].arrows.append((low, high, number))
    return blocks


def place(block: Block, sizes: Sequence[Size]) -> Placed:
    """Lays out one block."""
    if not block.members:
        return Placed(Size(0, 0), {}, {})
    layer = layers(block)
    chains = chains_of(block, layer)
    rows = ordered(block, layer, chains)
    widths = {member: sizes[member].width for member in block.members}
    centres = centred(rows, widths, neighbours(chains))
    tops: list[float] = []
    y = 0.0
    for row in rows:
        tops.append(y)
        y += max([sizes[m].height for m in row if m >= 0], default=0.0) + GAP_Y
    heights = [max([sizes[m].height for m in row if m >= 0], default=0.0) for row in rows]
    left = min(centres[m] - widths.get(m, 0.0) / 2 for row in rows for m in row)
    right = max(centres[m] + widths.get(m, 0.0) / 2 for row in rows for m in row)
    places = {
        m: Point(centres[m] - left - sizes[m].width / 2, tops[r] + (heights[r] - sizes[m].height) / 2)
        for r, row in enumerate(rows)
        for m in row
        if m >= 0
    }
    row_of = {m: r for r, row in enumerate(rows) for m in row}
    ways = {
        number: tuple([Point(centres[m] - left, tops[row_of[m]] + heights[row_of[m]] / 2) for m in chain[1:-1]])
        for number, chain in chains.items()
    }
    return Placed(Size(right - left, y - GAP_Y), places, ways)


def layers(block: Block) -> dict[int, int]:
    """Returns the layer of every member: the longest way to it. In a circle, the member named first goes first."""
    after: dict[int, list[int]] = {member: [] for member in block.members}
    waits = dict.fromkeys(block.members, 0)
    for start, end in dict.fromkeys([(start, end) for start, end, _ in block.arrows]):
        after[start].append(end)
        waits[end] += 1
    layer = dict.fromkeys(block.members, 0)
    ready = deque(member for member in block.members if not waits[member])
    rest = deque(block.members)
    done: set[int] = set()
    while len(done) < len(block.members):
        if not ready:
            ready.append(next_of(rest, done))
        member = ready.popleft()
        if member in done:
            continue
        done.add(member)
        for follower in after[member]:
            if follower in done:
                continue
            layer[follower] = max(layer[follower], layer[member] + 1)
            waits[follower] -= 1
            if not waits[follower]:
                ready.append(follower)
    return layer


def next_of(rest: deque[int], done: set[int]) -> int:
    """Returns the first member that is not done, and forgets those that are."""
    while rest[0] in done:
        rest.popleft()
    return rest[0]


def chains_of(block: Block, layer: dict[int, int]) -> dict[int, tuple[int, ...]]:
    """Returns for every arrow the members it joins, downwards, with a negative place for each layer it skips."""
    skipped = sum([abs(layer[end] - layer[start]) - 1 for start, end, _ in block.arrows if layer[end] != layer[start]])
    bends = skipped <= BENDS
    fresh = 0
    chains: dict[int, tuple[int, ...]] = {}
    for start, end, number in block.arrows:
        span = layer[end] - layer[start]
        if span <= 0 or not bends:
            chains[number] = (start, end)
            continue
        chains[number] = (start, *range(fresh - 1, fresh - span, -1), end)
        fresh -= span - 1
    return chains


def ordered(block: Block, layer: dict[int, int], chains: dict[int, tuple[int, ...]]) -> list[list[int]]:
    """Returns the rows, each ordered so that few arrows cross: by the mean position of neighbours, down and up."""
    rows: list[list[int]] = [[] for _ in range(max(layer.values()) + 1)]
    for member in block.members:
        rows[layer[member]].append(member)
    for chain in chains.values():
        for step, bend in enumerate(chain[1:-1], 1):
            rows[layer[chain[0]] + step].append(bend)
    upper, lower = neighbours(chains)
    position = {member: float(i) for row in rows for i, member in enumerate(row)}
    for sweep in range(SWEEPS):
        near, order = (upper, rows) if sweep % 2 == 0 else (lower, rows[::-1])
        for row in order:
            wanted = {m: mean([position[n] for n in near.get(m, ())], position[m]) for m in row}
            row.sort(key=wanted.__getitem__)
            for i, member in enumerate(row):
                position[member] = float(i)
    return rows


def neighbours(chains: dict[int, tuple[int, ...]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Returns for every member what is joined to it from above, and from below."""
    upper: dict[int, list[int]] = {}
    lower: dict[int, list[int]] = {}
    for chain in chains.values():
        for start, end in itertools.pairwise(chain):
            lower.setdefault(start, []).append(end)
            upper.setdefault(end, []).append(start)
    return upper, lower


def mean(values: Sequence[float], otherwise: float) -> float:
    """Returns the mean, or `otherwise` of nothing."""
    return sum(values) / len(values) if values else otherwise


def centred(
    rows: Sequence[Sequence[int]],
    widths: dict[int, float],
    near: tuple[dict[int, list[int]], dict[int, list[int]]],
) -> dict[int, float]:
    """Returns the middle of every member: near its neighbours, in the order of its row, with room between."""
    upper, lower = near
    centre: dict[int, float] = {}
    for row in rows:
        offsets = offsets_of(row, widths)
        centre.update({m: offset - offsets[-1] / 2 for m, offset in zip(row, offsets, strict=True)})
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            other = upper if down else lower
            wanted = [mean([centre[n] for n in other.get(m, ())], centre[m]) for m in row]
            offsets = offsets_of(row, widths)
            moved = rising([want - offset for want, offset in zip(wanted, offsets, strict=True)])
            centre.update({m: place + offset for m, place, offset in zip(row, moved, offsets, strict=True)})
    return centre


def offsets_of(row: Sequence[int], widths: dict[int, float]) -> list[float]:
    """Returns how far the middle of each member lies at least from that of the first."""
    offsets = [0.0]
    for before, member in itertools.pairwise(row):
        gap = GAP_X if before >= 0 or member >= 0 else GAP_X / 2
        offsets.append(offsets[-1] + widths.get(before, 0.0) / 2 + gap + widths.get(member, 0.0) / 2)
    return offsets


def rising(wanted: Sequence[float]) -> list[float]:
    """Returns the numbers that never fall and lie closest to `wanted`, in squares."""
    pools: list[tuple[float, int]] = []
    for value in wanted:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
