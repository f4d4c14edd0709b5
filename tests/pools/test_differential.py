"""Ten thousand random batches to each backend whose rules run in this process, beside the slow model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pools.differential import backends, compare_many


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["memory", "sqlite"])
async def test_random_batches_decide_as_the_model_does(name: str, tmp_path: Path, seed: int) -> None:
    """The same grants, refusals, fences, usage and order, batch by batch; and somebody gathered in some of them."""
    backend = backends(tmp_path)[name]()
    batches, gathered = await compare_many(backend, first=seed, batches=10_000)
    await backend.disconnect()
    assert batches >= 10_000
    assert gathered > 0
