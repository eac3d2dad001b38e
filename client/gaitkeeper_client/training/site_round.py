"""One round at a site: check the order, charge the ledger, evaluate, train, keep the reply, and only then send it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gaitkeeper_client.training.dataset import Person, SiteDataset
from gaitkeeper_client.training.incoming import check_incoming
from gaitkeeper_client.training.refusals import refusal
from gaitkeeper_client.training.replies import decode_reply, decode_state, encode_reply, encode_state
from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey, StoredReply
from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import (
    RoundOrder,
    RoundReply,
    SiteReport,
    Weights,
    evaluation_rounds,
    grade_metric,
    order_for,
)
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.privacy.noise import gaussian
from gaitkeeper_shared.privacy.plan import PrivacyPlan, plan
from gaitkeeper_shared.secure.arithmetic import model_digest
from gaitkeeper_shared.study import Study, momentum_at_coordinator

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

    def still_holds(self, people: Collection[str]) -> bool:
        """Whether none of these people (pseudonyms) was erased since :meth:`dataset` gave them."""
        ...


def run_round(runtime: SiteRuntime, order: RoundOrder, weights: Weights) -> RoundReply:
    """Do what an order asks, or refuse with the reason; no error leaves this function.

    A round that was answered before is answered with the same bytes and charged once. Under secure aggregation the
    reply carries no weights, whatever was asked: the update stays in the ledger, to be masked (``masked``). Only a
    rehearsal, whose coordinator sees all data anyway, sums plainly.
    """
    try:
        reply = _answer(runtime, order, weights)
        if not runtime.allows_no_privacy and _still_approved(runtime, order).federation.secure:
            return replace(reply, weights=None)
    except Exception as error:
        return refusal(runtime.site, error)
    return reply


def _still_approved(runtime: SiteRuntime, order: RoundOrder) -> Study:
    """The study, once more: an approval that was taken back while this trained found no answer yet to drop."""
    try:
        return runtime.approved_study(order.study_hash)
    except GaitkeeperError as error:
        if error.code == "study-not-approved":
            runtime.ledger.forget_replies(order.study_hash)
        raise


def _answer(runtime: SiteRuntime, order: RoundOrder, weights: Weights) -> RoundReply:
    study = runtime.approved_study(order.study_hash)
    _check_order(order, study)
    key = RoundKey(order.study_hash, order.run, order.round)
    if (kept := runtime.ledger.reply(key)) is not None:
        _drop_if_erased(runtime, key, runtime.ledger.charged(key))
        return decode_reply(kept.body)
    private = not math.isinf(study.privacy.epsilon)
    exact = bool(evaluation_rounds(study)) and math.isinf(study.evaluation.epsilon)
    if (exact or not private) and not runtime.allows_no_privacy:
        raise GaitkeeperError("privacy-switched-off", study=study.name)
    bundle = ModelBundle(ModelSpec.of(study, order.study_hash), dict(weights))
    model = bundle.module()  # weights that do not fit cost nobody any privacy
    prices = plan(study)
    check_incoming(study, prices, weights)
    dataset = runtime.dataset(order.study_hash, study, order.run)
    if private:
        dataset = _charged(runtime, key, order, prices, dataset)
    metrics = _evaluate(model, study, dataset, prices) if order.evaluate else {}
    state = b""
    trained: Weights | None = None
    if order.train:
        new, state = _train(model, study, prices, dataset, runtime.ledger.state_before(key), key.round)
        trained = {name: new[name] for name in weights}
    # The report's time stays 0: how long a site worked tells how many patients were drawn.
    report = SiteReport(
        runtime.site,
        "trained" if order.train else "evaluated",
        epsilon_spent=runtime.ledger.study_epsilon(order.study_hash, study.privacy.delta) if private else math.inf,
        delta=study.privacy.delta,
    )
    reply = RoundReply(report, trained, metrics)
    kept = runtime.ledger.store_reply(key, StoredReply(encode_reply(reply, model_digest(weights)), state))
    _drop_if_erased(runtime, key, (*_names(dataset.train), *_names(dataset.held_out)))
    return decode_reply(kept.body)


def _drop_if_erased(runtime: SiteRuntime, key: RoundKey, people: Collection[str]) -> None:
    """Raise ``reply-gone``, with nothing kept of the answer, where one of its people was erased in the meantime.

    An erasure first removes the patient and then the answers that it finds. One that was still being made is found
    here: after it was kept, so that either sees the other.
    """
    if not runtime.still_holds(people):
        runtime.ledger.forget_replies(key.study_hash)
        raise GaitkeeperError("reply-gone", round=key.round, run=key.run)


def _check_order(order: RoundOrder, study: Study) -> None:
    """An order must be the one that the study foresees for its round, so that a round has one meaning and one price.

    What a site pays for is in the study, not in the message.
    """
    rounds = study.training.rounds
    if not 1 <= order.round <= rounds + 1:
        raise GaitkeeperError("round-refused", why=f"round {order.round} of a study of {rounds} rounds")
    if order != order_for(study, order.study_hash, order.run, order.round):
        asked = " and ".join(what for what in ("train", "evaluate") if getattr(order, what)) or "nothing"
        raise GaitkeeperError("round-refused", why=f"it asks for {asked} in round {order.round}, unlike the study")
    if not (order.train or order.evaluate):
        raise GaitkeeperError("round-refused", why="it asks for neither training nor evaluation")
    if not 1 <= len(order.run) <= 128:
        raise GaitkeeperError("round-refused", why="its run has no usable name")


def _charged(
    runtime: SiteRuntime, key: RoundKey, order: RoundOrder, prices: PrivacyPlan, dataset: SiteDataset
) -> SiteDataset:
    """Charge the round; of the dataset, the people whom it is charged to, in this attempt or in an earlier one."""
    charges = []
    if order.train and prices.train is not None:
        charges.append(Charge("train", _names(dataset.train), prices.train, prices.train_budget, prices.local))
    if order.evaluate and prices.evaluate is not None:
        charges.append(Charge("evaluate", _names(dataset.held_out), prices.evaluate, prices.evaluate_budget))
    charged = runtime.ledger.charge(key, charges, runtime.cap)
    train, held_out = charged.get("train", frozenset()), charged.get("evaluate", frozenset())
    return SiteDataset(
        tuple(person for person in dataset.train if person.pseudonym in train),
        tuple(person for person in dataset.held_out if person.pseudonym in held_out),
    )


def _names(people: Sequence[Person]) -> tuple[str, ...]:
    return tuple(person.pseudonym for person in people)


def _train(
    model: GaitModel, study: Study, prices: PrivacyPlan, dataset: SiteDataset, state: bytes, number: int
) -> tuple[Weights, bytes]:
    from gaitkeeper_shared.models.bundle import weights_of
    from gaitkeeper_shared.models.registry import best_device

    try:
        model.to(best_device())
        momentum = private_steps(model, study, prices, dataset.train, number, decode_state(state))
        trained = weights_of(model)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise GaitkeeperError("training-failed", detail=type(error).__name__) from error
    return trained, encode_state(momentum)


def private_steps(
    model: GaitModel,
    study: Study,
    prices: PrivacyPlan,
    people: Sequence[Person],
    number: int,
    momentum: Mapping[str, Float32Array],
) -> Mapping[str, Float32Array]:
    """Take the private steps of round ``number`` on ``model``, in place; returns the momentum after them."""
    from gaitkeeper_client.training.calibration import calibrate_private
    from gaitkeeper_client.training.dpsgd import train_private

    steps = steps_of(study, prices)
    if study.training.calibrates(number):
        calibrate_private(model, people, steps, study.training.calibration_rate)
        return {}
    return train_private(model, people, steps, momentum)


def steps_of(study: Study, prices: PrivacyPlan) -> PrivateSteps:
    """The private steps of one round of a study.

    With distributed noise the coordinator applies the momentum, to the mean of all sites: a site's own would carry a
    round that was left out of the sum into later ones, with this site's share of the noise only.
    """
    from gaitkeeper_client.training.dpsgd import PrivateSteps

    privacy, training = study.privacy, study.training
    return PrivateSteps(
        steps=training.local_steps,
        learning_rate=training.learning_rate,
        momentum=0.0 if momentum_at_coordinator(study) else training.momentum,
        clip_norm=privacy.clip_norm,
        sample_rate=privacy.sample_rate,
        normaliser=privacy.sample_rate * privacy.patients_per_site,
        noise_multiplier=prices.site_noise_multiplier,
        class_weights=training.class_weights,
        proximal=training.proximal,
    )


def _evaluate(model: GaitModel, study: Study, dataset: SiteDataset, prices: PrivacyPlan) -> dict[str, float]:
    """Noised counts over the people held out: how many, and how many were judged right; of a severity, how many of
    each grade were judged to have which.

    Raises ``privacy-switched-off`` rather than send counts without noise in a private study.
    """
    from gaitkeeper_client.training.dpsgd import correct_people, grades

    if prices.evaluate is None and prices.train is not None:
        raise GaitkeeperError("privacy-switched-off", study=study.name)
    people = dataset.held_out
    if study.task.kind == "severity":
        size = len(study.task.labels)
        counts = np.zeros((size, size))
        np.add.at(counts, ([person.class_index for person in people], grades(model, people)), 1.0)
        names = [grade_metric(own, judged) for own in range(size) for judged in range(size)]
    else:
        counts = np.array([len(people), correct_people(model, people)], dtype=np.float64)
        names = ["evaluated", "correct"]
    noised = counts.ravel() + gaussian(counts.size, prices.count_noise_std)
    told = {name: float(value) for name, value in zip(names, noised, strict=True)}
    return {**told, "noise_std": prices.count_noise_std}
