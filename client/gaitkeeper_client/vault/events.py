"""The vault's entries in the site's audit log: every look into it and every decision about a patient.

Patients go by pseudonym. An entry is on the disk before the look, or right after the change, that it tells of.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gaitkeeper_shared.durable import full_disk_is_an_error
from gaitkeeper_shared.trust.audit import AuditLog, Fact

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome


def record(home: SiteHome, event: str, **facts: Fact | os.PathLike[str]) -> None:
    """Append an entry. Raises ``disk-full`` or ``audit-broken``: what cannot be recorded is not done unseen."""
    with full_disk_is_an_error(home.audit_log):
        AuditLog(home.audit_log).append(event, **facts)
