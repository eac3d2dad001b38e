"""The parts of a model that a study may train, by the names of its arrays. Needs no torch."""

from __future__ import annotations

from gaitkeeper_shared.models.spec import trains

_BASIS, _CORRECTION = "basis", "correction"
"""How an adapted encoder calls the matrices of its adapters that stay and those that are trained."""


def part_of(name: str) -> str:
    """The part to which a state-dict name belongs: ``head``, ``adapters``, ``encoder``, or ``fixed``, never trained."""
    pieces = name.split(".")
    if pieces[0] == "head":
        return "head"
    if _CORRECTION in pieces:
        return "adapters"
    return "fixed" if _BASIS in pieces else "encoder"


def may_change(name: str, trained: str) -> bool:
    """Whether private steps with ``trained`` (a study's parts with ``+`` between) change the array ``name``."""
    part = part_of(name)
    return part != "fixed" and trains(trained, part)
