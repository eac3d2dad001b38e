"""What coordinator and site say to each other in a round, as one Flower message and its reply.

One message per round and site: evaluate the incoming model, then train on it. The records' keys are written and read
here and nowhere else; both sides see frozen values. A reply comes from another machine: ``decode_reply`` believes
nothing of it. Between machines the records travel as one (``to_wire``): Flower makes a request for each record, each
array and each chunk of an array, and those requests, not the training, would be most of a round.

``application_bundle`` is the empty Flower application bundle that names a run. It carries no code; a site recognises it
by its hash and runs the application that is installed there, whatever bundle arrives.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.notices import NOTICES_RECORD, RoundNotice, put_notices
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from flwr.app import RecordDict

Weights = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
"""A model's arrays by their state-dict names, in the order of the state dict."""

ReplyStatus = Literal["trained", "evaluated", "refused"]
MESSAGE_TYPE = "train"
"""Flower's message type of every round, also of one that only evaluates: one kind of message, one entry at a site."""

METRIC_NAMES = ("evaluated", "correct", "noise_std")
"""All that a site may count: people evaluated, people judged right, both noised, and the noise's deviation; where the
task is a severity, in place of the first two a table of people by their own grade and the one they were judged to have
(:func:`grade_metric`)."""
_GRADES = re.compile(r"grade\.\d{1,2}\.\d{1,2}")

MASKING_RECORD = "masking"
"""The one record of a masked round's own stages (``gaitkeeper_shared.secure``); it travels as it is."""
MASKED_ARRAY = "masked"
"""Name of the one array that a masked reply carries in place of weights."""

_ARRAYS, _ROUND, _REPORT, _METRICS, _BESIDE = "arrays", "round", "report", "metrics", "beside"
_WIRE, _WIRE_FORMAT = "wire", "gaitkeeper.round/1"
_LONGEST_TEXT = 2_000
_LARGEST_NUMBER = 1e12
_LARGEST_WIRE_BYTES = 16 * 1024 * 1024
"""Models above this travel as Flower's arrays, which it cuts into chunks."""


