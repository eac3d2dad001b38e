"""A report as FHIR, as tables and as DICOM: what it says, and what it must never say."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft6Validator
from jsonschema.exceptions import best_match

from gaitkeeper_client.exchange import codes
from gaitkeeper_client.exchange.dicom import dicom_pdf
from gaitkeeper_client.exchange.facts import Decision, ReportFacts, Signed, Signer, Subject
from gaitkeeper_client.exchange.fhir import check, code_system, fhir_document
from gaitkeeper_client.exchange.retraction import retraction
from gaitkeeper_client.exchange.tables import STATUS, table_bytes, tables_of
from gaitkeeper_client.gait.analysis import Analysis, Cycle, Parameter, Reason
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.pipeline import nobody
from gaitkeeper_client.gait.refusals import TABLE
from gaitkeeper_client.insight.findings import Explanation, Findings, LabelProbability, ModelCard, SeverityEstimate
from gaitkeeper_shared.errors import GaitkeeperError

MADE = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
WALKED = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SIGNED_AT = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
DRAFT = ReportFacts("r-1", Subject("p-7", "urn:site", "Patient/9", 61.0, "f"), MADE, WALKED)
CARD = ModelCard("7", "lstm", "0" * 64, ("usual", "planted"), ("knee_flexion_left",), 2.0, 50.0, sha256="cd" * 32)
SCORES = (LabelProbability("planted", 0.93, 0.32, 0.99), LabelProbability("usual", 0.07, 0.01, 0.68))
FINDINGS = Findings("decided", CARD, 12, SCORES, "planted", 0.9)
PDF = b"%PDF-1.7\nfor the test"


@cache
def walk_analysis() -> Analysis:
    """Every parameter that there is, one of them withheld, and two cycles with a gap."""
    parameters = {
        name: Parameter(row.unit, 1.0 + number / 7.0, (0.5 + number / 7.0, 2.0 + number / 7.0), 9)
        for number, (name, row) in enumerate(DEFINITIONS.items())
    }
    parameters["step_width"] = Parameter("m", refused=Reason("space-needed", "It needs three dimensions."))
    parameters["cadence"] = dataclasses.replace(parameters["cadence"], notes=(Reason("wide", "Read with care."),))
    curve = np.linspace(0.0, 60.0, 101)
    curve[3] = np.nan
    cycles = (
        Cycle("left", 0.0, 1.0, 0.6, None, 0.5, {"knee_flexion_left": curve}),
        Cycle("right", 0.5, 1.5, None, 0.6, 1.0, {"knee_flexion_right": curve + 1.0}),
    )
    return Analysis("analysed", (), {"kind": "test", "sha256": "ab" * 32}, parameters, (), cycles, {})


def signed(*decisions: Decision) -> ReportFacts:
    return dataclasses.replace(DRAFT, signed=Signed((Signer("Dr Ada", "neurologist"),), SIGNED_AT, decisions))


def on_model(verdict: str, label: str) -> Decision:
    return Decision("The model's proposal", verdict, "", "seen in clinic", of_model=True, label=label)  # type: ignore[arg-type]


def resources(analysis: Analysis, findings: Findings | None, facts: ReportFacts) -> dict[str, list[dict[str, Any]]]:
    document = json.loads(fhir_document(analysis, findings, facts).data)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in document["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def component(panel: dict[str, Any], name: str) -> dict[str, Any]:
    code = name.replace("_", "-")
    return next(one for one in panel["component"] if one["code"]["coding"][0]["code"] == code)


def test_every_parameter_goes_out_in_its_own_code_with_a_ucum_unit_or_a_reason() -> None:
    analysis = walk_analysis()
    panel = resources(analysis, None, DRAFT)["Observation"][0]
    assert panel["code"]["coding"] == [
        {"system": "http://snomed.info/sct", "code": "363837002", "display": "Measure of gait"}
    ]
    assert len(panel["component"]) == len(analysis.parameters)
    refused = 0
    for name, parameter in analysis.parameters.items():
        one = component(panel, name)
        if parameter.value is None:
            refused += 1
            assert "valueQuantity" not in one
            assert parameter.refused is not None
            assert one["dataAbsentReason"]["text"] == parameter.refused.message
        else:
            assert one["valueQuantity"]["value"] == pytest.approx(parameter.value, abs=1e-4)
            assert one["valueQuantity"]["system"] == "http://unitsofmeasure.org"
    assert refused == 1
    assert "Cadence: Read with care." in [note["text"] for note in panel["note"]]
    speed = component(panel, "walking_speed")
    assert [item["code"] for item in speed["code"]["coding"]] == ["walking-speed", "walkingSpeed"]
    assert speed["valueQuantity"]["code"] == "m/s"
    ends = next(one for one in speed["extension"] if one["url"] == codes.INTERVAL)["valueRange"]
    assert ends["low"]["value"] < speed["valueQuantity"]["value"] < ends["high"]["value"]
    assert panel["effectiveDateTime"] == "2026-05-04T09:00:00Z"


def test_codes_that_mean_something_else_are_never_used() -> None:
    text = fhir_document(walk_analysis(), FINDINGS, signed(on_model("agreed", "planted"))).data.decode()
    assert "41957-2" not in text
    assert "walkingAsymmetryPercentage" not in text
    assert all(reason for reason in codes.left_out().values())


def test_a_draft_is_preliminary_and_concludes_nothing() -> None:
    found = resources(walk_analysis(), FINDINGS, DRAFT)
    report = found["DiagnosticReport"][0]
    assert report["status"] == "preliminary"
    assert "DRAFT" in report["text"]["div"]
    assert not {"conclusion", "conclusionCode", "resultsInterpreter"} & report.keys()
    assert {item["status"] for item in found["Observation"]} == {"preliminary"}
    assert not any("interpretation" in item for item in found["Observation"])
    assert len(found["Provenance"][0]["agent"]) == 1


@pytest.mark.parametrize(
    ("decision", "value", "code"),
    [
        (on_model("agreed", "planted"), "planted", None),
        (on_model("overruled", "ataxic"), "ataxic", "25136009"),
        (on_model("amended", "Festinating gait"), "Festinating gait", "397776000"),
        (on_model("overruled", "parkinsonian"), "parkinsonian", None),
        (on_model("overruled", ""), None, None),
    ],
)
def test_after_a_signature_what_the_clinician_let_stand_is_said_and_nothing_else(
    decision: Decision, value: str | None, code: str | None
) -> None:
    found = resources(walk_analysis(), FINDINGS, signed(decision))
    report, proposal = found["DiagnosticReport"][0], found["Observation"][1]
    assert report["status"] == proposal["status"] == "final"
    assert report.get("conclusion") == value
    assert proposal.get("valueCodeableConcept", {}).get("text") == value
    assert ("dataAbsentReason" in proposal) == (value is None)
    coded = [one["coding"][0]["code"] for one in proposal.get("interpretation", [])]
    assert coded == ([code] if code else [])
    assert [one["coding"][0]["code"] for one in report.get("conclusionCode", [])] == coded
    agents = [one["who"].get("display") for one in found["Provenance"][0]["agent"]]
    assert agents == [None, "Dr Ada, neurologist"]


def test_a_severity_goes_out_with_its_scale_and_the_grade_stands_when_agreed() -> None:
    found = dataclasses.replace(
        FINDINGS, probabilities=(), leading=None, severity=SeverityEstimate(1.8, "moderate", 0.0, 4.0, 1.2, 2.1)
    )
    proposal = resources(walk_analysis(), found, DRAFT)["Observation"][1]
    assert proposal["component"][0]["valueQuantity"]["value"] == 1.8
    assert "0 to 4" in proposal["component"][0]["code"]["text"]
    assert proposal["component"][0]["extension"][0]["url"] == codes.WINDOWS
    assert proposal["valueCodeableConcept"]["text"] == "moderate"
    undecided = resources(walk_analysis(), dataclasses.replace(found, status="undecided"), DRAFT)["Observation"][1]
    assert "valueCodeableConcept" not in undecided


def test_untested_explanations_are_said_to_be_untested() -> None:
    explained = dataclasses.replace(FINDINGS, explanations=(Explanation("planted", (), (), 1, 0, 0, 1, 3, None),))
    notes = resources(walk_analysis(), explained, DRAFT)["Observation"][1]["note"]
    assert any("not tested" in note["text"] for note in notes)


def test_a_refused_walk_says_why_and_gives_no_number() -> None:
    panel = resources(nobody({"kind": "video"}), None, DRAFT)["Observation"][0]
    assert "component" not in panel
    assert "Nobody can be seen" in panel["dataAbsentReason"]["text"]
    assert set(json.loads(json.dumps(codes._table()["refusals"]))) <= set(TABLE)


def test_model_and_software_are_devices_with_their_versions() -> None:
    devices = resources(walk_analysis(), FINDINGS, DRAFT)["Device"]
    assert [one["version"][0]["type"]["text"] for one in devices] == ["software", "release"]
    assert devices[1]["version"][0]["value"] == "7"
    assert devices[1]["identifier"][0]["value"] == "cd" * 32


def test_the_same_report_replaces_itself_and_its_parts_refer_to_one_another() -> None:
    first = json.loads(fhir_document(walk_analysis(), FINDINGS, DRAFT).data)
    later = json.loads(fhir_document(walk_analysis(), FINDINGS, signed()).data)
    urls = [entry["request"]["url"] for entry in first["entry"]]
    assert urls[:-1] == [entry["request"]["url"] for entry in later["entry"]][:-1]
    assert len(set(urls)) == len(urls)
    assert {entry["request"]["method"] for entry in first["entry"]} == {"PUT"}
    names = {entry["fullUrl"] for entry in first["entry"]}
    text = json.dumps(first)
    referred = {part.split('"')[0] for part in text.split('"reference": "urn:')[1:]}
    assert {f"urn:{one}" for one in referred} <= names
    other = dataclasses.replace(DRAFT, id="r-2")
    assert urls[1] != json.loads(fhir_document(walk_analysis(), None, other).data)["entry"][1]["request"]["url"]


def test_hostile_text_stays_text() -> None:
    bad = "<script>alert(1)</script> & \x0b"
    analysis = dataclasses.replace(nobody({}), reasons=(Reason("no-person", bad),))
    report = resources(analysis, None, DRAFT)["DiagnosticReport"][0]
    assert "<script>" not in report["text"]["div"]
    assert "\x0b" not in report["text"]["div"]


def test_what_is_no_fhir_is_a_defect_with_its_place() -> None:
    entry = {"resource": {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "colour": 1}}
    with pytest.raises(GaitkeeperError, match=r"resource\.colour"):
        check({"resourceType": "Bundle", "type": "collection", "entry": [entry]})


@cache
def r4() -> Draft6Validator:
    """HL7's own JSON schema of R4 (4.0.1), as far as reports need it."""
    return Draft6Validator(json.loads((Path(__file__).parent / "fhir_r4_schema.json").read_text("utf-8")))


