"""Gait parameters from events and cycles: each a value with its interval, or a refusal with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from gaitkeeper_client.gait.analysis import Parameter, Reason
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.deviation import deviation_parameters
from gaitkeeper_client.gait.freezing import freezing_parameter
from gaitkeeper_client.gait.harmonic import harmonic_parameters
from gaitkeeper_client.gait.parameters_body import body_parameters
from gaitkeeper_client.gait.parameters_length import length_parameters
from gaitkeeper_client.gait.parameters_time import time_parameters
from gaitkeeper_client.gait.walk import Walk, steps_of
from gaitkeeper_shared.recording import JointTrajectories

__all__ = ["Walk", "all_refused", "parameters"]


def parameters(walks: Sequence[Walk], tracks: JointTrajectories | None = None) -> dict[str, Parameter]:
    """All parameters of :data:`DEFINITIONS`, pooled over the straight walks of one recording.

    ``tracks``: the cleaned recording as a whole, for what must not be cut to straight walks; None where there are no
    positions.
    """
    steps = [step for walk in walks for step in steps_of(walk)]
    cycles = [cycle for walk in walks for cycle in walk.cycles]
    lengths = length_parameters(walks, steps)
    out = {
        **time_parameters(walks, cycles, steps),
        **lengths,
        **body_parameters(walks),
        **harmonic_parameters(walks),
        "freezing_index": freezing_parameter(walks, tracks),
        **deviation_parameters(walks, lengths["dimensionless_speed"]),
    }
    return {name: out[name] for name in DEFINITIONS}


def all_refused(why: Reason) -> dict[str, Parameter]:
    """Every parameter withheld for one reason."""
    return {name: Parameter(row.unit, refused=why) for name, row in DEFINITIONS.items()}
