"""``make accuracy``: the analysis against force plates and rendered walkers, into ``docs/accuracy.md``."""

from __future__ import annotations

import sys

from tests.accuracy.aids import aids
from tests.accuracy.everything import everything
from tests.accuracy.keypoints import keypoints
from tests.accuracy.laboratory import laboratory
from tests.accuracy.rendered import rendered
from tests.accuracy.tables import DATA, ROOT
from tests.accuracy.walks import methods, simulated
from tests.accuracy.wide import wide
from tests.measured import commit

from gaitkeeper_shared.durable import write_durably


def main() -> None:
    """Measure everything and write the page."""
    parts = [_head()]
    if DATA.is_dir():
        parts += [*laboratory(), methods(), *everything()]
    else:
        parts.append(
            f"The laboratory recordings were not at hand ({DATA.name} is absent); only simulated walkers follow.\n"
        )
    parts += [simulated(), keypoints(), rendered(), wide(), aids()]
    write_durably(ROOT / "docs/accuracy.md", "\n".join(parts).encode("utf-8"))
    sys.stdout.write("docs/accuracy.md\n")


def _head() -> str:
    return (
        "# Accuracy\n\n"
        f"Measured by `make accuracy` at commit {commit('client', 'shared')}. "
        "Definitions: [validation.md](validation.md).\n"
        "Recordings of people are the openly licensed ones of the development data: nothing below was measured on "
        "people that\nnobody had looked at before.\n"
    )


if __name__ == "__main__":
    main()
