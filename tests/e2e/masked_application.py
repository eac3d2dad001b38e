"""A Flower ClientApp that masks for real and only makes training up: it adds a number of its own to every weight.

``tests.e2e.masked_application:SITE`` is a site's application; its folder, below ``MASKED_FOLDER``, holds its key and
certificate, the consortium's root, the study and the ledger. A file ``die-STAGE-ROUND`` there kills the process when it
is asked that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from gaitkeeper_client.training.app import reply_to
from gaitkeeper_client.training.dataset import SiteDataset
from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.training.replies import encode_reply
from gaitkeeper_client.vault.ledger import Ledger, RoundKey, StoredReply
from gaitkeeper_shared.federation import RoundReply, SiteReport, decode_order
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.secure.arithmetic import model_digest
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.messages import decode_request, is_stage
from gaitkeeper_shared.study import Study, parse_study
from gaitkeeper_shared.trust.certificates import load_certificate
from gaitkeeper_shared.trust.keys import load_private_key


@dataclass
class MadeUpSite:
    """A site without people; its ledger and its keys are real."""

    site: str
    folder: Path
    ledger: Ledger
    cap: Budget | None = None
    allows_no_privacy: bool = False

    def approved_study(self, study_hash: str) -> Study:
        return parse_study((self.folder.parent / "study.toml").read_bytes())

    def dataset(self, study_hash: str, study: Study, run: str) -> SiteDataset:
        raise NotImplementedError

    def still_holds(self, people: Collection[str]) -> bool:
        return True

    def train(self, message: Message) -> None:
        """Put into the ledger what training would have left there."""
        order, weights = decode_order(message.content)
        key = RoundKey(order.study_hash, order.run, order.round)
        if self.ledger.reply(key) is None:
            step = 1.0 + "abcdefgh".index(self.site[-1])
            trained = {name: (array + step).astype(array.dtype) for name, array in weights.items()}
            report = SiteReport(self.site, "trained", epsilon_spent=0.5, delta=1e-5)
            self.ledger.store_reply(
                key, StoredReply(encode_reply(RoundReply(report, trained), model_digest(weights)), b"")
            )

    def heed(self, stage: str, number: int) -> None:
        """Die where that is asked for."""
        mark = self.folder / f"die-{stage}-{number}"
        if mark.exists():
            mark.rename(mark.with_name(f"died-{stage}-{number}"))
            os.kill(os.getpid(), signal.SIGKILL)


def _application(site: str) -> ClientApp:
    folder = Path(os.environ["MASKED_FOLDER"]) / site
    runtime = MadeUpSite(site, folder, Ledger(folder / "ledger.sqlite"))
    key = load_private_key(folder / "site.key")
    assert isinstance(key, EllipticCurvePrivateKey)
    identity = SiteIdentity(site, (folder / "site.crt").read_bytes(), key)
    membership = Membership(load_certificate(folder / "root.crt"))
    masking = SiteMasking(lambda: identity, lambda: membership)
    client = ClientApp()

    @client.train()
    def answer(message: Message, context: Context) -> Message:
        if is_stage(message.content):
            stage, request = decode_request(message.content)
            runtime.heed(stage, request.place.round)
        else:
            runtime.train(message)
            runtime.heed("input", decode_order(message.content)[0].round)
        return reply_to(message, lambda _: runtime, masking)

    return client


_applications = cache(_application)


def __getattr__(name: str) -> Any:
    if not name.startswith("clinic-"):
        raise AttributeError(name)
    return _applications(name)
