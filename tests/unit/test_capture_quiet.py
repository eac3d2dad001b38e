"""What libraries print is kept from the user, whichever threads run them, and what is not needed is not loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from gaitkeeper_client.capture.ahead import import_ahead
from gaitkeeper_client.capture.cores import threads_allowed
from gaitkeeper_client.capture.quiet import silent_stderr


def test_the_error_stream_comes_back_when_the_last_thread_has_left(capfd: pytest.CaptureFixture[str]) -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with silent_stderr():
            first_in.set()
            assert second_in.wait(10)
        first_out.set()

    def second() -> None:
        assert first_in.wait(10)
        with silent_stderr():
            second_in.set()
            assert first_out.wait(10)
            os.write(2, b"hidden\n")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_an_import_ahead_fails_where_the_module_is_wanted() -> None:
    usual = sys.getswitchinterval()
    sys.modules.pop("wave", None)
    import_ahead("no_such_module_of_ours", "wave").join(20)
    assert "wave" in sys.modules, "what comes after a module that is missing is loaded all the same"
    assert sys.getswitchinterval() == usual


def test_workers_say_how_many_threads_each_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, threads in (("1", 1), ("3", 3), ("many", None), ("0", None)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads_allowed() == (threads or len(os.sched_getaffinity(0)))


def test_the_pose_library_loads_without_plotting_and_leaves_plotting_alone() -> None:
    program = (
        "import sys\n"
        "from gaitkeeper_client.pose.mediapipe_pose import _mediapipe\n"
        "assert _mediapipe().tasks.vision.PoseLandmarker\n"
        "assert 'matplotlib' not in sys.modules and 'sounddevice' not in sys.modules\n"
        "import matplotlib\n"
        "assert matplotlib.__version__\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
