"""A synthetic patient: who walks, with what disorder, how tall and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Side

Disorder = Literal["healthy", "parkinsonian", "hemiparetic", "ataxic", "antalgic"]
DISORDERS: tuple[Disorder, ...] = ("healthy", "parkinsonian", "hemiparetic", "ataxic", "antalgic")
Sex = Literal["female", "male"]

HEIGHT_LIMITS_M = (1.0, 2.3)
SPEED_LIMITS_M_S = (0.2, 2.0)

_AGES: dict[Disorder, tuple[int, int]] = {
    "healthy": (22, 82),
    "parkinsonian": (55, 84),
    "hemiparetic": (45, 82),
    "ataxic": (28, 72),
    "antalgic": (45, 82),
}
_SPEEDS: dict[Disorder, tuple[float, float]] = {
    # Mean and spread of the self-chosen speed, m/s: judgements within what the sources in disorders.py call slow.
    "healthy": (1.28, 0.12),
    "parkinsonian": (0.88, 0.10),
    "hemiparetic": (0.68, 0.11),
    "ataxic": (0.88, 0.12),
    "antalgic": (0.95, 0.10),
}


@dataclass(frozen=True, slots=True)
class SyntheticPatient:
    """One synthetic patient. ``affected_side`` matters to one-sided disorders; ``severity`` 0.6..1.2 scales the signs.

    ``speed_m_s``: mean walking speed. ``seed``: everything random about this patient's walks follows from it.
    """

    name: str
    disorder: Disorder
    age: int
    sex: Sex
    height_m: float
    speed_m_s: float
    affected_side: Side
    severity: float
    seed: int

    def __post_init__(self) -> None:
        if self.disorder not in DISORDERS:
            raise GaitkeeperError("simulate-unknown-disorder", disorder=self.disorder, known=", ".join(DISORDERS))
        _within("height", self.height_m, HEIGHT_LIMITS_M, "m")
        _within("walking speed", self.speed_m_s, SPEED_LIMITS_M_S, "m/s")


def _within(what: str, value: float, limits: tuple[float, float], unit: str) -> None:
    if not limits[0] <= value <= limits[1]:
        raise GaitkeeperError("simulate-out-of-range", what=what, value=value, low=limits[0], high=limits[1], unit=unit)


def draw_patient(
    name: str,
    disorder: Disorder,
    seed: int,
    *,
    height_range_m: tuple[float, float] = (1.52, 1.92),
    speed_m_s: float | None = None,
) -> SyntheticPatient:
    """Draw a patient with ``disorder``: the same arguments always give the same patient.

    ``height_range_m``: limits of the height; within them women and men are drawn from their own distributions.
    ``speed_m_s``: the walking speed, drawn from the disorder's own distribution when not given.
    """
    if disorder not in DISORDERS:
        raise GaitkeeperError("simulate-unknown-disorder", disorder=disorder, known=", ".join(DISORDERS))
    random = np.random.default_rng([seed, DISORDERS.index(disorder)])
    sex: Sex = "female" if random.random() < 0.5 else "male"
    mean_height = 1.64 if sex == "female" else 1.77
    height = float(np.clip(random.normal(mean_height, 0.065), *height_range_m))
    age = int(random.integers(_AGES[disorder][0], _AGES[disorder][1] + 1))
    mean_speed, spread = _SPEEDS[disorder]
    drawn_speed = mean_speed + spread * float(np.clip(random.normal(), -2.0, 2.0)) - 0.004 * max(0, age - 65)
    side: Side = "left" if random.random() < 0.5 else "right"
    severity = float(np.clip(random.normal(0.95, 0.12), 0.7, 1.2))
    return SyntheticPatient(
        name=name,
        disorder=disorder,
        age=age,
        sex=sex,
        height_m=round(height, 3),
        speed_m_s=round(drawn_speed if speed_m_s is None else speed_m_s, 3),
        affected_side=side,
        severity=round(severity, 3),
        seed=seed,
    )
