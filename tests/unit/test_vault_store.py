"""The vault: what goes in comes out for the key's owner, says nothing to others, and notices every change."""

from __future__ import annotations

import os
import random
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
from vault_fixtures import facts_of, make_recording, make_site, someone

from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import encode_recording
from gaitkeeper_shared.trust.envelope import new_key


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, SiteKey]:
    return make_site(tmp_path / "site")


def files_of(home: SiteHome) -> list[Path]:
    return sorted(path for path in (home.vault / "recordings").iterdir())


def test_what_goes_in_comes_out_after_reopening(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    patient = someone(age=71.5, sex="female", height_m=1.62, extra={"ward": "7b"})
    with Vault.open(home, key) as vault:
        for seed in (1, 2):
            assert vault.add(patient, make_recording(seed), facts_of(seed)).new
        vault.add(someone("patient-2"), make_recording(3), facts_of(3))
    with Vault.open(home, key) as vault:
        first, second = vault.patients()
        assert (first.patient_id, first.facts, first.recordings) == ("patient-1", patient, 2)
        assert (second.patient_id, second.recordings) == ("patient-2", 1)
        stored = list(vault.recordings(first.pseudonym))
        assert [encode_recording(item) for item in stored] == [encode_recording(make_recording(s)) for s in (1, 2)]
        assert vault.facts_of_recordings(first.pseudonym) == (facts_of(1), facts_of(2))
        assert vault.verify() == ()


def test_the_same_source_is_stored_once(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        first = vault.add(someone(), make_recording(1), facts_of(1))
        again = vault.add(someone(age=30.0), make_recording(1), facts_of(1))
        assert (again.new, again.recording_id) == (False, first.recording_id)
        assert vault.holds("patient-1", facts_of(1).source_sha256)
        assert not vault.holds("patient-1", facts_of(2).source_sha256)
        assert vault.patients()[0].recordings == 1
        assert vault.patients()[0].age == 30.0
    assert len(files_of(home)) == 1


def test_one_file_of_two_patients_is_refused(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1), facts_of(1))
        with pytest.raises(GaitkeeperError) as caught:
            vault.add(someone("patient-2"), make_recording(1), facts_of(1))
        assert caught.value.code == "vault-other-patient"
        assert "patient-1" not in str(caught.value)
        assert len(vault.patients()) == 1


def test_another_label_is_a_conflict_unless_it_is_meant(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1), facts_of(1))
        with pytest.raises(GaitkeeperError) as caught:
            vault.add(someone(label="ataxic"), make_recording(2), facts_of(2))
        assert caught.value.code == "vault-patient-conflict"
        assert (vault.patients()[0].label, vault.patients()[0].recordings) == ("healthy", 1)
        vault.add(someone(label="ataxic"), make_recording(2), facts_of(2), update=True)
        assert (vault.patients()[0].label, vault.patients()[0].recordings) == ("ataxic", 2)


