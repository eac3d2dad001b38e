"""The report: self-contained, safe with hostile text, honest about what is withheld, readable without seeing it."""

from __future__ import annotations

import dataclasses
import re
import stat
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from insight_fixtures import planted_findings, walk_analysis

from gaitkeeper_client.gait.analysis import Analysis, Parameter, Reason
from gaitkeeper_client.insight.departures import departures
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.findings_view import verdict
from gaitkeeper_client.insight.report import render_report, write_report
from gaitkeeper_client.insight.standing import Decided, Standing
from gaitkeeper_client.insight.summary import in_short
from gaitkeeper_client.insight.view import PatientContext
from gaitkeeper_client.insight.wording import FACTS
from gaitkeeper_shared.errors import GaitkeeperError

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> & \u202e</style>'
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """The report's elements with their attributes, the text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def full_report(**changes: object) -> str:
    analysis = dataclasses.replace(walk_analysis("hemiparetic", 3), **changes)  # type: ignore[arg-type]
    return render_report(analysis, planted_findings(), patient=PatientContext("P-7F3A", 61, "female", 1.70))


def test_the_report_loads_nothing_and_runs_nothing() -> None:
    page = Page(full_report())
    assert not page.open
    for tag in ("script", "link", "iframe", "object", "embed", "img", "image", "use", "base", "form"):
        assert not page.tags(tag), tag
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "href", "srcset", "action", "xlink:href"), (tag, name)
            if name != "xmlns":
                assert "//" not in (value or ""), (tag, name, value)
    css = re.search(r"<style>(.*?)</style>", full_report(), re.DOTALL)
    assert css is not None
    assert "url(" not in css[1]
    assert "@import" not in css[1]


def test_hostile_text_stays_text() -> None:
    analysis = dataclasses.replace(
        walk_analysis(),
        source={HOSTILE: HOSTILE, "list": [HOSTILE], "table": {HOSTILE: HOSTILE}},
        quality={"view": HOSTILE},
        reasons=(Reason("x", HOSTILE),),
        parameters={HOSTILE: Parameter(HOSTILE, refused=Reason(HOSTILE, HOSTILE)), "cadence": Parameter(HOSTILE, 1.0)},
    )
    known = planted_findings()
    assert known.model is not None
    found = dataclasses.replace(
        known,
        model=dataclasses.replace(known.model, version=HOSTILE, labels=(HOSTILE,), notes=HOSTILE),
        probabilities=tuple(dataclasses.replace(item, label=HOSTILE) for item in known.probabilities),
        explanations=tuple(dataclasses.replace(item, label=HOSTILE) for item in known.explanations),
        reasons=(Reason(HOSTILE, HOSTILE),),
        limits=(HOSTILE,),
    )
    for status in ("analysed", "refused"):
        text = render_report(
            dataclasses.replace(analysis, status=status),  # type: ignore[arg-type]
            found,
            patient=PatientContext(HOSTILE, 50, HOSTILE),
        )
        page = Page(text)
        assert not page.tags("script")
        assert not page.tags("img")
        assert len(page.tags("style")) == 1
        assert "<script>alert(1)</script>" in page.text
        assert not page.open


def test_a_refused_recording_gives_its_reasons_and_no_number() -> None:
    reason = Reason("frame-rate-too-low", "The recording has 10.0 frames per second. Set the camera to 30.")
    analysis = Analysis("refused", (reason,), {"sha256": "ab" * 32}, {}, (), (), {"sample_rate_hz": 10.0})
    page = Page(render_report(analysis, Findings("no_model")))
    assert reason.message in page.text
    assert "frame-rate-too-low" in page.text
    assert "was not analysed" in page.text
    assert not page.tags("table")
    assert not page.tags("svg")


def test_a_withheld_parameter_shows_why_and_no_value() -> None:
    parameters = dict(walk_analysis().parameters)
    parameters["walking_speed"] = Parameter("m/s", refused=Reason("scale-unknown", "Nothing tells the scale."))
    text = full_report(parameters=parameters)
    row = next(item for item in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if "Walking speed" in item)
    assert "Withheld." in row
    assert "Nothing tells the scale." in row


def test_quality_comes_first_and_the_draft_is_marked() -> None:
    page = Page(full_report())
    order = [
        page.text.index(words) for words in ("DRAFT – not signed. ", "its quality", "Gait parameters", "model says")
    ]
    assert order == sorted(order)
    assert "Not signed." in page.text
    assert "This is not a diagnosis." in page.text
    assert "P-7F3A" in page.text


def test_pictures_are_described_and_tables_have_headers() -> None:
    text = full_report()
    page = Page(text)
    assert len(page.tags("svg")) >= 8
    for attributes in page.tags("svg"):
        assert attributes["role"] == "img"
        for part in (attributes["aria-labelledby"] or "").split():
            assert text.count(f'id="{part}"') == 1
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in page.tags("th"))
    assert len(page.tags("caption")) == len(page.tags("table"))
    assert page.tags("html")[0]["lang"] == "en"


@pytest.mark.parametrize("status", ["withheld", "undecided", "no_model"])
def test_a_model_that_does_not_know_names_no_label(status: str) -> None:
    found = dataclasses.replace(planted_findings(), status=status, leading=None)  # type: ignore[arg-type]
    text = Page(render_report(walk_analysis(), found)).text
    assert "proposes" not in text.replace("The model proposes; a clinician decides", "")


def test_without_a_model_the_report_says_so() -> None:
    assert "No model is deployed at this site yet." in Page(render_report(walk_analysis(), Findings("no_model"))).text
    assert "No model was asked" in Page(render_report(walk_analysis())).text


def test_a_walk_with_one_cycle_and_unknown_joints_is_reported() -> None:
    analysis = walk_analysis()
    blank = {name: np.full(101, np.nan) for name in analysis.cycles[0].curves}
    cycle = dataclasses.replace(analysis.cycles[0], foot_off_s=None, opposite_foot_off_s=None, curves=blank)
    page = Page(render_report(dataclasses.replace(analysis, cycles=(cycle,))))
    assert "nan" not in page.text.lower().replace("nanometre", "")
    assert not any("nan" in (value or "") for _, attributes in page.elements for value in attributes.values())


def test_a_curve_of_one_cycle_is_called_so_and_no_mean() -> None:
    analysis = walk_analysis()
    left, right = ([cycle for cycle in analysis.cycles if cycle.side == side] for side in ("left", "right"))
    lost = dataclasses.replace(right[1], curves={**right[1].curves, "knee_flexion_right": np.full(101, np.nan)})
    for cycles, said, unsaid in (
        ([left[0], *right], ("left, one cycle", "right, mean ± SD", "left, one cycle: largest"), "left, mean"),
        ([right[0], lost], ("left, no cycle", "right, mean ± SD, or one cycle where there is no band"), "left, mean"),
        ([*left, *right], ("left, mean ± SD", "right, mean ± SD"), "one cycle:"),
    ):
        short = dataclasses.replace(analysis, cycles=tuple(cycles))
        page = re.sub(r"\s+", " ", render_report(short))
        assert [text for text in said if text not in page] == []
        assert unsaid not in page
        assert " 1 cycles" not in page


def test_the_same_analysis_gives_the_same_page() -> None:
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    first, second = (render_report(walk_analysis(), planted_findings(), now=now) for _ in range(2))
    assert first == second
    assert "2026-01-02 03:04 UTC" in first


def test_the_file_is_private_whole_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(walk_analysis(), path)
    write_report(walk_analysis(), path, Findings("no_model"))
    assert path.read_text("utf-8").rstrip().endswith("</html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GaitkeeperError) as caught:
        write_report(walk_analysis(), tmp_path / "file" / "report.html")
    assert caught.value.code == "report-not-written"


def test_the_top_says_when_the_patient_walked_how_far_from_the_norm_and_what_stands_out() -> None:
    analysis, findings = walk_analysis("hemiparetic", 3), planted_findings()
    who = PatientContext("P-7F3A", 61, "female", 1.70)
    page = Page(render_report(analysis, findings, patient=who, standing=Standing(walked="2026-05-04 09:12 UTC")))
    top = page.text.partition("1. The recording")[0].partition("Gait report Patient")[2]
    assert "Walked 2026-05-04 09:12 UTC" in top
    assert re.search(r"Walking speed *0\.70 m/s *norm 0\.91 to 1\.63 below", top), top
    assert "Below the norm, with the whole interval: Cadence; Walking speed" in top
    assert "perhaps" not in in_short(analysis, findings, who, "")[0]
    assert "The model proposes" in top
    child = in_short(analysis, findings, dataclasses.replace(who, age=9.0), "")
    assert child[0].startswith("No norm on file")
    assert "Walked" not in full_report().partition("1. The recording")[0]
    refused = dataclasses.replace(analysis, status="refused")
    assert in_short(refused, findings, who, "") == ()


def test_in_short_a_clinicians_word_stands_before_what_it_took_away() -> None:
    analysis, findings, who = walk_analysis("hemiparetic", 3), planted_findings(), PatientContext("P", 61, "female")
    told = in_short(analysis, findings, who, "")
    decided = (Decided("the measurements", "agreed"), Decided(verdict(findings), "overruled", reason="a knee"))
    short = in_short(analysis, findings, who, "", Standing("signed", decided=decided))
    assert short[0] == f"Overruled by the clinician: {verdict(findings)}"
    assert short[1:] == told[:-1]
    decided = (Decided("the measurements", "overruled", "the left knee is stiff"), Decided(verdict(findings), "agreed"))
    short = in_short(analysis, findings, who, "", Standing("signed", decided=decided))
    assert short[0] == "Overruled by the clinician: the measurements What holds instead: the left knee is stiff"
    assert short[1:] == told[-1:]


def test_every_fact_of_a_video_has_a_name_and_its_unit() -> None:
    source = {"width_px": 960, "height_px": 540, "rotation_deg": 0, "frames": 271, "height_m": 1.57, "notes": []}
    page = re.sub(r"<[^>]+>", " ", full_report(source=source))
    for told in ("Picture, width 960 px", "Picture, height 540 px", "Picture, turned by 0°", "Frames 271"):
        assert told in re.sub(r"\s+", " ", page)
    assert set(source) <= set(FACTS)


def test_a_departure_of_the_leg_behind_says_that_it_is_behind() -> None:
    walk = walk_analysis("healthy", 3)
    bump = np.where(np.arange(101) < 30, 45.0, 0.0)
    cycles = tuple(
        dataclasses.replace(one, curves={**one.curves, "knee_flexion_left": one.curves["knee_flexion_left"] + bump})
        if one.side == "left"
        else one
        for one in walk.cycles
    )
    told = departures(dataclasses.replace(walk, cycles=cycles))[0]
    assert (told.deviation.angle, told.deviation.side, told.hidden) == ("knee_flexion", "left", False)
    noted = dataclasses.replace(walk.parameters["knee_range_left"], notes=(Reason("far-limb", "behind"),))
    parameters = {**walk.parameters, "knee_range_left": noted}
    hidden = departures(dataclasses.replace(walk, cycles=cycles, parameters=parameters))[0]
    assert "the one behind" in hidden.told
    assert hidden.sentence == told.sentence == told.told  # what is signed does not change