@dataclass(frozen=True, slots=True)
class RoundOrder:
    """What the coordinator asks of a site. ``round`` counts from 1; the last one, after training, only evaluates."""

    study_hash: str
    run: str
    round: int
    train: bool
    evaluate: bool


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What a site says of its round: ``epsilon_spent`` on the study so far, at ``delta``.

    ``seconds`` of work are the site's own affair and are never sent: how long training takes tells of its data.
    """

    site: str
    status: ReplyStatus
    code: str = ""
    message: str = ""
    epsilon_spent: float = 0.0
    delta: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RoundReply:
    """A site's whole reply: its report, its weights (None where it refused or only evaluated), its noised counts.

    Under secure aggregation ``weights`` are one masked vector, and ``beside`` is what goes with it.
    """

    report: SiteReport
    weights: Weights | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    beside: bytes = b""


def grade_metric(own: int, judged: int) -> str:
    """Name of the count of people of one grade (by index into the study's labels) who were judged to have another."""
    return f"grade.{own}.{judged}"


def evaluation_rounds(study: Study) -> tuple[int, ...]:
    """Rounds in which a site evaluates the model that comes in: every ``evaluation.every`` rounds, and the end.

    Round ``r`` evaluates the model that round ``r - 1`` made. The untrained model of round 1 is never evaluated: that
    would spend privacy on nothing. The last number is ``rounds + 1``, the message that only evaluates.
    """
    if study.evaluation.holdout <= 0:
        return ()
    last = study.training.rounds + 1
    return tuple(r for r in range(2, last + 1) if r == last or (r - 1) % study.evaluation.every == 0)


def order_for(study: Study, study_hash: str, run: str, number: int) -> RoundOrder:
    """The order of round ``number`` (1 to ``rounds + 1``) of a run."""
    evaluate = number in evaluation_rounds(study)
    return RoundOrder(study_hash, run, number, number <= study.training.rounds, evaluate)


def encode_order(order: RoundOrder, weights: Weights) -> RecordDict:
    """The Flower records of an order, the same for every site."""
    from flwr.app import ConfigRecord, RecordDict

    config = ConfigRecord(
        {
            "study_hash": order.study_hash,
            "run": order.run,
            "round": order.round,
            "train": order.train,
            "evaluate": order.evaluate,
        }
    )
    return RecordDict({_ARRAYS: _array_record(weights), _ROUND: config})


def for_site(content: RecordDict, beside: bytes, notices: Sequence[RoundNotice]) -> RecordDict:
    """An order, packed or not, with what goes beside it to one site alone.

    ``beside``: what a masked round sends with it (ASCII). The records of ``content`` are the very same in every site's
    order, so that the weights exist once, here and in the SuperLink, however many sites there are.
    """
    from flwr.app import RecordDict

    records = RecordDict(dict(content))
    _put_beside(records, beside)
    put_notices(records, notices)
    return records


def decode_order(content: RecordDict) -> tuple[RoundOrder, dict[str, np.ndarray[Any, np.dtype[Any]]]]:
    """Order and weights of a coordinator's message. Raises ``round-message-unusable``."""
    content = from_wire(content)
    config = _config(content, _ROUND)
    order = RoundOrder(
        study_hash=_text(config, "study_hash"),
        run=_text(config, "run"),
        round=_whole(config, "round"),
        train=_flag(config, "train"),
        evaluate=_flag(config, "evaluate"),
    )
    if not 1 <= order.round <= 1_000_000:
        raise GaitkeeperError("round-message-unusable", why=f"round {order.round} is out of range")
    weights = _weights(content)
    if weights is None:
        raise GaitkeeperError("round-message-unusable", why="it carries no weights")
    return order, weights


def encode_reply(reply: RoundReply) -> RecordDict:
    """The Flower records of a reply."""
    from flwr.app import ConfigRecord, MetricRecord, RecordDict

    report = reply.report
    config = ConfigRecord(
        {
            "site": report.site,
            "status": report.status,
            "code": report.code,
            "message": report.message[:_LONGEST_TEXT],
            "epsilon_spent": float(report.epsilon_spent),
            "delta": float(report.delta),
            "seconds": 0.0,
        }
    )
    records = RecordDict({_REPORT: config, _METRICS: MetricRecord({k: float(v) for k, v in reply.metrics.items()})})
    if reply.weights is not None:
        records[_ARRAYS] = _array_record(reply.weights)
    _put_beside(records, reply.beside)
    return records


def _put_beside(records: RecordDict, beside: bytes) -> None:
    from flwr.app import ConfigRecord

    if beside:
        records[_BESIDE] = ConfigRecord({"body": beside.decode("ascii")})


def beside_of(content: RecordDict) -> bytes:
    """What came beside an order or a reply; nothing in a plain round. Raises ``round-message-unusable``."""
    content = from_wire(content)
    if _BESIDE not in content:
        return b""
    body = _config(content, _BESIDE).get("body")
    if not isinstance(body, str) or not body.isascii():
        raise GaitkeeperError("round-message-unusable", why="what comes beside it is no text")
    return body.encode("ascii")


def decode_reply(content: RecordDict) -> RoundReply:
    """A site's reply, believed in nothing but its types. Raises ``round-message-unusable``."""
    from flwr.app import MetricRecord

    content = from_wire(content)
    config = _config(content, _REPORT)
    status = _text(config, "status")
    if status not in ("trained", "evaluated", "refused"):
        raise GaitkeeperError("round-message-unusable", why=f"its status is {status[:40]!r}")
    report = SiteReport(
        site=_text(config, "site"),
        status=status,  # type: ignore[arg-type]
        code=_text(config, "code"),
        message=_text(config, "message"),
        epsilon_spent=_number(config, "epsilon_spent"),
        delta=_number(config, "delta"),
    )
    metrics: dict[str, float] = {}
    record = content.get(_METRICS)
    if isinstance(record, MetricRecord):
        for name, value in record.items():
            if name not in METRIC_NAMES and not _GRADES.fullmatch(name):
                raise GaitkeeperError("round-message-unusable", why=f"it has a metric {name[:40]!r} of its own")
            # Whole numbers have no largest one here; compared first, they cannot overflow.
            if not isinstance(value, int | float) or not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER:
                raise GaitkeeperError("round-message-unusable", why=f"its metric {name!r} is not a finite number")
            metrics[name] = float(value)
    return RoundReply(report, _weights(content), metrics, beside_of(content))


def to_wire(content: RecordDict) -> RecordDict:
    """The same content as one record: weights as safetensors, the rest as JSON. Large models are left as they are."""
    from flwr.app import ConfigRecord, RecordDict
    from safetensors.numpy import save

    if MASKING_RECORD in content:
        return content
    weights = _weights(content)
    if weights is not None and sum(array.nbytes for array in weights.values()) > _LARGEST_WIRE_BYTES:
        return content
    others = {name: dict(record) for name, record in content.items() if name != _ARRAYS}
    fields: dict[str, Any] = {"format": _WIRE_FORMAT, "records": json.dumps(others)}
    if weights is not None:
        # safetensors sorts by size; the order of the state dict is kept beside it.
        fields["order"] = json.dumps(list(weights))
        fields["weights"] = save({name: np.ascontiguousarray(array) for name, array in weights.items()})
    return RecordDict({_WIRE: ConfigRecord(fields)})


def from_wire(content: RecordDict) -> RecordDict:
    """Undo ``to_wire``; anything else is given back as it is. Raises ``round-message-unusable``."""
    from flwr.app import ConfigRecord, MetricRecord, RecordDict
    from safetensors.numpy import load

    if _WIRE not in content:
        return content
    fields = _config(content, _WIRE)
    if fields.get("format") != _WIRE_FORMAT:
        raise GaitkeeperError("round-message-unusable", why=f"its format is not {_WIRE_FORMAT!r}")
    try:
        plain = RecordDict()
        for name, values in json.loads(str(fields["records"])).items():
            if name not in (_ROUND, _REPORT, _METRICS, _BESIDE, NOTICES_RECORD):
                raise ValueError("an unknown record")
            plain[name] = MetricRecord(values) if name == _METRICS else ConfigRecord(values)
        if "weights" in fields:
            arrays = load(bytes(fields["weights"]))
            plain[_ARRAYS] = _array_record({name: arrays[name] for name in json.loads(str(fields["order"]))})
        for name in {_BESIDE, NOTICES_RECORD} & set(content):
            plain[name] = content[name]
    except Exception as error:
        raise GaitkeeperError("round-message-unusable", why="it cannot be unpacked") from error
    return plain


def _array_record(weights: Weights) -> Any:
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(np.ascontiguousarray(value)) for name, value in weights.items()})


