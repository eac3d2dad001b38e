"""The rules that keep the house livable: direction of imports, the error catalogue, a light command."""

from __future__ import annotations

import ast
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaitkeeper_shared.errors import GaitkeeperError, catalogue

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "gaitkeeper_shared": ROOT / "shared/gaitkeeper_shared",
    "gaitkeeper_client": ROOT / "client/gaitkeeper_client",
    "gaitkeeper_server": ROOT / "server/gaitkeeper_server",
}
# From the foundation upwards: a room may use the rooms before it, not those behind it.
CLIENT_ROOMS = (
    ("language",),
    ("capture", "pose", "lab", "gait", "sources"),
    ("vault",),
    ("consortium",),
    ("training", "insight", "validation"),
    ("proof", "explained"),
    ("signing",),
    ("followup",),
    ("exchange",),
    ("agent",),
    ("console",),
    ("cli",),
)
SERVER_ROOMS = (
    ("home", "store_file", "open_files"),
    ("store",),
    ("persons",),
    ("enrolment", "registry", "pretraining"),
    ("rounds", "releases"),
    ("services",),
    ("daemon",),
    ("doctor", "backup"),
    ("cli",),
)


def python_files(package: str) -> Iterator[Path]:
    return (path for path in PACKAGES[package].rglob("*.py") if "/rpc/gaitkeeper/" not in path.as_posix())


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from package import room` imports a room too
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("gaitkeeper_shared", ("gaitkeeper_client", "gaitkeeper_server")),
        ("gaitkeeper_client", ("gaitkeeper_server",)),
        ("gaitkeeper_server", ("gaitkeeper_client",)),
    ],
)
def test_arrows_point_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(package)
        for module in imported_modules(path)
        if module.split(".")[0] in forbidden
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "rows"), [("gaitkeeper_client", CLIENT_ROOMS), ("gaitkeeper_server", SERVER_ROOMS)]
)
def test_rooms_use_only_rooms_before_them(package: str, rows: tuple[tuple[str, ...], ...]) -> None:
    height = {room: row for row, rooms in enumerate(rows) for room in rooms}
    wrong = []
    for path in python_files(package):
        room = path.relative_to(PACKAGES[package]).with_suffix("").parts[0]
        if room == "__init__":
            continue
        assert room in height, f"{room} of {package} has no place in the order of rooms"
        for module in imported_modules(path):
            parts = module.split(".")
            if parts[0] == package and len(parts) > 1 and height.get(parts[1], 0) > height[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def raised_errors() -> Iterator[tuple[Path, ast.Call]]:
    for package in PACKAGES:
        for path in python_files(package):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "id", getattr(node.func, "attr", "")) == "GaitkeeperError"
                ):
                    yield path, node


def test_every_raised_error_is_in_the_catalogue_with_its_values() -> None:
    entries, wrong = catalogue(), []
    for path, call in raised_errors():
        if not (call.args and isinstance(call.args[0], ast.Constant)):
            continue  # the code is computed: the caller's own tests cover it
        code = call.args[0].value
        if code not in entries:
            wrong.append(f"{path.name}:{call.lineno}: unknown code {code}")
            continue
        given = {keyword.arg for keyword in call.keywords}
        if None in given:
            continue  # **values
        text = entries[code].message + entries[code].remedy
        needed = {re.split(r"[.\[]", name)[0] for _, name, _, _ in string.Formatter().parse(text) if name}
        wrong += [f"{path.name}:{call.lineno}: {code} lacks {name}" for name in needed - given]
    assert wrong == []


def test_catalogue_entries_say_what_and_what_to_do() -> None:
    for entry in catalogue().values():
        assert entry.message.rstrip().endswith((".", ":", "}")), entry.code
        assert entry.remedy.strip(), entry.code
        assert entry.exit_status in {2, 3, 4}, entry.code


def test_catalogue_errors_survive_a_process_pool() -> None:
    import pickle

    error = GaitkeeperError("study-missing-key", key="name")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, str(copy), copy.exit_status) == (error.code, str(error), 2)


def test_no_dangerous_constructs() -> None:
    wrong = []
    for package in PACKAGES:
        for path in python_files(package):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    shell = any(k.arg == "shell" and getattr(k.value, "value", None) is True for k in node.keywords)
                    if (isinstance(node.func, ast.Name) and name in {"eval", "exec"}) or shell:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
            if {"pickle", "dill", "cloudpickle", "joblib", "marshal"} & imported_modules(path):
                wrong.append(f"{path.relative_to(ROOT)}: pickle")
    assert wrong == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["site", "--help"], ["coordinator", "--help"], ["analyze", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["gaitkeeper", *{arguments!r}]
from gaitkeeper_shared.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {{"torch", "mlflow", "flwr", "cv2", "mediapipe", "opacus", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