def test_no_byte_of_the_home_tells_who_or_what(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    patient = PatientFacts("Mustermann-4711", "parkinsonian", 73.4567, "female", 1.6543, {"ward": "neurology-7"})
    recording = make_recording(5)
    source = RecordingFacts("ab" * 32, "Mustermann_left.mp4", "2026-01-01T00:00:00+00:00", "2025-12-24T00:00:00+00:00")
    with Vault.open(home, key) as vault:
        vault.add(patient, recording, source)
        while_open = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    closed = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    names = "\n".join(str(path.relative_to(home.path)) for path in home.path.rglob("*")).encode()
    texts = ["Mustermann", "4711", "parkinson", "73.4567", "1.6543", "female", "neurology", "2025-12-24", "left.mp4"]
    needles = [text.encode() for text in texts] + [b"ab" * 32, bytes.fromhex("ab" * 32), b"foot_strike"]
    needles += [struct.pack("<d", 73.4567), struct.pack("<d", 1.6543)]
    flat = recording.trajectories.positions.ravel()
    for index in range(0, flat.size - 1, 7):
        needles += [flat[index : index + 2].astype(np.float32).tobytes(), flat[index].tobytes()]
    for haystack in (while_open, closed, names):
        assert [needle for needle in needles if needle in haystack] == []
    assert b"recordings" in while_open  # the search itself works: a table's name stands in the index


def test_pseudonyms_are_random(tmp_path: Path) -> None:
    names = []
    for folder in ("a", "b"):
        home, key = make_site(tmp_path / folder)
        with Vault.open(home, key) as vault:
            names.append(vault.add(someone(), make_recording(1), facts_of(1)).pseudonym)
    assert names[0] != names[1]
    assert "patient" not in names[0]


def test_another_key_does_not_open_the_vault(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    Vault.open(home, key).close()
    with pytest.raises(GaitkeeperError) as caught:
        Vault.open(home, SiteKey(new_key()))
    assert caught.value.code == "vault-wrong-key"


def test_verify_finds_every_flipped_byte_of_a_recording(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1, samples=2), facts_of(1))
        (path,) = files_of(home)
        whole = path.read_bytes()
        for place in range(0, len(whole), 11):
            changed = bytearray(whole)
            changed[place] ^= 0x40
            path.write_bytes(changed)
            assert [item.what.split()[0] for item in vault.verify()] == ["recording"], place
        path.write_bytes(whole[:-1])
        assert len(vault.verify()) == 1
        path.write_bytes(whole)
        assert vault.verify() == ()
        path.unlink()
        assert "gone" in vault.verify()[0].detail
        with pytest.raises(GaitkeeperError) as caught:
            list(vault.recordings(vault.patients()[0].pseudonym))
        assert caught.value.code == "vault-recording-missing"


def test_verify_finds_every_exchanged_cell_of_the_index(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        for seed in (1, 2):
            vault.add(someone(f"patient-{seed}"), make_recording(seed), facts_of(seed))
    index = home.vault / "index.sqlite"
    whole = index.read_bytes()
    for table, columns in (("patients", ("lookup", "wrapped_key", "record")), ("recordings", ("source", "record"))):
        for column in columns:
            with sqlite3.connect(index) as database:
                cells = database.execute(f"SELECT number, {column} FROM {table}").fetchall()
                database.execute(f"UPDATE {table} SET {column} = randomblob(9)")
                for (number, _), (_, other) in zip(cells, reversed(cells), strict=True):
                    database.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (other, number))
            database.close()
            with Vault.open(home, key) as vault:
                assert vault.verify(), f"{table}.{column} exchanged between two people"
            index.write_bytes(whole)
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()


def test_a_flipped_byte_of_the_index_is_found_or_changes_nothing(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1, samples=2), facts_of(1))
        truth = vault.patients()
    index, rng = home.vault / "index.sqlite", random.Random(0)
    whole, found = index.read_bytes(), 0
    used = [place for place, byte in enumerate(whole) if byte]
    for place in rng.sample(used, 150):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        index.write_bytes(changed)
        try:
            with Vault.open(home, key) as vault:
                damages = vault.verify()
                found += bool(damages)
                assert damages or vault.patients() == truth, place
        except GaitkeeperError:
            found += 1
        for left in home.vault.glob("index.sqlite-*"):
            left.unlink()
    assert found > 50


def test_what_a_kill_left_is_removed_and_the_rest_stays(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1), facts_of(1))
    kept = files_of(home)
    (home.vault / "recordings" / ("00" * 16 + ".sealed")).write_bytes(b"renamed, never committed")
    (home.vault / "recordings" / ".1234.tmp").write_bytes(b"half written")
    with Vault.open(home, key) as vault:
        assert files_of(home) == kept
        assert vault.verify() == ()


def test_opening_beside_a_writer_removes_nothing(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    fresh = home.vault / "recordings" / ("00" * 16 + ".sealed")
    with Vault.open(home, key) as writer, writer.locked(wait=True):
        fresh.write_bytes(b"of a writer that is about to commit")
        import threading

        opened: list[int] = []
        reader = threading.Thread(target=lambda: opened.append(len(Vault.open(home, key).patients())))
        reader.start()
        reader.join(timeout=1.0)
        assert fresh.exists()
        assert opened == [0], "a reader must not wait for a writer"


def test_a_lost_index_is_not_mistaken_for_an_empty_vault(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1), facts_of(1))
    index = home.vault / "index.sqlite"
    for content in (None, b"", b"not a database at all" * 100):
        index.unlink(missing_ok=True)
        if content is not None:
            index.write_bytes(content)
        with pytest.raises(GaitkeeperError) as caught:
            Vault.open(home, key)
        assert caught.value.code == "vault-damaged"
        assert len(files_of(home)) == 1


def test_files_are_private(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    before = os.umask(0)
    try:
        with Vault.open(home, key) as vault:
            vault.add(someone(), make_recording(1), facts_of(1))
            assert all(path.stat().st_mode & 0o077 == 0 for path in home.vault.rglob("*") if path.is_file())
    finally:
        os.umask(before)


def test_an_unknown_pseudonym_is_named(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault, pytest.raises(GaitkeeperError) as caught:
        list(vault.recordings("p-unknown"))
    assert caught.value.code == "vault-no-such-patient"
