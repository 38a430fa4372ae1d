"""Letters over textured backgrounds, 32x32 RGB: 16 classes, rendered by NumPy alone.

The letter to be named is the largest one. It is turned, sheared, scaled and moved; smaller and fainter
letters lie around it, a bar covers a part of it, and noise lies over all. The same seed renders the same
images, so nothing of this is kept in the repository.
"""

import numpy as np

SIZE = 32
FONT = {
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "B": "####. #...# #...# ####. #...# #...# ####.",
    "C": ".#### #.... #.... #.... #.... #.... .####",
    "D": "####. #...# #...# #...# #...# #...# ####.",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "G": ".#### #.... #.... #..## #...# #...# .####",
    "H": "#...# #...# #...# ##### #...# #...# #...#",
    "K": "#...# #..#. #.#.. ##... #.#.. #..#. #...#",
    "M": "#...# ##.## #.#.# #.#.# #...# #...# #...#",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "T": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "X": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
    "Y": "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#..",
}
CLASSES = len(FONT)
# Each letter with an empty margin: (class, 9 rows, 7 columns).
BITMAPS = np.zeros((CLASSES, 9, 7), np.float32)
for k, rows in enumerate(FONT.values()):
    BITMAPS[k, 1:8, 1:6] = [[c == "#" for c in row] for row in rows.split()]
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32) - (SIZE - 1) / 2


def render(count, seed):
    """`count` images (count, 3, 32, 32) uint8 and their classes."""
    rng = np.random.default_rng(seed)
    parts = [batch(rng, min(500, count - at)) for at in range(0, count, 500)]
    return tuple(np.concatenate(part) for part in zip(*parts))


def batch(rng, n):
    label = rng.integers(0, CLASSES, n)
    image = texture(rng, n)
    for _ in range(3):
        where = rng.uniform(8, 17, n), rng.uniform(0, 2 * np.pi, n)
        mask = letter(rng, rng.integers(0, CLASSES, n), rng.uniform(0.9, 1.7, n), *where)
        image = blend(image, mask * rng.uniform(0.2, 0.7, (n, 1, 1)), colour(rng, n))
    mask = letter(rng, label, rng.uniform(2.0, 3.3, n), rng.uniform(0, 3.5, n), rng.uniform(0, 2 * np.pi, n))
    image = blend(image, mask * rng.uniform(0.5, 1.0, (n, 1, 1)), contrasting(rng, image))
    image = blend(image, bar(rng, n), colour(rng, n))
    image = image * rng.uniform(0.6, 1.1, (n, 1, 1, 1)) + rng.uniform(-0.1, 0.1, (n, 1, 1, 1))
    image = image + rng.uniform(0.02, 0.10, (n, 1, 1, 1)) * rng.standard_normal(image.shape)
    return np.clip(255 * image, 0, 255).astype(np.uint8), label.astype(np.int64)


def column(values):
    return np.asarray(values, np.float32)[:, None, None]


def colour(rng, n):
    return rng.uniform(0, 1, (n, 3, 1, 1))


def contrasting(rng, image):
    """A colour for each image that is not its background's: the mean's opposite, varied."""
    mean = image.mean((2, 3), keepdims=True)
    far = np.where(mean.mean(1, keepdims=True) > 0.5, mean - 0.45, mean + 0.45)
    return np.clip(far + rng.uniform(-0.2, 0.2, far.shape), 0, 1)


def blend(image, mask, over):
    return image + mask[:, None] * (over - image)


def texture(rng, n):
    """Two colours that three gratings of any direction mix."""
    mix = np.zeros((n, SIZE, SIZE), np.float32)
    for _ in range(3):
        angle, wave, phase = (column(rng.uniform(lo, hi, n)) for lo, hi in ((0, np.pi), (0.15, 1.1), (0, 6.3)))
        mix += np.sin(wave * (np.cos(angle) * X + np.sin(angle) * Y) + phase) / 3
    first = colour(rng, n)
    second = np.clip(first + rng.uniform(-0.35, 0.35, first.shape), 0, 1)
    return first + (0.5 + 0.5 * mix[:, None]) * (second - first)


def letter(rng, which, scale, distance, angle):
    """How much of each pixel the letters cover, whose dots are `scale` pixels wide."""
    n = len(which)
    turn, shear = column(rng.uniform(-0.6, 0.6, n)), column(rng.uniform(-0.3, 0.3, n))
    x, y = X - column(distance * np.cos(angle)), Y - column(distance * np.sin(angle))
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    u, v = (x + shear * y) / column(scale * rng.uniform(0.8, 1.2, n)) + 3, y / column(scale) + 4
    inside = (u > 0) & (u < 5.99) & (v > 0) & (v < 7.99)
    u, v = np.clip(u, 0, 5.99), np.clip(v, 0, 7.99)
    i, j = v.astype(int), u.astype(int)
    a, b, k = v - i, u - j, which[:, None, None]
    top = (1 - b) * BITMAPS[k, i, j] + b * BITMAPS[k, i, j + 1]
    low = (1 - b) * BITMAPS[k, i + 1, j] + b * BITMAPS[k, i + 1, j + 1]
    return inside * np.clip(2.5 * ((1 - a) * top + a * low) - 0.75, 0, 1)


def bar(rng, n):
    """A strip of any direction, in two of three images."""
    angle, offset, half = (column(rng.uniform(lo, hi, n)) for lo, hi in ((0, np.pi), (-9, 9), (0.7, 2.2)))
    seen = column(rng.uniform(0, 1, n) < 0.67)
    return seen * (np.abs(np.cos(angle) * X + np.sin(angle) * Y - offset) < half)
