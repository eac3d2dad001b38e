"""A study in plain words: what is trained, what leaves the site, what it costs."""

from __future__ import annotations

from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.study import Study


def in_plain_words(study: Study) -> tuple[str, ...]:
    """Sentences for the people at the site who decide."""
    training, privacy, evaluation = study.training, study.privacy, study.evaluation
    mapped = "".join(f"; your {site!r} counts as {ours!r}" for site, ours in sorted(study.task.map.items()))
    sentences = (
        f"Question: {study.title or study.name}",
        f"Learned: {_learned(study)} by {len(study.input.channels)} signals of the walk{mapped}.",
        f"Model: {study.model.kind.upper()} with {study.model.hidden} units; {training.rounds} rounds of"
        f" {training.local_steps} step(s) at each site{_trained(study)}.",
        "Stays here: videos, keypoints, names, labels, and the unprotected updates.",
        f"Leaves: in each round the model's weights after noise was added{_masked(study)}"
        + (f", and noised counts of {_counted(study)}." if evaluation.holdout else "."),
        f"Price: at most epsilon {privacy.epsilon:g} at delta {privacy.delta:g} for each patient trained on, and"
        f" epsilon {evaluation.epsilon:g} for each of the {evaluation.holdout:.0%} held out, over the whole study."
        " It is booked before each round and refused when spent. It covers what this study's rounds send of a patient"
        " here: not other studies, nor the same patient at another clinic.",
        f"Others: a round needs {study.federation.quorum} site(s) and ends after {study.federation.deadline_s:g} s.",
    )
    # The words of a study were written elsewhere: what they look like here must be what they say.
    return tuple(printable(sentence, 4_000) for sentence in sentences)


def _learned(study: Study) -> str:
    task = study.task
    if task.kind == "severity":
        return f"how severe a gait is, from {task.labels[0]!r} to {task.labels[-1]!r},"
    return f"to tell {_listed(task.labels)} apart"


def _trained(study: Study) -> str:
    """What of the model changes, and what becomes of it at a site."""
    words = "" if study.model.trained == ("all",) else f", which change its {' and '.join(study.model.trained)} only"
    if study.training.calibration:
        words += f"; the last {study.training.calibration} make its scores probabilities"
    if study.model.personal == "head":
        words += "; each site may fit a head of its own afterwards, which stays there"
    return words


def _counted(study: Study) -> str:
    if study.task.kind == "severity":
        return "how many held-out patients of each grade were judged to have which"
    return "how many held-out patients were judged right"


def _masked(study: Study) -> str:
    if not study.federation.secure:
        return ""
    sum_of = f", masked so that only the sum of {study.federation.quorum} or more sites can be read"
    if study.privacy.trust == "local":
        return sum_of
    return (
        f"{sum_of}. The noise added here is a share of what is promised: the promise holds for that sum, where at most"
        f" {study.privacy.colluding} of its sites collude"
    )


def _listed(items: tuple[str, ...]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}"
