"""The stages of a masked round as Flower records: one record, which travels as it is.

``keys`` and ``shares`` prepare a round, its order trains and masks, ``agree`` and ``unmask`` open the sum. Agreement is
needed only where somebody fell out. The order brings the keys for the next round with it and the unmasking its shares,
because a message costs more than anything that is in it: a round in which all goes well is two messages to each site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import MASKING_RECORD
from gaitkeeper_shared.secure.codec import LATER, pack, unpack
from gaitkeeper_shared.secure.proofs import FalseDeal
from gaitkeeper_shared.secure.statements import Advert, Deal, Place, Reveal

if TYPE_CHECKING:
    from flwr.app import RecordDict

Stage = Literal["keys", "shares", "agree", "unmask"]
"""Stages with a message of their own; ``input`` is the round's order with the deals beside it."""
STAGES: tuple[Stage, ...] = ("keys", "shares", "agree", "unmask")
_FORMAT = "gaitkeeper.masking/1"


@dataclass(frozen=True, slots=True)
class Preparation:
    """A round to be prepared on the way; ``adverts`` where shares are to be dealt, none where keys are wanted."""

    place: Place
    adverts: tuple[Advert, ...]


@dataclass(frozen=True, slots=True)
class StageRequest:
    """What the coordinator asks. ``members``: who is in the sum; ``agreements``: their signatures under that.

    ``preparations``: none, or one. ``proofs``: of members of an earlier attempt at this round who dealt false shares,
    in the order in which they were found, where another sum is to be opened in place of theirs.
    """

    place: Place
    adverts: tuple[Advert, ...] = ()
    members: tuple[str, ...] = ()
    agreements: Mapping[str, bytes] = field(default_factory=dict)
    preparations: tuple[Preparation, ...] = ()
    proofs: tuple[FalseDeal, ...] = field(default=(), metadata={LATER: True})


@dataclass(frozen=True, slots=True)
class StageReply:
    """What a site answers: as much of it as the stage asks for; a refusal has a ``code`` and a ``message``."""

    site: str
    code: str = ""
    message: str = ""
    agreement: bytes = b""
    adverts: tuple[Advert, ...] = ()
    deals: tuple[Deal, ...] = ()
    reveals: tuple[Reveal, ...] = ()


@dataclass(frozen=True, slots=True)
class Deals:
    """What goes with the order of a masked round: everybody's deal, with nothing sealed but the receiver's part.

    ``coming``: the next round, where keys for it are wanted with the reply; or none.
    """

    place: Place
    deals: tuple[Deal, ...]
    coming: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Masked:
    """What comes with the reply: who dealt this site false shares, in which case nothing was masked.

    ``adverts``: keys for the next round, where they were wanted.
    """

    place: Place
    complaints: tuple[str, ...]
    adverts: tuple[Advert, ...] = ()


def encode_request(stage: Stage, request: StageRequest) -> RecordDict:
    """The Flower records of a stage."""
    return _records(stage, pack(request))


def decode_request(content: RecordDict) -> tuple[Stage, StageRequest]:
    """Stage and request. Raises ``round-message-unusable``."""
    name, body = _fields(content)
    for stage in STAGES:
        if stage == name:
            return stage, unpack(StageRequest, body)
    raise GaitkeeperError("round-message-unusable", why=f"there is no stage {name[:40]!r}")


def encode_stage_reply(stage: Stage, reply: StageReply) -> RecordDict:
    """The Flower records of a site's answer."""
    return _records(stage, pack(reply))


def decode_stage_reply(stage: Stage, content: RecordDict) -> StageReply:
    """A site's answer to ``stage``. Raises ``round-message-unusable``."""
    name, body = _fields(content)
    if name != stage:
        raise GaitkeeperError("round-message-unusable", why=f"it answers {name[:40]!r} and not {stage!r}")
    return unpack(StageReply, body)


def is_stage(content: RecordDict) -> bool:
    """Whether a message is one of a masked round's own stages."""
    return MASKING_RECORD in content


def _records(stage: str, body: bytes) -> RecordDict:
    from flwr.app import ConfigRecord, RecordDict

    return RecordDict({MASKING_RECORD: ConfigRecord({"format": _FORMAT, "stage": stage, "body": body})})


def _fields(content: RecordDict) -> tuple[str, bytes]:
    from flwr.app import ConfigRecord

    record = content.get(MASKING_RECORD)
    if not isinstance(record, ConfigRecord) or record.get("format") != _FORMAT:
        raise GaitkeeperError("round-message-unusable", why=f"its format is not {_FORMAT!r}")
    stage, body = record.get("stage"), record.get("body")
    if not isinstance(stage, str) or not isinstance(body, bytes):
        raise GaitkeeperError("round-message-unusable", why="it has no stage")
    return stage, body
