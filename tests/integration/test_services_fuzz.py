"""The coordinator's gRPC services under requests of any content: each is answered, none by an unforeseen exception."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from trust_fixtures import running

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.studies import fetch_offers
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint, translated
from gaitkeeper_shared.rpc.gaitkeeper.v1 import enrolment_pb2, releases_pb2, studies_pb2
from gaitkeeper_shared.trust.invitation import InvitationLetter

DEADLINE_S = 60.0
CASES = 60
SERVICES = [
    service
    for file in (enrolment_pb2, releases_pb2, studies_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = [(service.name, method) for service in SERVICES for method in service.methods]
WILD: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_STRING: ["", "a", "\x00", "\u202e", "../../x", "é" * 5000, "9" * 100_000, "%s{0}"],
    FieldDescriptor.TYPE_BYTES: [b"", b"\x00" * 5000, b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAA", b"[" * 50_000],
    FieldDescriptor.TYPE_UINT64: [0, 1, 2**31, 2**53 + 1, 2**63, 2**64 - 1],
    FieldDescriptor.TYPE_BOOL: [True, False],
    FieldDescriptor.TYPE_ENUM: [0, 1, 3, 99, -5],
}


@dataclass(frozen=True)
class Served:
    """A coordinator that answers: as whom it is asked."""

    anonymous: Endpoint
    site: SiteHome


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(tmp_path_factory.mktemp("tri")) as consortium:
        letter = InvitationLetter.load(consortium.invitation("east"))
        yield Served(Endpoint(letter.address, letter.root_certificate.encode()), consortium.site("north"))


def requests(kind: Callable[[], Message], choose: random.Random) -> Iterator[bytes]:
    """Well-formed requests with any values, the same with bytes changed, and noise."""
    for case in range(CASES):
        message = kind()
        for field in message.DESCRIPTOR.fields:
            setattr(message, field.name, choose.choice(WILD[field.type]))
        data = bytearray(message.SerializeToString())
        if case % 3 == 1 and data:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        elif case % 3 == 2:
            data = bytearray(choose.randbytes(choose.randrange(200)))
        yield bytes(data)


@pytest.mark.parametrize(("service", "method"), METHODS, ids=[method.full_name for _, method in METHODS])
def test_any_request_is_answered_in_the_catalogues_words(served: Served, service: str, method: Any) -> None:
    site = served.site
    refused: set[str] = set()
    endpoint = served.anonymous if service == "Enrolment" else CoordinatorConnection.load(site).endpoint(site)
    with endpoint.channel() as channel:
        call = (channel.unary_stream if method.server_streaming else channel.unary_unary)(
            f"/{method.containing_service.full_name}/{method.name}"
        )
        for data in requests(GetMessageClass(method.input_type), random.Random(method.full_name)):
            with collected(refused, data), translated(endpoint, DEADLINE_S):
                answer = call(data, timeout=DEADLINE_S)
                _ = list(answer) if method.server_streaming else answer
    assert "rpc-request-unusable" in refused
    assert fetch_offers(site).refused == ()


@contextmanager
def collected(refused: set[str], data: bytes) -> Iterator[None]:
    """Codes of the catalogue; any that is not the coordinator's own answer fails."""
    try:
        yield
    except GaitkeeperError as error:
        refused.add(error.code)
        unforeseen = error.code in ("rpc-failed", "rpc-deadline", "rpc-unreachable")
        if unforeseen:
            raise AssertionError(f"{data[:200]!r}: {error}") from error


def test_an_answer_that_is_not_the_coordinators_own_fails_the_above(served: Served) -> None:
    end = served.anonymous
    with end.channel() as channel, pytest.raises(AssertionError), collected(set(), b""), translated(end, DEADLINE_S):
        channel.unary_unary("/gaitkeeper.v1.Enrolment/Nothing")(b"", timeout=DEADLINE_S)
