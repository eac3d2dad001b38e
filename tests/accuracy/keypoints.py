"""Event methods on keypoints of a picture: ours, the coordinate method, and gaitkit's own detectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.accuracy.gaitkit_2d import DETECTORS, gaitkit_events
from tests.accuracy.laboratory import PLATES, TREADMILL
from tests.accuracy.seen import SIZE, seen_from_the_side
from tests.accuracy.tables import DATA, cell, table
from tests.accuracy.walks import ON_THE_SPOT_S, SEEDS, add, with_plates
from tests.unit.events_fixtures import KINDS, SECONDS, on_a_belt, recorded, without_feet

from gaitkeeper_client.gait.events.zeni import Zeni
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.validation.agreement import EventAgreement, compare_events
from gaitkeeper_client.validation.reference import Reference, spans_of_labels
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.simulation.keypoints import KeypointNoise
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder

RATES_HZ = (25.0, 30.0, 60.0)
USUAL_HZ = 30.0
CHILDREN = ("c3d/biomechzoo-children/*/Straight/*.c3d",)
BIG_TOES = ReadOptions(mapping={"left_toe": ("LHLX",), "right_toe": ("RHLX",)})
"""Laboratories set the foot's front marker on the heads of the metatarsals, which rise before the toes do; pose
networks mark the big toe. These walks have a marker there, too."""
NOISES = 3
"""Each laboratory walk is seen so often, each time with other noise: there are few contacts on plates."""
Method = Callable[[JointTrajectories], tuple[GaitEvent, ...]]
OURS = "ours"
METHODS: dict[str, Method] = {
    OURS: lambda seen: analyse(seen, source={}).events,
    "ours, no feet": lambda seen: analyse(without_feet(seen), source={}).events,
    "zeni": lambda seen: analyse(seen, source={}, method=Zeni()).events,
    **{f"gaitkit {name}": partial(gaitkit_events, name) for name in DETECTORS},
}
ONE_KIND = ("n, found, false", "f1_50ms", "bias_ms", "mae_ms", "p95_ms")
COLUMNS = ("Hz", "method", "silent", *(f"{kind}: {one}" for kind in ("strikes", "offs") for one in ONE_KIND))


@dataclass(frozen=True, slots=True)
class Case:
    """A walk in space that is to be seen, and when its feet came down and off."""

    walk: JointTrajectories
    truth: Reference


@dataclass(slots=True)
class Score:
    """Of one method on some walks. ``silent``: walks in which it found nothing at all, of ``walks``."""

    events: dict[EventType, EventAgreement] = field(default_factory=lambda: dict.fromkeys(KINDS, EventAgreement()))
    walks: int = 0
    silent: int = 0

    def __add__(self, other: Score) -> Score:
        total = Score(dict(self.events), self.walks + other.walks, self.silent + other.silent)
        add(total.events, other.events)
        return total

    def of(self, kind: EventType) -> tuple[float, float]:
        """F1 and the mean size of the errors; no event at all is infinitely wrong."""
        row = self.events[kind].to_json()
        f1, mae = row["f1_50ms"], row["mae_ms"]
        return f1 if isinstance(f1, float) else 0.0, mae if isinstance(mae, float) else float("inf")


Scores = Mapping[str, Score]


def keypoints() -> str:
    """The tables. Takes five minutes."""
    disorders = {disorder: list(of_simulation(disorder)) for disorder in DISORDERS}
    spot = {disorder: on_the_spot(cases) for disorder, cases in disorders.items()}
    straight = {rate: {one: measured(cases, rate) for one, cases in disorders.items()} for rate in RATES_HZ}
    on_belt = {rate: {one: measured(cases, rate) for one, cases in spot.items()} for rate in RATES_HZ}
    sets: dict[str, dict[float, Scores]] = {}
    if DATA.is_dir():
        ground, belt = of_laboratories(PLATES), of_laboratories(TREADMILL)
        sets |= {
            "over ground, force plates, the big toe's marker as the tip of the foot (children)": {
                rate: measured(of_laboratories(CHILDREN, BIG_TOES), rate, NOISES) for rate in RATES_HZ
            },
            "over ground, force plates": {rate: measured(ground, rate, NOISES) for rate in RATES_HZ},
            "the same on the spot": {rate: measured(on_the_spot(ground), rate, NOISES) for rate in RATES_HZ},
            "a treadmill, force plates": {rate: measured(belt, rate, NOISES) for rate in RATES_HZ},
        }
    sets |= {
        "simulated, every disorder": {rate: joined(scores) for rate, scores in straight.items()},
        "simulated, on the spot": {rate: joined(scores) for rate, scores in on_belt.items()},
    }
    ways = {"straight": straight[USUAL_HZ], "on the spot": on_belt[USUAL_HZ]}
    parts = [_head()]
    parts += [f"{title[0].upper()}{title[1:]}:\n\n" + _full(scores) for title, scores in sets.items()]
    parts += [_by_disorder(way, scores) for way, scores in ways.items()]
    every = {f"{title}, {rate:g} Hz": scores for title, rates in sets.items() for rate, scores in rates.items()}
    for way, scores in ways.items():
        every |= {f"simulated, {one}, {way}, {USUAL_HZ:g} Hz": score for one, score in scores.items()}
    return "\n".join([*parts, _beaten(every)])


def _head() -> str:
    noise, size = KeypointNoise(), f"{SIZE[0]}x{SIZE[1]}"
    return (
        "## Event methods on keypoints of a picture\n\n"
        "The walks of the tables of markers as a camera at their side sees them, from right to left in a picture of "
        f"{size}, with what\npose networks err by: jitter of {100 * noise.jitter:g} %, new in each frame, and slow "
        f"drift of {100 * noise.drift:g} % of the body's height on each coordinate,\n{noise.far_factor:g} times as "
        f"much for the leg behind, and {noise.gaps_per_s:g} gaps of {noise.gap_s:g} s a second. Each walk over force "
        f"plates is seen {NOISES} times, with\nother noise. On the spot: its mean speed taken off. The treadmill is "
        f"one slow person's. Simulated: {len(SEEDS)} walkers of each disorder,\n{SECONDS:g} s. Silent: walks in which "
        "a method found nothing; ours refuses somebody who walks on the spot for less than about\n"
        f"{ON_THE_SPOT_S:g} s in view.\n\n"
        "ours: what the analysis does with points of a picture (contact-3); no feet: with the same but heels and "
        "tips\nof feet, as of COCO's skeletons (contact-of-ankles-1); zeni: the coordinate method alone. "
        "gaitkit: its detectors,\ncalled directly with column, 0 and height, as its own reader of OpenPose gives them, "
        "gaps filled. `bike` is its current one,\n`bayesian_bis` the one before. IntellEvent learned from markers in "
        "space, and has a constant for its third coordinate here: it is\nnot made for this. None of gaitkit's takes "
        "fewer than 30 frames; `deepevent` needs a library that is not installed.\n\n"
        "The front marker of a laboratory's foot lies on the metatarsals, which rise before the toes: an off that is "
        "right for the big toe,\nwhich pose networks mark, comes early there. Of the children, whose big toes "
        "have a marker, the first table is with that.\n\n"
        "A turn goes out of the picture's plane, so that no turn is here: those are in the tables of markers.\n"
    )


def of_laboratories(patterns: tuple[str, ...], options: ReadOptions = NOTHING_SAID) -> list[Case]:
    """Walks of the development data whose own force plates tell the truth."""
    return [Case(walk, reference) for walk, reference in with_plates(patterns, options)]


def of_simulation(disorder: Disorder) -> Iterator[Case]:
    """Simulated walks, without the markers' noise: that of the keypoints comes on top."""
    for seed in SEEDS:
        walk, events = recorded(disorder, seed, noise_m=0.0)
        yield Case(walk, Reference("truth of the simulation", events, spans_of_labels(events)))


