"""A ServerApp's task at the SuperLink: started over Control, claimed and worked on over Runtime, always ended."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import application_bundle, application_bundle_hash
from gaitkeeper_shared.sign_of_life import sign_of_life

if TYPE_CHECKING:
    import httpx
    from flwr.app import Context
    from flwr.supercore.control.control_http_client import ControlHttpClient
    from flwr.superlink.grid import HttpGrid

_log = logging.getLogger("gaitkeeper.rounds")
_CLAIM_DEADLINE_S = 30.0
_RETRY_FOR_S = 60.0
"""How long a call to a SuperLink that is away is repeated before the run is left to be resumed."""


@dataclass(frozen=True, slots=True)
class OperatorAccess:
    """The operator's port of the SuperLink, on loopback, and the secret that opens it. ``lock``: held for a claim."""

    port: int
    secret: str
    lock: Path

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"


class _Bearer:
    """Adds the operator's secret to each request."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def intercept(self, context: Any, call_next: Any) -> httpx.Response:
        context.request.headers["authorization"] = f"Bearer {self._secret}"
        response: httpx.Response = call_next(context)
        return response


def control_client(access: OperatorAccess) -> ControlHttpClient:
    """A client of the Control API."""
    from flwr.supercore.control.control_http_client import ControlHttpClient

    return ControlHttpClient.from_server_address(
        access.address, insecure=True, root_certificates=None, interceptors=[_Bearer(access.secret)]
    )


@contextlib.contextmanager
def flower_task(access: OperatorAccess, name: str = "") -> Iterator[tuple[HttpGrid, Context]]:
    """A new Flower run, its claimed ServerApp task and its grid. At the end the task is finished, well or not.

    ``name``: of the run that is conducted. What a killed conductor of the same name left is stopped first: a site that
    was just fetching its order would wait for the order's missing parts for half a minute and more.
    """
    from flwr.common.constant import SubStatus
    from flwr.common.serde import context_from_proto, run_from_proto
    from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
    from flwr.supercore.task_identity import TaskIdentity

    from gaitkeeper_server.rounds.replies import ReplyGrid

    grid = ReplyGrid(access.address, insecure=True, token=_start_and_claim(access, name))
    grid._retry_invoker.max_time = _RETRY_FOR_S
    try:
        with sign_of_life(grid._runtime_client, _log):
            task = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
            TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
            TaskIdentity.node_id = task.context.node_id
            grid.set_run(run_from_proto(task.run))
            status, details = SubStatus.FAILED, "the conductor was interrupted"
            try:
                yield grid, context_from_proto(task.context)
                status, details = SubStatus.COMPLETED, ""
            finally:
                grid._retry_invoker.max_time = 2.0
                grid._runtime_client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=details))
    finally:
        grid.close()


def _start_and_claim(access: OperatorAccess, name: str) -> str:
    """Start a Flower run and claim its task. Tasks that a killed conductor left waiting are ended on the way."""
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.proto.fab_pb2 import Fab

    access.lock.parent.mkdir(parents=True, exist_ok=True)
    with access.lock.open("a") as lock, control_client(access) as control:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fab = Fab(hash_str=application_bundle_hash(), content=application_bundle())
        note = access.lock.with_name(f"{name}.flower-run") if name else None
        if note is not None:
            _stop_left_behind(control, note)
        flower_run = control.StartRun(StartRunRequest(fab=fab)).run_id
        if note is not None:
            write_durably(note, str(flower_run).encode())
        deadline = time.monotonic() + _CLAIM_DEADLINE_S
        while time.monotonic() < deadline:
            claimed = _claim(access)
            if claimed is None:
                time.sleep(0.05)
            elif claimed[0] == flower_run:
                return claimed[1]
            else:
                _end_stale(access, claimed[1])
    raise GaitkeeperError(
        "timeout", what="Claiming the run's task", seconds=_CLAIM_DEADLINE_S, hint="Read logs/superlink.log."
    )


def _stop_left_behind(control: ControlHttpClient, note: Path) -> None:
    """Stop the Flower run whose number is in ``note``; it may have ended, or its SuperLink may be gone with it."""
    import httpx
    from flwr.proto.control_pb2 import StopRunRequest

    with contextlib.suppress(OSError, ValueError, httpx.HTTPStatusError):
        control.StopRun(StopRunRequest(run_id=int(note.read_text("ascii"))))


def _claim(access: OperatorAccess) -> tuple[int, str] | None:
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.constant import TaskType
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    auth = SuperExecAuthHttpInterceptor(
        master_secret=access.secret.encode(), protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"})
    )
    version = RuntimeVersionHttpInterceptor(component_name="gaitkeeper-conductor")
    with RuntimeHttpClient.from_server_address(
        access.address, insecure=True, root_certificates=None, interceptors=[version, auth]
    ) as client:
        response = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
    return (response.task.run_id, response.token) if response.HasField("task") and response.token else None


def _end_stale(access: OperatorAccess, token: str) -> None:
    from flwr.common.constant import SubStatus
    from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
    from flwr.superlink.grid import HttpGrid

    grid = HttpGrid(access.address, insecure=True, token=token)
    try:
        grid._runtime_client.PullTaskInput(PullTaskInputRequest())
        grid._runtime_client.PushTaskOutput(
            PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="left behind by a conductor that was killed")
        )
    finally:
        grid.close()
