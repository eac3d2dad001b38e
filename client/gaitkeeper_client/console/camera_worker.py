"""A process that watches one camera, so that a decoder's crash costs one walk and nothing else.

Started by ``site watch`` with its settings on standard input. The camera's address stands in ``site.toml``, which only
the site's account may read: it often holds a password.
"""

from __future__ import annotations

import threading
from pathlib import Path

from gaitkeeper_client.capture.live import Camera
from gaitkeeper_client.console.ambient import CameraWatch
from gaitkeeper_client.console.child import begin
from gaitkeeper_client.console.schedule import read_schedule
from gaitkeeper_client.console.settings import camera_source
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import write_durably

TELL_S = 60.0


def main() -> None:
    """Watch until SIGTERM."""
    begun = begin()
    home, name, schedule = begun.console.home, str(begun.given["camera"]), Path(begun.given["schedule"])
    camera = Camera(camera_source(home, name))
    watch = CameraWatch(begun.console, name, camera, lambda: read_schedule(schedule))
    threading.Thread(target=_tell, args=(home, name, watch, camera, begun.stop), daemon=True).start()
    try:
        watch.run(begun.stop)
    finally:
        _write(home, name, watch, camera)


def _tell(home: SiteHome, name: str, watch: CameraWatch, camera: Camera, stop: threading.Event) -> None:
    """Keep a small file up to date that says what was seen and what was passed over."""
    while not stop.wait(TELL_S):
        _write(home, name, watch, camera)


def _write(home: SiteHome, name: str, watch: CameraWatch, camera: Camera) -> None:
    tally = camera.tally
    text = f"{watch.seen}\n{tally.frames} frames, opened again {tally.reconnects} times\n"
    write_durably(home.run / f"camera-{name}.txt", text.encode("utf-8"))


if __name__ == "__main__":
    main()
