"""What people do at the console, in a real browser: sign in, hand in, watch, read, sign, export, approve."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.browser.stage import PASSWORD, SIGNING, Stage, rendered_walk, stage

from gaitkeeper_client.console.results import document_of
from gaitkeeper_client.signing.kept import list_for

PATIENT = "North 0042"
STEP_MS = 60_000
"""A deadline and no measure: a machine may be busy with other things."""
ANALYSED_MS = 300_000
SHOTS = Path(os.environ.get("GAITKEEPER_SCREENSHOTS", "."))
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["GAITKEEPER_CHROMIUM"], args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Person:
    """Somebody in front of the browser. Every error that the page meets is remembered."""

    def __init__(self, browser: Browser, site: Stage, scheme: str = "light") -> None:
        self._context = browser.new_context(base_url=site.address, viewport=DESK, color_scheme=scheme)  # type: ignore[arg-type]
        self._context.set_default_timeout(STEP_MS)
        self.page: Page = self._context.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda asked: self._only_here(asked.url, site.address))

    def _only_here(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.problems.append(f"asked elsewhere: {url}")

    def sign_in(self, name: str) -> None:
        self.page.goto("/")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def look(self, name: str, *, phone: bool = True) -> None:
        """A picture in each light and width, and the accessibility check in both lights."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            self.page.screenshot(path=SHOTS / f"{name}-{scheme}.png", full_page=True)
            self.check(f"{name} {scheme}")
        self.page.emulate_media(color_scheme="light")
        if phone:
            self.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            self.page.screenshot(path=SHOTS / f"{name}-phone.png", full_page=True)
            wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, f"{name}: {wider} px wider than a phone"
            self.page.set_viewport_size(DESK)  # type: ignore[arg-type]

    def check(self, what: str) -> None:
        """No finding of axe-core that matters, and no error in the page."""
        found = Axe().run(self.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
        grave = [
            f"{item['id']}: {node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
            for item in found["violations"]
            if item["impact"] in ("serious", "critical", "moderate")
            for node in item["nodes"][:3]
        ]
        assert grave == [], what
        assert self.problems == [], what

    def leave(self) -> None:
        self._context.close()


def test_the_whole_story_of_a_walk(chromium: Browser, site: Stage, tmp_path: Path) -> None:
    anna = Person(chromium, site)
    page = anna.page
    page.goto("/")
    anna.look("sign-in")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    anna.problems.clear()  # the browser tells of the answer 401
    anna.sign_in("anna")
    anna.look("today-empty", phone=False)
    video = tmp_path / "walk.mp4"
    rendered_walk(video)
    _hand_in(anna, video)
    row = page.get_by_role("row", name=PATIENT)
    expect(row).to_be_visible()
    anna.look("today-running")
    expect(row.get_by_text("ready to read")).to_be_visible(timeout=ANALYSED_MS)
    anna.look("today-ready")
    row.get_by_role("link", name="Read the report").click()
    expect(page.get_by_role("heading", name="Gait report")).to_be_visible()
    anna.look("report-draft")
    _explore_heatmap(page)
    _sign(page)
    expect(page.get_by_text("the camera stood low").first).to_be_visible()
    anna.look("report-signed", phone=False)
    with page.expect_download() as download:
        page.get_by_role("link", name="FHIR").click()
    bundle = Path(download.value.path()).read_text("utf-8")
    assert '"Bundle"' in bundle
    assert '"preliminary"' not in bundle
    _files_for_research(page)
    page.get_by_role("link", name=PATIENT).click()
    anna.look("patient")
    assert page.title().startswith("Patient")  # the note is text
    page.get_by_role("link", name="Change over time").click()
    anna.look("course")
    page.get_by_role("link", name="Patients", exact=True).click()
    anna.look("patients")
    page.get_by_label("Search").fill("nobody of this name")
    expect(page.get_by_role("row", name=PATIENT)).to_be_hidden()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_text(PATIENT)).to_have_count(0)
    anna.leave()


