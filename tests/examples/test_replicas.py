"""Replicas that share a pool, with real processes: the API behind it never sees more than the limit."""

from __future__ import annotations

import pytest

from examples.replicas.__main__ import main


def test_killed_replicas_neither_exceed_the_limit_nor_keep_their_slots(capfd: pytest.CaptureFixture[str]) -> None:
    """Two of three replicas are killed amid calls: exit code 0, both told, nothing on stderr."""
    assert main(["--replicas", "3", "--limit", "2", "--kills", "2"]) == 0
    said = capfd.readouterr()
    assert said.out.count("   killed web-") == 2
    assert "never saw more than 2 at once (limit 2)" in said.out
    assert said.err == ""
