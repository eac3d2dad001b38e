"""A site made anew from a backup, on any machine: unpacked beside the place, checked, and only then put there.

The ledger of a backup does not know what was spent since. So it is never just believed. Either the newest ledger is at
hand, saved from the old machine, and continues the backup's; or every approved study is counted as spent to its end, by
everybody, and the site takes no further part in it. Either way a round that was charged and not answered is closed: the
old machine may have answered it after the copy was made, and a second training has no charge of its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.agent.decided_since import Decided, continue_log, repeat_decisions
from gaitkeeper_client.vault.backup import LEDGER_FILES
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.ledger import Charge, Ledger, LedgerKeys, RoundKey, open_ledger
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.durable import leave_tree_to_owner, make_private_folder, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.archive import unpack
from gaitkeeper_shared.trust.audit import AuditLog


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. ``closed``: names of the studies that were counted as spent to their end.

    ``decided``: what patients decided after the backup and is in force again; None where no audit log told of it.
    ``until``: when the backup's own log ends, ISO 8601; empty where it has no entry.
    """

    site: str
    patients: int
    recordings: int
    closed: tuple[str, ...]
    decided: Decided | None = None
    until: str = ""


def restore(
    home: SiteHome,
    backup: Path,
    passphrase: str,
    unlock: Callable[[SiteHome], SiteKey],
    *,
    ledger_from: Path | None = None,
    further: Mapping[str, Study] | None = None,
) -> Restored:
    """Make the site of a backup at ``home``, where nothing may be yet.

    ``unlock`` opens the key of the unpacked home. ``ledger_from``: a folder with the site's newest ledger, and perhaps
    its audit log. ``further``: studies, by hash, that were approved after the backup was made. Raises ``site-exists``,
    ``backup-unusable``, ``restore-unsound``, ``restore-ledger-older``, ``restore-log-older``, ``disk-full``; then
    nothing is left at ``home``.
    """
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise GaitkeeperError("site-exists", path=home.path)
    if not home.path.parent.exists():  # one that is there, /srv say, stays as open as it is
        make_private_folder(home.path.parent)
    draft = SiteHome(home.path.with_name(f".{home.path.name}.{secrets.token_hex(4)}.restoring"))
    try:
        unpack(backup, passphrase, draft.path)
        for folder in draft.folders:
            make_private_folder(folder)
        restored = _settle(draft, backup, unlock(draft), ledger_from, further or {})
        leave_tree_to_owner(draft.path, home.path if home.path.exists() else None)
        with contextlib.suppress(FileNotFoundError):
            home.path.rmdir()
        os.rename(draft.path, home.path)  # noqa: PTH104 - a folder that came in between must not be replaced
        sync_folder(home.path.parent)
    except BaseException:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise
    return restored


def _settle(
    draft: SiteHome, backup: Path, key: SiteKey, ledger_from: Path | None, further: Mapping[str, Study]
) -> Restored:
    """Check what was unpacked, and make its ledger true or pessimistic."""
    config = draft.config()
    with Vault.open(draft, key) as vault:
        if found := vault.verify():
            raise GaitkeeperError("restore-unsound", detail=f"{found[0].what}: {found[0].detail}")
        patients = vault.patients()
        everybody = tuple(sorted({*(patient.pseudonym for patient in patients), *vault.index.erased().values()}))
    decided = None
    try:
        AuditLog(draft.audit_log).verify()
        until = max((entry.at for entry in AuditLog(draft.audit_log).entries()), default="")
        if ledger_from is not None:
            decided = continue_log(draft, ledger_from)
        if ledger_from is not None:
            _continue_ledger(draft, key, ledger_from)
        ledger = open_ledger(draft, key, adopt=True)  # the archive vouches for it
    except GaitkeeperError as error:
        if error.code in ("restore-ledger-older", "restore-log-older"):
            raise
        raise GaitkeeperError("restore-unsound", detail=error.message) from error
    if decided is not None:
        with Vault.open(draft, key) as vault:
            repeat_decisions(draft, vault, decided)
            patients = vault.patients()
    closed: Sequence[str] = ()
    if ledger_from is None:
        studies = {**_approved(draft), **further}
        run = f"restored-{secrets.token_hex(8)}"
        closed = [study.name for hash_, study in studies.items() if _spend_all(ledger, run, hash_, study, everybody)]
    unanswered = ledger.close_unanswered()
    event = "exact" if ledger_from is not None else "counted-as-spent"
    counts = {"studies_closed": len(closed), "rounds_closed": len(unanswered)}
    record(draft, "site-restored", backup=backup.name, ledger=event, **counts)
    recordings = sum(patient.recordings for patient in patients)
    return Restored(config.name, len(patients), recordings, tuple(closed), decided, until)


def _continue_ledger(draft: SiteHome, key: SiteKey, newest: Path) -> None:
    """Take the newest ledger, where it continues the backup's and is sealed if that is. Raises
    ``restore-ledger-older``."""

    def refuse(detail: str) -> GaitkeeperError:
        return GaitkeeperError("restore-ledger-older", path=newest, detail=detail)

    known = open_ledger(draft, key, adopt=True) if draft.ledger.exists() else None
    old, unsealed = ((), False) if known is None else (known.entries, known.adopted > 0)
    trial = draft.run / "ledger"
    make_private_folder(trial)
    try:
        for name in LEDGER_FILES:
            write_durably(trial / name, (newest / name).read_bytes())
        new = Ledger(trial / LEDGER_FILES[0], keys=LedgerKeys.of(key), adopt=unsealed).entries
        if new[: len(old)] != old:
            raise refuse(f"it has {len(new)} entries that differ from the backup's {len(old)}")
        for name in LEDGER_FILES:
            write_durably(draft.path / name, (trial / name).read_bytes())
    except OSError as error:
        raise refuse(f"{error.filename}: {error.strerror}") from error
    except GaitkeeperError as error:
        if error.code == "restore-ledger-older":
            raise
        raise refuse(error.message) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _approved(draft: SiteHome) -> dict[str, Study]:
    """The studies that the site had approved, by hash; their signatures were checked when they came."""
    from gaitkeeper_client.consortium.connection import CoordinatorConnection
    from gaitkeeper_client.consortium.studies import known_offers

    if CoordinatorConnection.load_or_none(draft) is None:
        return {}
    return {offer.hash: offer.study for offer in known_offers(draft).offers if offer.approved_at is not None}


def _spend_all(ledger: Ledger, run: str, study_hash: str, study: Study, everybody: tuple[str, ...]) -> bool:
    """Charge every round of a study that its budget still allows, to everybody; whether there was any."""
    prices, charged = plan(study), False
    for number in range(1, study.training.rounds + 2):
        for kind, spend, budget in (
            ("train", prices.train, prices.train_budget),
            ("evaluate", prices.evaluate, prices.evaluate_budget),
        ):
            if spend is None:
                continue
            charge = Charge("train" if kind == "train" else "evaluate", everybody, spend, budget)
            try:
                ledger.charge(RoundKey(study_hash, run, number), [charge])
                charged = True
            except GaitkeeperError as error:
                if error.code != "budget-spent":
                    raise
    return charged
