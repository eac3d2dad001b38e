"""What the pages say of parameters, refusals and cautions is what the code does."""

from __future__ import annotations

from string import Formatter

import pytest
from tests.parameter_page import PAGE, rendered

from gaitkeeper_client.gait.cautions import CAUTIONS
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.refusals import TABLE
from gaitkeeper_client.insight.wording import PARAMETERS


def test_the_page_has_the_tables_of_the_code() -> None:
    page = PAGE.read_text("utf-8")
    assert rendered(page) == page, "python -m tests.parameter_page writes docs/parameters.md anew"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_parameter_is_defined_with_unit_and_source(name: str) -> None:
    row = DEFINITIONS[name]
    assert row.unit
    assert len(row.definition) > 20
    assert row.definition.endswith(".")
    assert row.source
    assert row.fewest >= 1
    assert 0.0 < row.wide < 1000.0
    assert not (row.length and row.needs == "times")
    assert name in PARAMETERS, "the report has no name for it"


def test_every_refusal_says_what_to_do() -> None:
    for code, row in (*TABLE.items(), *CAUTIONS.items()):
        assert row.code == code
        assert row.rule[0].islower()
        assert not row.rule.endswith(".")
        assert row.message.endswith(".")
    for row in TABLE.values():
        assert row.remedy.endswith(".")
        assert not any(field for _, field, _, _ in Formatter().parse(row.remedy))
