"""Draw a synthetic chest X-ray with given signs.

The image is a sum of smooth densities: soft tissue, air in the lungs, heart, spine, ribs. Signs add
or change a density. Exposure, position, build and texture are drawn for each image.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

CXR_SIGNS = (
    "enlarged heart",
    "left mid-zone mass",
    "right pleural effusion",
    "pacemaker",
    "right upper-zone opacity",
    "left pleural effusion",
)

IMAGE_SIZE_PX = 128
_GRID = np.linspace(-1, 1, IMAGE_SIZE_PX, dtype=np.float32)

Plane = Float[np.ndarray, "h w"]


def draw_xray(sign_bits: Sequence[int], generator: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    """Draw one frontal X-ray, grey, air dark, with the patient's right on the left.

    Args:
        sign_bits: 1 for each sign of `CXR_SIGNS` to draw, in that order; a shorter list ends
            in zeros.
        generator: random generator of everything but the signs.
    """
    heart, mass, right_effusion, pacemaker, upper_zone, left_effusion = (
        *sign_bits,
        *[0] * (len(CXR_SIGNS) - len(sign_bits)),
    )
    x, y = _positioned(generator)

    trunk = _inside(
        1 - (np.abs(x) / (0.95 - 0.12 * y * (y < 0))) ** 4 - (np.abs(y + 0.1) / 1.6) ** 6
    )
    shoulders = _inside((y + 1.02 - 0.55 * np.abs(x)) * 6)
    neck = _inside((0.34 - np.abs(x)) * 9)
    body = trunk * np.maximum(shoulders, neck)

    diaphragm = 0.56 + generator.normal(0, 0.02)
    lungs = _lung(x + 0.43, y, diaphragm) + _lung(0.43 - x, y, diaphragm + 0.04)

    width = 0.50 if heart else 0.28
    width *= 1 + generator.normal(0, 0.03)
    cardiac = _ellipse(x - 0.12 - 0.28 * (width - 0.28), y - 0.32, width, 0.33, sharpness=7.0)
    mediastinum = _inside((0.13 + 0.03 * np.sin(5 * y) - np.abs(x)) * 22) * _inside((0.5 - y) * 9)

    density = 0.62 * body - 0.44 * lungs * body
    centre = 1 - (1 - cardiac) * (1 - 0.8 * mediastinum)
    density += 0.38 * centre * _inside((diaphragm + 0.1 - y) * 10)
    density += 0.07 * _inside((0.07 - np.abs(x)) * 40) * body
    density += _ribs(x, y, generator) * body
    density += _vessels(x, y, generator) * lungs

    if upper_zone:
        edge = 0.08 * np.sin(9 * x + generator.uniform(0, 6)) * np.sin(8 * y)
        density += 0.34 * _ellipse(x + 0.43, y + 0.38 + edge, 0.30, 0.26, sharpness=3.0) * lungs
    for effusion, side in ((right_effusion, -1), (left_effusion, 1)):
        if effusion:
            level = 0.15 + generator.normal(0, 0.02) - 0.30 * np.clip(side * x - 0.4, -1, 0.45)
            fluid = _inside((y - level) * 14) * _inside((side * x - 0.12) * 20)
            density += 0.36 * fluid * lungs
    if mass:
        place = generator.normal(0, 0.015, 2)
        density += 0.42 * _ellipse(
            x - 0.47 - place[0], y + 0.16 - place[1], 0.15, 0.15, sharpness=9.0
        )
    if pacemaker:
        density += _pacemaker(x, y)

    return _exposed(density, generator)


def _positioned(generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Return the coordinates of each pixel in the patient's frame, slightly displaced."""
    angle = np.deg2rad(generator.normal(0, 1.5))
    scale = 1 + generator.normal(0, 0.02)
    shift = generator.normal(0, 0.02, 2)
    across, down = np.meshgrid(_GRID, _GRID)
    x = (np.cos(angle) * across + np.sin(angle) * down) * scale + shift[0]
    y = (np.cos(angle) * down - np.sin(angle) * across) * scale + shift[1]
    return x.astype(np.float32), y.astype(np.float32)


def _inside(distance: Plane) -> Plane:
    """Return 0 outside and 1 inside, with a soft edge where `distance` is 0."""
    return 0.5 * (1 + np.tanh(distance))


def _ellipse(x: Plane, y: Plane, width: float, height: float, *, sharpness: float) -> Plane:
    return _inside((1 - np.hypot(x / width, y / height)) * sharpness)


def _lung(outward: Plane, y: Plane, diaphragm: float) -> Plane:
    """Return a lung with its middle at `outward` = 0, a dome below and the apex inwards."""
    middle = outward + 0.10 * np.clip(y + 0.3, -1, 0)
    sides = _inside((1 - (np.abs(middle) / 0.33) ** 2.6 - (np.abs(y + 0.1) / 0.72) ** 3.2) * 6)
    dome = diaphragm - 0.16 + 0.9 * (outward - 0.05) ** 2
    return sides * _inside((dome + 0.06 - y) * 18)


def _ribs(x: Plane, y: Plane, generator: np.random.Generator) -> Plane:
    """Return eight faint pairs of ribs, and the clavicles."""
    contrast = 0.035 * generator.lognormal(0, 0.3)
    phase = generator.uniform(0, 2 * np.pi)
    arcs = np.cos((y + 0.55 * (np.abs(x) - 0.45) ** 2 * np.sign(0.45 - np.abs(x))) * 26 + phase)
    clavicle = np.exp(-(((y + 0.68 + 0.16 * np.abs(x)) / 0.045) ** 2)) * (np.abs(x) > 0.08)
    return contrast * np.clip(arcs, 0, 1) + 0.10 * clavicle


def _vessels(x: Plane, y: Plane, generator: np.random.Generator) -> Plane:
    """Return the texture of vessels, densest around the hila."""
    coarse = generator.normal(0, 1, (IMAGE_SIZE_PX // 4, IMAGE_SIZE_PX // 4)).astype(np.float32)
    mottle = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
    for axis in (0, 1):
        mottle = (mottle + np.roll(mottle, 2, axis) + np.roll(mottle, -2, axis)) / 3
    hilum = np.exp(-(((np.abs(x) - 0.2) / 0.2) ** 2) - ((y - 0.02) / 0.3) ** 2)
    return 0.03 * mottle + hilum * (0.12 + 0.06 * mottle)


def _pacemaker(x: Plane, y: Plane) -> Plane:
    """Return a pacemaker below the left clavicle with its lead to the heart."""
    box = _inside((0.15 - np.maximum(np.abs(x - 0.58), np.abs(y + 0.52) * 1.2)) * 45)
    course = 0.47 - 0.40 * np.sin(np.clip((y + 0.5) * 1.9, 0, np.pi / 2))
    lead = np.exp(-(((x - course) / 0.022) ** 2)) * (y > -0.5) * (y < 0.42)
    return 0.75 * box + 0.22 * lead


def _exposed(density: Plane, generator: np.random.Generator) -> UInt8[np.ndarray, "h w"]:
    gain, offset = generator.normal(1, 0.05), generator.normal(0, 0.015)
    noise = generator.standard_normal((IMAGE_SIZE_PX, IMAGE_SIZE_PX), dtype=np.float32)
    bright = 1 - np.exp(-1.5 * np.clip(gain * density + offset + 0.03, 0, None))
    return np.clip(255 * (1.15 * bright + 0.012 * noise), 0, 255).astype(np.uint8)
