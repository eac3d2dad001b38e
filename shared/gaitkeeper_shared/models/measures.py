"""What the features of an encoder measure, for encoders whose features are measurements and not learned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """One feature that is a measurement of the walk, and how to read it back.

    The feature is ``(value - center) / spread`` within ``-limit`` to ``limit``, of the value's logarithm where ``log``;
    a feature of exactly 0 that no sample of its ``channels`` supports is an unknown one. ``value`` is in ``unit``.
    """

    name: str
    unit: str
    channels: tuple[str, ...]
    center: float
    spread: float
    limit: float
    log: bool = False

    def value(self, feature: float) -> float:
        """The measurement that a feature stands for, in ``unit``; at the limit, the nearest one that could be."""
        number = self.center + self.spread * feature
        return math.exp(number) if self.log else number

    def limited(self, feature: float) -> bool:
        """Whether the feature stands at an end of its scale, so that the walk's own value may lie beyond."""
        return abs(feature) >= self.limit * (1.0 - 1e-5)
