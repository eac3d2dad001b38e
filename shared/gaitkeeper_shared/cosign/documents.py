"""What may be co-signed: a study, or the manifest of a release. Each says of itself what a signature means.

An order to a site is no such document: which signed release a site runs is the coordinator's to say, so that a
roll-back takes one command and nobody has to be found for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.study import Study, parse_study
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey
from gaitkeeper_shared.trust.release import MAX_MODEL_BYTES, Manifest
from gaitkeeper_shared.trust.signatures import (
    RELEASE_CONTEXT,
    STUDY_CONTEXT,
    Context,
    Signatures,
    sign,
    signature_path,
)

_LARGEST = 1024 * 1024
KEY_LETTERS = 64
"""A public key is 32 bytes, written in hex."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document to be signed. ``data``: the file's bytes, which are what is signed; ``terms``: what it says."""

    path: Path
    data: bytes
    context: Context
    title: str
    terms: tuple[tuple[str, str], ...]
    manifest: Manifest | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes in hex: what people compare over the telephone."""
        return hashlib.sha256(self.data).hexdigest()

    def check_model(self, model: Path) -> None:
        """Raises ``cosign-other-model`` where ``model`` is not, byte for byte, what this manifest releases."""
        if self.manifest is None:
            raise GaitkeeperError("cosign-other-model", model=model, path=self.path, detail="a study has no model")
        if not self.manifest.fits(_bytes_of(model, MAX_MODEL_BYTES)):
            raise GaitkeeperError("cosign-other-model", model=model, path=self.path, detail="its SHA-256 is another")


def read_document(path: Path) -> Document:
    """A study (``.toml``) or a release's manifest (``.json``), checked as a site checks it.

    Raises ``cosign-document``, ``study-*`` or ``release-*``.
    """
    data = _bytes_of(path, _LARGEST)
    if path.suffix == ".toml":
        study = parse_study(data, origin=str(path))
        return Document(path, data, STUDY_CONTEXT, f"the study {study.name!r}", _study_terms(study))
    if path.suffix == ".json":
        manifest = Manifest.from_bytes(data)
        title = f"release {manifest.version} of {printable(manifest.study, 100)!r}"
        return Document(path, data, RELEASE_CONTEXT, title, _release_terms(manifest), manifest)
    raise GaitkeeperError("cosign-document", path=path, detail="it is neither a study (.toml) nor a release (.json)")


def signatures_beside(document: Document) -> Signatures | None:
    """The signatures that lie beside it; None where there are none. Raises ``signature-*``."""
    beside = signature_path(document.path)
    if not beside.exists():
        return None
    found = Signatures.load(beside)
    if (found.context, found.sha256) != (document.context, document.sha256):
        raise GaitkeeperError("signature-other-document", what=str(document.path))
    return found


def cosign(document: Document, key: SigningKey, *, clock: Clock = utc_now) -> Path:
    """Add ``key``'s signature to those beside the document; where they lie. Raises ``signature-*``."""
    made = sign(document.data, document.context, key, also=signatures_beside(document), clock=clock)
    beside = signature_path(document.path)
    try:
        write_durably(beside, made.to_bytes(), mode=0o644)
    except OSError as error:
        raise GaitkeeperError("file-not-writable", path=beside, detail=error.strerror) from error
    return beside


def key_from_text(text: str) -> VerifyingKey:
    """A public key as ``gaitkeeper cosign key`` prints it: 64 hexadecimal digits. Raises ``cosign-key``."""
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError:
        raw = b""
    if len(text.strip()) != KEY_LETTERS or len(raw) * 2 != KEY_LETTERS:
        raise GaitkeeperError("cosign-key", text=printable(text, 80))
    return VerifyingKey(raw)


def _bytes_of(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise GaitkeeperError("cosign-document", path=path, detail=error.strerror) from error
    if len(data) > most:
        raise GaitkeeperError("cosign-document", path=path, detail=f"it is longer than {most} bytes")
    return data


def _study_terms(study: Study) -> tuple[tuple[str, str], ...]:
    privacy, held_out = study.privacy, study.evaluation
    return (
        ("question", printable(study.title or study.name, 300)),
        ("learned", printable(", ".join(study.task.labels), 300)),
        ("rounds", str(study.training.rounds)),
        ("price", f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g}; of those kept out, {held_out.epsilon:g}"),
        ("aggregation", f"{study.federation.aggregation}, at least {study.federation.quorum} sites"),
    )


def _release_terms(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    return (
        ("study's hash", manifest.study_hash),
        ("model", f"{manifest.model_size} bytes, SHA-256 {manifest.model_sha256}"),
        ("made at", printable(manifest.created_at, 40)),
        ("trained on from", printable(", ".join(manifest.parents), 200) or "new weights"),
        ("notes", printable(manifest.notes, 1000) or "none"),
    )
