"""Another language is one more file: each English text, made strange by a machine, takes the place of the English ones.

Every vowel of the strange language has an accent, so that a word without any was never in the catalogue. Names, labels
and what clinicians say are written without vowels (:mod:`pages_in_a_language`).
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pydicom
import pytest
import tomli_w

from gaitkeeper_client.console.rights import Right
from gaitkeeper_client.language import texts as language
from gaitkeeper_client.language.checked import checked
from gaitkeeper_client.language.texts import Texts, texts
from gaitkeeper_shared.errors import GaitkeeperError

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parents[1] / "client/gaitkeeper_client"
ACCENTED = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")
KEPT = re.compile(r"(<code>.*?</code>|<[^>]*>|\{[^}]*\})")
OWN = {"Gaitkeeper", "UTC", "anna", "otto", "ivo", "clinic", "test", "simulation"}
"""What is no word: names, and how the walk was made."""
EVENTS = {"intellevent", "gaitkit", "braking", "zeni"}
"""Names of methods."""
SOURCES = ("insight/norms.toml", "gait/norm_curves.toml", "followup/change.toml", "followup/score.toml")


def strange(text: str) -> str:
    """``[stráńgé]``: marks and values as they are."""
    parts = KEPT.split(text)
    return "[" + "".join(part if index % 2 else part.translate(ACCENTED) for index, part in enumerate(parts)) + "]"


def strange_language() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, text in texts("en").table.items():
        group, _, key = name.partition(".")
        found.setdefault(group, {})[key] = strange(text)
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every page in the strange language."""
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "qps.toml"
    file.write_bytes(tomli_w.dumps(strange_language()).encode("utf-8"))
    out = folder / "out"
    out.mkdir()
    paths = [str(HERE), str(HERE.parent / "unit"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"GAITKEEPER_LANGUAGE": str(file), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, str(HERE / "pages_in_a_language.py"), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def _sources() -> list[str]:
    """Publications, what was checked of them, and whose error stands in: these are not translated."""

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, str) and key in ("text", "doi", "checked", "compared", "where", "as_for", "source"):
                    yield item
                yield from strings(item)
        elif isinstance(value, list):
            for item in value:
                yield from strings(item)

    from gaitkeeper_client.followup.risk import LIMITS

    found = [text for name in SOURCES for text in strings(tomllib.loads((CLIENT / name).read_text("utf-8")))]
    found += [limit.source for limit in LIMITS.values()]
    return sorted(filter(None, set(found)), key=len, reverse=True)


def _english_in(text: str) -> set[str]:
    """Words with a vowel that has no accent; hashes, names of records, codes, paths and endings of files are none."""
    for source in _sources():
        text = text.replace(source, " ")
    text = re.sub(
        r"\b[0-9a-f]{16,}\b|\b[pr]-[0-9a-f]{16}\b|doi:\S*|\([a-z]+(-[a-z]+)+\)|(/[\w.-]+){2,}|\.[a-z0-9]{2,4}\b",
        " ",
        text,
    )
    text = re.sub(rf"'({'|'.join(get_args(Right))})'", " ", text)
    words = re.findall(r"[^\W\d_]{3,}", text)
    return {word for word in words if re.search(r"[aeiouAEIOU]", word)} - OWN - EVENTS


def _visible(page: str) -> str:
    """What a page says to eyes and ears, without what it says to be English."""
    page = re.sub(r"<(style|script|code)\b.*?</\1>", " ", page, flags=re.DOTALL)
    page = re.sub(r'<(\w+)\b[^>]* lang="en"[^>]*>.*?</\1>', " ", page, flags=re.DOTALL)
    told = [html.unescape(one) for one in re.findall(r'(?:aria-label|title|placeholder|data-confirm)="([^"]*)"', page)]
    for one in re.findall(r'data-words="([^"]*)"', page):
        told += [re.sub(r"\{\w+\}", " ", text) for text in json.loads(html.unescape(one)).values()]
    return " ".join([html.unescape(re.sub(r"<[^>]*>", " ", page)), *told])


def test_an_english_word_would_be_found() -> None:
    assert _english_in(f"{strange('walks')} fast, {_sources()[0]}") == {"fast"}
    assert _english_in("'site' 'fast'") == {"fast"}
    page = '<p title="Left">x</p><b lang="en">right</b><i data-words="{&#34;a&#34;: &#34;Third&#34;}">y</i>'
    assert _english_in(_visible(page)) == {"Left", "Third"}


def test_no_page_has_an_english_word_left(pages: Path) -> None:
    found = sorted(pages.glob("*.html"))
    assert len(found) > 14
    left = {page.name: words for page in found if (words := _english_in(_visible(page.read_text("utf-8"))))}
    assert left == {}
    assert all('<html lang="qps"' in page.read_text("utf-8") for page in found)
    for page in found:
        assert not re.search(r"\{[a-z_]+[}:!]", _visible(page.read_text("utf-8"))), page  # nothing was left to fill in


def test_a_board_reads_studies_and_rules_in_its_language(pages: Path) -> None:
    left = {page.name: words for page in pages.glob("*.txt") if (words := _english_in(page.read_text("utf-8")))}
    assert left == {}


def test_what_other_systems_show_is_in_the_language_and_codes_are_displayed_as_everywhere(pages: Path) -> None:
    found = sorted(pages.glob("*.json"))
    assert len(found) == 5
    for path in found:
        bundle = json.loads(path.read_text("utf-8"))
        shown = list(_shown(bundle))
        assert _english_in(_visible(" ".join(shown))) == set(), path
        resources = [entry["resource"] for entry in bundle["entry"]]
        spoken = [one["language"] for one in resources if one["resourceType"] in ("Observation", "DiagnosticReport")]
        assert set(spoken) == {"qps"}, path
    panel = json.loads((pages / "report-draft.json").read_text("utf-8"))
    codings = [text for text in _displays(panel) if "speed" in text.lower()]
    assert "Walking speed" in codings
    titles = {str(pydicom.dcmread(path).DocumentTitle) for path in pages.glob("*.dcm")}
    title = strange("Gait report")
    assert titles == {title, strange("DRAFT, not signed: {title}").format(title=title)}


def _shown(value: Any, key: str = "") -> Iterator[str]:
    """Texts for people: not codes with their displays, which are their owners'."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in ("coding", "system", "url", "fullUrl", "identifier", "unit"):
                yield from _shown(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _shown(item, key)
    elif isinstance(value, str) and key in ("text", "div", "title", "conclusion", "display"):
        yield value


def _displays(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "system" in value and "display" in value:
            yield value["display"]
        for item in value.values():
            yield from _displays(item)
    elif isinstance(value, list):
        for item in value:
            yield from _displays(item)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext (Debian: poppler-utils) is not here")
def test_no_pdf_has_an_english_word_left(pages: Path) -> None:
    found = sorted(pages.glob("*.pdf"))
    assert len(found) == 3
    for path in found:
        told = subprocess.run(["pdftotext", "-raw", str(path), "-"], capture_output=True, check=True, timeout=60).stdout
        # Lines of sources are broken anywhere: here their words are let pass one by one.
        passed = {word for source in _sources() for word in re.findall(r"[^\W\d_]{3,}", source)}
        assert _english_in(told.decode("utf-8")) - passed == set(), path


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"report": {"title": "Bericht {when}"}}, "no value {when}"),
        ({"report": {"unheard": "x"}}, "no text report.unheard"),
        ({"report": "x"}, "stands in no table"),
        ({"report": {"title": 3}}, "is no text"),
        ({"report": {"title": " "}}, "is no text"),
        ({"report": {"title": "<script>alert(1)</script>"}}, "has the mark <script>"),
        ({"report": {"title": "a < b"}}, "has the mark < b"),
        ({"report": {"metres": "{value:.9f} m"}}, "otherwise than the English"),
        ({"report": {"metres": "{value m"}}, "braces"),
    ],
)
def test_a_slip_in_a_language_file_is_found_before_a_page_is_made(
    tmp_path: Path, table: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "de.toml"
    file.write_bytes(tomli_w.dumps(table).encode("utf-8"))
    monkeypatch.setenv(language.LANGUAGE_VARIABLE, str(file))
    with pytest.raises(GaitkeeperError, match=re.escape(says)) as raised:
        texts()
    assert raised.value.code == "language-file"


def test_a_language_file_may_lack_texts_and_put_values_in_another_order(tmp_path: Path) -> None:
    file = tmp_path / "de.toml"
    file.write_text('[facts_words]\nrange = "bis {high}, von {low}"\n', "utf-8")
    german = texts(str(file))
    assert isinstance(german, Texts)
    assert german.language == "de"
    assert german("facts_words.range", low=1, high=2) == "bis 2, von 1"
    assert german("report.title") == texts("en")("report.title")
    with pytest.raises(GaitkeeperError, match="called after its language"):
        texts(str(file.rename(tmp_path / "german.toml")))
    with pytest.raises(GaitkeeperError, match="cannot be used"):
        texts(str(tmp_path / "none.toml"))
    assert checked("de", {}, {}) == {}
