"""How severe a model finds a walk, with its range, and when that range is too wide to say so."""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.analysis import Reason
from gaitkeeper_client.insight.findings import ModelCard, SeverityEstimate
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray

WIDEST_RANGE = 0.5
"""Share of the scale: a range that is wider says little more than that the scale is there."""


def estimated(card: ModelCard, per_window: FloatArray, span: FloatArray | None) -> SeverityEstimate:
    """From the (N, 1) severities of windows, and the (2, 1) range of their mean or None."""
    value = float(per_window.mean())
    nearest = int(np.abs(np.asarray(card.values) - value).argmin())
    return SeverityEstimate(
        value=value,
        grade=card.labels[nearest],
        scale_low=card.values[0],
        scale_high=card.values[-1],
        lowest=None if span is None else float(span[0, 0]),
        highest=None if span is None else float(span[1, 0]),
    )


def unclear(found: SeverityEstimate) -> Reason | None:
    """Why an estimate is not to be relied on; None where its range is narrow enough, or there is none."""
    if found.lowest is None or found.highest is None:
        return None
    share = (found.highest - found.lowest) / (found.scale_high - found.scale_low)
    if share <= WIDEST_RANGE:
        return None
    message = say(
        "severity.unclear", lowest=found.lowest, highest=found.highest, share=share, widest_range=WIDEST_RANGE
    )
    return Reason("severity-unclear", message)


def severity_words(found: SeverityEstimate) -> str:
    """The estimate in words, without its range."""
    scale = say("severity.scale", scale_low=found.scale_low, scale_high=found.scale_high)
    return say("severity.words", value=found.value, scale=scale, grade=found.grade)
