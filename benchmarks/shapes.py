"""Shapes: the graphs that are measured, as the inputs of every op, and the bodies of their ops."""

from __future__ import annotations

import asyncio
import random
from typing import TypeAlias

Shape: TypeAlias = list[tuple[int, ...]]
"""For every op the ops it reads; inputs come first."""

DIAMOND: Shape = [(), (0,), (0,), (1, 2), (3,)]


def chain(count: int) -> Shape:
    """One op after another."""
    return [(i - 1,) if i else () for i in range(count)]


def fan(count: int) -> Shape:
    """One op, those that read it, and one that reads them all; `count` in all."""
    return [(), *[(0,)] * (count - 2), tuple(range(1, count - 1))]


def layered(count: int, *, width: int = 100, seed: int = 1) -> Shape:
    """A random graph in layers; every op reads two or three of the layer before."""
    rng = random.Random(seed)
    shape: Shape = []
    for i in range(count):
        before = i // width * width
        shape.append(tuple(rng.sample(range(before - width, before), rng.randint(2, 3))) if before else ())
    return shape


async def noop(*_inputs: int) -> int:
    """Does nothing, without suspending."""
    return 1


async def once(*_inputs: int) -> int:
    """Does nothing, and suspends once."""
    await asyncio.sleep(0)
    return 1
