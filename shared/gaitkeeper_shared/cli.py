"""The ``gaitkeeper`` command: finds its sub-commands, turns catalogue errors into plain words and an exit status."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Annotated

import click
import typer
import typer.core
import typer.main

from gaitkeeper_shared import __version__
from gaitkeeper_shared.accounts import name_or_number
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.proxies import settle_proxies
from gaitkeeper_shared.system_libraries import missing_library

QUIET_ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "GLOG_minloglevel": "2",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Nothing phones home: set before any library that reads them is imported, and inherited by every process we start."""

_EXTRA_OF_PACKAGE = {"gaitkeeper_client": ("client", "mediapipe"), "gaitkeeper_server": ("server", "mlflow")}
"""By our package: the extra that installs what it needs, and a module by which to tell that the extra is there."""


def quiet_environment() -> None:
    """Switch off the telemetry of every library, unless the operator set a variable himself; settle on one proxy."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    settle_proxies()


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"gaitkeeper {__version__}")
        raise typer.Exit


def _command_of_missing_extra(name: str, extra: str) -> click.Command:
    def explain() -> None:
        raise GaitkeeperError("extra-missing", command=name, extra=extra)

    # Accepts anything, so that the explanation comes instead of a complaint about options.
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return click.Command(name, callback=explain, hidden=True, context_settings=settings)


def load_command(entry: EntryPoint) -> click.Command:
    """The command behind an entry point; one that explains itself where its package is not installed."""
    extra, module = _EXTRA_OF_PACKAGE.get(entry.module.split(".")[0], ("", ""))
    if module and find_spec(module) is None:
        return _command_of_missing_extra(entry.name, extra)
    command = typer.main.get_command(entry.load())
    command.name = entry.name
    return command


class _InstalledCommands(typer.core.TyperGroup):
    """Sub-commands from entry points, loaded when they are asked for: one side's start never pays for the other's."""

    @staticmethod
    def _entries() -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="gaitkeeper.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries().get(cmd_name)
        return None if entry is None else load_command(entry)


def build_command() -> click.Command:
    """The root command with every installed sub-command, in alphabetical order."""
    app = typer.Typer(
        name="gaitkeeper",
        cls=_InstalledCommands,
        help="Federated gait analysis for clinics: the videos stay, the model travels.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    return typer.main.get_command(app)


def report(error: GaitkeeperError) -> None:
    """Print a catalogue error as IT reads it: what, why, what to do, and the code to search for."""
    click.secho(f"Error [{error.code}]: ", fg="red", bold=True, err=True, nl=False)
    click.echo(error.message, err=True)
    if error.remedy:
        click.echo(f"  What to do: {error.remedy}", err=True)


def main() -> None:
    """Entry point of the console script."""
    quiet_environment()
    if not sys.warnoptions:
        # What libraries say to their developers is no help to an operator; python -W shows it again.
        warnings.simplefilter("ignore")
    try:
        build_command()(prog_name="gaitkeeper")
    except GaitkeeperError as error:
        report(error)
        sys.exit(error.exit_status)
    except PermissionError as error:
        user = name_or_number(os.geteuid())
        denied = GaitkeeperError("permission-denied", user=user, path=error.filename, detail=error.strerror)
        report(denied)
        sys.exit(denied.exit_status)
    except (ImportError, OSError) as error:
        if (missing := missing_library(error)) is None:
            raise
        report(missing)
        sys.exit(missing.exit_status)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