def test_every_state_of_a_report_is_valid_by_the_schemas_of_r4() -> None:
    agreed = signed(on_model("agreed", "planted"), Decision("a finding", "amended", "x", "y"))
    states = {
        "draft": fhir_document(walk_analysis(), FINDINGS, DRAFT).data,
        "draft with a pdf": fhir_document(walk_analysis(), FINDINGS, dataclasses.replace(DRAFT, pdf=PDF)).data,
        "signed": fhir_document(walk_analysis(), FINDINGS, agreed).data,
        "amended": fhir_document(walk_analysis(), FINDINGS, dataclasses.replace(agreed, amended=True)).data,
        "overruled": fhir_document(walk_analysis(), FINDINGS, dataclasses.replace(agreed, overruled="no")).data,
        "without a model": fhir_document(walk_analysis(), None, DRAFT).data,
        "refused": fhir_document(nobody({"kind": "video"}), None, DRAFT).data,
        "nobody's": fhir_document(walk_analysis(), FINDINGS, dataclasses.replace(DRAFT, subject=None)).data,
        "taken back": retraction("r-1", "walk,proposal", MADE).data,
        "codes": code_system(),
    }
    for state, data in states.items():
        wrong = best_match(r4().iter_errors(json.loads(data)))
        assert wrong is None, f"{state}: {wrong.json_path}: {wrong.message[:300]}"


