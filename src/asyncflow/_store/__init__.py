"""The store: records of runs, and values of ops as JSON, in memory or in a SQLite file.

It knows neither plans nor limits: entries go in, in order, and come out by run and key. `Keeper` is what the event loop
sees of it: nothing there waits for a disk.
"""

from asyncflow._store.codec import Codec, UnfitError, codec_of, output_of, refuse_unstorable
from asyncflow._store.entry import Kept, Mark, OpEntry, OpFilter, RunBegan, RunFilter, RunOver, RunSession, RunStore
from asyncflow._store.fidelity import same
from asyncflow._store.keeper import Keeper, Line, outlasted
from asyncflow._store.memory import is_reusable
from asyncflow._store.url import store_of

__all__ = [
    "Codec",
    "Keeper",
    "Kept",
    "Line",
    "Mark",
    "OpEntry",
    "OpFilter",
    "RunBegan",
    "RunFilter",
    "RunOver",
    "RunSession",
    "RunStore",
    "UnfitError",
    "codec_of",
    "is_reusable",
    "outlasted",
    "output_of",
    "refuse_unstorable",
    "same",
    "store_of",
]
