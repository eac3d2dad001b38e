"""Real servers on loopback: a run that survives the death of every process, and peers that want more than they may."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest, StopRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode import node_auth_http_interceptor as signing
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from tests.e2e.federation_fixtures import Deployment

from gaitkeeper_client.agent.node import load_node_key
from gaitkeeper_server.rounds.flower_task import OperatorAccess, control_client, flower_task
from gaitkeeper_server.rounds.states import Outcome, RunState
from gaitkeeper_shared.trust.audit import AuditLog

pytestmark = pytest.mark.e2e
SITES = ("clinic-a", "clinic-b")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("deployment"))
    keys = {site: made.enrol(site) for site in SITES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_UP_NOTES", str(made.folder))
        patch.setenv("MADE_UP_SITE", "")
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        try:
            made.start_superlink()
            for site, key in keys.items():
                made.start_site(site, key)
            made.wait(lambda: all(key.with_name("executor.ready").exists() for key in keys.values()), 60)
            made.wait(lambda: all(key.with_name("node.ready").exists() for key in keys.values()), 60)
            yield made
        finally:
            made.children.stop()


def test_a_run_survives_the_death_of_conductor_superlink_node_and_executor(deployment: Deployment) -> None:
    """SIGKILL of one process after the other, a round apart: the same run goes on, and the weights are right."""
    rounds = 6
    deployment.start_run("killed", rounds)
    victims = ["killed", "superlink", "clinic-a-node", "clinic-b-executor"]
    for number, victim in enumerate(victims, start=1):
        deployment.wait(lambda n=number: _at_least(deployment, "killed", n), 60)  # type: ignore[misc]
        os.kill(deployment.pid(victim), signal.SIGKILL)
        if victim == "clinic-b-executor":
            # What the site's own service does: a node must not wait for the reply of a dead executor.
            deployment.children.restart("clinic-b-node")
    record = deployment.finish("killed", 60)
    assert record.state is RunState.SUCCEEDED, record.detail
    checkpoint = deployment.journal.checkpoint("killed")
    assert checkpoint is not None
    np.testing.assert_array_equal(checkpoint.weights["bias"], np.full(3, rounds, np.float32))


def _at_least(deployment: Deployment, run: str, rounds: int) -> bool:
    record = deployment.journal.run(run)
    assert not record.state.terminal or record.committed >= rounds, f"{record.state}: {record.detail}"
    return record.committed >= rounds


def test_rounds_are_quick(deployment: Deployment) -> None:
    deployment.start_run("quick", 5)
    assert deployment.finish("quick", 90).state is RunState.SUCCEEDED
    seconds = []
    for item in deployment.journal.rounds("quick")[1:]:
        assert item.finished_at is not None
        outcomes = deployment.journal.outcomes("quick", item.number)
        assert {outcome.outcome for outcome in outcomes} == {Outcome.INCLUDED}
        from datetime import datetime

        started, finished = (datetime.fromisoformat(text) for text in (item.started_at, item.finished_at))
        seconds.append((finished - started).total_seconds())
    # Stock Flower needs 14 s on a quiet machine of two cores; this one may be busy with other tests.
    assert min(seconds) < 4.0, seconds


class Recorder:
    """Keeps the signed headers of a first request, and sends them with all that follow."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}

    def intercept(
        self, context: ProtobufRequestContext, call_next: Callable[[ProtobufRequestContext], httpx.Response]
    ) -> httpx.Response:
        """Flower's seam."""
        names = (FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER, TIMESTAMP_HEADER)
        self._headers = self._headers or {name: context.request.headers[name] for name in names}
        context.request.headers.update(self._headers)
        return call_next(context)


def fleet(deployment: Deployment, key: EllipticCurvePrivateKey, *more: Recorder) -> FleetHttpClient:
    return FleetHttpClient.from_server_address(
        deployment.config.address(deployment.config.fleet_port),
        False,
        deployment.home.root_certificate.read_bytes(),
        interceptors=[NodeAuthHttpInterceptor(key, key.public_key()), *more],
    )


def status_of(call: object, request: object) -> int:
    with pytest.raises(httpx.HTTPStatusError) as error:
        call(request)  # type: ignore[operator]
    return error.value.response.status_code


def test_a_hostile_site_reaches_fleet_for_itself_and_nothing_else(deployment: Deployment) -> None:
    public = deployment.config.address(deployment.config.fleet_port)
    root = deployment.home.root_certificate.read_bytes()
    mine = load_node_key(deployment.folder / "clinic-a" / "node.key")
    signed = [NodeAuthHttpInterceptor(mine, mine.public_key())]
    with ControlHttpClient.from_server_address(public, False, root, interceptors=signed) as control:
        assert status_of(control.StartRun, StartRunRequest(fab=Fab(hash_str="x", content=b"x"))) == 404
        assert status_of(control.ListRuns, ListRunsRequest()) == 404
        assert status_of(control.StopRun, StopRunRequest(run_id=1)) == 404
    with RuntimeHttpClient.from_server_address(public, False, root, interceptors=signed) as runtime:
        assert status_of(runtime.AcquireTask, AcquireTaskRequest(supported_task_types=["flwr-serverapp"])) == 404
    # Another site's messages: its node's number is not a secret, its key is.
    other = next(info for info in _nodes(deployment) if info.name == "clinic-b")
    with fleet(deployment, mine) as client:
        assert status_of(client.PullMessages, PullMessagesRequest(node=Node(node_id=other.node_id))) == 401
        # An order to the other site in the coordinator's name, and a reply in the other site's name.
        own = next(info for info in _nodes(deployment) if info.name == "clinic-a")
        for source, target, reply_to in ((1, other.node_id, ""), (other.node_id, 1, "asked"), (own.node_id, 1, "")):
            metadata = Metadata(src_node_id=source, dst_node_id=target, reply_to_message_id=reply_to)
            push = PushMessagesRequest(
                node=Node(node_id=own.node_id),
                messages_list=[Message(metadata=metadata)],
                message_object_trees=[ObjectTree()],
            )
            assert status_of(client.PushMessages, push) == 403
    # On the operator's port, from the same machine, without the operator's secret.
    stranger = OperatorAccess(deployment.access.port, "guessed", deployment.access.lock)
    with control_client(stranger) as control:
        assert status_of(control.ListRuns, ListRunsRequest()) == 401
    with RuntimeHttpClient.from_server_address(stranger.address, True, None, interceptors=[]) as runtime:
        assert status_of(runtime.AcquireTask, AcquireTaskRequest(supported_task_types=["flwr-serverapp"])) == 401
    for path in ("/docs", "/openapi.json", "/v1/fleet/register-node", "/health"):
        assert httpx.post(f"https://{public}{path}", verify=_trust(deployment)).status_code == 404