def on_the_spot(cases: Sequence[Case]) -> list[Case]:
    """The same walks with their speed taken off, where they are long enough."""
    return [Case(on_a_belt(case.walk), case.truth) for case in cases if case.walk.time_s[-1] > ON_THE_SPOT_S]


def measured(cases: Sequence[Case], rate_hz: float, noises: int = 1) -> dict[str, Score]:
    """Every method on every case."""
    scores = {name: Score() for name in METHODS}
    for place, case in enumerate(cases):
        for number in range(noises):
            seen = seen_from_the_side(case.walk, rate_hz, NOISES * place + number)
            for name, method in METHODS.items():
                found = method(seen)
                events = {kind: compare_events(found, case.truth.events, case.truth.spans, kind) for kind in KINDS}
                scores[name] += Score(events, 1, int(not found))
    return scores


def joined(parts: Mapping[Disorder, Scores]) -> dict[str, Score]:
    """All disorders together."""
    return {name: sum((scores[name] for scores in parts.values()), Score()) for name in METHODS}


def _full(rates: Mapping[float, Scores]) -> str:
    rows = []
    for rate, scores in rates.items():
        for name, score in scores.items():
            row = [cell(rate), name, f"{score.silent} of {score.walks}"]
            for kind in KINDS:
                one = score.events[kind].to_json()
                row += [f"{one['n']}, {one['found']}, {one['false']}", *(cell(one[key]) for key in ONE_KIND[1:])]
            rows.append(row)
    return table(COLUMNS, rows)


def _by_disorder(way: str, parts: Mapping[Disorder, Scores]) -> str:
    rows = [[name, *(_pair(scores[name], kind) for scores in parts.values() for kind in KINDS)] for name in METHODS]
    heads = [f"{disorder}: {kind}" for disorder in parts for kind in ("strikes", "offs")]
    return f"Each disorder, {way}, {USUAL_HZ:g} Hz: F1 at 50 ms, mean error in ms.\n\n" + table(
        ("method", *heads), rows
    )


def _pair(score: Score, kind: EventType, digits: int = 2) -> str:
    f1, mae = score.of(kind)
    return f"{f1:.{digits}f}, " + (f"{mae:.1f}" if mae < float("inf") else "-")


def _beaten(every: Mapping[str, Scores]) -> str:
    """Where a method of gaitkit's is better than ours: fewer are missed, false or far off, or as few and nearer."""
    rows = []
    for title, scores in every.items():
        for kind in KINDS:
            f1, mae = scores[OURS].of(kind)
            for name in METHODS:
                its = scores[name].of(kind)
                if name.startswith("gaitkit") and (its[0] > f1 or (its[0] == f1 and its[1] < mae)):
                    rows.append([title, kind, name, _pair(scores[name], kind, 3), _pair(scores[OURS], kind, 3)])
    counts = Counter((name, kind) for _, kind, name, _, _ in rows)
    told = "; ".join(f"{name} at {kind} in {count}" for (name, kind), count in counts.most_common()) or "nowhere"
    return (
        "A method of gaitkit's is better than ours where its F1 is larger, or where it is the same and the mean error "
        f"smaller. That is so,\nof {len(every)} comparisons for each event: {told}.\n\n"
        + table(("walks", "event", "method", "its F1, error in ms", "ours"), rows)
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write(keypoints())
