"""Signatures, keys, certificates: what is accepted, and that nothing else is."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.certificates import (
    Authority,
    check_issued,
    new_request,
    pem,
    read_certificate,
    read_request,
)
from gaitkeeper_shared.trust.invitation import InvitationLetter
from gaitkeeper_shared.trust.keys import (
    SigningKey,
    VerifyingKey,
    check_node_public_key,
    new_node_key,
    new_tls_key,
    node_public_pem,
)
from gaitkeeper_shared.trust.release import Manifest, Order
from gaitkeeper_shared.trust.signatures import (
    ORDER_CONTEXT,
    RELEASE_CONTEXT,
    STUDY_CONTEXT,
    Consortium,
    Signatures,
    sign,
    verify,
)

KEY = SigningKey.generate()
OTHER = SigningKey.generate()
ALONE = Consortium((KEY.verifying,))


def code_of(error: pytest.ExceptionInfo[GaitkeeperError]) -> str:
    return error.value.code


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=300), position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_document_is_found(data: bytes, position: int, bit: int) -> None:
    signatures = Signatures.from_bytes(sign(data, STUDY_CONTEXT, KEY).to_bytes())
    verify(data, signatures, STUDY_CONTEXT, ALONE, what="it")
    flipped = bytearray(data)
    flipped[position % len(data)] ^= 1 << bit
    with pytest.raises(GaitkeeperError) as error:
        verify(bytes(flipped), signatures, STUDY_CONTEXT, ALONE, what="it")
    assert code_of(error) == "signature-other-document"


def test_a_new_hash_in_the_file_does_not_make_another_document_signed() -> None:
    made = sign(b"one", STUDY_CONTEXT, KEY)
    forged = Signatures(made.context, sign(b"two", STUDY_CONTEXT, OTHER).sha256, made.signatures)
    with pytest.raises(GaitkeeperError) as error:
        verify(b"two", forged, STUDY_CONTEXT, ALONE, what="it")
    assert code_of(error) == "signature-not-trusted"


def test_a_signature_counts_in_its_context_only() -> None:
    made = sign(b"data", ORDER_CONTEXT, KEY)
    relabelled = Signatures(RELEASE_CONTEXT, made.sha256, made.signatures)
    with pytest.raises(GaitkeeperError) as error:
        verify(b"data", relabelled, RELEASE_CONTEXT, ALONE, what="it")
    assert code_of(error) == "signature-not-trusted"


def test_the_moment_of_signing_is_signed_too() -> None:
    made = sign(b"data", STUDY_CONTEXT, KEY)
    text = made.to_bytes().replace(made.signatures[0].signed_at.encode(), b"2031-01-01T00:00:00.000000Z")
    with pytest.raises(GaitkeeperError) as error:
        verify(b"data", Signatures.from_bytes(text), STUDY_CONTEXT, ALONE, what="it")
    assert code_of(error) == "signature-not-trusted"


def test_a_threshold_wants_different_keys() -> None:
    both = Consortium((KEY.verifying, OTHER.verifying), threshold=2)
    one = sign(b"data", STUDY_CONTEXT, KEY)
    doubled = Signatures(one.context, one.sha256, one.signatures * 2)
    with pytest.raises(GaitkeeperError) as error:
        verify(b"data", doubled, STUDY_CONTEXT, both, what="it")
    assert code_of(error) == "signature-not-trusted"
    verify(b"data", sign(b"data", STUDY_CONTEXT, OTHER, also=one), STUDY_CONTEXT, both, what="it")
    with pytest.raises(ValueError, match="threshold"):
        Consortium((KEY.verifying, KEY.verifying), threshold=2)


def test_adding_a_signature_to_those_of_other_bytes_is_refused() -> None:
    with pytest.raises(GaitkeeperError) as error:
        sign(b"new", STUDY_CONTEXT, OTHER, also=sign(b"old", STUDY_CONTEXT, KEY))
    assert code_of(error) == "signature-other-document"


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
)
def test_no_bytes_break_the_reader_of_signatures(data: bytes | str) -> None:
    raw = data.encode() if isinstance(data, str) else data
    with pytest.raises(GaitkeeperError) as error:
        Signatures.from_bytes(raw)
    assert code_of(error) == "signature-unreadable"


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).verifying == KEY.verifying
    path.chmod(0o640)
    with pytest.raises(GaitkeeperError) as error:
        SigningKey.load(path)
    assert code_of(error) == "key-permissions"
    with pytest.raises(GaitkeeperError) as error:
        SigningKey.load(tmp_path / "none")
    assert code_of(error) == "key-missing"
    path.chmod(0o600)
    os.truncate(path, 20)
    with pytest.raises(GaitkeeperError) as error:
        SigningKey.load(path)
    assert code_of(error) == "key-damaged"


def test_secrets_show_in_no_representation() -> None:
    letter = InvitationLetter("c", "s", "h:1", "t", "very-secret", "cert")
    assert "very-secret" not in repr(letter)


def test_node_keys_are_those_of_flower() -> None:
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes, uses_nist_ec_curve

    key = new_node_key().public_key()
    assert check_node_public_key(node_public_pem(key)) == public_key_to_bytes(key)
    assert uses_nist_ec_curve(key)
    with pytest.raises(GaitkeeperError):
        check_node_public_key(node_public_pem(new_tls_key().public_key()))


def test_a_site_cannot_name_itself_and_cannot_be_a_server() -> None:
    authority = Authority.create("tri")
    certificate = authority.issue_site(read_request(new_request(new_tls_key(), "somebody-else")), "north")
    assert certificate.subject.rfc4514_string() == "CN=north"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (certificate.not_valid_after_utc - datetime.now(UTC)).days in (89, 90)


def test_a_certificate_of_another_authority_or_time_is_refused() -> None:
    ours, theirs = Authority.create("tri"), Authority.create("tri")
    request = read_request(new_request(new_tls_key(), "north"))
    certificate = ours.issue_site(request, "north")
    check_issued(certificate, ours.certificate, what="it")
    for root, when, words in (
        (theirs.certificate, datetime.now(UTC), "another authority"),
        (ours.certificate, datetime.now(UTC) + timedelta(days=91), "valid from"),
        (ours.certificate, datetime.now(UTC) - timedelta(hours=1), "valid from"),
    ):
        with pytest.raises(GaitkeeperError, match=words):
            check_issued(certificate, root, what="it", clock=lambda when=when: when)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_break_the_readers_of_certificates_and_keys(data: bytes) -> None:
    for read in (read_request, lambda raw: read_certificate(raw, what="it"), check_node_public_key):
        with pytest.raises(GaitkeeperError):
            read(data)
    if len(data) != 32:
        with pytest.raises(GaitkeeperError):
            VerifyingKey(data)


def test_an_invitation_survives_its_file_and_a_changed_one_is_named(tmp_path: Path) -> None:
    root = pem(Authority.create("tri").certificate).decode()
    letter = InvitationLetter('tri "x"', "north", "[::1]:7440", "2026-01-01T00:00:00.000000Z", "token", root)
    path = tmp_path / "north.invitation"
    path.write_text(letter.to_text())
    assert InvitationLetter.load(path) == letter
    for old, new in (
        ("[::1]:7440", "nowhere"),
        ('"north"', '"../north"'),
        ("token =", "tokn ="),
        ("invitation/1", "x"),
    ):
        path.write_text(letter.to_text().replace(old, new))
        with pytest.raises(GaitkeeperError) as error:
            InvitationLetter.load(path)
        assert code_of(error) == "invitation-unreadable"
    path.write_text(letter.to_text().replace("BEGIN CERT", "BEGIN CART"))
    with pytest.raises(GaitkeeperError) as error:
        InvitationLetter.load(path)
    assert code_of(error) == "certificate-unusable"


MANIFEST = Manifest(3, "walks", "a" * 64, "b" * 64, 10, "2026-01-01T00:00:00.000000Z", ("c" * 64,), "notes")
ORDER = Order("tri", "north", 7, 3, "a" * 64, "2026-01-01T00:00:00.000000Z")


def test_manifest_and_order_are_canonical() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert Order.from_bytes(ORDER.to_bytes()) == ORDER
    assert MANIFEST.to_bytes() == Manifest.from_bytes(MANIFEST.to_bytes()).to_bytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", 0), ("version", True), ("version", "3"), ("model_sha256", "../x"), ("model_size", 0), ("extra", 1)],
)
def test_an_impossible_manifest_is_refused(key: str, value: object) -> None:
    table = {**json.loads(MANIFEST.to_bytes()), key: value}
    with pytest.raises(GaitkeeperError) as error:
        Manifest.from_bytes(json.dumps(table).encode())
    assert code_of(error) == "release-unreadable"


def test_a_huge_model_is_refused_before_it_is_fetched() -> None:
    table = {**json.loads(MANIFEST.to_bytes()), "model_size": 2**40}
    with pytest.raises(GaitkeeperError) as error:
        Manifest.from_bytes(json.dumps(table).encode())
    assert code_of(error) == "release-too-large"


def test_an_order_is_not_a_manifest() -> None:
    with pytest.raises(GaitkeeperError):
        Manifest.from_bytes(ORDER.to_bytes())
    with pytest.raises(GaitkeeperError):
        Order.from_bytes(MANIFEST.to_bytes())


@pytest.mark.parametrize("kind", ["certificate", "request"])
def test_a_version_that_does_not_exist_is_refused_and_no_traceback(kind: str) -> None:
    """One changed byte: cryptography then raises what is no ValueError."""
    if kind == "certificate":
        whole = Authority.create("tri").certificate.public_bytes(Encoding.DER)
        version, label = bytes.fromhex("a003020102"), b"CERTIFICATE"
    else:
        whole = x509.load_pem_x509_csr(new_request(ec.generate_private_key(ec.SECP256R1()), "north")).public_bytes(
            Encoding.DER
        )
        version, label = bytes.fromhex("020100"), b"CERTIFICATE REQUEST"
    assert version in whole
    broken = base64.encodebytes(whole.replace(version, version[:-1] + b"\x0a", 1))
    data = b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, broken, label)
    with pytest.raises(GaitkeeperError) as caught:
        read_certificate(data, what="it") if kind == "certificate" else read_request(data)
    assert caught.value.code == "certificate-unusable"
