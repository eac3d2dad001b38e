"""What every page of measurements has to say: of which commit it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit(*paths: str) -> str:
    """The commit that lies here, shortened; it says so where one of ``paths`` has changes that were not committed."""
    present = _git("rev-parse", "--short", "HEAD") or "unknown"
    changed = bool(paths) and bool(_git("status", "--porcelain", "--", *paths))
    return present + (" with changes that were not committed" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip()
