"""Sites of a masked round in memory: real keys, real certificates, the real attempts; the coordinator is the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity
from tests.unit.training_fixtures import Site

from gaitkeeper_client.training.app import reply_to
from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_client.training.replies import decode_reply, encode_reply
from gaitkeeper_client.vault.ledger import Ledger, RoundKey, StoredReply
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_server.rounds.states import RunRecord
from gaitkeeper_server.rounds.unmask import Cast, check_deal, check_reveal, open_sum
from gaitkeeper_shared.federation import RoundReply, SiteReport, Weights, decode_order
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.secure.arithmetic import Vector, model_digest
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.messages import decode_request, is_stage
from gaitkeeper_shared.secure.statements import Deal, Place, Reveal
from gaitkeeper_shared.study import parse_study, study_hash
from gaitkeeper_shared.trust.certificates import Authority, new_request, pem
from gaitkeeper_shared.trust.keys import new_tls_key

PLACE = Place("0" * 64, "run", 1, 1)
MODEL = "f" * 64
"""Stands for the digest of the weights that everybody trained from."""


@cache
def authority(name: str) -> Authority:
    """A consortium's root; another name, another root."""
    return Authority.create(name)


@cache
def identity(site: str, root: str = "test") -> SiteIdentity:
    """A site that the root admitted."""
    key = new_tls_key()
    request = x509.load_pem_x509_csr(new_request(key, site))
    return SiteIdentity(site, pem(authority(root).issue_site(request, site)), key)


def names(count: int) -> tuple[str, ...]:
    """Sites in order."""
    return tuple(f"clinic-{letter}" for letter in "abcdefghijklmnop"[:count])


