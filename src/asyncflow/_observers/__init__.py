"""Observers: who listens to what happens. They never change, slow or break a run."""

from asyncflow._observers.observers import Observer, Observers

__all__ = ["Observer", "Observers"]
