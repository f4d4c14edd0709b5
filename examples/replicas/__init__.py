"""Replicas of a small service that share one pool, one of which is killed now and then.

`python -m examples.replicas` starts them, kills some, and tells what the API behind the pool saw.
"""