@pytest.mark.parametrize(
    ("kind", "element", "value"),
    [("Observation", "status", "done"), ("Observation", "valueQuantitiy", {}), ("DiagnosticReport", "conclusion", 7)],
)
def test_what_is_no_r4_would_be_found(kind: str, element: str, value: object) -> None:
    bundle = json.loads(fhir_document(walk_analysis(), FINDINGS, DRAFT).data)
    resource = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind)
    resource[element] = value
    assert not r4().is_valid(bundle)


def test_the_code_system_names_every_parameter_once() -> None:
    names = [row["code"] for row in json.loads(code_system())["concept"]]
    assert len(set(names)) == len(names)
    assert {name.replace("_", "-") for name in DEFINITIONS} <= set(names)


def test_a_pdf_in_dicom_comes_back_whole_and_is_unverified_until_signed() -> None:
    import pydicom

    def read(pdf: bytes, facts: ReportFacts) -> Any:
        return pydicom.dcmread(io.BytesIO(dicom_pdf(pdf, facts)))

    draft, final = read(PDF, DRAFT), read(PDF + b".", signed())
    assert draft.EncapsulatedDocument[: draft.EncapsulatedDocumentLength] == PDF
    assert len(final.EncapsulatedDocument) % 2 == 0
    assert (draft.VerificationFlag, final.VerificationFlag) == ("UNVERIFIED", "VERIFIED")
    assert (draft.PatientID, draft.PatientAge, draft.PatientSex, str(draft.PatientName)) == ("p-7", "061Y", "F", "")
    assert draft.SeriesInstanceUID == final.SeriesInstanceUID
    assert draft.SOPInstanceUID != final.SOPInstanceUID
    assert draft.SOPInstanceUID == read(PDF, DRAFT).SOPInstanceUID
    assert draft.SOPInstanceUID.is_valid
    with pytest.raises(GaitkeeperError) as failed:
        dicom_pdf(b"<html>", DRAFT)
    assert failed.value.code == "dicom-bad-pdf"


