"""How a synthetic patient looks: colours of skin, hair and clothes, drawn from the patient's seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaitkeeper_shared.simulation.patient import SyntheticPatient

Colour = tuple[float, float, float]
"""Blue, green, red, 0..255, as OpenCV has it."""

_SKINS: tuple[Colour, ...] = ((150, 178, 224), (128, 160, 212), (100, 136, 190), (70, 100, 150), (52, 74, 112))
_HAIRS: tuple[Colour, ...] = ((28, 30, 36), (34, 48, 70), (46, 74, 104), (60, 104, 146), (152, 156, 160))
_SHIRTS: tuple[Colour, ...] = (
    (176, 196, 206),
    (60, 66, 178),
    (84, 146, 92),
    (178, 122, 62),
    (70, 158, 208),
    (190, 190, 190),
)
_TROUSERS: tuple[Colour, ...] = ((150, 104, 70), (118, 116, 116), (104, 128, 150), (140, 96, 96), (96, 128, 112))
_SHOES: tuple[Colour, ...] = ((206, 206, 210), (40, 40, 44), (50, 60, 120))


@dataclass(frozen=True, slots=True)
class Appearance:
    """Colours, and the body's height and girth (1 = average), which scale the drawn radii."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    height_m: float
    girth: float
    long_hair: bool


def appearance_of(patient: SyntheticPatient) -> Appearance:
    """The patient's looks; the same patient always looks the same."""
    random = np.random.default_rng([patient.seed, 23])

    def one_of(colours: tuple[Colour, ...]) -> Colour:
        return colours[int(random.integers(len(colours)))]

    grey = patient.age > 62 and random.random() < 0.7
    return Appearance(
        skin=one_of(_SKINS),
        hair=_HAIRS[-1] if grey else one_of(_HAIRS[:-1]),
        shirt=one_of(_SHIRTS),
        trousers=one_of(_TROUSERS),
        shoes=one_of(_SHOES),
        height_m=patient.height_m,
        girth=float(np.clip(random.normal(1.0, 0.06), 0.88, 1.15)),
        long_hair=patient.sex == "female" and random.random() < 0.7,
    )
