"""The running console: the web server, its workers kept up, and what has to be tidied from time to time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.console.child import told
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_shared.background import in_background
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import ChildSpec, Supervisor
from gaitkeeper_shared.single import hold
from gaitkeeper_shared.trust.certificates import fingerprint, load_certificate, spoken

if TYPE_CHECKING:
    import uvicorn

_TICK_S = 0.2
_TIDY_S = 2.0
_FORGET_S = 3_600.0


def serve(console: Console, say: Callable[[str], object], *, passphrase: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Raises ``console-running``, ``console-no-users``."""
    if not console.users.all():
        raise GaitkeeperError("console-no-users")
    os.umask(0o077)
    settings = console.settings
    with hold(console.home.run / "console.lock", console.home.path, "console-running"):
        forget_erased(console)
        certificate = certificate_files(console) if settings.tls else None
        server = web_server(console, certificate)
        console.record("console-started", "operator", host=settings.host, tls=settings.tls)
        say(f"The console of {console.name}: {address_of(settings)}")
        if certificate is not None and not settings.certificate:
            say(f"Its own certificate's fingerprint: {spoken(fingerprint(load_certificate(certificate[0])))}")
        with working(console, passphrase):
            server.run()
        console.record("console-stopped", "operator")


def web_server(console: Console, certificate: tuple[Path, Path] | None = None) -> uvicorn.Server:
    """The web server of a console, every wait of which has its deadline. ``certificate``: with its key, for TLS."""
    import uvicorn

    from gaitkeeper_client.console.app import create_app
    from gaitkeeper_client.console.connections import DeadlineProtocol
    from gaitkeeper_client.console.forwarded import Proxies

    settings = console.settings
    return uvicorn.Server(
        uvicorn.Config(
            create_app(console),
            host=settings.host,
            port=settings.port,
            http=DeadlineProtocol.behind(Proxies.of(settings.proxies)),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=5,
            limit_concurrency=200,
            ssl_certfile=None if certificate is None else certificate[0],
            ssl_keyfile=None if certificate is None else certificate[1],
        )
    )


def address_of(settings: ConsoleSettings) -> str:
    """What to type into a browser on this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls else 'http'}://{host}:{settings.port}/"


@contextlib.contextmanager
def working(console: Console, passphrase: str | None = None) -> Iterator[None]:
    """Workers, kept up by a thread for as long as the block lasts."""
    with in_background(partial(_keep_up, console, passphrase), "workers", patience_s=15.0):
        yield


def _keep_up(console: Console, passphrase: str | None, stop: threading.Event) -> None:
    children = Supervisor()
    for number in range(console.settings.workers):
        log = console.home.logs / f"console-worker-{number}.log"
        settings = told(console.home, passphrase)
        children.add(ChildSpec(f"worker-{number}", "gaitkeeper_client.console.worker", settings, log))
    since_tidy, since_forget = _TIDY_S, 0.0
    try:
        while not stop.wait(_TICK_S):
            children.tick()
            since_tidy, since_forget = since_tidy + _TICK_S, since_forget + _TICK_S
            with contextlib.suppress(GaitkeeperError):  # a full disk passes, and then the next turn does it
                if since_tidy >= _TIDY_S:
                    since_tidy = 0.0
                    console.queue.take_back()
                    console.uploads.sweep(console.queue.at_work)
                if since_forget >= _FORGET_S:
                    since_forget = 0.0
                    tidy(console)
    finally:
        children.stop()


def tidy(console: Console) -> None:
    """Let go of what nobody will finish, and of what belongs to patients who were erased."""
    for job in (*console.queue.give_up(), *console.queue.stale()):
        console.uploads.remove(job)
    forget_erased(console)


def forget_erased(console: Console) -> None:
    """Jobs of erased patients go; their bytes went with the erasure. One that was handed in since stays."""
    with console.vault() as vault:
        erased = set(vault.index.erased().values())
        there = {row.pseudonym for row, _ in vault.index.patients()}
    for pseudonym in erased - there:
        for job in console.queue.recent(pseudonym=pseudonym, most=10_000):
            if not console.uploads.holds(job):
                console.queue.forget(job)


def certificate_files(console: Console) -> tuple[Path, Path]:
    """The given certificate and key, or ones of the console's own, made when they are first needed."""
    from gaitkeeper_client.console.own_certificate import own_certificate

    settings = console.settings
    if settings.certificate:
        return Path(settings.certificate), Path(settings.private_key)
    return own_certificate(console.home, settings, console.clock())
