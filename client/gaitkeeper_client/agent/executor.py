"""The site's warm executor: takes messages from the SuperNode and answers them with the application installed here.

Stock Flower starts a process for every message, which installs and runs the bundle that came with the run. This one
stays, so that a round costs no process start; and it never touches the bundle's content: whatever bundle arrives, the
entry point named by this machine's own settings answers. A bundle that is not the empty one of this release is noted in
the site's audit log.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.federation import application_bundle_hash, from_wire, to_wire
from gaitkeeper_shared.notices import RoundNotice, notices_of, only_notices
from gaitkeeper_shared.processes import read_settings
from gaitkeeper_shared.sign_of_life import sign_of_life

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.supercore.fab import Fab
    from flwr.supercore.runtime import RuntimeHttpClient

_log = logging.getLogger("gaitkeeper.executor")
_POLL_S = 0.01
_AWAY_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """``application`` is ``module:attribute`` of the installed Flower ClientApp."""

    runtime_port: int
    runtime_secret: str
    application: str = "gaitkeeper_client.training.app:app"
    audit_log: str = ""
    ready: str = ""
    """A file to make once the application is loaded."""


class Auditor(Protocol):
    """The site's audit log."""

    def __call__(self, event: str, **facts: str | int) -> None:
        """Append an entry."""
        ...


class _TaskToken:
    """Adds the token of the message at hand to each request; one connection serves all messages."""

    value = ""

    def intercept(self, context: Any, call_next: Any) -> Any:
        from flwr.supercore.constant import TASK_TOKEN_HEADER

        if self.value:
            context.request.headers[TASK_TOKEN_HEADER] = self.value
        return call_next(context)


class Executor:
    """Answers one message after the other."""

    def __init__(self, settings: ExecutorSettings, audit: Auditor) -> None:
        self._settings, self._audit = settings, audit
        self._token = _TaskToken()
        self._foreign: set[str] = set()
        self._told: set[RoundNotice] = set()
        module, _, attribute = settings.application.partition(":")
        self._application: ClientApp = getattr(importlib.import_module(module), attribute)

    def serve(self, stop: threading.Event) -> None:
        """Answer until ``stop``. Trouble with one message never ends the loop."""
        import httpx

        with self._client() as client:
            while not stop.is_set():
                try:
                    token = self._acquire(client)
                except (httpx.HTTPError, ValueError) as error:
                    _log.debug("the SuperNode does not answer: %s", type(error).__name__)
                    stop.wait(_AWAY_POLL_S)
                    continue
                if token is None:
                    # The node holds the question until there is a message; see ``node.RuntimeGate``.
                    stop.wait(_POLL_S)
                    continue
                try:
                    self._answer(client, token)
                except Exception:
                    # The SuperNode reports a task without an answer to the coordinator by itself.
                    _log.exception("a message could not be answered")

    def _client(self) -> RuntimeHttpClient:
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
        from flwr.supercore.runtime import RuntimeHttpClient

        auth = SuperExecAuthHttpInterceptor(
            master_secret=self._settings.runtime_secret.encode(),
            protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"}),
        )
        return RuntimeHttpClient.from_server_address(
            f"127.0.0.1:{self._settings.runtime_port}",
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="gaitkeeper-executor"), auth, self._token],
        )

    def _acquire(self, client: RuntimeHttpClient) -> str | None:
        """The token of the oldest waiting message, or None."""
        from flwr.proto.runtime_pb2 import AcquireTaskRequest
        from flwr.supercore.constant import TaskType

        self._token.value = ""
        response = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        return response.token if response.HasField("task") and response.token else None

    def _answer(self, client: RuntimeHttpClient, token: str) -> None:
        from flwr.common.constant import SubStatus
        from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

        self._token.value = token
        with sign_of_life(client, _log):
            message, context, _run, bundle = pull_task_input(client)
            self._look_at(bundle)
            reply, failure = self._run_application(message, context)
            push_message(client, reply, context)
            status = SubStatus.FAILED if failure else SubStatus.COMPLETED
            # The context goes nowhere: what a site must remember is in its ledger.
            push_task_output(client, None, status, failure)

    def _run_application(self, message: Message, context: Context) -> tuple[Message, str]:
        from flwr.app import Error, Message, RecordDict
        from flwr.common.constant import ErrorCode

        try:
            message.content = from_wire(message.content)
            self._heed_notices(notices_of(message.content))
            if only_notices(message.content):
                return Message(RecordDict(), reply_to=message), ""
            reply = self._application(message=message, context=context)
            if reply.has_content():
                reply.content = to_wire(reply.content)
            return reply, ""
        except Exception as error:
            _log.exception("the application failed")
            # Only the kind of error leaves the site: its text may quote a patient's data.
            reason = f"the site's application failed with {type(error).__name__}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message), reason

    def _look_at(self, bundle: Fab) -> None:
        digest = hashlib.sha256(bundle.content).hexdigest()
        if digest != application_bundle_hash() and digest not in self._foreign:
            self._foreign.add(digest)
            _log.warning("a bundle that is not ours came with a run (sha256 %s); it is not used", digest)
            self._audit("foreign-bundle-ignored", bundle_sha256=digest)

    def _heed_notices(self, notices: tuple[RoundNotice, ...]) -> None:
        """Note, once, which of this site's replies were not counted."""
        for notice in notices:
            if notice not in self._told:
                self._told.add(notice)
                _log.warning("%s", notice)
                self._audit(
                    "reply-not-counted",
                    run=notice.run,
                    round=notice.round,
                    outcome=notice.outcome,
                    code=notice.code,
                    why=notice.message,
                    budget="stays charged",
                )


def _auditor(path: str) -> Auditor:
    def note(event: str, **facts: str | int) -> None:
        if path:
            from gaitkeeper_shared.trust.audit import AuditLog

            AuditLog(Path(path)).append(event, **facts)

    return note


def main() -> None:
    """Entry point of the child process."""
    quiet_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    settings = read_settings()
    passphrase = settings.pop("passphrase", None)
    if passphrase is not None:
        hand_over_passphrase(passphrase)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = ExecutorSettings(**settings)
    executor = Executor(options, _auditor(options.audit_log))
    if options.ready:
        Path(options.ready).touch()
    executor.serve(stop)


def hand_over_passphrase(passphrase: str) -> None:
    """Let ``vault.keys.unlock`` of this process find the passphrase: in anonymous memory, in no file, no argument."""
    import os

    memory = os.memfd_create("passphrase", os.MFD_CLOEXEC)
    os.fchmod(memory, 0o600)
    os.write(memory, passphrase.encode())
    os.environ["GAITKEEPER_PASSPHRASE_FILE"] = f"/proc/self/fd/{memory}"


if __name__ == "__main__":
    main()
