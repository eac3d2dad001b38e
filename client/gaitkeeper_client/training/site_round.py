"""One round at a site: check the order, charge the ledger, evaluate, train, keep the reply, and only then send it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gaitkeeper_client.training.dataset import SiteDataset
from gaitkeeper_client.training.replies import decode_reply, decode_state, encode_reply, encode_state
from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey, StoredReply
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights, evaluation_rounds
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.privacy.noise import gaussian
from gaitkeeper_shared.privacy.plan import PrivacyPlan, plan
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from gaitkeeper_client.training.dpsgd import PrivateSteps
    from gaitkeeper_shared.models.registry import GaitModel


class SiteRuntime(Protocol):
    """What a round needs of a site; the deployment's and a rehearsal's differ in nothing else."""

    @property
    def site(self) -> str:
        """The site's name in the consortium."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The site's privacy ledger."""
        ...

    @property
    def cap(self) -> Budget | None:
        """What one patient may spend here over all studies; None without such a policy."""
        ...

    @property
    def allows_no_privacy(self) -> bool:
        """Whether a study with epsilon = inf may run: in a rehearsal only."""
        ...

    def approved_study(self, study_hash: str) -> Study:
        """The study that this site approved. Raises a catalogue error for any other."""
        ...

    def dataset(self, study_hash: str, study: Study, run: str) -> SiteDataset:
        """The site's people for a study."""
        ...


def run_round(runtime: SiteRuntime, order: RoundOrder, weights: Weights) -> RoundReply:
    """Do what an order asks, or refuse with the reason; a catalogue error never leaves this function.

    A round that was answered before is answered with the same bytes and charged once.
    """
    started = time.monotonic()
    try:
        return _answer(runtime, order, weights, started)
    except GaitkeeperError as error:
        report = SiteReport(runtime.site, "refused", error.code, error.message, seconds=time.monotonic() - started)
        return RoundReply(report)


def _answer(runtime: SiteRuntime, order: RoundOrder, weights: Weights, started: float) -> RoundReply:
    study = runtime.approved_study(order.study_hash)
    _check_order(order, study)
    key = RoundKey(order.study_hash, order.run, order.round)
    if (kept := runtime.ledger.reply(key)) is not None:
        return decode_reply(kept.body)
    private = not math.isinf(study.privacy.epsilon)
    if not private and not runtime.allows_no_privacy:
        raise GaitkeeperError("privacy-switched-off", study=study.name)
    bundle = ModelBundle(ModelSpec.of(study, order.study_hash), dict(weights))
    model = bundle.module()  # weights that do not fit cost nobody any privacy
    prices = plan(study)
    dataset = runtime.dataset(order.study_hash, study, order.run)
    if private:
        dataset = _charged(runtime, key, order, prices, dataset)
    metrics = _evaluate(model, dataset, prices) if order.evaluate else {}
    state = b""
    trained: Weights | None = None
    if order.train:
        new, state = _train(model, study, prices, dataset, runtime.ledger.state_before(key))
        trained = {name: new[name] for name in weights}
    report = SiteReport(
        runtime.site,
        "trained" if order.train else "evaluated",
        epsilon_spent=runtime.ledger.study_epsilon(order.study_hash, study.privacy.delta) if private else math.inf,
        delta=study.privacy.delta,
        seconds=float(math.ceil(time.monotonic() - started)),  # finer, it would tell how many patients were drawn
    )
    reply = RoundReply(report, trained, metrics)
    kept = runtime.ledger.store_reply(key, StoredReply(encode_reply(reply), state))
    return decode_reply(kept.body)


def _check_order(order: RoundOrder, study: Study) -> None:
    """An order must be one that the study foresees: what a site pays for is in the study, not in the message."""
    rounds = study.training.rounds
    if not order.train and not order.evaluate:
        raise GaitkeeperError("round-refused", why="it asks for neither training nor evaluation")
    if order.train and not 1 <= order.round <= rounds:
        raise GaitkeeperError("round-refused", why=f"training round {order.round} of a study of {rounds} rounds")
    if order.evaluate and order.round not in evaluation_rounds(study):
        raise GaitkeeperError("round-refused", why=f"the study foresees no evaluation in round {order.round}")
    if not 1 <= len(order.run) <= 128:
        raise GaitkeeperError("round-refused", why="its run has no usable name")


def _charged(
    runtime: SiteRuntime, key: RoundKey, order: RoundOrder, prices: PrivacyPlan, dataset: SiteDataset
) -> SiteDataset:
    """Charge the round; the people whom it is charged to. Someone whose budget is spent is left out of it.

    That a patient is left out follows from the ledger alone, which anyone could have written beforehand: it tells
    nothing about how they walk.
    """
    charges, train, held_out = [], dataset.train, dataset.held_out
    if order.train and prices.train is not None:
        charge = Charge("train", tuple(p.pseudonym for p in train), prices.train, prices.train_budget)
        spent = set(runtime.ledger.exhausted(key, charge, runtime.cap))
        train = tuple(person for person in train if person.pseudonym not in spent)
        if spent and not train:
            runtime.ledger.charge(key, [charge], runtime.cap)  # raises the reason
        charges.append(Charge("train", tuple(p.pseudonym for p in train), prices.train, prices.train_budget))
    if order.evaluate and prices.evaluate is not None:
        charge = Charge("evaluate", tuple(p.pseudonym for p in held_out), prices.evaluate, prices.evaluate_budget)
        spent = set(runtime.ledger.exhausted(key, charge, runtime.cap))
        held_out = tuple(person for person in held_out if person.pseudonym not in spent)
        names = tuple(p.pseudonym for p in held_out)
        charges.append(Charge("evaluate", names, prices.evaluate, prices.evaluate_budget))
    runtime.ledger.charge(key, charges, runtime.cap)
    return SiteDataset(train, held_out)


def _train(
    model: GaitModel, study: Study, prices: PrivacyPlan, dataset: SiteDataset, state: bytes
) -> tuple[Weights, bytes]:
    from gaitkeeper_client.training.dpsgd import train_private
    from gaitkeeper_shared.models.bundle import weights_of
    from gaitkeeper_shared.models.registry import best_device

    try:
        model.to(best_device())
        momentum = train_private(model, dataset.train, steps_of(study, prices), decode_state(state))
        trained = weights_of(model)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise GaitkeeperError("training-failed", detail=str(error).splitlines()[0][:200]) from error
    return trained, encode_state(momentum)


def steps_of(study: Study, prices: PrivacyPlan) -> PrivateSteps:
    """The private steps of one round of a study."""
    from gaitkeeper_client.training.dpsgd import PrivateSteps

    privacy, training = study.privacy, study.training
    return PrivateSteps(
        steps=training.local_steps,
        learning_rate=training.learning_rate,
        momentum=training.momentum,
        clip_norm=privacy.clip_norm,
        sample_rate=privacy.sample_rate,
        normaliser=privacy.sample_rate * privacy.patients_per_site,
        noise_multiplier=0.0 if prices.train is None else prices.train.noise_multiplier,
        class_weights=training.class_weights,
    )


def _evaluate(model: GaitModel, dataset: SiteDataset, prices: PrivacyPlan) -> dict[str, float]:
    """Noised counts over the people held out: how many, and how many were judged right."""
    from gaitkeeper_client.training.dpsgd import correct_people

    counts = np.array([len(dataset.held_out), correct_people(model, dataset.held_out)], dtype=np.float64)
    noised = counts + gaussian(2, prices.count_noise_std)
    return {"evaluated": float(noised[0]), "correct": float(noised[1]), "noise_std": prices.count_noise_std}