def test_a_recorded_signature_serves_nobody_later_and_nobody_else(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node signs is the moment: replayed, soon or late, or beside another's key or number, it opens nothing."""
    key, other = (load_node_key(deployment.folder / site / "node.key") for site in SITES)
    numbers = {info.name: info.node_id for info in _nodes(deployment)}
    ask = PullMessagesRequest(node=Node(node_id=numbers["clinic-a"]))
    right = signing.now
    with monkeypatch.context() as patch:
        patch.setattr(signing, "now", lambda: right() - timedelta(seconds=400))
        with fleet(deployment, key) as client:
            assert status_of(client.PullMessages, ask) == 401
    beat = SendNodeHeartbeatRequest(node=Node(node_id=numbers["clinic-a"]), heartbeat_interval=30.0)
    with fleet(deployment, key, Recorder()) as client:
        assert client.SendNodeHeartbeat(beat).success
        assert status_of(client.SendNodeHeartbeat, beat) == 401
        assert status_of(client.PullMessages, ask) == 401
    forged = NodeAuthHttpInterceptor(other, key.public_key())
    root = deployment.home.root_certificate.read_bytes()
    address = deployment.config.address(deployment.config.fleet_port)
    with FleetHttpClient.from_server_address(address, False, root, interceptors=[forged]) as client:
        assert status_of(client.PullMessages, ask) == 401
    with fleet(deployment, other) as client:
        assert status_of(client.PullMessages, ask) == 401


def test_a_revoked_site_is_shut_out_at_once(deployment: Deployment) -> None:
    key = load_node_key(deployment.enrol("clinic-z"))
    public = deployment.config.address(deployment.config.fleet_port)
    root = deployment.home.root_certificate.read_bytes()
    time.sleep(1.5)
    with http_request_response(public, False, root, (key, key.public_key())) as connection:
        assert connection[1]() is None
        deployment.store.revoke("clinic-z")
        time.sleep(1.5)
        with fleet(deployment, key) as client:
            assert status_of(client.PullMessages, PullMessagesRequest(node=Node(node_id=connection[0]))) == 401


def test_a_bundle_with_code_is_not_run_and_leaves_a_trace_in_the_audit_log(deployment: Deployment) -> None:
    """A hostile coordinator: its run's bundle would write a file at the site if anybody installed or imported it."""
    proof = deployment.folder / "written-by-the-bundle"
    hostile = _bundle(
        f"from pathlib import Path\nPath({str(proof)!r}).write_text('here')\n"
        "from flwr.clientapp import ClientApp\napp = ClientApp()\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gaitkeeper_server.rounds.flower_task.application_bundle", lambda: hostile)
        deployment.journal.request_run("hostile", _study(), list(SITES), _weights())
        from gaitkeeper_server.rounds.app import make_server_app

        with flower_task(deployment.access) as (grid, context):
            make_server_app(deployment.journal, "hostile", wire=True)(grid, context)
    # The installed application answered; whether a site trains is a matter of its approvals, not of bundles.
    assert deployment.journal.run("hostile").state is RunState.SUCCEEDED
    assert not proof.exists()
    for site in SITES:
        entries = list(AuditLog(deployment.folder / site / "audit.log").entries())
        assert [entry.event for entry in entries] == ["foreign-bundle-ignored"]


def _bundle(code: str) -> bytes:
    project = b"""[project]
name = "helpful-update"
version = "1.0.0"
description = ""
[tool.flwr.app]
publisher = "mallory"
[tool.flwr.app.components]
serverapp = "evil.code:app"
clientapp = "evil.code:app"
[tool.flwr.app.config]
"""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("pyproject.toml", project)
        bundle.writestr("evil/__init__.py", code)
        bundle.writestr("evil/code.py", code)
    return buffer.getvalue()


def _study() -> bytes:
    from tests.unit.rounds_fixtures import STUDY

    return STUDY.replace(b"rounds = 3", b"rounds = 1").replace(b"deadline_s = 0.6", b"deadline_s = 40.0")


def _weights() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    from tests.unit.rounds_fixtures import weights

    return weights()


def _nodes(deployment: Deployment) -> list:  # type: ignore[type-arg]
    from flwr.proto.control_pb2 import ListNodesRequest

    with control_client(deployment.access) as control:
        return list(control.ListNodes(ListNodesRequest()).nodes_info)


def _trust(deployment: Deployment) -> object:
    import ssl

    return ssl.create_default_context(cafile=str(deployment.home.root_certificate))
