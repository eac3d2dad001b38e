"""The gRPC services of enrolment and membership."""

from __future__ import annotations

import grpc

from gaitkeeper_server.enrolment.identity import Doorkeeper, answered
from gaitkeeper_server.enrolment.invitations import Admission, admit, renew
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_shared.rpc.gaitkeeper.v1 import enrolment_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import enrolment_pb2_grpc as services
from gaitkeeper_shared.trust.clock import Clock, utc_now


class EnrolmentService(services.EnrolmentServicer):
    """Anonymous callers; the token decides."""

    def __init__(self, home: CoordinatorHome, clock: Clock = utc_now) -> None:
        self._home = home
        self._clock = clock

    @answered
    def Enrol(self, request: messages.EnrolRequest, context: grpc.ServicerContext) -> messages.Credentials:  # noqa: N802 - gRPC's name
        """Answer an invited site."""
        admission = admit(
            self._home, request.token, request.certificate_request, request.node_public_key, clock=self._clock
        )
        return _credentials(self._home, admission)


class MembershipService(services.MembershipServicer):
    """Members, over mutual TLS."""

    def __init__(self, home: CoordinatorHome, doorkeeper: Doorkeeper, clock: Clock = utc_now) -> None:
        self._home = home
        self._doorkeeper = doorkeeper
        self._clock = clock

    @answered
    def Renew(self, request: messages.RenewRequest, context: grpc.ServicerContext) -> messages.Credentials:  # noqa: N802 - gRPC's name
        """A fresh certificate for the caller."""
        site = self._doorkeeper.site(context)
        return _credentials(self._home, renew(self._home, site, request.certificate_request, clock=self._clock))


def _credentials(home: CoordinatorHome, admission: Admission) -> messages.Credentials:
    config, consortium = home.config(), home.consortium()
    return messages.Credentials(
        site=admission.site,
        coordinator=config.name,
        certificate=admission.certificate,
        root_certificate=home.root_certificate.read_bytes(),
        consortium_keys=[messages.ConsortiumKey(key_id=key.key_id, public_key=key.raw) for key in consortium.keys],
        threshold=consortium.threshold,
        site_address=config.told_site,
        fleet_address=config.told_fleet,
    )
