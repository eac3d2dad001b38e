"""Another node in the place of a site's own: the site whose part is played badly, and who stands in for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.faults.stage import MOMENT_S, SITES, Stage

SITE, OTHER = SITES[0], SITES[1]


@contextlib.contextmanager
def other_node(stage: Stage, module: str) -> Iterator[None]:
    """Another node in the place of a site's own; afterwards the right one, which is up."""
    stage.stop_site(SITE)
    stage.modules[SITE] = module
    stage.start_site(SITE, stage.keys[SITE])
    try:
        stage.wait(stage.keys[SITE].with_name("executor.ready").exists, MOMENT_S)
        yield
    finally:
        stage.stop_site(SITE)
        del stage.modules[SITE]
        stage.start_site(SITE, stage.keys[SITE])
    stage.wait_for_sites((SITE,))
