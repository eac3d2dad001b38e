"""The pages point at what is there: links, their headings, and files of the code that are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BASES = (
    ROOT,
    ROOT / "client/gaitkeeper_client",
    ROOT / "server/gaitkeeper_server",
    ROOT / "server/gaitkeeper_server/cli",
    ROOT / "shared/gaitkeeper_shared",
    ROOT / "docs",
    ROOT / "tests/unit",
    ROOT / "tests/integration",
    ROOT / "tests/e2e",
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`([\w./*-]+\.(?:py|toml|proto|service|md))`")
WRITTEN_BY_PEOPLE = {"policy.toml", "site.toml", "study.toml", "coordinator.toml", "de.toml"}
"""Files of an installation (``de.toml``: a language that a clinic adds), not of this repository."""


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(page.read_text("utf-8")):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        there = (page.parent / target) if target else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in _anchors(there)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(NAMED_FILE.findall(page.read_text("utf-8"))) - WRITTEN_BY_PEOPLE
    missing = {name for name in named if not any(any(base.glob(name.removeprefix("./"))) for base in BASES)}
    # a bare name may stand for a file in any room
    assert {name for name in missing if "/" in name or not any(ROOT.glob(f"*/gaitkeeper_*/**/{name}"))} == set()
