"""Flower's simulation engine, which is Ray: started with patience, used for one simulation, and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp
    from flwr.server.superlink.fleet.vce.backend.backend import BackendConfig
    from flwr.serverapp import ServerApp

STARTS = 3
"""Ray gives its first process some seconds to say where it listens, and cannot be told to wait longer: on a machine
that was busy for just those seconds a second try succeeds."""
_ONE_PROCESSOR: BackendConfig = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}


def simulate(server_app: ServerApp, client_app: ClientApp, nodes: int) -> None:
    """Run both applications with ``nodes`` simulated sites, as many at a time as there are processors.

    Raises ``rehearsal-failed``; ``extra-missing`` where Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise GaitkeeperError("extra-missing", command="coordinator rehearse", extra="all") from error
    from flwr.simulation import run_simulation

    workers = max(1, min(nodes, os.cpu_count() or 1))
    with _only_errors("flwr"), _one_thread_each():
        try:
            _start(workers)
            run_simulation(server_app, client_app, nodes, backend_config=_ONE_PROCESSOR)
        except RuntimeError as error:
            raise GaitkeeperError("rehearsal-failed", detail=error) from error
        finally:
            ray.shutdown()


def _start(workers: int) -> None:
    """Ray on this machine alone, as Flower's backend would start it, which uses what is running already."""
    import ray

    path = os.pathsep.join([*sys.path, *filter(None, [os.environ.get("PYTHONPATH")])])
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"PYTHONPATH": path}},
                _node_ip_address="127.0.0.1",
            )
        except RuntimeError:
            ray.shutdown()
            if not left:
                raise
        else:
            return


@contextlib.contextmanager
def _only_errors(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """One thread per simulated site: several torch processes with a thread per core each are far slower."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
