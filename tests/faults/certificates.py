"""Certificates and clocks: the coordinator's, a site's, and what becomes of who shows a wrong one."""

from __future__ import annotations

import secrets
import shutil
import socket
import ssl
import threading
import time
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from tests.faults.nodes import SITE, other_node
from tests.faults.stage import MOMENT_S, Stage
from tests.faults.words import summary
from tests.integration.trust_fixtures import new_site

from gaitkeeper_client.agent.doctor import diagnose
from gaitkeeper_client.consortium.connection import KeyFiles
from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.services import start_services
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.trust.certificates import SITE_DAYS, Authority, new_request, pem, read_request
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.keys import (
    load_private_key,
    new_node_key,
    new_tls_key,
    node_key_files,
    private_pem,
)

HELD_S = 4.0
_OF_TRUST = ("certificate", "coordinator")
"""What the site's doctor looks at that a wrong certificate makes ill."""


class Impostor:
    """A TLS server with a certificate that the site must not accept. Counts what it is told all the same."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.told = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
                peer.settimeout(3.0)
                with self._context.wrap_socket(peer, server_side=True) as line:
                    self.told += len(line.recv(4096))
            except ssl.SSLError:
                continue
            except TimeoutError:
                continue
            except OSError:
                if self._listener.fileno() < 0:
                    return

    def close(self) -> None:
        """End it."""
        self._listener.close()


def impostor(stage: Stage, kind: str) -> str:
    """Somebody else answers at the coordinator's address for a while, while a site is away from its round."""
    certificate, key = _false_pair(stage, kind)
    server = Impostor(certificate, key)
    relay = stage.relays[SITE]
    right = relay.target
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        relay.target = server.address
        relay.drop()
        trap.release()
        stage.pause(HELD_S)
    finally:
        trap.release()
        relay.target = right
        relay.drop()
    told = "told nothing" if not server.told else f"told {server.told} bytes"
    server.close()
    return f"{told}; {summary(stage.end_of(run))}"


def _false_pair(stage: Stage, kind: str) -> tuple[Path, Path]:
    key = new_tls_key()
    if kind == "another-authority":
        made = Authority.create("another").issue_server(key.public_key(), ("127.0.0.1",))
    elif kind == "expired":
        past = utc_now() - timedelta(days=2000)
        made = stage.home.authority().issue_server(key.public_key(), ("127.0.0.1",), clock=lambda: past)
    else:
        made = stage.home.authority().issue_server(key.public_key(), ("192.0.2.1",))
    paths = stage.folder / f"{kind}.crt", stage.folder / f"{kind}.key"
    write_durably(paths[0], pem(made))
    write_durably(paths[1], private_pem(key))
    return paths


def clock(stage: Stage, way: str) -> str:
    """The clock of one site's machine is an hour off during a run; set right, the site is back in the next."""
    with other_node(stage, {"ahead": "tests.faults.shifted_node", "behind": "tests.faults.late_node"}[way]):
        wrong = summary(stage.end_of(stage.begin(rounds=1, deadline_s=20.0)))
    return f"{wrong}; then {summary(stage.end_of(stage.begin(rounds=1)))}"


def revoked(stage: Stage) -> str:
    """A site is revoked between two rounds; enrolled again it is back in the next run."""
    trap = stage.trap("conductor", "committed")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.store.revoke(SITE)
        time.sleep(1.5)
    finally:
        trap.release()
    out = summary(stage.end_of(run))
    stage.stop_site(SITE)
    stage.enrol(SITE)
    stage.start_site(SITE, stage.keys[SITE])
    stage.wait_for_sites((SITE,))
    return f"{out}; then {summary(stage.end_of(stage.begin(rounds=1)))}"


def site_certificate(stage: Stage, kind: str) -> str:
    """A site whose own certificate does not let it in; with a new invitation it is back in the next run."""
    log = stage.home.logs / "superlink.log"
    before = log.stat().st_size
    services = start_services(stage.home)
    try:
        home = new_site(stage.folder / f"{SITE}-{kind}", SITE)
        _enrol_really(stage, home)
        {"expired": _let_expire, "another-authority": _exchange}[kind](stage, home)
        _play_with(stage, home)
        stage.wait(stage.keys[SITE].with_name("executor.ready").exists, MOMENT_S)
        stage.pause(2.0)
        out = summary(stage.end_of(stage.begin(rounds=1, deadline_s=20.0)))
        ill = [item.what for item in diagnose(home) if item.verdict == "ill" and item.what in _OF_TRUST]
        named = f"{SITE}: its certificate expired".encode() in log.read_bytes()[before:]
        _enrol_really(stage, home)
        _play_with(stage, home)
        stage.wait_for_sites((SITE,))
        again = summary(stage.end_of(stage.begin(rounds=1)))
    finally:
        services.stop(0.2)
    told = "the coordinator's log names it; " if named else ""
    return f"{out}; {told}ill to its doctor: {', '.join(sorted(set(ill))) or 'nothing'}; then {again}"


def _enrol_really(stage: Stage, home: SiteHome) -> None:
    """With an invitation, over the coordinator's port."""
    letter = home.path / "invitation"
    letter.write_text(invite(stage.home, SITE).to_text())
    enrol(home, letter, again=True)


def _play_with(stage: Stage, home: SiteHome) -> None:
    """Start the site's node anew, with the key that lies in ``home``."""
    stage.stop_site(SITE)
    shutil.copyfile(KeyFiles(home.keys).node_key, stage.keys[SITE])
    stage.start_site(SITE, stage.keys[SITE])


def _let_expire(stage: Stage, home: SiteHome) -> None:
    """All is as if the site had enrolled a certificate's life and a day ago, and had not been on since."""
    files, past = KeyFiles(home.keys), utc_now() - timedelta(days=SITE_DAYS + 1)
    token, record = secrets.token_hex(8), stage.store.site(SITE)
    assert record is not None
    assert record.node_public_key is not None
    expired = _certificate_of(files, stage.home.authority(), lambda: past)
    stage.store.invite(SITE, token, iso(past), iso(past + timedelta(days=1)))
    assert stage.store.enrol(token, "key", expired, record.node_public_key, iso(past))
    write_durably(files.site_certificate, expired)


def _exchange(stage: Stage, home: SiteHome) -> None:
    """The keys and the certificate are another consortium's, as after the restore of a wrong backup."""
    del stage
    files = KeyFiles(home.keys)
    private, public = node_key_files(new_node_key())
    write_durably(files.node_key, private)
    write_durably(files.node_public_key, public)
    write_durably(files.site_certificate, _certificate_of(files, Authority.create("another")))


def _certificate_of(files: KeyFiles, authority: Authority, clock: Clock = utc_now) -> bytes:
    key = load_private_key(files.site_key)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = read_request(new_request(key, SITE))
    return pem(authority.issue_site(request, SITE, clock=clock))
