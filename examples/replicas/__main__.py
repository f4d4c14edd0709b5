"""The command line: `python -m examples.replicas`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from examples.replicas.api import Api


@dataclass
class Fleet:
    """The replicas, and what became of those that were killed.

    Attributes:
        recoveries: Seconds from each kill until the others used all slots.
    """

    api: Api
    url: str
    port: int
    limit: int
    ttl: float
    started: int = 0
    replicas: dict[str, asyncio.subprocess.Process] = field(default_factory=dict[str, asyncio.subprocess.Process])
    recoveries: list[float] = field(default_factory=list[float])

    async def start(self) -> None:
        """Starts one more replica."""
        self.started += 1
        name = f"web-{self.started}"
        options = {"--backend": self.url, "--port": self.port, "--name": name, "--limit": self.limit, "--ttl": self.ttl}
        command = [str(part) for pair in options.items() for part in pair]
        self.replicas[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.replicas.replica", *command
        )

    async def kill_one(self) -> None:
        """Kills a replica that is calling right now, and measures how long its slots are away."""
        while not (busy := [name for name in self.replicas if self.api.inside[name]]):
            await self.api.changed.wait()
        victim = random.choice(busy)
        held = self.api.inside[victim]
        process = self.replicas.pop(victim)
        process.kill()
        began = time.monotonic()
        await process.wait()
        await self.api.until(self.limit, without=victim)
        self.recoveries.append(time.monotonic() - began)
        print(f"   killed {victim}, which held {held}; all slots were in use again after {self.recoveries[-1]:.2f} s")

    async def stop(self) -> None:
        """Ends all replicas, each with its clean-up."""
        for process in self.replicas.values():
            process.terminate()
        for process in self.replicas.values():
            await process.wait()


async def show(options: argparse.Namespace, url: str) -> int:
    """Runs the fleet; returns the exit code."""
    api = Api()
    fleet = Fleet(api, url, await api.start(), options.limit, options.ttl)
    print(f"   {options.replicas} replicas share a pool of {options.limit} slots at {url}")
    try:
        for _ in range(options.replicas):
            await fleet.start()
        await api.until(options.limit, without="")
        for _ in range(options.kills):
            await asyncio.sleep(random.uniform(0.2, 0.8))
            await fleet.kill_one()
            await fleet.start()
        await asyncio.sleep(0.5)
    finally:
        await fleet.stop()
        await api.stop()
    print(f"   the API answered {api.calls} calls and never saw more than {api.most} at once (limit {options.limit})")
    if fleet.recoveries:
        print(f"   {len(fleet.recoveries)} killed; their slots came back after {max(fleet.recoveries):.2f} s at most")
    return 0 if api.most <= options.limit else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.replicas",
        description="Start replicas that share a pool, kill some, and tell what the API behind it saw.",
    )
    parser.add_argument("--backend", metavar="URL", help="where the pool is; default: a SQLite file made for this")
    parser.add_argument("--replicas", type=int, default=4, metavar="N", help="how many there are (4)")
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="slots of the pool (3)")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="how many are killed (3)")
    parser.add_argument("--ttl", type=float, default=2.0, metavar="SECONDS", help="the TTL of leases (2)")
    options = parser.parse_args(arguments)
    if options.backend is not None:
        return asyncio.run(show(options, options.backend))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(show(options, f"sqlite:///{folder}/pools.db"))


if __name__ == "__main__":
    sys.exit(main())