def test_tables_say_the_same_in_both_formats() -> None:
    from pyarrow import parquet

    analysis = walk_analysis()
    for table in tables_of(analysis):
        rows = list(csv.DictReader(io.StringIO(table_bytes(table, "csv").decode())))
        columns = parquet.read_table(io.BytesIO(table_bytes(table, "parquet"))).to_pydict()
        assert len(rows) == len(next(iter(columns.values()))) > 0
        for name, values in columns.items():
            for row, value in list(zip(rows, values, strict=True))[:200]:
                if value is None:
                    assert row[name] == ""
                elif isinstance(value, float):
                    assert float(row[name]) == pytest.approx(value, rel=1e-6, abs=1e-12)
                else:
                    assert row[name] == str(value)
        assert set(columns[STATUS]) == {"draft"}
        assert next(iter(columns)) == STATUS
    parameters, cycles, curves = tables_of(analysis)
    assert list(parameters.columns["parameter"][1]) == list(analysis.parameters)
    assert len(cycles.columns["side"][1]) == len(analysis.cycles)
    assert max(curves.columns["cycle"][1]) == len(analysis.cycles) - 1  # type: ignore[type-var]


def test_every_line_of_a_table_says_how_its_report_stands() -> None:
    from pyarrow import parquet

    analysis = walk_analysis()
    for facts, state in ((None, "draft"), (DRAFT, "draft"), (signed(), "signed")):
        for table in tables_of(analysis, facts):
            rows = list(csv.reader(io.StringIO(table_bytes(table, "csv").decode())))
            assert rows[0][0] == STATUS
            assert {row[0] for row in rows[1:]} == {state}
            known = parquet.read_schema(io.BytesIO(table_bytes(table, "parquet"))).metadata
            assert known[STATUS.encode()] == state.encode()
            assert (known[b"signed_by"] != b"") == (state == "signed")
    overruled = dataclasses.replace(signed(), overruled="the wrong patient")
    parameters, cycles, curves = tables_of(analysis, overruled)
    assert set(parameters.columns["value"][1]) == {None}
    assert any("the wrong patient" in str(reason) for reason in parameters.columns["reason"][1])
    assert not cycles.columns["side"][1]
    assert not curves.columns["degrees"][1]
