"""The round's message: what goes in comes out, and nothing that a peer may send does worse than a catalogue error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.rounds_fixtures import STUDY, weights

from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import (
    RoundOrder,
    RoundReply,
    SiteReport,
    application_bundle,
    application_bundle_hash,
    decode_order,
    decode_reply,
    encode_order,
    encode_reply,
    evaluation_rounds,
    from_wire,
    order_for,
    to_wire,
)
from gaitkeeper_shared.study import parse_study

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=3)
models = st.dictionaries(st.text("abc._0", min_size=1, max_size=8), shapes, min_size=1, max_size=5).map(
    lambda arrays: {name: np.ones(shape, np.float32) * len(name) for name, shape in arrays.items()}
)


@settings(max_examples=60, deadline=None)
@given(models, st.integers(1, 1000), st.booleans(), st.booleans())
def test_an_order_survives_the_wire(model: dict[str, Any], number: int, train: bool, evaluate: bool) -> None:
    order = RoundOrder("a" * 64, "run", number, train, evaluate)
    packed = to_wire(encode_order(order, model))
    assert list(packed) == ["wire"]
    again, arrays = decode_order(packed)
    assert again == order
    assert list(arrays) == list(model)
    for name, array in model.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_a_reply_survives_the_wire() -> None:
    reply = RoundReply(SiteReport("a", "trained", "c", "m", 1.5, 1e-5), weights(3.0), {"evaluated": 4.25})
    again = decode_reply(to_wire(encode_reply(reply)))
    assert again.report == reply.report
    assert again.metrics == reply.metrics
    assert again.weights is not None
    np.testing.assert_array_equal(again.weights["bias"], weights(3.0)["bias"])
    refusal = RoundReply(SiteReport("a", "refused", "budget-spent", "spent"))
    assert decode_reply(to_wire(encode_reply(refusal))).weights is None


def test_how_long_a_site_worked_and_control_characters_do_not_travel() -> None:
    report = SiteReport("a", "refused", "training-failed", "red \x1b[31m\nnext", seconds=12.5)
    content = encode_reply(RoundReply(report))
    assert content["report"]["seconds"] == 0.0
    content["report"]["seconds"] = 12.5  # an older client's
    again = decode_reply(content).report
    assert again.seconds == 0.0
    assert again.message == "red  [31m next"


def good_reply() -> RecordDict:
    return encode_reply(RoundReply(SiteReport("a", "trained"), weights(1.0), {"evaluated": 1.0}))


def without_report(content: RecordDict) -> None:
    del content["report"]


def arrays_as_config(content: RecordDict) -> None:
    content["arrays"] = ConfigRecord({"bias": [1.0, 2.0]})


def pickled_array(content: RecordDict) -> None:
    import pickle

    # A pickle that would run code where somebody loads it.
    array = Array(np.zeros(2))
    array.data = pickle.dumps(print)
    content["arrays"] = ArrayRecord({"bias": array})


def foreign_storage(content: RecordDict) -> None:
    array = Array(np.zeros(2))
    array.stype = "pickle"
    content["arrays"] = ArrayRecord({"bias": array})


def unknown_status(content: RecordDict) -> None:
    content["report"]["status"] = "promoted"


def nan_metric(content: RecordDict) -> None:
    content["metrics"] = MetricRecord({"evaluated": float("nan")})


def odd_metric(content: RecordDict) -> None:
    content["metrics"] = MetricRecord({"evaluated": 1.0, "../age of patient 7": 81.0})


def endless_metric(content: RecordDict) -> None:
    content["metrics"] = MetricRecord({"evaluated": 10**400})


def endless_epsilon(content: RecordDict) -> None:
    content["report"]["epsilon_spent"] = 10**400


def nan_epsilon(content: RecordDict) -> None:
    content["report"]["epsilon_spent"] = float("nan")


def numbers_as_text(content: RecordDict) -> None:
    content["report"]["epsilon_spent"] = "0.1"


@pytest.mark.parametrize(
    "spoil",
    [
        without_report,
        arrays_as_config,
        pickled_array,
        foreign_storage,
        unknown_status,
        nan_metric,
        odd_metric,
        endless_metric,
        endless_epsilon,
        nan_epsilon,
        numbers_as_text,
    ],
)
def test_a_spoilt_reply_is_a_catalogue_error(spoil: Any) -> None:
    content = good_reply()
    spoil(content)
    with pytest.raises(GaitkeeperError) as error:
        decode_reply(content)
    assert error.value.code == "round-message-unusable"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.binary(max_size=200), st.just(b"")),
    st.one_of(st.text(max_size=60), st.just(json.dumps({"report": {"site": "a"}})), st.just('{"arrays": {}}')),
    st.one_of(st.text(max_size=20), st.just('["bias"]')),
)
def test_any_packed_bytes_are_read_or_refused(data: bytes, records: str, order: str) -> None:
    fields = {"format": "gaitkeeper.round/1", "records": records, "order": order, "weights": data}
    content = RecordDict({"wire": ConfigRecord(fields)})
    # Any other exception than the catalogue's fails the test.
    with contextlib.suppress(GaitkeeperError):
        from_wire(content)
    with pytest.raises(GaitkeeperError):
        decode_reply(content)


def test_the_bundle_is_the_same_everywhere_and_carries_no_code() -> None:
    import io
    import zipfile

    assert application_bundle_hash() == "02dd404ae950810c2951d1d58a6ef32827f6abe1f5ba59434a9f76e6decc040f"
    with zipfile.ZipFile(io.BytesIO(application_bundle())) as bundle:
        assert bundle.namelist() == ["pyproject.toml", ".info/CONTENT"]


def test_the_untrained_model_is_not_evaluated_and_the_last_one_is() -> None:
    study = parse_study(STUDY)
    assert evaluation_rounds(study) == (2, 3, 4)
    assert [order_for(study, "h", "r", number).train for number in (1, 3, 4)] == [True, True, False]
    sparse = parse_study(STUDY + b"[evaluation]\nevery = 2\n")
    assert evaluation_rounds(sparse) == (3, 4)
    none = parse_study(STUDY + b"[evaluation]\nholdout = 0.0\n")
    assert evaluation_rounds(none) == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8))
def test_the_mean_is_the_mean_and_keeps_types(values: list[float]) -> None:
    mean = mean_of_updates(weights(value) for value in values)
    assert mean["bias"].dtype == np.float32
    np.testing.assert_allclose(mean["bias"], np.mean(np.array(values, np.float64)), rtol=1e-6, atol=1e-3)


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        mean_of_updates([])
