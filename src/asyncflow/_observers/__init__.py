"""Who listens: observers and streams of events, and the log. None of them can change or break a run."""

from asyncflow._observers.log import bind_context, bound_context
from asyncflow._observers.log import log as logger
from asyncflow._observers.observers import Observer, Observers
from asyncflow._observers.stream import EventStream

__all__ = ["EventStream", "Observer", "Observers", "bind_context", "bound_context", "logger"]
