"""What is sealed opens only as what it is, for whom it is, with every bit in place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import SealContext, derive_key, new_key, seal, unseal

KEY = bytes(range(32))
CONTEXT = SealContext("recording", ("vault", "p-1", "r-1"))


@given(st.binary(max_size=200))
def test_opens_what_was_sealed(plaintext: bytes) -> None:
    assert unseal(KEY, seal(KEY, plaintext, CONTEXT), CONTEXT, what="it") == plaintext


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_flipped_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, plaintext, CONTEXT))
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[place // 8] ^= 1 << (place % 8)
    with pytest.raises(GaitkeeperError) as caught:
        unseal(KEY, bytes(sealed), CONTEXT, what="it")
    assert caught.value.code == "envelope-damaged"


@pytest.mark.parametrize(
    "other",
    [
        SealContext("recording", ("vault", "p-2", "r-1")),
        SealContext("recording", ("vault", "p-1", "r-2")),
        SealContext("recording", ("other", "p-1", "r-1")),
        SealContext("patient", ("vault", "p-1", "r-1")),
        SealContext("recording", ("vault", "p-1r-1")),
        SealContext("recording", ("vaultp-1", "", "r-1")),
    ],
)
def test_opens_in_no_other_context(other: SealContext) -> None:
    with pytest.raises(GaitkeeperError, match="seal"):
        unseal(KEY, seal(KEY, b"x", CONTEXT), other, what="it")


@pytest.mark.parametrize("sealed", [b"", b"GKE1", b"GKE1" + bytes(27), b"XXXX" + bytes(60)])
def test_too_short_or_another_format(sealed: bytes) -> None:
    with pytest.raises(GaitkeeperError, match="damaged"):
        unseal(KEY, sealed, CONTEXT, what="it")


def test_same_plaintext_never_looks_the_same() -> None:
    assert len({seal(KEY, b"same", CONTEXT) for _ in range(50)}) == 50


def test_derived_keys_differ_by_purpose_and_by_key() -> None:
    assert derive_key(KEY, "a") == derive_key(KEY, "a")
    assert len({derive_key(KEY, "a"), derive_key(KEY, "b"), derive_key(new_key(), "a"), KEY}) == 4
