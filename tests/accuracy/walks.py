"""Events of markers where no force plate is: the same people on a belt, simulated turns, each method by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.accuracy.laboratory import PLATES, TREADMILL, at_rate, paths
from tests.accuracy.tables import EVENT_COLUMNS, cell, table
from tests.unit.events_fixtures import KINDS, agreement, on_a_belt, recorded, with_a_turn

from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.events.choice import METHODS, detect_all
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.validation.agreement import EventAgreement, compare_events
from gaitkeeper_client.validation.reference import Reference
from gaitkeeper_client.validation.sources import own_reference
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.simulation.patient import DISORDERS

Walks = list[tuple[JointTrajectories, Reference]]
ON_THE_SPOT_S = 1.7
"""Somebody who walks on the spot is known as such from so long a clip on."""
SEEDS = (4, 8, 15)


def methods() -> str:
    """Every method on the same force plates: over ground, at 30 Hz, and with the walk's own speed taken off."""
    ground = list(with_plates(PLATES))
    sets = {
        "over ground": ground,
        "the same at 30 Hz": [(at_rate(walk, 30.0), reference) for walk, reference in ground],
        "the same on the spot": [
            (on_a_belt(walk), reference) for walk, reference in ground if walk.time_s[-1] > ON_THE_SPOT_S
        ],
        "a treadmill": list(with_plates(TREADMILL)),
    }
    text = "## Event methods of markers against force plates\n\n"
    text += "On the spot: the mean velocity of the pelvis is taken off, as if the same people walked on a belt. "
    text += "The\ntreadmill is one person's.\n\n"
    rows = []
    for title, walks in sets.items():
        for name in METHODS:
            total = dict.fromkeys(KINDS, EventAgreement())
            for walk, reference in walks:
                found = _found(walk, name)
                for kind in KINDS:
                    total[kind] += compare_events(found, reference.events, reference.spans, kind)
            rows += [[title, name, kind, *_cells(total[kind])] for kind in KINDS]
    return text + table(("walks", "method", "event", *EVENT_COLUMNS), rows)


def with_plates(
    patterns: tuple[str, ...], options: ReadOptions = NOTHING_SAID
) -> Iterator[tuple[JointTrajectories, Reference]]:
    """The recordings whose own force plates say when a foot came down or off."""
    for path in paths(*patterns):
        walk = read_walk(path, options)
        try:
            reference = own_reference(path, walk)
        except GaitkeeperError:
            continue
        if reference.source == "force plates":
            yield walk.trajectories, reference


def simulated() -> str:
    """Simulated markers of every disorder: straight, on a belt, and amid turns; each with 1 mm of noise."""
    text = "## Simulated markers, every disorder\n\n"
    text += f"{len(SEEDS)} walkers of each of {len(DISORDERS)} disorders, 6 s at 100 Hz, 1 mm of noise, "
    text += "straight paths bent for the turns (planted feet stay planted; a real turn is less orderly).\n\n"
    rows = []
    ways: dict[str, Callable[[JointTrajectories], JointTrajectories]] = {
        "straight": lambda walk: walk,
        "on a belt": on_a_belt,
    }
    for title, change in ways.items():
        for disorder in DISORDERS:
            total = dict.fromkeys(KINDS, EventAgreement())
            for seed in SEEDS:
                walk, truth = recorded(disorder, seed)
                add(total, agreement(_found(change(walk)), truth))
            rows += [[title, disorder, kind, *_cells(total[kind])] for kind in KINDS]
    for degrees, radius in ((180.0, 0.5), (90.0, 0.6)):
        total = dict.fromkeys(KINDS, EventAgreement())
        for disorder in DISORDERS:
            for seed in SEEDS:
                walk, truth = recorded(disorder, seed)
                bent, spans = with_a_turn(walk, degrees, radius)
                add(total, agreement(_found(bent), truth, spans))
        rows += [[f"amid a turn of {degrees:g} deg", "all", kind, *_cells(total[kind])] for kind in KINDS]
    return text + table(("path", "walkers", "event", *EVENT_COLUMNS), rows)


def add(total: dict[EventType, EventAgreement], one: dict[EventType, EventAgreement]) -> None:
    """Sum both kinds of events."""
    for kind in one:
        total[kind] += one[kind]


def _found(walk: JointTrajectories, method: str = "consensus") -> tuple[GaitEvent, ...]:
    tracks = clean(walk).tracks
    return detect_all(METHODS[method](tracks), find_bouts(tracks))


def _cells(one: EventAgreement) -> list[str]:
    row = one.to_json()
    return [cell(row[key]) for key in EVENT_COLUMNS]
