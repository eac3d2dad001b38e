"""MediaPipe's library does not report to anybody from a process of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gaitkeeper_client.pose.no_uploads import NOWHERE, REPORTS_TO, silence
from gaitkeeper_shared.errors import GaitkeeperError

LOOK = """
import ctypes, sys
from pathlib import Path
from gaitkeeper_client.pose import mediapipe_pose
from gaitkeeper_client.pose.no_uploads import NOWHERE, REPORTS_TO
package = Path(mediapipe_pose._mediapipe().__file__).parent
kept = lost = 0
for line in Path("/proc/self/maps").read_text().splitlines():
    if line.endswith("libmediapipe.so") and line.split()[1].startswith("r"):
        start, end = (int(text, 16) for text in line.split()[0].split("-"))
        data = ctypes.string_at(start, end - start)
        kept += data.count(REPORTS_TO[:-1])
        lost += data.count(NOWHERE[:-1])
print(kept, lost)
"""


def test_the_library_in_memory_knows_nobody_to_report_to() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=120, check=True)
    kept, lost = map(int, done.stdout.split())
    assert kept == 0
    assert lost >= 1  # else the library changed, and this has to be looked at anew


def test_the_replacement_fits_and_stays_on_this_machine() -> None:
    assert len(NOWHERE) == len(REPORTS_TO)
    assert NOWHERE.startswith(b"http://127.0.0.1:1/")


def test_the_file_is_not_changed() -> None:
    spec = find_spec("mediapipe")
    assert spec is not None
    assert spec.origin is not None
    assert REPORTS_TO in (Path(spec.origin).parent / "tasks" / "c" / "libmediapipe.so").read_bytes()


def test_a_library_that_cannot_be_silenced_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libmediapipe.dll"
    library.write_bytes(b"x" * 100 + REPORTS_TO)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(GaitkeeperError) as error:
        silence(library)
    assert error.value.code == "pose-reports-home"
    shutil.copy(library, tmp_path / "other.dll")
    (tmp_path / "other.dll").write_bytes(b"nothing of the kind")
    silence(tmp_path / "other.dll")
