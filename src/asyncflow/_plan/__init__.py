"""The plan: what a graph will do, frozen before anything runs.

Reads what `_authoring` wired and makes new immutable data of it: dense ids, successors, demand shapes, ranks,
pictures. Nothing here waits, reads a clock or calls a user's op.
"""

from asyncflow._plan.freeze import freeze
from asyncflow._plan.item_plan import MARK, ItemPlan, Stage, item_plan
from asyncflow._plan.node import MISSING, Fragment, PlanNode, bound, filled
from asyncflow._plan.picture import shaped
from asyncflow._plan.plan import Plan
from asyncflow._plan.rank import Order, item_order, late_order
from asyncflow._plan.scope import Scope, Shape

__all__ = [
    "MARK",
    "MISSING",
    "Fragment",
    "ItemPlan",
    "Order",
    "Plan",
    "PlanNode",
    "Scope",
    "Shape",
    "Stage",
    "bound",
    "filled",
    "freeze",
    "item_order",
    "item_plan",
    "late_order",
    "shaped",
]
