"""What the running site needs of releases; they are kept and checked in :mod:`gaitkeeper_client.consortium`."""

from __future__ import annotations

from gaitkeeper_client.consortium.releases import ActiveRelease, PullOutcome, active_release, pull_once

__all__ = ["ActiveRelease", "PullOutcome", "active_release", "pull_once"]
