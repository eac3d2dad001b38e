"""A study in plain words: what is trained, what leaves the site, what it costs."""

from __future__ import annotations

from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.study import Study


def in_plain_words(study: Study) -> tuple[str, ...]:
    """Sentences for the people at the site who decide."""
    task, training, privacy, evaluation = study.task, study.training, study.privacy, study.evaluation
    mapped = "".join(f"; your {site!r} counts as {ours!r}" for site, ours in sorted(study.task.map.items()))
    sentences = (
        f"Question: {study.title or study.name}",
        f"Learned: to tell {_listed(task.labels)} apart by {len(study.input.channels)} signals of the walk{mapped}.",
        f"Model: {study.model.kind.upper()} with {study.model.hidden} units; {training.rounds} rounds of"
        f" {training.local_steps} step(s) at each site.",
        "Stays here: videos, keypoints, names, labels, and the unprotected updates.",
        f"Leaves: in each round the model's weights after noise was added{_masked(study)}"
        + (", and noised counts of how many held-out patients were judged right." if evaluation.holdout else "."),
        f"Price: at most epsilon {privacy.epsilon:g} at delta {privacy.delta:g} for each patient trained on, and"
        f" epsilon {evaluation.epsilon:g} for each of the {evaluation.holdout:.0%} held out, over the whole study."
        " It is booked before each round and refused when spent.",
        f"Others: a round needs {study.federation.quorum} site(s) and ends after {study.federation.deadline_s:g} s.",
    )
    # The words of a study were written elsewhere: what they look like here must be what they say.
    return tuple(printable(sentence, 4_000) for sentence in sentences)


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
