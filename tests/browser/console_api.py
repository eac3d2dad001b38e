"""The API against its own description: schemathesis asks what the description allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from gaitkeeper_client.console.app import create_app
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.description import describe
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import create_key

ADDRESS = "http://127.0.0.1:8470"
CASES = 30
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)


@schemathesis.serializer("application/offset+octet-stream")
def octets(_: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, dict[str, str]]]:
    home = SiteHome(tmp_path_factory.mktemp("api") / "site")
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    console = Console.of(home, key, ConsoleSettings(requests_per_minute=100_000))
    text = console.api_keys.add("schemathesis", ("upload", "read", "fhir"))
    return create_app(console), {"authorization": f"Bearer {text}"}


def _operations(app: FastAPI) -> list[Any]:
    schema = schemathesis.openapi.from_dict(describe(app))
    schema.app = app
    schema.config.base_url = ADDRESS
    return [found.ok() for found in schema.get_all_operations()]


def test_the_description_holds_every_part_of_the_api(served: tuple[FastAPI, dict[str, str]]) -> None:
    labels = {operation.label for operation in _operations(served[0])}
    assert {"POST /api/v1/uploads", "PATCH /api/v1/uploads/{job_id}", "GET /api/v1/reports/{report_id}/fhir"} <= labels
    assert len(labels) == 9


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("number", range(9))
def test_the_api_does_what_its_description_says(
    served: tuple[FastAPI, dict[str, str]], number: int, mode: GenerationMode
) -> None:
    app, headers = served
    operation = _operations(app)[number]

    # The same cases each time. Some that are drawn at random only leave out the key, which is sent all the same, or
    # spoil a query in a way that an address cannot show: what is left is allowed, and rightly answered.
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
    )
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    ask()
