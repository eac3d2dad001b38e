"""Work beside a block of code: in a thread that begins and ends with it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def in_background(work: Callable[[threading.Event], None], name: str, *, patience_s: float) -> Iterator[None]:
    """Run ``work`` in a thread called ``name`` until the block ends. ``work`` gets the event that is set then, and
    ``patience_s`` seconds to return; a thread that takes longer does not keep the process alive."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(patience_s)
