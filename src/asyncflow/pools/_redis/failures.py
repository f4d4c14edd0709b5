"""What an error of the driver or an answer of the server means. Texts are cleaned first: they may name secrets."""

from __future__ import annotations

import re
import ssl
from typing import Final

from asyncflow.errors import BackendCorrupt, BadRequest, PoolBackendError, PoolBackendUnavailable, SchemaMismatch
from asyncflow.pools._redis.place import Place
from asyncflow.pools.protocol import SCHEMA_VERSION

CODES: Final = {
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "AuthorizationError": "NOAUTH",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
}
"""The driver makes some answers classes, and takes the code out of their text."""

REFUSED: Final = {
    "WRONGPASS": "the user or the password is wrong; give redis://user:password@host",
    "NOAUTH": "the server wants a password; give redis://:password@host",
    "NOPERM": "the user may not do this; it needs ~asyncflow:* &asyncflow:* +evalsha +eval +subscribe +ping +select"
    " and, inside scripts, +@hash +@sortedset +publish +time +exists +info",
    "NOPROTO": "the server is too old; Redis 6.2, or any Valkey, will do",
}

AWAY: Final = {
    "READONLY": "the server is a replica and takes no writes: a fail-over is under way, or the address is a replica's",
    "LOADING": "the server is loading its data",
    "MASTERDOWN": "the server is a replica that has lost its primary",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "the cluster is moving these keys",
    "ASK": "the cluster is moving these keys",
    "MOVED": "the cluster has moved these keys again and again",
    "BUSY": "the server is busy with somebody's script",
    "OOM": "the server has no memory left (maxmemory): it takes no claims; renewals and releases go on",
    "MISCONF": "the server takes no writes, since it cannot save its data",
    "NOREPLICAS": "the server takes no writes, since it has too few replicas",
    "UNBLOCKED": "the server changed its role",
}

UNPROTECTED: Final = "without any password configured"

WORDS: Final[tuple[tuple[str, type[PoolBackendError], str], ...]] = (
    (UNPROTECTED, BadRequest, "the server has no password, and one was given"),
    ("WRONGTYPE", SchemaMismatch, "a key that begins with 'asyncflow:' is not ours; use another database"),
    ("DB index is out of range", BadRequest, "the server has no such database"),
    ("SELECT is not allowed", BadRequest, "a cluster has no numbered databases; leave the number out"),
    ("unknown command", BadRequest, "the server is too old; Redis 6.2, or any Valkey, will do"),
    ("user_script", BackendCorrupt, "what is kept there cannot be read"),
    ("unning script", BackendCorrupt, "what is kept there cannot be read"),
)
"""What is told by words inside an answer, by older servers inside the error of a script."""

_OURS: Final = re.compile(r"ASYNCFLOW (\w+) (.*?)(?: script: |$)")

_INSIDE: Final = re.compile(rf"@user_script: ?\d+: -?({'|'.join((*AWAY, *REFUSED))})\b")
"""How older servers tell what a command of a script was answered."""


def code_of(error: BaseException) -> str:
    """Returns the first word of what the server answered."""
    if "Authentication required" in str(error):
        return "NOAUTH"
    for kind in type(error).__mro__:
        if kind.__name__ in CODES:
            return CODES[kind.__name__]
    word = str(error).partition(" ")[0]
    return word if word.isalpha() and word.isupper() else ""


def failure(place: Place, error: BaseException) -> PoolBackendError:
    """Returns what to raise, `from None`, for what the driver raised."""
    text = place.clean(str(error))
    code = inside.group(1) if (inside := _INSIDE.search(text)) is not None else code_of(error)
    if (ours := _OURS.search(text)) is not None:
        return _told(place, ours.group(1), ours.group(2))
    if code in REFUSED and UNPROTECTED not in text:
        return BadRequest(f"{place.name}: {REFUSED[code]}")
    if code in AWAY:
        return PoolBackendUnavailable(f"{place.name}: {AWAY[code]}")
    for words, kind, meaning in WORDS:
        if words in text:
            return kind(f"{place.name}: {meaning} ({text})")
    if (insecure := _tls(error)) is not None:
        return BadRequest(f"{place.name}: {insecure}")
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        asks = "; does it speak TLS on that port?" if place.name.startswith("rediss:") else ""
        return PoolBackendUnavailable(f"{place.name} did not answer in time{asks}")
    return PoolBackendUnavailable(f"{place.name} cannot be reached ({type(error).__name__}: {text})")


def _told(place: Place, kind: str, text: str) -> PoolBackendError:
    """What our own script raised."""
    if kind == "EVICTION":
        return BadRequest(
            f"{place.name} has maxmemory-policy {text}: when memory is short it would throw pools and leases away;"
            " set maxmemory-policy noeviction, or use a server of its own"
        )
    if kind == "SCHEMA":
        return SchemaMismatch(
            f"{place.name} keeps pools of {text!r:.60}; this asyncflow reads version {SCHEMA_VERSION}. Use the"
            " asyncflow that wrote them, or delete the keys 'asyncflow:*' while nobody runs"
        )
    return BackendCorrupt(f"{place.name}: {text:.200}; delete the keys of the namespace while nobody runs")


def _tls(error: BaseException) -> str | None:
    """Returns what is wrong with TLS for good, if that is it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"the server's certificate is not accepted ({seen.verify_message or seen.reason})"
        if isinstance(seen, ssl.SSLError) and seen.reason == "WRONG_VERSION_NUMBER":
            return "the server speaks no TLS there; use redis://, or its TLS port"
        seen = seen.__cause__ or seen.__context__
    return None
