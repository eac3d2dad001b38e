"""What a coordinator tells a site of earlier rounds: that it was asked, and that its reply was not counted.

A notice travels beside the next order, or alone where no order follows. It is information for the site's operator;
nothing is computed from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable

if TYPE_CHECKING:
    from flwr.app import RecordDict

NOTICES_RECORD = "notices"
MOST_NOTICES = 8
"""In one message; so many rounds back is looked."""
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class RoundNotice:
    """A round in which a site's reply did not count. ``outcome``: the journal's word, ``late`` or ``failed``."""

    run: str
    round: int
    outcome: str
    code: str
    message: str

    def __str__(self) -> str:
        came = "came late" if self.outcome == "late" else "could not be used"
        return (
            f"round {self.round} of run {self.run}: this site's reply {came} and was not counted "
            f"({self.message or self.code}). What the round was charged stays charged to the privacy budget."
        )


def put_notices(records: RecordDict, notices: Sequence[RoundNotice]) -> None:
    """Lay notices beside whatever is in ``records``."""
    from flwr.app import ConfigRecord

    if notices:
        told = [asdict(notice) for notice in notices[-MOST_NOTICES:]]
        records[NOTICES_RECORD] = ConfigRecord({"body": json.dumps(told)})


def notices_of(content: RecordDict) -> tuple[RoundNotice, ...]:
    """The notices of a message, with nothing in them that cannot be printed. Raises ``round-message-unusable``."""
    record = content.get(NOTICES_RECORD)
    if record is None:
        return ()
    try:
        told = json.loads(str(record["body"]))
        if not isinstance(told, list) or len(told) > MOST_NOTICES:
            raise ValueError("they are no short list")
        return tuple(_notice(item) for item in told)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GaitkeeperError("round-message-unusable", why="its notices cannot be read") from error


def only_notices(content: RecordDict) -> bool:
    """Whether a message asks nothing."""
    return set(content) == {NOTICES_RECORD}


def _notice(item: Mapping[str, Any]) -> RoundNotice:
    number = item["round"]
    if type(number) is not int or not 0 < number <= 1_000_000:
        raise ValueError("round")
    run, outcome, code, message = (_text(item, name) for name in ("run", "outcome", "code", "message"))
    return RoundNotice(run, number, outcome, code, message)


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item[name]
    if type(value) is not str:
        raise ValueError(name)
    return printable(value, _LONGEST_TEXT)
