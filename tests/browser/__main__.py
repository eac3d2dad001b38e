"""Drive the console in Debian's chromium, and send it what a hostile user would; pictures of every page go into the
folder named at the end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

FOUND_AT = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Exit status 2 where there is no browser, else pytest's."""
    browser = os.environ.get("GAITKEEPER_CHROMIUM") or next(filter(None, map(shutil.which, FOUND_AT)), None)
    if browser is None:
        print("There is no chromium here: apt-get install chromium, or let GAITKEEPER_CHROMIUM name one.")
        return 2
    os.environ["GAITKEEPER_CHROMIUM"] = browser
    os.environ.setdefault("GAITKEEPER_SCREENSHOTS", tempfile.mkdtemp(prefix="gaitkeeper-console-"))
    here = Path(__file__).parent
    hostile = ("access", "limits", "uploads", "work")
    stories = [str(here / name) for name in ("console_pages.py", "console_api.py")]
    stories += [str(here.parent / "integration" / f"test_console_{name}.py") for name in hostile]
    status = pytest.main(["-q", "-p", "no:cacheprovider", *(sys.argv[1:] or stories)])
    print(f"Pictures: {os.environ['GAITKEEPER_SCREENSHOTS']}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
