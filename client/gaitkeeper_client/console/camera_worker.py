"""A process that watches one camera, so that a decoder's crash costs one walk and nothing else.

Started by ``site watch`` with its settings on standard input. The camera's address stands in ``site.toml``, which only
the site's account may read: it often holds a password.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from gaitkeeper_client.capture.live import Camera
from gaitkeeper_client.console.ambient import CameraWatch
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.schedule import read_schedule
from gaitkeeper_client.console.settings import camera_source, console_settings
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import current_key
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.processes import read_settings

TELL_S = 60.0


def main() -> None:
    """Watch until SIGTERM."""
    given = read_settings()
    os.umask(0o077)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    home, name, schedule = SiteHome(Path(given["home"])), str(given["camera"]), Path(given["schedule"])
    console = Console.of(home, current_key(home, given.get("passphrase")), console_settings(home))
    camera = Camera(camera_source(home, name))
    watch = CameraWatch(console, name, camera, lambda: read_schedule(schedule))
    threading.Thread(target=_tell, args=(home, name, watch, camera, stop), daemon=True).start()
    try:
        watch.run(stop)
    finally:
        _write(home, name, watch, camera)
    if stop.is_set():
        sys.exit(0)


def _tell(home: SiteHome, name: str, watch: CameraWatch, camera: Camera, stop: threading.Event) -> None:
    """Keep a small file up to date that says what was seen and what was passed over."""
    while not stop.wait(TELL_S):
        _write(home, name, watch, camera)


def _write(home: SiteHome, name: str, watch: CameraWatch, camera: Camera) -> None:
    tally = camera.tally
    text = f"{watch.seen}\n{tally.frames} frames, opened again {tally.reconnects} times\n"
    write_durably(home.run / f"camera-{name}.txt", text.encode("utf-8"))


def settings_of(home: SiteHome, camera: str, schedule: Path, passphrase: str | None) -> dict[str, Any]:
    """What a worker is told at its start."""
    told = {"home": str(home.path), "camera": camera, "schedule": str(schedule.absolute())}
    return told | ({} if passphrase is None else {"passphrase": passphrase})


if __name__ == "__main__":
    main()
