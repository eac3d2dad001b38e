"""Studies at the site: fetched and checked, read by people, approved durably, and checked again before every use."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import make_private_folder, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.study import Study, parse_study, study_hash
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.signatures import STUDY_CONTEXT, Consortium, Signatures, verify

APPROVAL_SCHEMA = "gaitkeeper.approval/1"
MAX_STUDY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A study whose signatures were checked. ``approved_at``: ISO 8601 in UTC, None where the site did not agree.

    ``counts_leave``: whether it was approved with noised counts of held-out patients leaving.
    """

    study: Study
    hash: str
    approved_at: str | None
    counts_leave: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """A study that was not believed, and why."""

    name: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Offers:
    """What the coordinator offers: what can be read and approved, and what was refused."""

    offers: tuple[Offer, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class _Files:
    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "study.toml"

    @property
    def signatures(self) -> Path:
        return self.folder / "study.toml.sig"

    @property
    def approval(self) -> Path:
        return self.folder / "approval.json"


def fetch_offers(home: SiteHome) -> Offers:
    """Ask the coordinator for its studies, keep those rightly signed. Raises ``not-enrolled`` or ``rpc-*``."""
    from gaitkeeper_shared.rpc.channels import call
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2 as messages
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2_grpc as services

    connection = CoordinatorConnection.load(home)
    endpoint = connection.endpoint(home)
    with endpoint.channel() as channel:
        answer = call(services.StudiesStub(channel).ListStudies, messages.ListStudiesRequest(), endpoint)
    refused = []
    for item in answer.studies:
        try:
            _keep(home, connection.consortium, item.study, item.signatures)
        except GaitkeeperError as error:
            refused.append(Refusal(study_hash(item.study)[:12], error.code, printable(error.message)))
            AuditLog(home.audit_log).append(
                "study-refused", study_hash=study_hash(item.study), code=error.code, coordinator=connection.coordinator
            )
    return Offers(known_offers(home).offers, tuple(refused))


def known_offers(home: SiteHome) -> Offers:
    """The studies that were fetched before, checked again. Raises ``not-enrolled``."""
    consortium = CoordinatorConnection.load(home).consortium
    offers, refused = [], []
    folders = sorted(item for item in home.studies.iterdir() if item.is_dir()) if home.studies.is_dir() else []
    for folder in folders:
        try:
            study = _read(home, consortium, folder.name)
            approval = _approval(_Files(folder), folder.name)
        except GaitkeeperError as error:
            refused.append(Refusal(folder.name[:12], error.code, printable(error.message)))
            continue
        decided = (approval.at, approval.counts_leave) if approval is not None else (None,)
        offers.append(Offer(study, folder.name, *decided))
    return Offers(tuple(sorted(offers, key=lambda offer: offer.study.name)), tuple(refused))


def find_offer(home: SiteHome, which: str) -> Offer:
    """A known study by name or hash (8 characters or more). Raises ``study-not-offered`` or ``study-ambiguous``."""
    found = [
        offer
        for offer in known_offers(home).offers
        if offer.study.name == which or (len(which) >= 8 and offer.hash.startswith(which.lower()))
    ]
    if not found:
        raise GaitkeeperError("study-not-offered", study=which)
    if len(found) > 1:
        raise GaitkeeperError("study-ambiguous", study=which, hashes=", ".join(offer.hash[:12] for offer in found))
    return found[0]


def approve(home: SiteHome, offer: Offer, *, counts_leave: bool = True, clock: Clock = utc_now, by: str = "") -> Offer:
    """Record that the site agrees to this very study; durable before this returns.

    ``counts_leave``: whether noised counts of held-out patients may leave, for as long as the approval stands;
    ``by``: who decided; the account that runs this where it is empty.
    """
    if offer.approved_at is not None:
        return offer
    approved_at = iso(clock())
    table = {
        "schema": APPROVAL_SCHEMA,
        "study_hash": offer.hash,
        "name": offer.study.name,
        "approved_at": approved_at,
        "approved_by": by or _person(),
        "counts_leave": counts_leave,
    }
    AuditLog(home.audit_log, clock=clock).append(
        "study-approved", study=offer.study.name, study_hash=offer.hash, counts_leave=counts_leave
    )
    write_durably(_files(home, offer.hash).approval, (json.dumps(table, indent=2) + "\n").encode("utf-8"))
    return Offer(offer.study, offer.hash, approved_at, counts_leave)


def withdraw(home: SiteHome, offer: Offer, *, clock: Clock = utc_now) -> Offer:
    """Take an approval back: the site refuses the study's next round, and keeps no update of it. Raises ``ledger-*``
    where that cannot be dropped; the approval is gone by then."""
    from gaitkeeper_client.vault.ledger import open_ledger

    files = _files(home, offer.hash)
    files.approval.unlink(missing_ok=True)
    sync_folder(files.folder)
    AuditLog(home.audit_log, clock=clock).append("study-withdrawn", study=offer.study.name, study_hash=offer.hash)
    if home.ledger.exists():
        open_ledger(home).forget_replies(offer.hash)
    return Offer(offer.study, offer.hash, None)


def report_decision(home: SiteHome, offer: Offer) -> None:
    """Tell the coordinator; nothing depends on it. Raises ``rpc-*``."""
    from gaitkeeper_shared.rpc.channels import call
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2 as messages
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2_grpc as services

    endpoint = CoordinatorConnection.load(home).endpoint(home)
    report = messages.DecisionReport(study_hash=offer.hash, approved=offer.approved_at is not None)
    with endpoint.channel() as channel:
        call(services.StudiesStub(channel).ReportDecision, report, endpoint)


def approved_study(home: SiteHome, study_hash: str) -> Study:
    """The study that the site approved, its bytes, hash and signatures checked anew: what training starts from.

    Raises ``not-enrolled``, ``study-not-offered``, ``study-not-approved``, ``study-approval-damaged``, ``signature-*``.
    """
    study = _read(home, CoordinatorConnection.load(home).consortium, study_hash)
    if _approval(_files(home, study_hash), study_hash) is None:
        raise GaitkeeperError("study-not-approved", name=study.name, hash=study_hash[:12])
    return study


def counts_leave(home: SiteHome, study_hash: str) -> bool:
    """Whether the site approved this study with noised counts leaving; False where it did not approve it.

    Raises ``study-approval-damaged``.
    """
    approval = _approval(_files(home, study_hash), study_hash)
    return approval is not None and approval.counts_leave


def _files(home: SiteHome, wanted: str) -> _Files:
    # The hash may come from another machine: nothing but hex digits may become a path.
    if len(wanted) != 64 or not all(letter in "0123456789abcdef" for letter in wanted):
        raise GaitkeeperError("study-not-offered", study=wanted[:64])
    return _Files(home.studies / wanted)


def _keep(home: SiteHome, consortium: Consortium, data: bytes, signatures: bytes) -> None:
    _check(consortium, data, signatures)
    files = _files(home, study_hash(data))
    if files.study.exists() and files.study.read_bytes() == data and files.signatures.read_bytes() == signatures:
        return
    make_private_folder(files.folder)
    write_durably(files.signatures, signatures)
    write_durably(files.study, data)


def _read(home: SiteHome, consortium: Consortium, wanted: str) -> Study:
    files = _files(home, wanted)
    try:
        data, signatures = files.study.read_bytes(), files.signatures.read_bytes()
    except OSError as error:
        raise GaitkeeperError("study-not-offered", study=wanted[:12]) from error
    if study_hash(data) != wanted:
        raise GaitkeeperError("signature-other-document", what=f"The study at {files.study}")
    return _check(consortium, data, signatures)


def _check(consortium: Consortium, data: bytes, signatures: bytes) -> Study:
    what = f"The study {study_hash(data)[:12]}"
    if len(data) > MAX_STUDY_BYTES:
        raise GaitkeeperError("study-not-toml", path=what, detail="it is too long")
    # The signature first: nothing of an unsigned study is looked at.
    verify(data, Signatures.from_bytes(signatures, what=what), STUDY_CONTEXT, consortium, what=what)
    return parse_study(data, origin=what)


@dataclass(frozen=True, slots=True)
class _Approval:
    at: str
    counts_leave: bool


def _approval(files: _Files, wanted: str) -> _Approval | None:
    try:
        table = json.loads(files.approval.read_bytes())
        if table["schema"] != APPROVAL_SCHEMA or table["study_hash"] != wanted:
            raise ValueError("it is of another study")
        counts_leave = table.get("counts_leave", True)  # approvals of earlier versions do not say it
        if type(counts_leave) is not bool:
            raise ValueError("counts_leave must be true or false")
        return _Approval(str(table["approved_at"]), counts_leave)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GaitkeeperError("study-approval-damaged", path=files.approval, detail=error) from error


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
