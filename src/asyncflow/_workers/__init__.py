"""Worker processes: children of this process that call plain functions, one at a time each.

What crosses the pipe is pickled, and read by nobody but this process and its own children: the pipe is a socket pair
that only they have. A worker is started with a fresh interpreter, never forked from a process with threads; it has a
session of its own, so Ctrl-C in a terminal reaches only the parent, which decides; and it ends when the parent does,
however that died, since it watches the other end of its pipe.

This room knows nothing of runs and limits: `_executor` decides when a worker is needed, and has as many as it wants.
"""

from asyncflow._workers.address import address_of, find
from asyncflow._workers.call import HERE, RemoteCall
from asyncflow._workers.parcel import packed_call
from asyncflow._workers.worker import Worker

__all__ = ["HERE", "RemoteCall", "Worker", "address_of", "find", "packed_call"]
