"""A restored site heeds what patients decided after the backup, where the old machine's audit log could be saved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from test_vault_backup import CHEAP, PASSPHRASE, charge, site
from vault_fixtures import facts_of, make_recording, someone

from gaitkeeper_client.agent.restore import Restored, restore
from gaitkeeper_client.cli.site_consent import _decide
from gaitkeeper_client.vault.backup import make_backup
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey, unlock
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog

__all__ = ["site"]
LOG = ("audit.log", "audit.log.anchor")
LEDGER = ("ledger.sqlite", "ledger.anchor")


def saved(home: SiteHome, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(home.path / name, folder / name)
    return folder


def test_erasures_and_withdrawals_of_after_the_backup_hold_again(
    site: tuple[SiteHome, SiteKey], tmp_path: Path
) -> None:
    home, key = site
    charge(home, 1)
    with Vault.open(home, key) as vault:
        vault.add(someone("patient-7"), make_recording(7), facts_of(7))
        _decide(home, vault, "patient-7", frozenset({"training"}), frozenset())
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    with Vault.open(home, key) as vault:
        erase(home, vault, "patient-0")
        _decide(home, vault, "patient-1", frozenset({"training"}), frozenset())
        _decide(home, vault, "patient-7", frozenset(), frozenset({"training"}))
        vault.add(someone("patient-8"), make_recording(8), facts_of(8))
        erase(home, vault, "patient-8")  # of whom the backup knows nothing

    def back(name: str, *names: str) -> tuple[Restored, SiteHome, dict[str, str]]:
        place = SiteHome(tmp_path / name)
        done = restore(place, made.path, PASSPHRASE, unlock, ledger_from=saved(home, tmp_path / f"from-{name}", *names))
        with Vault.open(place, unlock(place)) as vault:
            assert vault.verify() == ()
            allowed = {p.patient_id: "training" if p.allows("training") else "" for p in vault.patients()}
        AuditLog(place.audit_log).verify()
        return done, place, allowed

    done, place, allowed = back("heeded", *LEDGER, *LOG)
    assert done.decided is not None
    assert done.patients == 2
    assert allowed == {"patient-1": "", "patient-7": "training"}
    events = [entry.event for entry in AuditLog(place.audit_log).entries()]
    assert events[-1] == "site-restored"
    assert events.count("patient-erased") == 3  # two on the old machine, and one again
    assert events.count("consent-repeated") == 2
    with Vault.open(place, unlock(place)) as vault:
        assert len(vault.index.erased()) == 1

    done, _, allowed = back("unheeded", *LEDGER)
    assert done.decided is None
    assert done.until
    assert allowed == {"patient-0": "training", "patient-1": "training", "patient-7": ""}


@pytest.mark.parametrize("fault", ["other", "older", "cut", "no anchor"])
def test_a_log_that_does_not_go_on_from_the_backups_restores_nothing(
    site: tuple[SiteHome, SiteKey], tmp_path: Path, fault: str
) -> None:
    home, key = site
    charge(home, 1)
    AuditLog(home.audit_log).append("something")
    old = saved(home, tmp_path / "old", *LOG)
    AuditLog(home.audit_log).append("something-else")
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    folder = saved(home, tmp_path / "from", *LEDGER, *LOG)
    if fault == "older":
        for name in LOG:
            shutil.copy(old / name, folder / name)
    elif fault == "other":
        for name in LOG:
            (folder / name).unlink()
        for _ in range(9):
            AuditLog(folder / LOG[0]).append("made-up")
    elif fault == "cut":
        text = (folder / LOG[0]).read_bytes().splitlines(keepends=True)
        (folder / LOG[0]).write_bytes(b"".join(text[:-1]))
    else:
        (folder / LOG[1]).unlink()
    with pytest.raises(GaitkeeperError) as error:
        restore(SiteHome(tmp_path / "new"), made.path, PASSPHRASE, unlock, ledger_from=folder)
    assert error.value.code == "restore-log-older"
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("made_before", [False, True])
def test_what_root_restores_in_a_services_folder_is_the_services(
    site: tuple[SiteHome, SiteKey], tmp_path: Path, made_before: bool
) -> None:
    home, key = site
    (home.path / "studies" / "abc").mkdir(parents=True, exist_ok=True)
    (home.path / "studies" / "abc" / "offer").touch()
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    place = SiteHome(tmp_path / "service" / "site")
    services = place.path if made_before else place.path.parent
    services.mkdir(mode=0o700, parents=True)
    os.chown(services, 65_533, 65_533)
    restore(place, made.path, PASSPHRASE, unlock)
    everything = [place.path, *place.path.rglob("*")]
    assert {path.lstat().st_uid for path in everything} == {65_533}
    assert place.path / "vault" / "lock" in everything
