"""Studies: signed by the consortium's key, offered to the sites, and what the sites decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import grpc

from gaitkeeper_server.enrolment.identity import Doorkeeper, answered
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.store import CoordinatorStore, Decision, StudyRecord
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2_grpc as services
from gaitkeeper_shared.study import Study, load_study, parse_study, study_hash
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.signatures import STUDY_CONTEXT, Signatures, sign, signature_path, valid_signatures, verify


@dataclass(frozen=True, slots=True)
class SignedStudy:
    """A study whose signatures were just checked; ``data`` are the file's bytes."""

    study: Study
    hash: str
    data: bytes


def sign_study(home: CoordinatorHome, path: Path, *, clock: Clock = utc_now) -> SignedStudy:
    """Check the study, sign its bytes beside it, and offer it to the sites once enough of the consortium signed.

    Raises ``study-*``; ``study-altered`` where there are signatures of other bytes; ``study-not-private``;
    ``study-needs-signatures`` where co-signers are still to sign what now lies beside it.
    """
    study, data = load_study(path)
    if not math.isfinite(study.privacy.epsilon) or not math.isfinite(study.evaluation.epsilon):
        raise GaitkeeperError("study-not-private")
    beside = signature_path(path)
    also = None
    if beside.exists():
        also = Signatures.load(beside)
        if also.sha256 != study_hash(data):
            raise GaitkeeperError("study-altered", path=path, signatures=beside)
    signatures = sign(data, STUDY_CONTEXT, home.signer(), also=also, clock=clock)
    consortium = home.consortium()
    record = StudyRecord(study_hash(data), study.name, data, signatures.to_bytes(), iso(clock()))
    try:
        write_durably(beside, record.signatures, mode=0o644)
    except OSError as error:
        raise GaitkeeperError("file-not-writable", path=beside, detail=error.strerror) from error
    signed = valid_signatures(data, signatures, STUDY_CONTEXT, consortium, what=f"The study {study.name!r}")
    if len(signed) < consortium.threshold:
        # What the sites would refuse is not offered to them.
        needed = consortium.threshold
        raise GaitkeeperError("study-needs-signatures", path=path, valid=len(signed), needed=needed, signatures=beside)
    CoordinatorStore(home.store).offer_study(record)
    AuditLog(home.audit_log, clock=clock).append("study-signed", study=study.name, study_hash=record.hash)
    return SignedStudy(study, record.hash, data)


def signed_study(home: CoordinatorHome, which: str) -> SignedStudy:
    """An offered study by path, name or hash (8 characters or more), its signatures checked anew.

    Raises ``study-not-signed``, ``study-ambiguous`` or ``signature-*``.
    """
    path = Path(which)
    try:
        is_file = path.suffix == ".toml" or path.is_file()
    except OSError as error:  # longer than any file's name may be
        raise GaitkeeperError("study-not-signed", study=f"{which[:64]}...") from error
    wanted = study_hash(load_study(path)[1]) if is_file else which
    records = CoordinatorStore(home.store).studies()
    found = [
        item for item in records if item.name == wanted or (len(wanted) >= 8 and item.hash.startswith(wanted.lower()))
    ]
    if not found:
        beside = signature_path(path)
        if beside.exists():
            raise GaitkeeperError("study-altered", path=path, signatures=beside)
        raise GaitkeeperError("study-not-signed", study=which)
    if len(found) > 1:
        raise GaitkeeperError("study-ambiguous", study=which, hashes=", ".join(item.hash[:12] for item in found))
    return _checked(home, found[0])


def _checked(home: CoordinatorHome, record: StudyRecord) -> SignedStudy:
    what = f"The study {record.name!r}"
    verify(
        record.study, Signatures.from_bytes(record.signatures, what=what), STUDY_CONTEXT, home.consortium(), what=what
    )
    return SignedStudy(parse_study(record.study, origin=what), record.hash, record.study)


class StudiesService(services.StudiesServicer):
    """The gRPC service of studies."""

    def __init__(self, home: CoordinatorHome, doorkeeper: Doorkeeper, clock: Clock = utc_now) -> None:
        self._store = CoordinatorStore(home.store)
        self._doorkeeper = doorkeeper
        self._clock = clock

    @answered
    def ListStudies(  # noqa: N802 - gRPC's name
        self, request: messages.ListStudiesRequest, context: grpc.ServicerContext
    ) -> messages.ListStudiesResponse:
        """Every offered study."""
        self._doorkeeper.site(context)
        studies = [
            messages.OfferedStudy(study=item.study, signatures=item.signatures) for item in self._store.studies()
        ]
        return messages.ListStudiesResponse(studies=studies, coordinator_time=int(self._clock().timestamp()))

    @answered
    def ReportDecision(  # noqa: N802 - gRPC's name
        self, request: messages.DecisionReport, context: grpc.ServicerContext
    ) -> messages.DecisionReceipt:
        """Note what the caller decided."""
        site = self._doorkeeper.site(context)
        if self._store.study(request.study_hash) is None:
            raise GaitkeeperError("study-not-offered", study=request.study_hash[:64])
        self._store.decide(Decision(site, request.study_hash, request.approved, iso(self._clock())))
        return messages.DecisionReceipt()
