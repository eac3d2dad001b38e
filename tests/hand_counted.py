"""What people counted by eye in the videos of the development data."""

from __future__ import annotations

from gaitkeeper_shared.recording import Side

CONTACTS: tuple[tuple[float, Side], ...] = (
    (61, "right"),
    (80, "left"),
    (99, "right"),
    (116.5, "left"),
    (135, "right"),
    (153, "left"),
    (172, "right"),
)
"""Of the woman who walks through ``sports2d/demo.mp4``: frame and foot, read by eye to a frame, of 30 a second."""
RATE_HZ = 30.0
CADENCE = 60.0 * RATE_HZ * (len(CONTACTS) - 1) / (CONTACTS[-1][0] - CONTACTS[0][0])
"""Her steps a minute from the first contact to the last: 97.3."""
CADENCE_ERROR = 1.9
"""By how much the count may be off, its first and its last contact being read to a frame."""
HEIGHT_M = 1.65
