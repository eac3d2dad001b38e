"""The runtime of a deployed site: its home, its vault, its ledger, and the studies it approved. Stays warm."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gaitkeeper_client.training.dataset import HELD_OUT_KEY, Person, SiteDataset, person_of, split
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome, read_table
from gaitkeeper_client.vault.keys import SiteKey, unlock
from gaitkeeper_client.vault.ledger import open_ledger
from gaitkeeper_client.vault.retention import apply_retention, retention_policy
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.study import Study

_LOG = logging.getLogger(__name__)
REPLIES_FOR = timedelta(days=30)
"""For so long the newest update of a run is kept, in case its coordinator asks for it again."""


@dataclass(frozen=True, slots=True)
class _Cached:
    study_hash: str
    vault: tuple[tuple[int, int], ...]
    dataset: SiteDataset


class HomeRuntime:
    """The :class:`~gaitkeeper_client.training.site_round.SiteRuntime` of a site's home.

    The people of the newest study stay in memory and are read again when the vault has changed.
    """

    allows_no_privacy = False

    def __init__(self, home: SiteHome, key: SiteKey | None = None) -> None:
        self.home = home
        self.site = home.config().name
        self._key = key if key is not None else unlock(home)
        self.ledger = open_ledger(home, self._key)
        self._cached: _Cached | None = None

    @property
    def cap(self) -> Budget | None:
        """The site's own limit; read anew each time, so that a change counts at once."""
        return budget_cap(self.home)

    def approved_study(self, study_hash: str) -> Study:
        """The study, where this site approved it and its policy allows it now."""
        from gaitkeeper_client.consortium.policy import check_training
        from gaitkeeper_client.consortium.studies import approved_study

        study = approved_study(self.home, study_hash)
        with self._refusals_recorded(study):
            check_training(self.home, study, study_hash)
        return study

    def dataset(self, study_hash: str, study: Study, run: str) -> SiteDataset:
        """The people of the vault whom the study can use, who agreed to training, as far as the policy goes.

        Where the policy or the approval lets no counts leave, nobody is there to judge the model: what is sent then is
        noise alone.
        """
        from gaitkeeper_client.consortium.policy import load_policy
        from gaitkeeper_client.consortium.studies import counts_leave
        from gaitkeeper_client.training.frozen import forget_features

        del run
        state = self._vault_state()
        if self._cached is None or (self._cached.study_hash, self._cached.vault) != (study_hash, state):
            self._cached = None
            forget_features()
            self._cached = _Cached(study_hash, state, self._load(study))
        dataset = self._cached.dataset
        judged = load_policy(self.home).metrics_leave and counts_leave(self.home, study_hash)
        return dataset if judged else SiteDataset(dataset.train, ())

    def everybody(self, study: Study) -> tuple[Person, ...]:
        """All whom :meth:`dataset` knows, held out or not: for what stays at this site."""
        dataset = self._load(study)
        return (*dataset.train, *dataset.held_out)

    def still_holds(self, people: Collection[str]) -> bool:
        """Whether none of these people was erased since; looked up where the vault has changed."""
        if self._cached is not None and self._cached.vault[:-2] == self._vault_state()[:-2]:
            return True
        with Vault.open(self.home, self._key) as vault:
            return {row.pseudonym for row, _ in vault.index.patients()}.issuperset(people)

    @contextmanager
    def _refusals_recorded(self, study: Study) -> Iterator[None]:
        try:
            yield
        except GaitkeeperError as error:
            record(self.home, "round-refused", study=study.name, code=error.code, why=error.message)
            raise

    def _vault_state(self) -> tuple[tuple[int, int], ...]:
        # What is written while another process reads stays in the write-ahead log for as long as that takes.
        # The settings say what holds for patients of whom no consent is on record.
        vault, names = self.home.vault, ("index.sqlite", "index.sqlite-wal")
        # And with each new day recordings may pass their time.
        today = (datetime.now(UTC).toordinal(), 0)
        return (*(_state_of(vault / name) for name in names), _state_of(self.home.config_file), today)

    def _load(self, study: Study) -> SiteDataset:
        people = []
        self.ledger.forget_older(datetime.now(UTC) - REPLIES_FOR)
        with Vault.open(self.home, self._key) as vault:
            apply_retention(self.home, vault, retention_policy(self.home))
            for patient in vault.patients():
                if not patient.allows("training"):
                    continue
                label = patient.training_label
                if label is None or study.task.class_of(label) is None:
                    continue
                signals = (recording.signals for recording in vault.recordings(patient.pseudonym))
                if (person := person_of(patient.pseudonym, label, signals, study)) is not None:
                    people.append(person)
        record(self.home, "vault-read", purpose="training", study=study.name, patients=len(people))
        dataset = split(people, study, self._key.identify(HELD_OUT_KEY))
        if not dataset.train:
            # Not a refusal: that nobody is here would be told to the coordinator, and of one patient it would tell all.
            _LOG.warning("study %s finds no patient to train on here; this site sends noise only", study.name)
        return dataset


def _state_of(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


def budget_cap(home: SiteHome) -> Budget | None:
    """The site's own limit for a patient over all studies: ``[privacy] epsilon_cap, delta`` in ``site.toml``.

    None where the table is absent. Raises ``site-config-damaged``.
    """
    table = read_table(home, "privacy")
    if not table:
        return None
    cap, delta = table.get("epsilon_cap", 0.0), table.get("delta", 1e-5)
    numbers = all(isinstance(number, int | float) and not isinstance(number, bool) for number in (cap, delta))
    if not numbers or set(table) - {"epsilon_cap", "delta"} or not (0 < cap < math.inf and 0 < delta < 1):
        detail = "[privacy] needs epsilon_cap, a number above 0, and may have delta, between 0 and 1"
        raise GaitkeeperError("site-config-damaged", path=home.config_file, detail=detail)
    return Budget(float(cap), float(delta))
