"""Legs taken for one another, samples between two readings, gaps and uneven clocks, put in and recovered from."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from gaitkeeper_client.gait.blends import blended, blended_knees, without_blends
from gaitkeeper_client.gait.clean import LONGEST_FILL_S, clean
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.gait.swaps import repair_swaps
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import View, camera_for
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

RATE = 30.0
SECONDS = 7.0
WHOLE = ("hip", "knee", "ankle", "heel", "toe")
PARTS = {"whole leg": WHOLE, "knee and foot": WHOLE[1:], "foot": WHOLE[2:], "knee": ("knee",)}
TELLABLE = 0.05
"""Leg lengths between two points; nearer, an exchange changes nothing."""


@cache
def walk_of(disorder: Disorder, seed: int) -> Walk:
    return Walk(draw_patient("p", disorder, seed), SECONDS)


@cache
def keypoints_of(disorder: Disorder, seed: int = 3, view: View = "side") -> JointTrajectories:
    walk = walk_of(disorder, seed)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), view, "right_to_left")
    return noisy_keypoints(walk, camera, RATE, KeypointNoise())


def pair(part: str) -> list[int]:
    return [JOINT_INDEX[f"{side}_{part}"] for side in SIDES]


def exchange(positions: FloatArray, rows: BoolArray, parts: tuple[str, ...]) -> FloatArray:
    out = positions.copy()
    for part in parts:
        out[np.ix_(rows, pair(part))] = positions[np.ix_(rows, pair(part)[::-1])]
    return out


def random_spells(random: np.random.Generator, count: int, spells: int, longest: int) -> BoolArray:
    rows = np.zeros(count, dtype=np.bool_)
    for _ in range(spells):
        start = int(random.integers(2, count - longest - 2))
        rows[start : start + int(random.integers(1, longest + 1))] = True
    return rows


def judged(positions: FloatArray, part: str) -> BoolArray:
    left, right = (positions[:, column] for column in pair(part))
    leg = float(np.nanmedian(np.linalg.norm(positions[:, 7] - positions[:, 11], axis=1)))
    return np.asarray(np.linalg.norm(left - right, axis=1) > TELLABLE * leg)


@pytest.mark.parametrize("view", ["side", "oblique"])
@pytest.mark.parametrize("exchanged", ["whole leg", "knee and foot", "foot", "knee"])
@pytest.mark.parametrize("seed", [3, 21])
def test_95_percent_of_exchanges_are_put_back(seed: int, exchanged: str, view: View) -> None:
    random = np.random.default_rng(5)
    told = put_back = harmed = untouched = 0
    for disorder in DISORDERS:
        seen = keypoints_of(disorder, seed, view).positions
        rows = random_spells(random, len(seen), spells=6, longest=12)
        repaired, _ = repair_swaps(exchange(seen, rows, PARTS[exchanged]), RATE)
        for part in PARTS[exchanged]:
            if part == "hip":  # in a side view one cannot tell, nor does it matter
                continue
            clear = judged(seen, part)
            right = np.all(np.isclose(repaired[:, pair(part)], seen[:, pair(part)]), axis=(1, 2))
            told += np.count_nonzero(rows & clear)
            put_back += np.count_nonzero(rows & clear & right)
            untouched += np.count_nonzero(~rows & clear)
            harmed += np.count_nonzero(~rows & clear & ~right)
    assert put_back >= 0.95 * told
    assert harmed <= 0.01 * untouched


def test_whole_steps_of_exchanged_legs_are_put_back() -> None:
    """Three spells of up to 1.3 s in 7 s of walking."""
    random = np.random.default_rng(5)
    told = put_back = 0
    for disorder in DISORDERS:
        seen = keypoints_of(disorder, 21).positions
        rows = random_spells(random, len(seen), spells=3, longest=40)
        repaired, _ = repair_swaps(exchange(seen, rows, WHOLE), RATE)
        clear = rows & judged(seen, "ankle")
        right = np.all(np.isclose(repaired[:, pair("ankle")], seen[:, pair("ankle")]), axis=(1, 2))
        told += np.count_nonzero(clear)
        put_back += np.count_nonzero(clear & right)
    assert put_back >= 0.95 * told


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 60.0])
def test_feet_of_a_leg_whose_knee_is_not_seen_for_a_moment_are_put_back(rate_hz: float) -> None:
    walk = walk_of("healthy", 3)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "right_to_left")
    seen = noisy_keypoints(walk, camera, rate_hz, KeypointNoise(gaps_per_s=0.0)).positions
    hidden = np.arange(len(seen)) % round(0.6 * rate_hz) < round(0.15 * rate_hz)
    hidden[[0, 1, -2, -1]] = False
    seen[hidden, pair("knee")[0]] = np.nan
    repaired, touched = repair_swaps(exchange(seen, hidden, WHOLE[2:]), rate_hz)
    rows = np.flatnonzero(hidden & judged(seen, "ankle"))
    right = np.all(np.isclose(repaired[:, pair("ankle")], seen[:, pair("ankle")]), axis=(1, 2))
    assert right[rows].mean() >= 0.95
    assert touched[rows].mean() >= 0.95
    assert not repair_swaps(seen, rate_hz)[1].any(), "nothing is exchanged where nothing was"


@pytest.mark.filterwarnings("error")
def test_skeletons_without_feet_are_repaired_as_well() -> None:
    random = np.random.default_rng(5)
    seen = keypoints_of("parkinsonian").positions.copy()
    seen[:, pair("heel") + pair("toe")] = np.nan
    rows = random_spells(random, len(seen), spells=6, longest=12)
    repaired, _ = repair_swaps(exchange(seen, rows, WHOLE), RATE)
    clear = rows & judged(seen, "ankle")
    right = np.all(np.isclose(repaired[:, pair("ankle")], seen[:, pair("ankle")]), axis=(1, 2))
    assert right[clear].mean() >= 0.95


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_single_exchanged_frames_at_random(share: float) -> None:
    random = np.random.default_rng(6)
    seen = keypoints_of("hemiparetic").positions
    rows = np.asarray(random.random(len(seen)) < share)
    repaired, _ = repair_swaps(exchange(seen, rows, WHOLE), RATE)
    if share > 0.5:  # the reading of most samples is taken as right
        repaired, rows = exchange(repaired, np.ones_like(rows), WHOLE), ~rows
    clear = judged(seen, "ankle")
    right = np.all(np.isclose(repaired[:, pair("ankle")], seen[:, pair("ankle")]), axis=(1, 2))
    assert np.count_nonzero(right & clear) >= 0.95 * np.count_nonzero(clear)


def test_laboratory_markers_keep_their_names() -> None:
    points = walk_of("healthy", 3).trajectories(RATE).positions
    crossed = exchange(points, np.arange(len(points)) % 7 == 0, WHOLE)
    repaired, touched = repair_swaps(crossed, RATE)
    assert np.array_equal(repaired, crossed)
    assert not touched.any()


@pytest.mark.parametrize("rate", [25.0, 30.0, 60.0])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_real_feet_are_not_taken_for_blended_ones(disorder: Disorder, rate: float) -> None:
    walk = walk_of(disorder, 3)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "left_to_right")
    pixels, _ = camera.project(walk.positions(np.arange(int(SECONDS * rate)) / rate))
    assert blended(pixels, rate).mean() < 0.01
    assert blended_knees(pixels, rate).mean() < 0.01


@pytest.mark.parametrize("disorder", DISORDERS)
def test_knees_that_are_blended_beside_feet_that_are_not_are_dropped_alone(disorder: Disorder) -> None:
    seen = keypoints_of(disorder)
    gap = np.subtract(*seen.positions[:, pair("knee"), 0].T)
    rows = [row for row in np.flatnonzero(np.abs(gap) > 0.95 * np.nanmax(np.abs(gap))) if 5 < row < len(gap) - 5][::4]
    broken = seen.positions.copy()
    broken[rows, pair("knee")[0], 0] -= 0.4 * gap[rows]
    assert blended_knees(broken, RATE)[rows].all()
    lost = np.isnan(without_blends(broken, RATE)).any(axis=2) & np.isfinite(without_blends(seen.positions, RATE)).all(
        axis=2
    )
    assert lost[np.ix_(rows, pair("knee"))].all()
    assert not lost[:, pair("ankle")].any()


@pytest.mark.parametrize("rate_hz", [10.0, 25.0])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_two_samples_that_jump_together_are_dropped_and_no_real_movement_is(
    disorder: Disorder, rate_hz: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = walk_of(disorder, 3)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "right_to_left")
    still = noisy_keypoints(walk, camera, rate_hz, KeypointNoise(0.0, 0.0, gaps_per_s=0.0))
    row, heel = int(2.4 * rate_hz), JOINT_INDEX["right_heel"]
    broken = still.positions.copy()
    broken[row : row + 2, heel, 0] += 0.3 * max(1.0, 30.0 / rate_hz) ** 2 * leg_length(broken)
    whole, torn = (clean(dataclasses.replace(still, positions=one)) for one in (still.positions, broken))
    assert torn.filled[row : row + 2, heel].all()
    assert np.nanmax(np.abs(torn.tracks.positions - whole.tracks.positions)) < 0.2 * leg_length(broken)
    monkeypatch.setattr("gaitkeeper_client.gait.clean.PAIR_JUMP", np.inf)
    np.testing.assert_array_equal(whole.filled, clean(still).filled)


def test_a_sample_between_two_readings_is_dropped_and_filled() -> None:
    seen = keypoints_of("healthy")
    ankles = seen.positions[:, pair("ankle"), 0]
    apart = np.abs(ankles[:, 0] - ankles[:, 1])
    widest = [int(i) for i in np.flatnonzero(apart > 0.9 * np.nanmax(apart))][::4]
    broken = seen.positions.copy()
    for row in widest:
        for part in WHOLE[1:]:
            broken[row, pair(part)] = broken[row, pair(part)].mean(axis=0)
    cleaned = clean(dataclasses.replace(seen, positions=broken))
    whole = clean(seen)
    off = np.abs(
        cleaned.tracks.positions[widest][:, pair("ankle"), 0] - whole.tracks.positions[widest][:, pair("ankle"), 0]
    )
    assert off.max() < 0.1 * np.nanmax(apart)
    assert cleaned.filled[widest][:, pair("ankle")].all(), "what was dropped is marked as filled"


@pytest.mark.parametrize("disorder", DISORDERS)
def test_a_sample_between_two_readings_is_told_before_a_swinging_foot_comes_near(disorder: Disorder) -> None:
    """It once carried the feet from one reading to the other; after it they were exchanged until they had passed."""
    seen = keypoints_of(disorder, 19, "oblique")
    apart = np.abs(np.subtract(*seen.positions[:, pair("ankle"), 0].T))
    widest = np.nanpercentile(apart, 95)
    closing = (apart[1:-1] > 0.47 * widest) & (apart[1:-1] < 0.57 * widest) & (apart[2:] < apart[1:-1])
    rows = [row for row in np.flatnonzero(closing) + 1 if apart[row + 1] > 0.45 * widest][:1]
    assert rows
    broken = seen.positions.copy()
    for part in WHOLE[1:]:
        broken[np.ix_(rows, pair(part))] = broken[np.ix_(rows, pair(part))].mean(axis=1, keepdims=True)
    assert blended(broken, RATE)[rows].all()
    whole, torn = (repair_swaps(without_blends(one, RATE), RATE)[0] for one in (seen.positions, broken))
    known = np.isfinite(torn)
    np.testing.assert_array_equal(torn[known], whole[known])


def test_feet_that_leap_once_are_no_sample_between_two_readings() -> None:
    """Together and apart again: one leap alone is somebody found anew, and a gap is none."""
    seen = keypoints_of("healthy")
    apart = np.abs(np.subtract(*seen.positions[:, pair("ankle"), 0].T))
    row = int(np.flatnonzero(apart > 0.5 * np.nanmax(apart))[30])
    for after in (slice(row, None), slice(None, row)):
        once = seen.positions.copy()
        once[after, :] = once[after, :][:, [JOINT_INDEX["left_ankle"]]]
        assert not blended(once, RATE)[row]
    gone = seen.positions.copy()
    gone[row + 1, pair("ankle")] = np.nan
    assert not blended(gone, RATE)[row : row + 3].any()


def test_clear_samples_between_two_blends_are_kept_so_that_no_strike_is_lost() -> None:
    seen, (strike,) = (
        keypoints_of("antalgic"),
        [e for e in walk_truth(walk_of("antalgic", 3)).events if e.type == "foot_strike" and 3.0 < e.time_s < 3.5][:1],
    )
    first = int(np.searchsorted(seen.time_s, strike.time_s)) - 3
    broken = seen.positions.copy()
    for row in (first, first + 3, first + 6, first + 8):
        for part in WHOLE[1:]:
            broken[row, pair(part)] = broken[row, pair(part)].mean(axis=0)
    torn = dataclasses.replace(seen, positions=broken)
    mask = blended(broken, RATE)
    assert mask[[first, first + 3, first + 6]].all(), "so many at once were a gap too long to be filled"
    kept = np.isfinite(without_blends(broken, RATE)[:, pair("ankle")]).all(axis=(1, 2))
    assert kept[[first + 1, first + 2, first + 4, first + 5]].all()
    events = analyse(torn, source={}).events
    same = [e.time_s for e in events if (e.side, e.type) == (strike.side, strike.type)]
    assert min(abs(time - strike.time_s) for time in same) < 0.05


@pytest.mark.parametrize("end", [0, -1])
def test_a_frame_in_which_the_legs_were_not_found_yet_bends_nothing(end: int) -> None:
    seen = keypoints_of("hemiparetic")
    inner = seen.positions[5:-5]
    tracks = dataclasses.replace(
        seen, positions=inner, time_s=seen.time_s[5:-5] - seen.time_s[5], confidence=seen.confidence[5:-5]
    )
    broken = inner.copy()
    broken[end, pair("ankle") + pair("heel"), 0] += 60.0
    true, found = (clean(dataclasses.replace(tracks, positions=one)).tracks.positions for one in (inner, broken))
    near = slice(1, 8) if end == 0 else slice(-8, -1)
    assert np.nanmax(np.abs(found[near][:, pair("heel")] - true[near][:, pair("heel")])) < 2.0


def test_gaps_are_filled_up_to_the_stated_length_and_marked() -> None:
    seen = keypoints_of("ataxic")
    positions = seen.positions.copy()
    short, long = int(LONGEST_FILL_S * RATE), int(LONGEST_FILL_S * RATE) + 4
    knee = JOINT_INDEX["left_knee"]
    positions[60 : 60 + short, knee] = np.nan
    positions[120 : 120 + long, knee] = np.nan
    cleaned = clean(dataclasses.replace(seen, positions=positions))
    assert np.isfinite(cleaned.tracks.positions[60 : 60 + short, knee]).all()
    assert cleaned.filled[60 : 60 + short, knee].all()
    assert np.isnan(cleaned.tracks.positions[121 : 120 + long - 1, knee]).any(axis=1).all()
    assert not cleaned.filled[40:55, knee].any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_clock_that_stutters_is_believed(seed: int) -> None:
    """Variable frame rate: frames dropped and late at random, with their true time stamps."""
    random = np.random.default_rng(seed)
    walk = walk_of("parkinsonian", 3)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", "left_to_right")
    times = np.arange(int(SECONDS * RATE)) / RATE + random.uniform(0.0, 0.012, int(SECONDS * RATE))
    times = times[random.random(times.size) > 0.15]
    pixels, _ = camera.project(walk.positions(times))
    pixels[..., 1] = camera.height - pixels[..., 1]
    tracks = JointTrajectories(times - times[0], pixels, "px", np.ones(pixels.shape[:2]))
    analysis = analyse(tracks, height_m=walk.patient.height_m, source={})
    truth = walk_truth(walk)
    assert analysis.parameters["cadence"].value == pytest.approx(truth.parameters.cadence, rel=0.02)
    strikes = [event for event in analysis.events if event.type == "foot_strike"]
    known = np.array([event.time_s for event in truth.events if event.type == "foot_strike"]) - times[0]
    assert max(float(np.abs(known - strike.time_s).min()) for strike in strikes) < 0.04
