"""Which files may be handed in: known by their suffix, and by what they begin with.

What an upload is called decides nothing but which reader is asked; the name never becomes a path.
"""

from __future__ import annotations

from gaitkeeper_client.capture.container import looks_like_video
from gaitkeeper_shared.errors import GaitkeeperError

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
TEXTS = frozenset({".csv", ".txt", ".ts", ".trc", ".mot", ".sto", ".bvh", ".json"})
BINARIES = frozenset({".c3d", ".h5", ".hdf5", ".mat"})
ACCEPTED = tuple(sorted(VIDEOS | TEXTS | BINARIES))
HEAD_BYTES = 512
_HDF = b"\x89HDF\r\n\x1a\n"


def suffix_of(file_name: str) -> str:
    """The suffix in lower case. Raises ``console-upload-kind`` for one that no reader takes."""
    tail = file_name.replace("\\", "/").rpartition("/")[2]
    suffix = f".{tail.rpartition('.')[2].lower()}" if "." in tail else ""
    if suffix not in ACCEPTED:
        raise GaitkeeperError("console-upload-kind", found=suffix or "no suffix", kinds=", ".join(ACCEPTED))
    return suffix


def check_head(suffix: str, head: bytes) -> None:
    """Raise ``console-upload-kind`` where a file's first bytes are not those of its kind."""
    if not _fits(suffix, head[:HEAD_BYTES]):
        found = f"a file that does not begin as a {suffix} does"
        raise GaitkeeperError("console-upload-kind", found=found, kinds=", ".join(ACCEPTED))


def _fits(suffix: str, head: bytes) -> bool:
    if suffix in VIDEOS:
        return looks_like_video(head)
    if suffix == ".c3d":
        return len(head) > 1 and head[1] == 0x50  # the format's own mark
    if suffix in (".h5", ".hdf5"):
        return head.startswith(_HDF)
    if suffix == ".mat":
        # Version 5 says so in words; version 4 begins with a type below 5000 in its machine's order.
        numbers = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
        return head.startswith(b"MATLAB") or (len(head) >= 20 and any(number < 5_000 for number in numbers))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" in head or text.startswith(b"<"):  # markup is no walk
        return False
    return not (suffix == ".json" and not text.startswith((b"{", b"[")))
