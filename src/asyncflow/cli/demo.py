"""`asyncflow demo`: the example `stdlib_index`, from an installed package as from a clone.

The example stays what it is, a package of its own that only uses what every user can use. The wheel carries a copy of
its folder as data below `_demo`; in a clone, and in an editable install, the folder itself is beside `src`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

from asyncflow.errors import ConfigurationError

_HERE: Final = Path(__file__).resolve().parent
_FOLDERS: Final = (_HERE / "_demo", _HERE.parents[2])
_NAME: Final = "examples.stdlib_index.__main__"


def demo(out: Path, limit: int | None, *, plain: bool) -> int:
    """Runs the example, and returns its exit code.

    Raises:
        ConfigurationError: for a limit below 1, or where the example is not installed.
    """
    if limit is not None and limit < 1:
        raise ConfigurationError("--limit must be at least 1")
    folder = next((one for one in _FOLDERS if (one / "examples" / "stdlib_index").is_dir()), None)
    if folder is None:
        raise ConfigurationError("the example is not part of this installation; see the documentation for its source")
    arguments = ["--out", str(out)]
    if limit is not None:
        arguments += ["--limit", str(limit)]
    if plain:
        arguments.append("--plain")
    sys.path.insert(0, str(folder))
    code: int = importlib.import_module(_NAME).main(arguments)
    return code
