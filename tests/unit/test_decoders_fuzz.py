"""Every decoder that takes bytes from another machine or from a file that was carried: a value or a catalogue error.

Each starts from a valid sample that is then changed: bits flipped, cut, repeated, spliced with noise, values of its
JSON replaced. Any exception but the catalogue's, and any hang, fails.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app import Metadata as FlowerMetadata
from flwr.app.message import make_message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rounds_service import push

from gaitkeeper_client.training.replies import decode_reply, encode_reply
from gaitkeeper_server.rounds.gate import is_own_reply
from gaitkeeper_server.rounds.replies import _Arriving, _unpacked
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, decode_order, encode_order, to_wire
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals, decode_recording, encode_recording
from gaitkeeper_shared.rpc.channels import read_error
from gaitkeeper_shared.secure.codec import pack, unpack
from gaitkeeper_shared.secure.messages import Deals, Masked, Preparation, StageReply, StageRequest
from gaitkeeper_shared.secure.proofs import FalseDeal
from gaitkeeper_shared.secure.statements import Advert, Commitment, Deal, Place, Reveal
from gaitkeeper_shared.skeleton import JOINTS
from gaitkeeper_shared.study import parse_study, study_hash
from gaitkeeper_shared.trust.certificates import Authority, new_request, pem, read_certificate, read_request
from gaitkeeper_shared.trust.invitation import InvitationLetter
from gaitkeeper_shared.trust.keys import SigningKey
from gaitkeeper_shared.trust.release import Manifest, Order
from gaitkeeper_shared.trust.signatures import STUDY_CONTEXT, Signatures, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STUDY = b"""
name = "fuzzed"
[task]
labels = ["healthy", "patient"]
map = { Stroke = "patient" }
[input]
channels = ["knee_flexion_left"]
[model]
hidden = 2
[training]
rounds = 2
class_weights = [1.0, 0.5]
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 4
"""
WEIGHTS = {"bias": np.arange(3, dtype=np.float32)}
LONGEST_S, MOST_BYTES = 120, 1 << 30


def _recording() -> bytes:
    time_s = np.arange(5) / 10.0
    points = np.zeros((5, len(JOINTS), 2))
    signals = Signals(time_s, ("knee_flexion_left",), np.zeros((5, 1), dtype=np.float32))
    return encode_recording(Recording(JointTrajectories(time_s, points, "px", np.ones((5, len(JOINTS)))), (), signals))


def _bundle() -> bytes:
    return ModelBundle.initial(ModelSpec.of(parse_study(STUDY), study_hash(STUDY))).to_bytes()


def _invitation(data: bytes) -> InvitationLetter:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        return InvitationLetter.load(Path(file.name))


def _wire(data: bytes) -> object:
    """An order whose packed weights are ``data``."""
    packed = to_wire(encode_order(RoundOrder("a" * 64, "run", 1, train=True, evaluate=False), WEIGHTS))
    fields = dict(packed["wire"])  # type: ignore[arg-type]
    return decode_order(RecordDict({"wire": ConfigRecord({**fields, "weights": data})}))


def _samples() -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    authority = Authority.create("tri", clock=lambda: NOW)
    root = pem(authority.certificate)
    letter = InvitationLetter("tri", "north", "h.example:7440", "2026-02-01T00:00:00.000000Z", "t" * 43, root.decode())
    manifest = Manifest(1, "walks", "a" * 64, "b" * 64, 100, "2026-01-01T00:00:00Z")
    order = Order("tri", "north", 1, 1, "b" * 64, "2026-01-01T00:00:00Z")
    packed = to_wire(encode_order(RoundOrder("a" * 64, "run", 1, train=True, evaluate=False), WEIGHTS))
    reply = RoundReply(SiteReport("north", "trained"), WEIGHTS, {"evaluated": 4.0})
    return {
        "study": (parse_study, STUDY),
        "signatures": (Signatures.from_bytes, sign(STUDY, STUDY_CONTEXT, SigningKey.generate()).to_bytes()),
        "manifest": (Manifest.from_bytes, manifest.to_bytes()),
        "order": (Order.from_bytes, order.to_bytes()),
        "invitation": (_invitation, letter.to_text().encode()),
        "certificate": (lambda data: read_certificate(data, what="it"), root),
        "request": (read_request, new_request(ec.generate_private_key(ec.SECP256R1()), "north")),
        "model": (ModelBundle.from_bytes, _bundle()),
        "recording": (decode_recording, _recording()),
        "reply": (decode_reply, encode_reply(reply)),
        "weights on the wire": (_wire, bytes(packed["wire"]["weights"])),  # type: ignore[index,arg-type]
        **{kind.__name__: (partial(unpack, kind), pack(value)) for kind, value in _stages().items()},
    }


def _stages() -> dict[type[Any], Any]:
    """What the stages of a masked round bring, with every field filled."""
    place = Place("a" * 64, "run", 1, 1)
    advert = Advert("north", b"certificate", b"\x04" * 97, b"\x04" * 97, b"s" * 32, b"signature")
    deal = Deal("north", b"d" * 32, {"south": Commitment(b"1" * 32, b"2" * 32, b"3" * 32)}, {"south": b"sealed"}, b"s")
    reveal = Reveal("north", {"south": b"share"}, {"west": b"share"})
    proof = FalseDeal(place, (advert,), deal, {"south": b"share"})
    later = (Preparation(place, (advert,)),)
    return {
        StageRequest: StageRequest(place, (advert,), ("north",), {"north": b"agreement"}, later, (proof,)),
        StageReply: StageReply("north", "code", "words", b"agreement", (advert,), (deal,), (reveal,)),
        Deals: Deals(place, (deal,), (place,)),
        Masked: Masked(place, ("south",), (advert,)),
    }


def _message() -> tuple[Callable[[bytes], object], bytes]:
    """Opens a reply one of whose parts, the largest, is the given bytes; and what that part was."""
    content = encode_order(RoundOrder("a" * 64, "run", 1, train=True, evaluate=False), WEIGHTS)
    message = make_message(_metadata(""), content=content)
    parts = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}
    name = max(parts, key=lambda key: len(parts[key]))
    arriving = partial(_Arriving, _metadata(message.object_id), ObjectTree())
    return lambda data: _unpacked(arriving({**parts, name: data})), parts[name]


def _metadata(message_id: str) -> FlowerMetadata:
    return FlowerMetadata(1, message_id, 7, 1, "asked", "1", 0.0, 60.0, "train")


SAMPLES = _samples()
NAMES = sorted(SAMPLES)
ANSWERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "push": (is_own_reply, push()),
    "error": (read_error, b'{"code": "rpc-failed", "values": {"address": "h:1", "detail": "it failed"}}'),
    "parts of a message": _message(),
}
"""Decoders that answer rather than refuse."""


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """No test here may hang, and none may take memory that its few bytes do not explain."""

    def over(*_: object) -> None:
        raise TimeoutError(f"still at it after {LONGEST_S} s")

    before, limits = signal.signal(signal.SIGALRM, over), resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    signal.alarm(LONGEST_S)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def changed(draw: st.DrawFn, sample: bytes) -> bytes:
    """``sample`` after one to four changes of any kind."""
    data = bytearray(sample)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(0, 64))
        kind = draw(st.sampled_from(("flip", "cut", "drop", "repeat", "noise", "zero")))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 50))
        elif kind == "noise":
            data[at : at + length] = draw(st.binary(max_size=64))
        else:
            data[at : at + length] = bytes(length)
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_sample_is_read(name: str) -> None:
    decode, sample = SAMPLES[name]
    decode(sample)


def test_what_is_well_is_answered_as_such() -> None:
    assert ANSWERS["push"][0](ANSWERS["push"][1])
    assert isinstance(ANSWERS["error"][0](ANSWERS["error"][1]), GaitkeeperError)
    message = ANSWERS["parts of a message"][0](ANSWERS["parts of a message"][1])
    assert isinstance(message, Message)
    assert message.has_content()


@pytest.mark.parametrize("name", sorted(ANSWERS))
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_changed_bytes_are_answered(name: str, data: st.DataObject) -> None:
    decode, sample = ANSWERS[name]
    decode(data.draw(changed(sample)))
    for opening in (b"[", b'{"a":', b"\x0a"):
        decode(opening * 20_000)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_changed_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    decode, sample = SAMPLES[name]
    with contextlib.suppress(GaitkeeperError):
        decode(data.draw(changed(sample)))


WILD: list[Any] = [
    None, True, -1, 0, 1, 2**63, 2**70, 10**400, 1e308, float("inf"), float("nan"), "", "a", "\x00", "é" * 300,
    "9" * 5000, [], [[]], {}, {"a": {}}, ["x"] * 300,
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", ["signatures", "manifest", "order", "StageReply", "Deals", "Masked"])
def test_each_value_of_a_document_may_be_anything(name: str) -> None:
    decode, sample = SAMPLES[name]
    document = json.loads(sample)
    for place in _places(document):
        for wild in WILD:
            with contextlib.suppress(GaitkeeperError):
                decode(json.dumps(_with(document, place, wild)).encode())


def test_each_value_of_a_study_may_be_anything() -> None:
    import tomllib

    document = tomllib.loads(STUDY.decode())
    for place in _places(document):
        for wild in WILD:
            if wild is None or (not place and not isinstance(wild, dict)) or wild == 10**400:
                continue  # TOML has none of these
            with contextlib.suppress(GaitkeeperError):
                parse_study(tomli_w.dumps(_with(document, place, wild)).encode())
    with contextlib.suppress(GaitkeeperError):
        parse_study(STUDY.replace(b"rounds = 2", b"rounds = " + b"9" * 5000))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"[[", b'{"schema":['])
@pytest.mark.parametrize("name", NAMES)
def test_deep_nesting_is_refused(name: str, opening: bytes) -> None:
    decode, sample = SAMPLES[name]
    for data in (opening * 20_000, b"a = " + b"[" * 20_000, len(opening * 9000).to_bytes(8, "little") + opening * 9000):
        with pytest.raises(GaitkeeperError):
            decode(data)
    del sample
