"""What patients decided after a backup was made, made good in the vault that is restored from it.

A backup brings everybody back as they were: also who was erased since, and who has withdrawn a consent. The old
machine's audit log tells of both. Where it could be saved and continues the backup's, it is taken over, and its
decisions are repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.vault.consent import Consent, Purpose, parse_purposes
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditEntry, AuditLog


@dataclass(frozen=True, slots=True)
class Decided:
    """Whom the log after a backup says to be erased (pseudonyms), and the last consents that were recorded."""

    erased: frozenset[str] = frozenset()
    consents: tuple[tuple[str, frozenset[Purpose]], ...] = ()


def continue_log(draft: SiteHome, newest: Path) -> Decided | None:
    """Take the audit log of the old machine in the place of the backup's; None where there is none in ``newest``.

    Raises ``restore-log-older`` where it does not continue the backup's, or is not whole.
    """
    source = newest / draft.audit_log.name
    if not source.exists():
        return None
    head = AuditLog(draft.audit_log).verify()
    try:
        AuditLog(source).verify()
        entries = tuple(AuditLog(source).entries())
    except (GaitkeeperError, OSError) as error:
        detail = error.message if isinstance(error, GaitkeeperError) else f"it cannot be read ({error.strerror})"
        raise GaitkeeperError("restore-log-older", path=newest, detail=detail) from error
    if head.sequence and (len(entries) < head.sequence or entries[head.sequence - 1].hash != head.hash):
        detail = f"its {len(entries)} entries do not continue the backup's {head.sequence}"
        raise GaitkeeperError("restore-log-older", path=newest, detail=detail)
    for name in (source.name, f"{source.name}.anchor"):
        write_durably(draft.audit_log.with_name(name), (newest / name).read_bytes())
    return _decided(entries[head.sequence :])


def repeat_decisions(draft: SiteHome, vault: Vault, decided: Decided) -> None:
    """Erase again, and set consents again, of those whom the vault knows."""
    for pseudonym in sorted(decided.erased & {patient.pseudonym for patient in vault.patients()}):
        erase(draft, vault, pseudonym)
    known = {patient.pseudonym: patient for patient in vault.patients()}
    for pseudonym, given in decided.consents:
        if (patient := known.get(pseudonym)) is None:
            continue
        before = patient.facts.consent or Consent(patient.purposes)
        now = Consent(given, (before.given | before.withdrawn) - given)
        if now != before:
            record(draft, "consent-repeated", patient=pseudonym)
            vault.set_consent(pseudonym, now)


def _decided(entries: tuple[AuditEntry, ...]) -> Decided:
    erased: set[str] = set()
    consents: dict[str, frozenset[Purpose]] = {}
    for entry in entries:
        pseudonym = str(entry.facts.get("patient"))
        if entry.event in ("erasure-begun", "patient-erased"):
            erased.add(pseudonym)
        elif entry.event == "consent-changed":
            try:
                consents[pseudonym] = parse_purposes(str(entry.facts.get("allows")))
            except ValueError:  # of a later version, with a purpose that is not known here: nothing is given
                consents[pseudonym] = frozenset()
    return Decided(frozenset(erased), tuple(sorted(consents.items())))
