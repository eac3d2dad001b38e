"""What clinicians said about a report: a chain of signed statements, each naming the report's bytes and the one before.

A statement is kept as a document about the report, under a name that holds its number: of two clinicians who speak at
once, the second is refused and reads again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from gaitkeeper_client.vault.documents import document_bytes, heads_of, put_document
from gaitkeeper_client.vault.records import DocumentHead
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.signatures import Signatures
from gaitkeeper_shared.typed_json import from_json

if TYPE_CHECKING:
    from gaitkeeper_client.vault.store import Vault

STATEMENT_SCHEMA = "gaitkeeper.statement/1"
KIND = "statement"
Verdict = Literal["agreed", "amended", "overruled"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A clinician's decision on one item.

    ``text``: what holds instead, of an amended or overruled item; ``reason``: why. ``label``: the clinician's own label
    where the model's was overruled and one was given.
    """

    item: str
    verdict: Verdict
    text: str = ""
    reason: str = ""
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What one clinician signed at one time.

    ``number`` counts from 1; ``previous_sha256``: of the statement before, empty for the first. ``key_id``: of the key
    that signed; ``signed_at``: UTC, ISO 8601. ``sha256``: of this statement's own canonical bytes.
    """

    report: str
    report_sha256: str
    number: int
    previous_sha256: str
    clinician: str
    role: str
    key_id: str
    signed_at: str
    decisions: tuple[Decision, ...]
    sha256: str = field(default="", compare=False)

    def canonical(self) -> bytes:
        """The bytes that are signed."""
        table: dict[str, Any] = {"schema": STATEMENT_SCHEMA, **asdict(self)}
        del table["sha256"]
        return json.dumps(table, sort_keys=True, separators=(",", ":")).encode("utf-8")


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement, its bytes as they were signed, and the signatures over them."""

    statement: Statement
    content: bytes
    signatures: Signatures


def put_statement(vault: Vault, pseudonym: str, signed: SignedStatement) -> None:
    """Keep a statement, durably. Raises ``document-exists`` where one of this number is there."""
    made, body = signed.statement, signed.signatures.to_bytes()
    head = DocumentHead(_name(made.report, made.number), KIND, made.signed_at, "", made.report)
    put_document(vault, pseudonym, head, len(signed.content).to_bytes(8, "big") + signed.content + body)


def signed_statements_of(vault: Vault, pseudonym: str, report: str) -> tuple[SignedStatement, ...]:
    """The statements about a report, oldest first, as they are kept: nothing is verified here.

    Raises ``report-damaged``, ``envelope-damaged``, ``signature-unreadable``.
    """
    heads = [head for head in heads_of(vault, pseudonym) if head.kind == KIND and head.subject == report]
    found = [_opened(document_bytes(vault, head.name), report) for head in heads]
    return tuple(sorted(found, key=lambda one: one.statement.number))


def statements_of(vault: Vault, pseudonym: str, report: str) -> tuple[Statement, ...]:
    """What :func:`signed_statements_of` gives, without bytes and signatures."""
    return tuple(one.statement for one in signed_statements_of(vault, pseudonym, report))


def _name(report: str, number: int) -> str:
    return f"{report}/statement/{number}"


def _opened(data: bytes, report: str) -> SignedStatement:
    length = int.from_bytes(data[:8], "big")
    content, body = data[8 : 8 + length], data[8 + length :]
    try:
        table = json.loads(content)
        if table.pop("schema") != STATEMENT_SCHEMA:
            raise ValueError(f"a statement's schema is not {STATEMENT_SCHEMA}")
        table["sha256"] = hashlib.sha256(content).hexdigest()
        statement = from_json(Statement, table, "statement")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GaitkeeperError("report-damaged", report=report, detail=error) from error
    return SignedStatement(statement, content, Signatures.from_bytes(body, what=f"a statement about report {report}"))