def _hand_in(anna: Person, video: Path) -> None:
    """A walk, with a note that would be a script."""
    page = anna.page
    page.get_by_role("link", name="Hand in", exact=True).click()
    anna.look("upload")
    page.locator("input[type=file]").set_input_files(video)
    page.get_by_label("Patient's identifier").fill(PATIENT)
    page.get_by_label("Height in metres").fill("1,72")
    page.get_by_label("Age in years").fill("64")
    page.get_by_label("Sex").select_option("female")
    page.get_by_label("Note").fill("<script>document.title = 'taken over'</script>")
    page.get_by_role("button", name="Hand in").click()
    page.wait_for_url("**/today")


def _sign(page: Page) -> None:
    """The first finding is amended, the others are agreed with."""
    page.get_by_label("Passphrase of your signing key").fill(SIGNING)
    first = page.locator(".decision").first
    first.get_by_label("amend").check()
    first.get_by_label("What holds instead").fill("Measured; the camera stood low.")
    first.get_by_label("Reason").fill("Seen in the room.")
    for other in page.locator(".decision").all()[1:]:
        other.get_by_label("agree", exact=True).check()
    page.locator("#decide").screenshot(path=SHOTS / "decide.png")
    page.get_by_role("button", name="Sign", exact=True).click()


def _files_for_research(page: Page) -> None:
    """Each comes down as what it says it is."""
    begins = {
        "DICOM": b"\0" * 128 + b"DICM",
        "The walk: C3D": b"\x02\x50",
        "The walk: TRC": b"PathFileType",
        "The walk: MOT": b"gaitkeeper signed",
        "The walk: CSV": b"report_status,time_s",
        "The walk: Motion-BIDS": b"PK",
        "(Parquet)": b"PK",
    }
    page.get_by_text("For research and other programs").click()
    for name, first in begins.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile(re.escape(name) + r"($| \()")).click()
        assert Path(download.value.path()).read_bytes().startswith(first), name


def _explore_heatmap(page: Page) -> None:
    """The chart answers the arrow keys and the pointer with the same words."""
    chart = page.locator("svg.explore").first
    chart.focus()
    readout = page.locator("svg.explore + .readout").first
    seen = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "End"):
        page.keyboard.press(key)
        seen.add(readout.inner_text())
    assert len(seen) == 4
    assert all("%" in text for text in seen)
    chart.locator(".cell").first.hover()
    assert readout.inner_text() not in seen
    chart.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "heatmap.png")


def test_the_report_as_a_file_is_whole_by_itself(chromium: Browser, site: Stage, tmp_path: Path) -> None:
    with site.console.vault() as vault:
        kept = [one.id for patient in vault.patients() for one in list_for(vault, patient.pseudonym)]
    file = tmp_path / "report.html"
    file.write_bytes(document_of(site.console, kept[0], "html", "anna").data)
    reader = Person(chromium, site)
    reader.page.route("**/*", lambda route: route.continue_() if route.request.url == file.as_uri() else route.abort())
    reader.page.goto(file.as_uri())
    reader.problems.clear()  # it was asked for outside the console
    expect(reader.page.locator("svg .walked").first).to_be_attached()
    reader.look("report-file")
    reader.leave()


def test_it_approves_a_study_and_sees_no_patient(chromium: Browser, site: Stage) -> None:
    ivo = Person(chromium, site)
    ivo.sign_in("ivo")
    ivo.look("site")
    page = ivo.page
    page.get_by_role("link", name="Studies").click()
    ivo.look("studies")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved", exact=True)).to_be_visible()
    ivo.look("studies-approved", phone=False)
    for name in ("Budget", "Model", "Health"):
        page.get_by_role("link", name=name, exact=True).click()
        ivo.look(name.lower())
    page.goto("/patients")
    expect(page.get_by_text("may not do that")).to_be_visible()
    ivo.problems.clear()  # the browser tells of the answer 403
    ivo.look("problem")
    ivo.leave()


def test_the_auditor_reads_who_did_what(chromium: Browser, site: Stage) -> None:
    otto = Person(chromium, site)
    otto.sign_in("otto")
    otto.page.get_by_role("link", name="Audit").click()
    expect(otto.page.get_by_text("Whole:")).to_be_visible()
    expect(otto.page.get_by_role("row", name="console-denied").first).to_be_visible()
    otto.look("audit")
    otto.leave()
