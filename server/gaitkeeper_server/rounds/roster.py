"""Which site is behind which Flower node, and since when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flwr.serverapp import Grid


@dataclass(frozen=True, slots=True)
class Presence:
    """A node that is there. ``since`` changes when the node starts anew: what it was asked before is lost then."""

    node_id: int
    since: str


Roster = Callable[["Grid"], Mapping[str, Presence]]
"""The sites that can be reached now, by name."""


def roster_of_names(grid: Grid) -> Mapping[str, Presence]:
    """Sites by the names under which the coordinator registered their nodes."""
    return {
        info.name: Presence(info.node_id, info.last_activated_at)
        for info in grid.get_nodes()
        if info.name and info.status == "online"
    }


def roster_of_numbers(names: tuple[str, ...]) -> Roster:
    """For Flower's simulation engine, whose nodes have no names: ``names`` in the order of node ids."""

    def roster(grid: Grid) -> Mapping[str, Presence]:
        return {name: Presence(node, "") for name, node in zip(names, sorted(grid.get_node_ids()), strict=False)}

    return roster
