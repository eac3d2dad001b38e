"""What each gait parameter is: its unit, definition, source and the views that it can be measured from."""

from __future__ import annotations

from dataclasses import dataclass

WHITTLE = "Whittle, Gait Analysis: An Introduction, 4th ed. 2007, ISBN 978-0-7506-8883-3"


@dataclass(frozen=True, slots=True)
class Definition:
    """``sagittal``: needs a side view (or laboratory points). ``length``: needs a scale. ``fewest``: values needed."""

    name: str
    unit: str
    definition: str
    source: str
    sagittal: bool = False
    length: bool = False
    fewest: int = 2


DEFINITIONS: dict[str, Definition] = {
    row.name: row
    for row in (
        Definition("cadence", "steps/min", "Two steps a stride: 120 s over the mean stride time.", WHITTLE),
        Definition("stride_time", "s", "From a foot strike to the next of the same foot.", WHITTLE),
        Definition("step_time", "s", "From a foot strike to the next of the other foot.", WHITTLE),
        Definition("stance_percent", "%", "Foot strike to foot off of the same foot, of the gait cycle.", WHITTLE),
        Definition("swing_percent", "%", "Foot off to the next foot strike of the same foot, of the cycle.", WHITTLE),
        Definition(
            "double_support_percent", "%", "Both phases of a gait cycle with both feet on the ground, summed.", WHITTLE
        ),
        Definition(
            "step_length",
            "m",
            "Distance along the direction of travel from the heel of the standing foot to that of the striking foot.",
            WHITTLE,
            sagittal=True,
            length=True,
        ),
        Definition(
            "stride_length",
            "m",
            "Way of one heel from a foot strike to its next, along the direction of travel.",
            WHITTLE,
            sagittal=True,
            length=True,
        ),
        Definition(
            "walking_speed",
            "m/s",
            "Way of the pelvis during a stride over the stride time, mean over strides.",
            WHITTLE,
            sagittal=True,
            length=True,
        ),
        Definition(
            "symmetry_index",
            "%",
            "Difference between the mean stance times of left and right over their mean, without sign; 0 is symmetric.",
            "Patterson et al. 2010, doi:10.1016/j.gaitpost.2009.10.014",
        ),
        Definition(
            "stride_time_cv",
            "%",
            "Standard deviation of the stride times over their mean; left and right apart, pooled.",
            "Hausdorff 2005, doi:10.1186/1743-0003-2-19",
            fewest=10,
        ),
    )
}
