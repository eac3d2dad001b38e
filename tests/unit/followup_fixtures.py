"""Reports of made-up visits: a patient whose true values, strides and days are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from gaitkeeper_client.followup.rules import change_rules
from gaitkeeper_client.gait.analysis import Analysis, Parameter, Reason
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.statistics import cv_with_ci95, mean_with_ci95
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.signing.kept import KeptReport

PATIENT = PatientContext("p-1", 70.0, "female", 1.7)
TRUE: Mapping[str, tuple[float, float]] = {
    "walking_speed": (0.9, 0.05),
    "cadence": (100.0, 3.0),
    "step_length": (0.54, 0.03),
    "double_support_percent": (26.0, 2.0),
    "symmetry_index": (8.0, 4.0),
    "step_time_ratio": (1.05, 0.05),
    "sagittal_shape_deviation": (6.0, 1.0),
    "knee_range_left": (50.0, 3.0),
}
"""By parameter: the patient's own mean, and the standard deviation of single strides around it."""
TRUE_CV = 3.0


def report(
    random: np.random.Generator,
    day: int,
    changed: Mapping[str, float] | None = None,
    *,
    walk: int = 0,
    strides: int = 12,
    day_error: float = 1.0,
    without: str = "",
    view: str = "laboratory",
) -> KeptReport:
    """A walk on a day: the true values (``changed``) moved by the day's error, in units of the published one, and seen
    through so many strides. ``without``: a parameter that is withheld."""
    found = {}
    for name, (mean, spread) in TRUE.items():
        mean = (changed or {}).get(name, mean)
        error = change_rules()[name].day_sd(mean, 0.9) or 0.0
        today = mean + day_error * error * random.normal()
        value, interval = mean_with_ci95(list(today + spread * random.normal(size=strides)))
        found[name] = Parameter(DEFINITIONS[name].unit, value, interval, strides)
    cv = (changed or {}).get("stride_time_cv", TRUE_CV)
    today = max(cv + day_error * 0.423 * cv * random.normal(), 0.2)
    value, interval = cv_with_ci95(list(1.2 * (1.0 + today / 100.0 * random.normal(size=strides))))
    found["stride_time_cv"] = Parameter("%", value, interval, strides)
    if without:
        found[without] = Parameter(found[without].unit, refused=Reason("too-few-strides", "Too few strides."))
    moment = (datetime(2026, 1, 1, 9, tzinfo=UTC) + timedelta(days=day, minutes=walk)).isoformat()
    source = {"kind": "test", "sha256": f"{day}-{walk}"}
    analysis = Analysis("analysed", (), source, found, (), (), {"view": view})
    return KeptReport(f"r-{day}-{walk}", "p-1", moment, moment, PATIENT, analysis, None, "test")
