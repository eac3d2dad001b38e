"""A library of the system that is missing is said in plain words, by commands and by the doctor."""

from __future__ import annotations

import ctypes

import pytest

from gaitkeeper_shared import cli
from gaitkeeper_shared.doctor import Finding, examine
from gaitkeeper_shared.system_libraries import missing_library

NONE_SUCH = "libgaitkeeper-none.so.1"


def load_what_is_missing() -> list[Finding]:
    ctypes.CDLL(NONE_SUCH)
    return []


def test_a_command_that_lacks_a_library_names_it_and_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "build_command", lambda: lambda **_: load_what_is_missing())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    said = capsys.readouterr().err
    assert NONE_SUCH in said
    assert "apt-get install" in said
    assert "Traceback" not in said


def test_the_doctor_names_it_with_its_remedy() -> None:
    (finding,) = examine([("system libraries", load_what_is_missing)])
    assert (finding.what, finding.verdict) == ("system libraries", "ill")
    assert NONE_SUCH in finding.detail
    assert "apt-get install" in finding.remedy


@pytest.mark.parametrize("error", [ImportError("no module named x"), OSError(2, "No such file"), ValueError(NONE_SUCH)])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert missing_library(error) is None
