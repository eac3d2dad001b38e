"""What each side installs: enough for its own code, and nothing of the other side's."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_house_rules import PACKAGES, imported_modules, python_files

OWN = set(PACKAGES)
DRAWING = {"cv2"}
"""Needed by ``gaitkeeper simulate`` alone, which says so where it is missing."""


@cache
def installed_with(name: str, extras: frozenset[str]) -> frozenset[str]:
    """Names of all distributions that ``pip install name[extras]`` brings, by the metadata found here."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        try:
            lines = requires(item[0]) or []
        except PackageNotFoundError:
            continue  # for another platform
        found.add(canonicalize_name(item[0]))
        for line in lines:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (item[1] or {""})):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return frozenset(found)


def test_a_clinic_installs_no_mlflow_and_a_coordinator_no_mediapipe() -> None:
    clinic = installed_with("gaitkeeper", frozenset({"client"}))
    coordinator = installed_with("gaitkeeper", frozenset({"server"}))

    assert {"mediapipe", "torch", "flwr", "opacus"} <= clinic
    assert {"mlflow", "torch", "flwr"} <= coordinator
    assert not {"mlflow", "mlflow-skinny", "ray"} & clinic
    assert not {"mediapipe", "opencv-contrib-python", "captum", "ray"} & coordinator


@pytest.mark.parametrize(
    ("package", "extra", "elsewhere"),
    [
        ("gaitkeeper_client", "client", set()),
        ("gaitkeeper_server", "server", {"ray"}),
        ("gaitkeeper_shared", "client", set()),
        ("gaitkeeper_shared", "server", DRAWING),
    ],
)
def test_everything_that_is_imported_is_declared(package: str, extra: str, elsewhere: set[str]) -> None:
    declared = installed_with("gaitkeeper", frozenset({extra}))
    providers = packages_distributions()
    wrong = []
    for path in python_files(package):
        for top in {module.split(".")[0] for module in imported_modules(path)} - OWN - elsewhere - {""}:
            if top in sys.stdlib_module_names:
                continue
            if not {canonicalize_name(name) for name in providers.get(top, [])} & declared:
                wrong.append(f"{path.name} imports {top}")
    assert wrong == []
