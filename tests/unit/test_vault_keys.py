"""The site's key: kept from others, opened by the right passphrase only, and never overwritten."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from vault_fixtures import make_site

from gaitkeeper_client.vault.home import SiteHome, create_home, read_table, write_table
from gaitkeeper_client.vault.keys import PASSPHRASE_FILE_VARIABLE, SiteKey, create_key, open_sealed, unlock
from gaitkeeper_shared.errors import GaitkeeperError

PASSPHRASE = "correct horse battery staple"


def code_of(caught: pytest.ExceptionInfo[GaitkeeperError]) -> str:
    return caught.value.code


def sealed_site(folder: Path) -> tuple[SiteHome, SiteKey]:
    home = SiteHome(folder)
    key = create_key(home, passphrase=PASSPHRASE, scrypt_n=2**10)
    create_home(home, "clinic-test", "passphrase")
    return home, key


def test_key_file_comes_back_and_is_private(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    assert unlock(home) == key
    assert home.key_file.stat().st_mode & 0o777 == 0o600
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in home.folders)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    home, _ = make_site(tmp_path / "site")
    for mode in (0o640, 0o604, 0o660):
        home.key_file.chmod(mode)
        with pytest.raises(GaitkeeperError) as caught:
            unlock(home)
        assert code_of(caught) == "site-key-permissions"
        assert caught.value.exit_status == 3


@pytest.mark.parametrize("content", [b"", b"gaitkeeper-site-key/1 ", b"gaitkeeper-site-key/1 abcd", b"\xff" * 90])
def test_a_damaged_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    home, _ = make_site(tmp_path / "site")
    home.key_file.write_bytes(content)
    with pytest.raises(GaitkeeperError) as caught:
        unlock(home)
    assert code_of(caught) == "site-key-damaged"


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    home, _ = make_site(tmp_path / "site")
    home.key_file.unlink()
    with pytest.raises(GaitkeeperError) as caught:
        unlock(home)
    assert code_of(caught) == "site-key-missing"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    home, _ = make_site(tmp_path / "site")
    before = home.key_file.read_bytes()
    with pytest.raises(GaitkeeperError) as caught:
        create_key(home)
    assert code_of(caught) == "site-exists"
    with pytest.raises(GaitkeeperError):
        create_home(home, "again", "file")
    assert home.key_file.read_bytes() == before


def test_an_init_that_was_killed_after_the_key_can_be_run_again(tmp_path: Path) -> None:
    home = SiteHome(tmp_path / "site")
    create_key(home, passphrase=PASSPHRASE, scrypt_n=2**10)
    key = create_key(home)
    create_home(home, "clinic", "file")
    assert unlock(home) == key
    assert not home.sealed_key_file.exists()


def test_the_right_passphrase_opens_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    home, key = sealed_site(tmp_path / "site")
    assert open_sealed(home.sealed_key_file, PASSPHRASE) == key
    assert PASSPHRASE.encode() not in home.sealed_key_file.read_bytes()
    for wrong in ("", PASSPHRASE + " ", PASSPHRASE.upper()):
        with pytest.raises(GaitkeeperError) as caught:
            open_sealed(home.sealed_key_file, wrong)
        assert code_of(caught) == "passphrase-wrong"


def test_passphrase_from_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, key = sealed_site(tmp_path / "site")
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    monkeypatch.setenv(PASSPHRASE_FILE_VARIABLE, str(file))
    file.chmod(0o644)
    with pytest.raises(GaitkeeperError) as caught:
        unlock(home)
    assert code_of(caught) == "site-key-permissions"
    file.chmod(0o600)
    assert unlock(home) == key
    file.write_text("\n")
    with pytest.raises(GaitkeeperError) as caught:
        unlock(home)
    assert code_of(caught) == "passphrase-file"


def test_passphrase_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, key = sealed_site(tmp_path / "site")
    monkeypatch.delenv(PASSPHRASE_FILE_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSPHRASE + "\n"))
    assert unlock(home) == key
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(GaitkeeperError) as caught:
        unlock(home)
    assert code_of(caught) == "passphrase-missing"


def test_a_short_passphrase_makes_nothing(tmp_path: Path) -> None:
    home = SiteHome(tmp_path / "site")
    with pytest.raises(GaitkeeperError) as caught:
        create_key(home, passphrase="short")
    assert code_of(caught) == "passphrase-weak"
    assert not home.path.exists()


def test_a_hostile_sealed_key_does_not_eat_the_memory(tmp_path: Path) -> None:
    home, _ = sealed_site(tmp_path / "site")
    text = home.sealed_key_file.read_text().replace("n = 1024", f"n = {2**40}")
    home.sealed_key_file.write_text(text)
    with pytest.raises(GaitkeeperError) as caught:
        open_sealed(home.sealed_key_file, PASSPHRASE)
    assert code_of(caught) == "site-key-damaged"


def test_the_key_shows_in_no_representation() -> None:
    assert "00" not in repr(SiteKey(bytes(32)))


@pytest.mark.parametrize("name", ["", "Clinic", "a b", "../x", "-a", "a" * 64, "ä"])
def test_bad_site_names_make_nothing(tmp_path: Path, name: str) -> None:
    home = SiteHome(tmp_path / "site")
    with pytest.raises(GaitkeeperError) as caught:
        create_home(home, name, "file")
    assert code_of(caught) == "site-bad-name"
    assert not home.path.exists()


def test_tables_of_the_settings_do_not_disturb_each_other(tmp_path: Path) -> None:
    home, _ = make_site(tmp_path / "site")
    before = home.config()
    write_table(home, "coordinator", {"address": "coordinator.example:9443"})
    assert home.config() == before
    assert read_table(home, "coordinator")["address"] == "coordinator.example:9443"
    assert read_table(home, "unknown") == {}


@pytest.mark.parametrize("text", ["[site", "", "site = 3", '[site]\nname = "x"'])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    home, _ = make_site(tmp_path / "site")
    home.config_file.write_text(text)
    with pytest.raises(GaitkeeperError) as caught:
        home.config()
    assert code_of(caught) == "site-config-damaged"


def test_home_by_option_then_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAITKEEPER_SITE_HOME", str(tmp_path / "b"))
    assert SiteHome.resolve(tmp_path / "a").path == tmp_path / "a"
    assert SiteHome.resolve().path == tmp_path / "b"
    with pytest.raises(GaitkeeperError) as caught:
        SiteHome.resolve().config()
    assert code_of(caught) == "site-not-initialised"
