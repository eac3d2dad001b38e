"""A camera on loopback: GStreamer's RTSP server, which plays a folder of pictures round and round, at their own pace.

Started with the system's Python, as GStreamer's bindings are Debian packages (``gir1.2-gst-rtsp-server-1.0``,
``python3-gi``, ``gstreamer1.0-plugins-good``): ``rtsp_server.py PORT FOLDER RATE WIDTH HEIGHT``; the address is
``rtsp://127.0.0.1:PORT/hall``. Motion JPEG, as many cameras send it.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path


def main() -> None:
    """Serve until it is killed."""
    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    port, folder, rate, width, height = sys.argv[1:]
    Gst.init(None)
    pictures = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    pause = Gst.SECOND // int(rate)

    def configure(_factory: object, media: object) -> None:
        """Each run of the camera begins with the first picture."""
        numbers = itertools.count()
        source = media.get_element().get_by_name_recurse_up("pictures")  # type: ignore[attr-defined]

        def more(source: object, _length: int) -> None:
            number = next(numbers)
            buffer = Gst.Buffer.new_wrapped(pictures[number % len(pictures)])
            buffer.pts, buffer.duration = number * pause, pause
            source.emit("push-buffer", buffer)  # type: ignore[attr-defined]

        source.connect("need-data", more)

    caps = f"image/jpeg,framerate={rate}/1,width={width},height={height}"
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( appsrc name=pictures format=time caps={caps} ! rtpjpegpay name=pay0 pt=26 )")
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/hall", factory)
    server.attach(None)
    print("serving", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
