"""Libraries of the system that Python packages need and do not bring: a server without a screen lacks some."""

from __future__ import annotations

import re

from gaitkeeper_shared.errors import GaitkeeperError

_ABSENT = re.compile(r"(?P<library>[\w.+-]+\.so[.\d]*): cannot open shared object file")


def missing_library(error: BaseException) -> GaitkeeperError | None:
    """``system-library-missing`` where the loader did not find a library (glibc's words); None for any other error."""
    found = _ABSENT.search(str(error)) if isinstance(error, ImportError | OSError) else None
    return GaitkeeperError("system-library-missing", library=found["library"]) if found is not None else None
