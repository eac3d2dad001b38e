"""As :mod:`.shifted_node`, an hour behind."""

from __future__ import annotations

from tests.faults.shifted_node import AHEAD, main

if __name__ == "__main__":
    main(-AHEAD)
