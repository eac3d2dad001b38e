"""What a recording is good for, in numbers: how much was seen, how fast, from where, how noisy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gaitkeeper_client.gait.bouts import turns
from gaitkeeper_client.gait.clean import CleanTracks
from gaitkeeper_client.gait.parameters import Walk
from gaitkeeper_client.gait.view import View
from gaitkeeper_shared.models.channels import height_drift


def describe(raw_rate_hz: float, cleaned: CleanTracks, walks: Sequence[Walk]) -> dict[str, Any]:
    """The ``quality`` object of the analysis (``docs/analysis-schema.md``): JSON values only."""
    tracks = cleaned.tracks
    leg = walks[0].bout.leg if walks else math.nan
    return {
        "sample_rate_hz": raw_rate_hz,
        "duration_s": float(tracks.time_s[-1] - tracks.time_s[0]),
        "tracked_share": cleaned.seen_share,
        "filled_share": float(cleaned.filled.mean()),
        "longest_gap_s": cleaned.longest_gap_s,
        "swapped_share": cleaned.swapped_share,
        "noise_leg_lengths": cleaned.noise / leg,
        **describe_view(walks[0].view if walks else None),
        "direction": _direction(walks),
        "straight_walks": [
            {"start_s": float(w.bout.time_s[0]), "end_s": float(w.bout.time_s[-1]), "direction": _way(w)} for w in walks
        ],
        "turns": [{"start_s": start, "end_s": end} for start, end in turns([walk.bout for walk in walks])],
        "constant_place": bool(walks) and all(walk.bout.constant_place for walk in walks),
        "metres_per_unit": walks[0].metres if walks else None,
        "height_drift_leg_lengths": _height_drift(walks),
    }


def describe_view(view: View | None) -> dict[str, Any]:
    """The view's name and its azimuth in degrees; null where not known."""
    known = view is not None and math.isfinite(view.azimuth_deg)
    return {"view": view.name if view else None, "view_azimuth_deg": view.azimuth_deg if view and known else None}


def _height_drift(walks: Sequence[Walk]) -> float | None:
    """Of the longest straight walk; the feature signals do not have it, but who made the recording might."""
    if not walks:
        return None
    longest = max(walks, key=lambda walk: walk.bout.duration_s).bout
    drift = height_drift(longest.time_s, longest.points)
    return drift if math.isfinite(drift) else None


def _way(walk: Walk) -> str:
    heading = walk.bout.heading
    if isinstance(heading, tuple):
        return f"{math.degrees(math.atan2(heading[1], heading[0])):.0f} deg"
    return "left-to-right" if heading > 0 else "right-to-left"


def _direction(walks: Sequence[Walk]) -> str | None:
    ways = sorted({_way(walk) for walk in walks})
    if not ways:
        return None
    return ways[0] if len(ways) == 1 else "several"
