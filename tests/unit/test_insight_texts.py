"""Every word of report, follow-up and console comes from the catalogue, so that another language is one more file."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Environment

from gaitkeeper_client.language.texts import Texts, texts

CLIENT = Path(__file__).resolve().parents[2] / "client/gaitkeeper_client"
TEMPLATES = sorted([*(CLIENT / "console/templates").glob("*.j2"), *(CLIENT / "insight/templates").glob("*.j2")])
SCRIPTS = sorted((CLIENT / "console/static").glob("*.js"))
MODULES = sorted(
    [
        *(CLIENT / "insight").glob("*.py"),
        *(CLIENT / "insight/charts").glob("*.py"),
        *(CLIENT / "followup").glob("*view*.py"),
        *(CLIENT / "followup").glob("*page.py"),
        *(CLIENT / "console/pages").glob("*.py"),
        CLIENT / "console/rendering.py",
        CLIENT / "signing/items.py",
        CLIENT / "signing/standing.py",
    ]
)
NAMES = {"Gaitkeeper", "PDF"}
"""Words that are the same in every language."""
SHOWN = ("aria-label", "title", "placeholder", "alt", "data-confirm")
SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z(]|[a-z]{3} $|^ [a-z]{3}|^[A-Z][a-z]{3,}\b(?!View|Choice|Curve|Range)")
NO_WORDS = re.compile(
    r"^(its schema is not |label strong|bar named|cell (for|against)|a page of ours has no main part|Vera|VeraBd"
    r"|Gaitkeeper|PatientContext|ReportView|NormChoice|NormCurve|NormRange|Source"
    r"|signs as |<svg|svg |(curve|band|foot-off|point|event|bone|stance|whole"
    r"|shape) ?(open)?$)"
)
"""Classes of style sheets, names of ours, errors of ours, and what goes into the audit log."""


def _left_in(page: str) -> list[str]:
    """Texts of a template that are not asked for by name."""
    tokens = list(Environment().lex(page))
    plain = "".join(value if kind == "data" else "\0" for _, kind, value in tokens if kind == "data" or "begin" in kind)
    found = [line for line in re.sub(r"<[^>]*>", "\n", plain).split("\n") if re.search(r"[A-Za-z]{2}", line)]
    found += re.findall(rf'(?:{"|".join(SHOWN)})="([^"\0]*[A-Za-z][^"\0]*)"', plain)
    found += [value for _, kind, value in tokens if kind == "string" and re.search(r"[A-Za-z]{2,} [A-Za-z]", value)]
    words = (" ".join(re.findall(r"[A-Za-z]+", text)) for text in found)
    return [text for text in words if text not in NAMES | {"may train", "not approved"}]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_template_has_no_words_of_its_own(path: Path) -> None:
    assert _left_in(path.read_text("utf-8")) == []


def test_words_in_a_template_would_be_found() -> None:
    for page in ("<p>Walked fast</p>", '<a aria-label="Close it">x</a>', "{{ 'not yet' if x else y }}", "<b>Sex</b>"):
        assert _left_in(page), page
    assert _left_in("<p class=\"soft\">{{ words('report.age') }}: <b>{{ age }}</b> %</p>") == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_no_words_of_its_own(path: Path) -> None:
    code = re.sub(r"^\s*//.*$|/\*.*?\*/", "", path.read_text("utf-8"), flags=re.MULTILINE)
    strings = re.findall(r'"([^"\n]*)"|`([^`]*)`', code)
    left = [text for pair in strings for text in pair if re.search(r"[a-z]{2,} [a-z]{2,}", text)]
    assert [text for text in left if text not in ("use strict",) and not re.search(r"[\[\]#=>]", text)] == []
    names = set(re.findall(r'word\("(\w+)"', code))
    assert names <= set(texts().group("script"))


@pytest.mark.parametrize("path", [CLIENT / "console/static/console.css", CLIENT / "insight/templates/report.css"])
def test_a_style_sheet_has_no_words_of_its_own(path: Path) -> None:
    assert re.findall(r'content:\s*"[^"]*[A-Za-z]{2}', path.read_text("utf-8")) == []


def _constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """String constants that are no docstrings."""
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_code_that_makes_pages_has_no_sentences_of_its_own(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    left = [node.value for node in _constants(tree) if SENTENCE.search(str(node.value))]
    assert [text for text in left if not NO_WORDS.search(str(text))] == []


def _calls() -> Iterator[tuple[str, str, set[str] | None]]:
    """Every text that is asked for by a name that stands there, with the values that are given (None: some others)."""
    for path in CLIENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("say", "words", "marked") and "." in str(node.args[0].value):
                given = {keyword.arg for keyword in node.keywords}
                yield path.name, str(node.args[0].value), None if None in given else {str(one) for one in given}
    for path in TEMPLATES:
        page = path.read_text("utf-8")
        for name, rest in re.findall(r"words(?:\.marked)?\('([\w.]+)'(?! ~)((?:[^()]|\([^()]*\))*)\)", page):
            yield path.name, name, set(re.findall(r", (\w+)=", rest))


def test_every_text_that_is_asked_for_is_there_and_gets_its_values() -> None:
    table, wrong = texts("en").table, []
    asked = list(_calls())
    assert len(asked) > 300
    for where, name, given in asked:
        if name not in table:
            wrong.append(f"{where}: no text {name}")
            continue
        fields = {re.split(r"[.\[:]", field)[0] for _, field, _, _ in string.Formatter().parse(table[name]) if field}
        if given is not None and fields - given:
            wrong.append(f"{where}: {name} lacks {sorted(fields - given)}")
    assert wrong == []


def test_the_files_of_a_language_say_no_text_twice_and_mark_only_what_pages_know() -> None:
    files = sorted((CLIENT / "language/en").glob("*.toml"))
    read = [tomllib.loads(file.read_text("utf-8")) for file in files]  # a name that stands twice cannot be read
    tables = {group: rows for one in read for group, rows in one.items()}
    assert len(tables) == sum(map(len, read)), "a table is in two files"
    marks = {tag for rows in tables.values() for text in rows.values() for tag in re.findall(r"<(\w+)", text)}
    assert marks <= {"b", "strong", "code", "a", "span"}


def test_marks_are_ours_and_values_are_escaped() -> None:
    words = Texts("xx", {"site.x": "<b>{name}</b> walks"})
    assert words.marked("site.x", name="<script>") == "<b>&lt;script&gt;</b> walks"
