"""What every reader of a finding has to know of the model that it comes from."""

from __future__ import annotations

from gaitkeeper_client.insight.findings import ModelCard, StudyFacts
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.models.channels import FORCE_CHANNELS

_FORCE = frozenset(channel.name for channel in FORCE_CHANNELS)


def _score(card: ModelCard) -> str:
    words = say("limits.severity" if card.values else "limits.calibrated" if card.calibrated else "limits.uncalibrated")
    return f"{words} {say('limits.personal', people=card.personal_people)}" if card.personal_people else words


def _validated(card: ModelCard) -> str:
    """On whom the release was validated, as its manifest says."""
    found = card.validation
    if found is None:
        return say("limits.not_validated")
    if found.accuracy is not None:
        told = say("limits.validated", sites=found.sites, rounds=found.rounds, accuracy=found.accuracy)
    else:
        told = say(
            "limits.validated_severity",
            sites=found.sites,
            rounds=found.rounds,
            error=found.mean_absolute_error or 0.0,
            correlation=found.rank_correlation or 0.0,
        )
    return f"{told} {say('limits.validated_without_head')}" if card.personal_people else told


def _origin(study: StudyFacts | None) -> str:
    if study is None:
        return say("limits.origin")
    title = study.title or study.name
    if not study.fewest_sites:
        return say("limits.origin_study", title=title)
    return say("limits.origin_study_sites", title=title, sites=study.fewest_sites)


def limits_of(card: ModelCard) -> tuple[str, ...]:
    """What every reader of a finding has to know; stated, never computed away."""
    study, force = card.study, _FORCE.issuperset(card.channels)
    price = (
        "" if study is None or study.epsilon is None else say("limits.price", epsilon=study.epsilon, delta=study.delta)
    )
    return (
        say("limits.no_diagnosis"),
        say("limits.labels", labels=", ".join(card.labels)),
        _score(card),
        _validated(card),
        say("limits.unlike_sensors" if force else "limits.unlike_cameras", origin=_origin(study)),
        say("limits.noise", price=price),
        say("limits.sees_force" if force else "limits.sees_movement"),
    )