@dataclass
class Rehearsed:
    """A masked round played stage by stage; at each stage some sites may be gone."""

    sites: tuple[str, ...]
    rules: MaskingRules
    place: Place = PLACE
    attempts: dict[str, MaskedAttempt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        membership = Membership(authority("test").certificate)
        self.attempts = {site: MaskedAttempt(self.place, self.rules, identity(site), membership) for site in self.sites}

    def cast(self, gone: frozenset[str] = frozenset()) -> Cast:
        """Keys of all, shares of those who are still there."""
        adverts = tuple(self.attempts[site].advert for site in self.sites)
        deals = tuple(self.attempts[site].deal(adverts) for site in self.sites if site not in gone)
        for deal in deals:
            check_deal(deal, self.place, adverts)
        return Cast(self.place, adverts, deals)

    def accept(self, cast: Cast, site: str) -> tuple[str, ...]:
        """Give a site its deals; whom it complains about."""
        return self.attempts[site].accept([deal.for_peer(site) for deal in cast.deals])

    def agreements(self, members: tuple[str, ...], gone: frozenset[str] = frozenset()) -> dict[str, bytes]:
        """Signatures of the members who are still there."""
        return {site: self.attempts[site].agree(members) for site in members if site not in gone}

    def reveals(
        self, cast: Cast, members: tuple[str, ...], agreements: dict[str, bytes], gone: frozenset[str] = frozenset()
    ) -> dict[str, Reveal]:
        """Checked shares of those who agreed and are still there."""
        found = {}
        for site in agreements:
            if site not in gone:
                found[site] = self.attempts[site].reveal(members, agreements)
                check_reveal(cast, members, found[site])
        return found


def play(
    vectors: dict[str, Vector], rules: MaskingRules, gone: tuple[frozenset[str], ...]
) -> tuple[Vector, tuple[str, ...]]:
    """The sum and who is in it; ``gone``: who falls out before shares, input, agreement and unmasking."""
    game = Rehearsed(tuple(vectors), rules)
    before_shares, before_input, before_agreement, before_unmasking = gone
    cast = game.cast(before_shares)
    out = before_shares | before_input
    masked = {}
    for site in cast.dealers:
        if site not in out:
            assert game.accept(cast, site) == ()
            masked[site] = game.attempts[site].masked(vectors[site], MODEL)
    members = tuple(sorted(masked))
    agreements = game.agreements(members, before_agreement)
    reveals = game.reveals(cast, members, agreements, before_unmasking)
    return open_sum(cast, members, masked.values(), reveals, rules.threshold, MODEL), members


def vectors(sites: tuple[str, ...], size: int, seed: int) -> dict[str, Vector]:
    """A vector for each site, over the whole range of numbers."""
    random = np.random.default_rng(seed)
    return {site: random.integers(0, 2**64, size, dtype=np.uint64) for site in sites}


def sealed_nothing(deal: Deal, peer: str) -> Deal:
    """The same deal with rubbish sealed for ``peer``."""
    return Deal(deal.site, deal.adverts, deal.commitments, {**deal.sealed, peer: b"rubbish"}, deal.signature)


STUDY = b"""
name = "masked"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["knee_flexion_left", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 4
[training]
rounds = 2
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
[evaluation]
holdout = 0.0
[federation]
quorum = 3
deadline_s = 1.5
stage_deadline_s = 0.4
"""

Script = Callable[[str, str, int, Message], Message | None]
"""What becomes of a reply: site, stage (``input`` for the order), round, reply; None is silence."""


def as_it_is(site: str, stage: str, number: int, reply: Message) -> Message | None:
    """Everybody keeps to the protocol."""
    return reply


class MaskedGrid:
    """A Flower grid whose sites are the real client application in this process, over a ledger of their own."""

    def __init__(
        self,
        folder: Path,
        sites: tuple[str, ...],
        script: Script = as_it_is,
        study: bytes = STUDY,
        *,
        training: bool = False,
    ) -> None:
        """``training``: for real; without it the ledgers hold what training would have left there."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self.script, self.folder, self.study = script, folder, study
        self.runtimes = {
            site: Site(Ledger(folder / site / "ledger.sqlite"), study, site)
            for site in sites
            if (folder / site).mkdir(parents=True, exist_ok=True) is None
        }
        self.maskings = {site: self.masking(site) for site in sites}
        self._training = training
        self.initial = {"bias": np.zeros(3, np.float32), "layer": np.zeros((4, 3), np.float32)}
        if training:
            self.initial = dict(ModelBundle.initial(ModelSpec.of(parse_study(study), study_hash(study))).weights)
        self.present = {site: Presence(number + 10, "t0") for number, site in enumerate(sites)}
        self.asked: list[tuple[str, str, int]] = []
        self._replies: dict[str, Message] = {}
        self.updates: dict[tuple[str, RoundKey], Weights] = {}
        """What lay in a site's ledger when it answered: a ledger keeps the newest reply only."""
        self._count = 0

    def _pretend(self, site: str, number: int, weights: Weights) -> None:
        """Have trained from ``weights``, once."""
        random = np.random.default_rng([tuple(self.runtimes).index(site), number])
        update = {name: random.normal(size=array.shape).astype(np.float32) for name, array in self.initial.items()}
        report = SiteReport(site, "trained", epsilon_spent=0.5, delta=1e-3)
        reply = StoredReply(encode_reply(RoundReply(report, update), model_digest(weights)), b"")
        self.runtimes[site].ledger.store_reply(RoundKey(study_hash(self.study), "run", number), reply)

    def _remember(self, site: str, key: RoundKey) -> None:
        kept = self.runtimes[site].ledger.reply(key)
        weights = None if kept is None else decode_reply(kept.body).weights
        if weights is not None:
            self.updates[site, key] = weights

    def masking(self, site: str) -> SiteMasking:
        """A site's memory of attempts, as after a restart."""
        return SiteMasking(lambda: identity(site), lambda: Membership(authority("test").certificate))

    def roster(self, grid: Any) -> Mapping[str, Presence]:
        """Who is there now."""
        return dict(self.present)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let the sites answer at once."""
        names_by_node = {presence.node_id: site for site, presence in self.present.items()}
        ids = []
        for message in messages:
            self._count += 1
            message_id = f"m{self._count}"
            message.metadata.__dict__["_message_id"] = message_id
            ids.append(message_id)
            site = names_by_node[message.metadata.dst_node_id]
            if is_stage(message.content):
                stage, request = decode_request(message.content)
                number = request.place.round
            else:
                order, weights = decode_order(message.content)
                stage, number = "input", order.round
                if not self._training and order.train:
                    self._pretend(site, number, weights)
            self.asked.append((site, stage, number))
            reply = reply_to(message, lambda run, site=site: self.runtimes[site], self.maskings[site])
            if not is_stage(message.content):
                self._remember(site, RoundKey(study_hash(self.study), order.run, number))
            if (scripted := self.script(site, stage, number, reply)) is not None:
                self._replies[message_id] = scripted
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The answers that are there."""
        return [self._replies.pop(item) for item in message_ids if item in self._replies]


def conduct(journal: Journal, grid: MaskedGrid, run: str = "run") -> RunRecord:
    """Conduct a run over the grid, as the coordinator's service does, at a quick pace."""
    if not any(record.run == run for record in journal.runs()):
        journal.request_run(run, grid.study, tuple(grid.runtimes), grid.initial)
    pace = Pace(poll_s=0.002, look_s=0.02, look_again_s=0.02, absent_grace_s=0.1, missing_grace_s=0.05)
    membership = Membership(authority("test").certificate)
    Conductor(grid, journal, run, roster=grid.roster, pace=pace, membership=membership).conduct()  # type: ignore[arg-type]
    return journal.run(run)


def plain_mean(grid: MaskedGrid, number: int, members: Iterable[str], run: str = "run") -> dict[str, Any]:
    """The mean of the updates that lay in the sites' ledgers."""
    key = RoundKey(study_hash(grid.study), run, number)
    updates = [grid.updates[site, key] for site in members]
    return {name: np.mean([update[name].astype(np.float64) for update in updates], axis=0) for name in updates[0]}
