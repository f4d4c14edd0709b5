"""This process at a pool backend: one session, one agent that does all I/O, one heartbeat.

- `agent`: talks to the backend, in batches; opens sessions and notices when one is lost
- `desk`: the tickets, and what replies mean for them
- `listener`: who is told what came of it
- `outbox`: what is still to be said to the backend; kept until it was heard
- `heartbeat`: renews the session from a thread of its own, whatever the event loop does
"""

from asyncflow._leases.agent import Agent
from asyncflow._leases.heartbeat import Heartbeat
from asyncflow._leases.listener import Away, Listener, Rhythm

__all__ = ["Agent", "Away", "Heartbeat", "Listener", "Rhythm"]
