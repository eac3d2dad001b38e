"""The pages' commands are commands: each line of a code block that calls gaitkeeper parses as the program would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import click
import pytest
from test_docs_links import PAGES

from gaitkeeper_shared.cli import build_command


@cache
def commands() -> dict[str, click.Command]:
    """Every command group of the program by its name."""
    program = build_command()
    assert isinstance(program, click.Group)
    context = click.Context(program)
    found = {name: program.get_command(context, name) for name in program.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def code_lines(page: Path) -> Iterator[str]:
    """Lines of a page's code blocks; a line that ends in a backslash goes on in the next."""
    inside, held = False, ""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            held += line.removesuffix("\\")
            if not line.endswith("\\"):
                yield held
                held = ""


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each ``gaitkeeper`` that a shell would start for this line."""
    without_choices = re.sub(r"\[[^\]]*\]", "", line)  # [--option VALUE]: may be left out
    words = shlex.shlex(without_choices, posix=True, punctuation_chars="&|;<>")
    words.whitespace_split = True
    try:
        found = list(words)
    except ValueError:  # a quotation mark of prose or of another language
        return
    while found:
        end = next((number for number, word in enumerate(found) if set(word) <= set("&|;<>")), len(found))
        call, found = found[:end], found[end + 1 :]
        if call[:1] == ["sudo"]:  # sudo -H -u USER COMMAND
            call = call[call.index("-u") + 2 :]
        if call and call[0].rpartition("/")[2] == "gaitkeeper":
            yield call[1:]


def parse(command: click.Command, arguments: Sequence[str], name: str) -> None:
    """Raise a ``click.UsageError`` where the program would; no value is looked at, nothing is run."""
    context = click.Context(command, info_name=name)
    values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    given = {key for key, value in values.items() if isinstance(value, (str, list, tuple)) and value}
    missing = [item.name for item in command.params if item.required and item.name not in given]
    if missing:
        raise click.UsageError(f"{name}: {missing} is missing")
    if isinstance(command, click.Group):
        if rest:
            below = command.get_command(context, rest[0])
            if below is None:
                raise click.UsageError(f"{name} has no command {rest[0]}")
            parse(below, rest[1:], f"{name} {rest[0]}")
    elif rest:
        raise click.UsageError(f"{name}: {rest} is too much")


def wrong(lines: Iterator[str]) -> list[str]:
    found = []
    for line in lines:
        for arguments in calls(line):
            try:
                if arguments[0] != "--help":
                    parse(commands()[arguments[0]], arguments[1:], arguments[0])
            except KeyError:
                found.append(f"no command {arguments[0]}")
            except click.UsageError as error:
                found.append(f"{' '.join(arguments)}: {error.message}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_parse(page: Path) -> None:
    assert wrong(code_lines(page)) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gaitkeeper sight start", "no command sight"),
        ("sudo -u x /opt/gaitkeeper/bin/gaitkeeper site start --hom /srv", "No such option"),
        ("true && gaitkeeper coordinator invite", "['site'] is missing"),
        ("gaitkeeper site verify now", "['now'] is too much"),
    ],
)
def test_a_command_that_is_none_is_found(line: str, says: str) -> None:
    (found,) = wrong(iter([line]))
    assert says in found