def _weights(content: RecordDict) -> dict[str, np.ndarray[Any, np.dtype[Any]]] | None:
    from flwr.app import ArrayRecord

    record = content.get(_ARRAYS)
    if record is None:
        return None
    if not isinstance(record, ArrayRecord):
        raise GaitkeeperError("round-message-unusable", why="its weights are not arrays")
    weights = {}
    for name, array in record.items():
        if array.stype != "numpy.ndarray":
            raise GaitkeeperError("round-message-unusable", why=f"its arrays are stored as {array.stype[:40]!r}")
        try:
            # Flower reads these with numpy.load(allow_pickle=False).
            values = array.numpy()
        except Exception as error:
            raise GaitkeeperError("round-message-unusable", why=f"its array {name[:80]!r} cannot be read") from error
        # numpy.load opens archives as well, which are no arrays.
        if not isinstance(values, np.ndarray):
            raise GaitkeeperError("round-message-unusable", why=f"its array {name[:80]!r} is a {type(values).__name__}")
        weights[name] = values
    return weights


def _config(content: RecordDict, name: str) -> Mapping[str, Any]:
    from flwr.app import ConfigRecord

    record = content.get(name)
    if not isinstance(record, ConfigRecord):
        raise GaitkeeperError("round-message-unusable", why=f"it lacks the record {name!r}")
    return record


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str):
        raise GaitkeeperError("round-message-unusable", why=f"its {key!r} is not a text")
    # It will be printed: no line breaks, no control sequences for terminals.
    return "".join(letter if letter.isprintable() else " " for letter in value[:_LONGEST_TEXT])


def _whole(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise GaitkeeperError("round-message-unusable", why=f"its {key!r} is not a whole number")
    return value


def _flag(config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key)
    if not isinstance(value, bool):
        raise GaitkeeperError("round-message-unusable", why=f"its {key!r} is not true or false")
    return value


def _number(config: Mapping[str, Any], key: str) -> float:
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise GaitkeeperError("round-message-unusable", why=f"its {key!r} is not a number")
    if not (abs(value) <= _LARGEST_NUMBER or value in (math.inf, -math.inf)):
        raise GaitkeeperError("round-message-unusable", why=f"its {key!r} is not a number in range")
    return float(value)


_BUNDLE_PROJECT = b"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "gaitkeeper-rounds"
version = "1.0.0"
description = "Names a run. Carries no code: each side runs what is installed there."
dependencies = []

[tool.flwr.app]
publisher = "gaitkeeper"

[tool.flwr.app.components]
serverapp = "gaitkeeper_server.rounds.app:app"
clientapp = "gaitkeeper_client.training.app:app"

[tool.flwr.app.config]
"""


@cache
def application_bundle() -> bytes:
    """The bundle's bytes: the same on every machine, so that its SHA-256 is known beforehand."""
    buffer = io.BytesIO()
    manifest = f"pyproject.toml,{hashlib.sha256(_BUNDLE_PROJECT).hexdigest()},{len(_BUNDLE_PROJECT) * 8}"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for name, data in (("pyproject.toml", _BUNDLE_PROJECT), (".info/CONTENT", manifest.encode())):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, data)
    return buffer.getvalue()


@cache
def application_bundle_hash() -> str:
    """SHA-256 of ``application_bundle``, in hex."""
    return hashlib.sha256(application_bundle()).hexdigest()
