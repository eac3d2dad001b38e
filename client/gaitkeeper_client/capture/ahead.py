"""Import what will be needed later, while the processor's time is not Python's."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading

_SWITCH_S = 0.0005
"""Frames are looked at outside of Python's lock; each return to it would wait 5 ms for the import's turn."""


def import_ahead(*modules: str) -> threading.Thread:
    """Import modules in a thread. Whoever imports one of them meanwhile waits for it, and meets its errors himself."""

    def load() -> None:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        try:
            for module in modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
        finally:
            sys.setswitchinterval(usual)

    thread = threading.Thread(target=load, name="import", daemon=True)
    thread.start()
    return thread
