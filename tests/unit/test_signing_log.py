"""The audit log as a second witness of what clinicians signed: nothing is taken away, nothing comes too late."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from test_signing_reports import kept, signer, site
from vault_fixtures import facts_of, make_recording, someone

from gaitkeeper_client.signing.clinicians import withdraw_clinician
from gaitkeeper_client.signing.decide import agree_with_the_rest, decide
from gaitkeeper_client.signing.kept import list_for
from gaitkeeper_client.signing.statements import Decision, SignedStatement, put_statement, signed_statements_of
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.documents import find_document
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.signatures import STATEMENT_CONTEXT
from gaitkeeper_shared.trust.signatures import sign as sign_bytes

__all__ = ["site"]
LATER = [Decision("model", "overruled", "", "seen again, by eye")]


def refused(home: SiteHome, vault: Vault, report: str) -> str:
    with pytest.raises(GaitkeeperError) as caught:
        verified(home, vault, report)
    assert caught.value.code == "report-statement-wrong"
    return caught.value.message


def test_a_last_or_only_statement_that_is_gone_is_missed_wherever_the_report_is_shown(
    site: tuple[SiteHome, SiteKey, str],
) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        decide(home, vault, report.id, who, agree_with_the_rest(report))
        decide(home, vault, report.id, who, LATER)
        for number in (2, 1):  # the last one, then the only one: what is left looks signed, or like a draft
            with vault.writing(), vault.index.transaction():
                vault.index.remove_document(_row(vault, report.id, number))
            assert "the audit log saw it kept" in refused(home, vault, report.id)
        other = vault.add(someone("patient-2"), make_recording(2), facts_of(2)).pseudonym
        assert verified(home, vault, kept(home, vault, other).id).state == "draft"


def test_a_withdrawn_clinicians_key_signs_nothing_however_early_it_says_it_was(
    site: tuple[SiteHome, SiteKey, str],
) -> None:
    """Somebody kept a copy of the key, and of the site's: the log's order tells, not the time in the statement."""
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        decide(home, vault, report.id, who, agree_with_the_rest(report))
        withdraw_clinician(home, "dr.adams")
        early = datetime.now(UTC) - timedelta(days=1)
        true = signed_statements_of(vault, pseudonym, report.id)[0].statement
        stamp = early.isoformat(timespec="seconds")
        made = dataclasses.replace(true, number=2, previous_sha256=true.sha256, decisions=tuple(LATER), signed_at=stamp)
        content = made.canonical()
        signatures = sign_bytes(content, STATEMENT_CONTEXT, who.key, clock=lambda: early)
        put_statement(vault, pseudonym, SignedStatement(made, content, signatures))
        assert "never told of it" in refused(home, vault, report.id)
        with vault.writing(), vault.index.transaction():
            vault.index.remove_document(_row(vault, report.id, 2))
        assert verified(home, vault, report.id).state == "signed"
        decide(home, vault, report.id, who, LATER, now=early)  # through the same code as everybody
        assert "was withdrawn before" in refused(home, vault, report.id)


def _row(vault: Vault, report: str, number: int) -> str:
    """The id of a statement's document in the index."""
    name = vault.cipher.document_lookup(f"{report}/statement/{number}")
    assert find_document(vault, f"{report}/statement/{number}") is not None
    return next(row.id for row in vault.index.documents() if row.lookup == name)
