"""`import asyncflow` does nothing but import."""

import subprocess
import sys

import pytest

WATCH = """
import os, sys

seen = []
WORDS = ("socket.", "subprocess.", "_thread.start", "os.fork", "os.posix_spawn", "os.system", "os.exec", "os.mkdir",
         "os.remove", "os.rename", "sqlite3.connect", "urllib.", "tempfile.", "signal.")

def watch(event, args):
    if event.startswith(WORDS):
        seen.append(f"{event} {args}")
    elif event == "open":
        path, mode, flags = args
        if set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(f"open {path} {mode}")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import {module}
after = sorted(name for name in sys.modules if name.split(".")[0] in {heavy})
print(*seen, *after, sep="\\n")
"""

EXTRAS = ("pytest", "hypothesis", "redis", "asyncpg", "yaml", "pydantic_settings", "cyclopts", "rich", "uvloop", "trio")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["asyncflow", "asyncflow.testing"])
def test_importing_opens_nothing_and_loads_no_extra(module: str) -> None:
    """No thread, socket, process, signal handler or file to write; no extra, and structlog only when it is needed."""
    heavy = set(EXTRAS) | {"structlog"}
    script = WATCH.replace("{module}", module).replace("{heavy}", repr(heavy))
    checked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.strip() == ""
