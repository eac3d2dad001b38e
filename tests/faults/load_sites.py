"""A share of the sites that come at once: each a thread that does its errand by the site's own code, and times it.

Standard input: one line of JSON, ``go`` (a file to wait for) and ``errands``; standard output: a line when all threads
wait, then what became of each as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.consortium.releases import pull_once
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError

TRIES, PAUSE_S = 4, 5.0
HELD_S = 300.0


def _errand(did: str, site: Path) -> str:
    """Do it once: empty where it is done, else what failed."""
    home = SiteHome(site)
    try:
        if did == "enrol":
            enrol(home, site.with_name(f"{site.name}.invitation"))
            return ""
        outcome = pull_once(home)
        return "" if outcome.state in ("activated", "current") else outcome.code or outcome.state
    except GaitkeeperError as error:
        return error.code


def _run(did: str, site: Path, go: threading.Event, results: list[dict[str, Any]]) -> None:
    go.wait(HELD_S)
    started = time.monotonic()
    failures: list[str] = []
    for _ in range(TRIES):
        if not (failure := _errand(did, site)):
            break
        failures.append(failure)
        time.sleep(PAUSE_S * random.Random(site.name).uniform(0.75, 1.25))
    seconds = time.monotonic() - started
    results.append({"did": did, "seconds": seconds, "failures": failures, "done": len(failures) < TRIES})


def main() -> None:
    """Entry point of the child process."""
    asked = json.loads(sys.stdin.readline())
    go, results = threading.Event(), list[dict[str, Any]]()
    import safetensors.numpy  # noqa: F401 - what a site's service has loaded long before

    from gaitkeeper_shared.models.registry import build  # noqa: F401 - PyTorch with it

    threads = [
        threading.Thread(target=_run, args=(item["did"], Path(item["site"]), go, results)) for item in asked["errands"]
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    until = time.monotonic() + HELD_S
    while not Path(asked["go"]).exists() and time.monotonic() < until:
        time.sleep(0.005)
    go.set()
    for thread in threads:
        thread.join()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
