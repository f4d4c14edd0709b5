"""One replica: calls the API under a pool that all replicas share, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal

from asyncflow import Deployment, each, graph, op

HOW_MANY = 8


@op(pool="api")
async def call(port: int, replica: str) -> None:
    """One call of the API; it lasts a tenth of a second or so."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{replica}\n".encode())
        await writer.drain()
        await asyncio.sleep(random.uniform(0.05, 0.2))
    finally:
        writer.close()
        await writer.wait_closed()


@graph
def work(ports: list[int], replica: str) -> list[None]:
    """Some calls at once; the pool says how many go on."""
    return each(call, ports, replica)


async def serve(url: str, port: int, name: str, limit: int, ttl: float) -> None:
    """Works until it is cancelled."""
    concurrency = {"pools": {"limits": {"api": limit}}}
    async with Deployment("replicas", concurrency=concurrency, pools=url, label=name, lease_ttl=ttl) as deployment:
        while True:
            await work.on(deployment).try_run([port] * HOW_MANY, name)


async def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser()
    for name, kind in (("--backend", str), ("--port", int), ("--name", str), ("--limit", int), ("--ttl", float)):
        parser.add_argument(name, type=kind, required=True)
    asked = parser.parse_args()
    serving = asyncio.ensure_future(serve(asked.backend, asked.port, asked.name, asked.limit, asked.ttl))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(main())
