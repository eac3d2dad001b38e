"""Visits compared: no more false alarms than stated, no score of what is withheld, no flag raised by an error."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from followup_fixtures import PATIENT, TRUE, report
from hypothesis import given
from hypothesis import strategies as st
from vault_fixtures import facts_of, make_recording, make_site, someone

from gaitkeeper_client.followup.change import FALSE_ALARMS, changes, direction, trend
from gaitkeeper_client.followup.course import Course, course_in, course_of
from gaitkeeper_client.followup.page import render_course
from gaitkeeper_client.followup.pdf_page import render_course_pdf
from gaitkeeper_client.followup.rules import change_rules
from gaitkeeper_client.followup.score import components, mobility_score
from gaitkeeper_client.followup.visits import Estimate, visits_of
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.insight import pdf_report
from gaitkeeper_client.insight.findings_view import FindingsView
from gaitkeeper_client.insight.pdf_report import render_report_pdf
from gaitkeeper_client.insight.standing import Decided, Standing
from gaitkeeper_client.insight.view import ReportView
from gaitkeeper_client.language.texts import texts
from gaitkeeper_client.signing.kept import KeptReport, save
from gaitkeeper_client.signing.statements import Decision, Statement
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/followup.md"
PATIENTS = 150
VALUES = {
    "walking_speed": st.floats(0.0, 2.0),
    "cadence": st.floats(20.0, 140.0),
    "symmetry_index": st.floats(0.0, 60.0),
    "stride_time_cv": st.floats(0.1, 20.0),
    "sagittal_shape_deviation": st.floats(0.0, 25.0),
}


def course(days: list[list[KeptReport]]) -> Course:
    return course_of([one for day in days for one in day], PATIENT)


def signed(one: KeptReport) -> KeptReport:
    by = Statement(one.id, "", 1, "", "dr.adams", "neurologist", "k", one.created_at, ())
    return dataclasses.replace(one, statements=(by,))


# -- false alarms and changes


@pytest.fixture(scope="module")
def unchanged() -> list[Course]:
    random = np.random.default_rng(20)
    return [course([[report(random, 0)], [report(random, 30)], [report(random, 60)]]) for _ in range(PATIENTS)]


def test_patients_without_change_are_said_to_change_as_often_as_stated(unchanged: list[Course]) -> None:
    judged, alarms = Counter[str](), Counter[str]()
    for one in unchanged:
        for change in one.since_first:
            if change.verdict != "not_judged":
                judged[change.name] += 1
                alarms[change.name] += change.verdict != "within_error"
    assert set(judged) == {*TRUE, "stride_time_cv"}
    assert 0.03 < alarms.total() / judged.total() < 0.07
    assert max(alarms[name] / judged[name] for name in judged) < 0.10  # 3.5 standard errors above the stated
    assert sum(any(change.firm for change in one.since_first) for one in unchanged) / PATIENTS < 0.08
    slopes = [slope.verdict != "within_error" for one in unchanged for slope in one.trends]
    assert 0.01 < np.mean(slopes) < FALSE_ALARMS + 0.01
    scores = [one.score_changes[0] for one in unchanged]
    assert np.mean([one is not None and one.verdict != "within_error" for one in scores]) < 0.05


def test_a_planted_improvement_is_found_and_a_change_for_the_worse_is_called_that() -> None:
    random = np.random.default_rng(3)
    better = {"walking_speed": 1.3, "double_support_percent": 18.0}
    worse = {"walking_speed": 0.5, "step_time_ratio": 1.6}
    for planted, verdict in ((better, "improved"), (worse, "worse")):
        found = [course([[report(random, 0)], [report(random, 30, planted)]]) for _ in range(20)]
        for name in planted:
            verdicts = Counter[str](
                change.verdict for one in found for change in one.since_first if change.name == name
            )
            assert verdicts[verdict] >= 18, (name, verdicts)


def test_repeated_walks_that_differ_more_than_their_strides_widen_the_error() -> None:
    random = np.random.default_rng(4)
    single = visits_of([report(random, 0), report(random, 30)])
    repeated = visits_of([report(random, day, walk=walk) for day in (0, 30) for walk in range(3)])
    before, after = (changes(one[0], one[1], PATIENT, ["walking_speed"])[0] for one in (single, repeated))
    assert [len(visit.reports) for visit in repeated] == [3, 3]
    assert after.repeated
    assert not before.repeated
    assert repeated[0].estimates["walking_speed"].sd > single[0].estimates["walking_speed"].sd  # type: ignore[operator]


def test_what_cannot_be_judged_says_why() -> None:
    random = np.random.default_rng(5)
    first = report(random, 0)
    other = report(random, 30, view="side")
    assert {change.why for change in course([[first], [other]]).since_first if change.difference is not None} == {
        "method"
    }
    on_a_cane = dataclasses.replace(first.analysis, source={**first.analysis.source, "sha256": "c", "aid": "cane"})
    later = dataclasses.replace(report(random, 30), analysis=on_a_cane)
    assert {change.verdict for change in course([[first], [later]]).since_first} == {"not_judged"}
    withheld = course([[first], [report(random, 30, without="cadence")]])
    by_name = {change.name: change for change in withheld.since_first}
    assert (by_name["cadence"].verdict, by_name["cadence"].why) == ("not_judged", "missing")
    one_stride = report(random, 30, strides=12)
    parameters = dict(one_stride.analysis.parameters)
    parameters["cadence"] = dataclasses.replace(parameters["cadence"], ci95=None, n=1)
    parameters["toe_clearance_left"] = dataclasses.replace(parameters["step_length"])
    alone = dataclasses.replace(one_stride, analysis=dataclasses.replace(one_stride.analysis, parameters=parameters))
    before = {**first.analysis.parameters, "toe_clearance_left": first.analysis.parameters["step_length"]}
    first = dataclasses.replace(first, analysis=dataclasses.replace(first.analysis, parameters=before))
    whys = {change.name: change.why for change in course([[first], [alone]]).since_first}
    assert (whys["cadence"], whys["toe_clearance_left"]) == ("one_value", "no_error")
    with pytest.raises(GaitkeeperError) as caught:
        course_of([], PATIENT)
    assert caught.value.code == "followup-nothing"


def test_one_recording_counts_once_and_a_trend_needs_three_visits() -> None:
    random = np.random.default_rng(6)
    old, new = report(random, 0), report(random, 0)
    later = dataclasses.replace(new, id="r-new", created_at="2026-05-01T00:00:00+00:00")
    assert [one.id for visit in visits_of([later, old]) for one in visit.reports] == ["r-new"]
    no = Statement("r-new", "", 1, "", "dr.adams", "", "k", "", (Decision("measurements", "overruled", "", "tripped"),))
    third = report(random, 30)
    rest = course_of([old, dataclasses.replace(later, statements=(no,)), third], PATIENT)
    assert [one.id for visit in rest.visits for one in visit.reports] == [third.id]  # nor the older analysis of it
    assert "let none of their measurements stand: 1" in render_course(rest)
    visits = visits_of([report(random, 30 * month, {"walking_speed": 0.4 + 0.2 * month}) for month in range(5)])
    slope = trend("walking_speed", visits, PATIENT)
    assert slope is not None
    assert slope.verdict == "improved"
    assert slope.ci95[0] < 0.2 < slope.ci95[1]
    assert trend("walking_speed", visits[:2], PATIENT) is None


def test_better_is_nearer_to_the_norm_or_to_the_target_where_the_table_says_so() -> None:
    rules = change_rules()
    assert direction(rules["step_time_ratio"], 1.4, 1.1, PATIENT) == "improved"
    assert direction(rules["step_time_ratio"], 1.1, 0.7, PATIENT) == "worse"
    assert direction(rules["cadence"], 70.0, 100.0, PATIENT) == "improved"
    assert direction(rules["cadence"], 110.0, 150.0, PATIENT) == "worse"
    assert direction(rules["cadence"], 104.0, 120.0, PATIENT) == "changed"  # both inside the norm
    assert direction(rules["knee_range_left"], 30.0, 60.0, PATIENT) == "changed"


# -- the score


@given(st.fixed_dictionaries(VALUES), st.sampled_from(sorted(VALUES)), st.floats(0.0, 10.0))
def test_the_score_never_falls_when_a_component_gets_better(values: dict[str, float], moved: str, by: float) -> None:
    component = next(one for one in components() if one.parameter == moved)
    towards = 1.0 if component.best > component.worst else -1.0
    scores = [
        mobility_score({name: Estimate(value, 0.1, 1) for name, value in one.items()})
        for one in (values, {**values, moved: values[moved] + towards * by})
    ]
    assert scores[0].value is not None
    assert scores[1].value is not None
    assert scores[1].value >= scores[0].value - 1e-9
    for score in scores:
        assert score.ci95 is not None
        assert 0.0 <= score.ci95[0] <= score.value + 1e-9  # type: ignore[operator]
        assert score.value <= score.ci95[1] + 1e-9 <= 100.0 + 2e-9  # type: ignore[operator]


@pytest.mark.parametrize("name", sorted(VALUES))
def test_no_score_is_made_of_what_is_withheld(name: str) -> None:
    random = np.random.default_rng(7)
    score = course([[report(random, 0, without=name)]]).scores[0]
    assert (score.value, score.ci95, score.missing) == (None, None, (name,))


def test_the_scores_interval_covers_what_the_strides_leave_open() -> None:
    random, true = np.random.default_rng(8), {name: Estimate(mean, 0.01, 1) for name, (mean, _) in TRUE.items()}
    exact = mobility_score({**true, "stride_time_cv": Estimate(3.0, 0.01, 1)}).value
    assert exact is not None
    drawn = [course([[report(random, 0, day_error=0.0)]]).scores[0].ci95 for _ in range(80)]
    inside = [one is not None and one[0] <= exact <= one[1] for one in drawn]
    assert np.mean(inside) > 0.9


# -- views on risk


def test_a_flag_is_raised_by_the_whole_interval_and_says_what_it_rests_on() -> None:
    random = np.random.default_rng(9)
    limping = {"symmetry_index": 25.0, "step_time_ratio": 1.4, "stride_time_cv": 9.0, "walking_speed": 0.5}
    ill = course([[report(random, 0, limping, strides=40, day_error=0.0)]])
    assert {flag.name for flag in ill.flags if flag.state == "raised"} == {
        "loading",
        "step_time",
        "variability",
        "pace",
    }
    unsure = course([[report(random, 0, {"symmetry_index": 5.2}, strides=5, day_error=0.0)]])
    assert {flag.name: flag.state for flag in unsure.flags}["loading"] == "unclear"
    hidden = course([[report(random, 0, without="symmetry_index")]])
    assert {flag.name: flag.state for flag in hidden.flags}["loading"] == "unknown"
    page = render_course(ill)
    assert "stance times of both legs" in page
    assert "doi:10.1016/j.gaitpost.2009.10.014" in page
    rising = course([[report(random, 0)], [report(random, 30, {"stride_time_cv": 14.0}, strides=40)]])
    assert {flag.name: flag.rising for flag in rising.flags}["variability"] is True


# -- pages


@pytest.fixture(scope="module")
def followed() -> Course:
    random = np.random.default_rng(10)
    return course([[report(random, 30 * month, {"walking_speed": 0.5 + 0.2 * month})] for month in range(4)])


def test_the_page_is_self_contained_and_a_draft_until_every_report_is_signed(followed: Course) -> None:
    page = render_course(followed)
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|url\(|@import", page)
    assert "DRAFT" in page
    whole = course_of([signed(one) for visit in followed.visits for one in visit.reports], PATIENT)
    assert not whole.draft
    assert "DRAFT" not in render_course(whole)
    assert "<script" not in render_course(
        dataclasses.replace(followed, patient=dataclasses.replace(PATIENT, pseudonym="<script>"))
    )


def test_the_pdfs_are_reproducible_and_say_on_each_page_that_they_are_drafts(followed: Course, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 6, 1, tzinfo=UTC)
    analysis = followed.visits[0].reports[0].analysis
    decided = (Decided("A finding & <b>its</b> words", "overruled", "x", "y", "z", "dr.adams", "now"),)
    standing = Standing("signed", "r-1", "0" * 64, "dr.adams (neurologist)", "now", decided, ("k",))
    others = {
        "draft": render_report_pdf(analysis, patient=PATIENT, now=now),
        "signed": render_report_pdf(analysis, patient=PATIENT, now=now, standing=standing),
        "course": render_course_pdf(followed, now=now),
    }
    assert others["draft"] == render_report_pdf(analysis, patient=PATIENT, now=now)
    assert all(data.startswith(b"%PDF-") for data in others.values())
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (Debian package poppler-utils) is not installed: the pages' words are not read")
    for name, data in others.items():
        (tmp_path / f"{name}.pdf").write_bytes(data)
        command = ["pdftotext", "-layout", str(tmp_path / f"{name}.pdf"), "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        pages = [page for page in text.split("\f") if page.strip()]
        assert all(("DRAFT" in page) == (name != "signed") for page in pages), name
        assert ("A finding & <b>its</b> words" in text) == (name == "signed")
        assert "Walking speed" in text


def test_the_command_compares_what_the_vault_keeps_of_a_consenting_patient(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        pseudonym = vault.add(someone(age=70.0, sex="female"), make_recording(1), facts_of(1)).pseudonym
        context = dataclasses.replace(PATIENT, pseudonym=pseudonym)
        for day, planted in ((0, {}), (30, {"walking_speed": 1.6})):
            walk = report(random, day, planted)
            save(home, vault, context, walk.analysis, None, recorded_at=walk.recorded_at)
    command = build_command()
    assert isinstance(command, click.Group)
    arguments = ["site", "follow-up", "patient-1", "--home", str(home.path)]
    table = json.loads(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).output)
    verdicts = {change["name"]: change["verdict"] for change in table["since_first"]}
    assert (table["status"], len(table["visits"]), verdicts["walking_speed"]) == ("draft", 2, "improved")
    out = CliRunner().invoke(command, [*arguments, "--output", str(tmp_path / "out"), "--pdf"], catch_exceptions=False)
    assert "Walking speed: " in out.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"follow-up.html", "follow-up.pdf"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").iterdir())
    with Vault.open(home, key) as vault:
        vault.set_consent(pseudonym, Consent(frozenset({"training"})))
        with pytest.raises(GaitkeeperError) as caught:
            course_in(home, vault, pseudonym)
    assert caught.value.code == "consent-missing"


def test_the_pdf_has_every_part_that_the_report_has() -> None:
    source = inspect.getsource(pdf_report)
    parts = {field.name for kind in (ReportView, FindingsView) for field in dataclasses.fields(kind)} - {"present"}
    assert {name for name in parts if not re.search(rf"\b(view|found)\.{name}\b", source)} == set()


# -- the tables


def test_every_row_is_of_a_known_parameter_and_has_its_words() -> None:
    words = texts()
    for name, rule in change_rules().items():
        assert name in DEFINITIONS
        assert (rule.source is None) == (rule.day_sd(1.0, 1.0) is None), name
        assert (rule.better == "equal") == (rule.target is not None), name
        assert rule.source is None or rule.source.checked
    assert sum(one.weight for one in components()) == pytest.approx(1.0)
    assert {one.parameter for one in components()} == set(VALUES)
    for verdict in ("improved", "worse", "changed", "within_error", "not_judged"):
        assert words.has(f"followup.{verdict}")


def test_the_document_shows_the_tables() -> None:
    text = DOCUMENT.read_text("utf-8")
    for name, rule in change_rules().items():
        assert f"| `{name}` | {rule.better}" in text, name
    for one in components():
        assert f"| `{one.parameter}` | {one.weight:.2f} | {one.worst:g} | {one.best:g} |" in text


def test_in_the_console_a_visit_leads_to_its_reports(followed: Course) -> None:
    names = [report.id for visit in followed.visits for report in visit.reports]
    inside, alone = render_course(followed, reports_at="/reports/"), render_course(followed)
    assert all(f'<a href="/reports/{name}">{name}</a>' in inside for name in names)
    assert "href" not in alone
