"""A study in plain words: what is trained, what leaves the site, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.study import Study

_LONGEST = 4_000


def in_plain_words(study: Study, *, counts_leave: bool = True) -> tuple[str, ...]:
    """Sentences for the people at the site who decide."""
    return tuple(say("study.line", term=term, text=text) for term, text in terms(study, counts_leave=counts_leave))


def terms(study: Study, *, counts_leave: bool = True) -> tuple[tuple[str, str], ...]:
    """Each term with what is agreed on it. ``counts_leave``: whether this site's rules let noised counts leave."""
    told = {
        "question": study.title or study.name,
        "learned": say(
            "study.learned_text", learned=_learned(study), channels=len(study.input.channels), mapped=_mapped(study)
        ),
        "model": say(
            "study.model_text",
            kind=study.model.kind.upper(),
            hidden=study.model.hidden,
            rounds=study.training.rounds,
            steps=study.training.local_steps,
            trained=_trained(study),
        ),
        "stays": say("study.stays_text"),
        "leaves": _leaves(study, counts_leave),
        "price": say(
            "study.price_text",
            epsilon=study.privacy.epsilon,
            delta=study.privacy.delta,
            held_out=study.evaluation.epsilon,
            holdout=study.evaluation.holdout,
        ),
        "others": say("study.others_text", quorum=study.federation.quorum, deadline=float(study.federation.deadline_s)),
    }
    # The words of a study were written elsewhere: what they look like here must be what they say.
    return tuple((say(f"study.{name}"), printable(text, _LONGEST)) for name, text in told.items())


def _learned(study: Study) -> str:
    task = study.task
    if task.kind == "severity":
        return say("study.learned_severity", first=task.labels[0], last=task.labels[-1])
    return say("study.learned_labels", labels=_listed(task.labels))


def _mapped(study: Study) -> str:
    return "".join(say("study.mapped", site=site, ours=ours) for site, ours in sorted(study.task.map.items()))


def _trained(study: Study) -> str:
    """What of the model changes, and what becomes of it at a site."""
    parts = study.model.trained
    words = "" if parts == ("all",) else say("study.trained", parts=_listed(parts))
    if study.training.calibration:
        words += say("study.calibration", count=study.training.calibration)
    if study.model.personal == "head":
        words += say("study.personal")
    return words


def _leaves(study: Study, counts_leave: bool) -> str:
    if not study.evaluation.holdout:
        return say("study.leaves_text", masked=_masked(study))
    if not counts_leave:
        return say("study.leaves_noise", masked=_masked(study))
    counted = say("study.counted_grades" if study.task.kind == "severity" else "study.counted_right")
    return say("study.leaves_counts", masked=_masked(study), counted=counted)


def _masked(study: Study) -> str:
    if not study.federation.secure:
        return ""
    masked = say("study.masked", quorum=study.federation.quorum)
    if study.privacy.trust == "local":
        return masked
    return say("study.masked_share", masked=masked, colluding=study.privacy.colluding)


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else say("study.and", items=", ".join(items[:-1]), last=items[-1])
