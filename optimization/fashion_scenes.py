"""Scenes for segmentation: garments of Fashion-MNIST, tinted, scaled and placed on textured backgrounds.

A scene is an RGB picture, float32 [size, size, 3] in 0..1, with a class for each pixel, uint8 [size, size]: 0 background,
1..5 the kinds of garment in the order of LABELS.
"""

import gzip
import pathlib

import numpy as np

LABELS = ["background", "top", "trousers", "dress", "shoe", "bag"]
# Fashion-MNIST's ten classes (t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot), by shape.
GROUPS = np.array([1, 2, 1, 3, 1, 4, 1, 4, 5, 4], np.uint8)
# Debian's package dataset-fashion-mnist; MIT.
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
INK = 0.08  # Garment pixels darker than this count as background.


def load(part):
    """Garments of `part` ("train" or "t10k"): float32 [N, 28, 28] in 0..1 and uint8 [N] classes 1..5."""
    with gzip.open(DATA / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(DATA / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32) / 255.0, GROUPS[labels]


def background(random, size):
    """A slow colour gradient with waves and noise."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    corners = random.uniform(0.05, 0.95, (4, 3)).astype(np.float32)
    picture = (corners[0] * ((1 - x) * (1 - y))[..., None] + corners[1] * (x * (1 - y))[..., None] +
               corners[2] * ((1 - x) * y)[..., None] + corners[3] * (x * y)[..., None])
    waves = np.sin(2 * np.pi * (random.uniform(-6, 6) * x + random.uniform(-6, 6) * y + random.uniform()))
    picture += random.uniform(0, 0.12) * waves[..., None]
    return picture + random.normal(0, 0.02, picture.shape).astype(np.float32)


def enlarge(garment, side):
    """Bilinear, without a dependency."""
    at = (np.arange(side) + 0.5) * 28 / side - 0.5
    low = np.clip(np.floor(at).astype(int), 0, 26)
    part = np.clip(at - low, 0, 1).astype(np.float32)
    rows = garment[low] * (1 - part)[:, None] + garment[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def scene(random, garments, labels, size):
    """One scene and its classes; later garments cover earlier ones."""
    picture = background(random, size)
    classes = np.zeros((size, size), np.uint8)
    for _ in range(random.integers(1, 2 + size // 32)):
        index = random.integers(len(garments))
        side = int(random.integers(26, 54))
        garment = enlarge(garments[index], side)
        top, left = random.integers(-side // 4, size - 3 * side // 4, 2)
        rows = slice(max(top, 0), min(top + side, size))
        columns = slice(max(left, 0), min(left + side, size))
        cut = garment[rows.start - top:rows.stop - top, columns.start - left:columns.stop - left]
        ink = cut > INK
        tint = random.uniform(0.35, 1.0, 3).astype(np.float32)
        shade = (0.15 + 0.85 * cut)[..., None] * tint
        picture[rows, columns] = np.where(ink[..., None], shade, picture[rows, columns])
        classes[rows, columns] = np.where(ink, labels[index], classes[rows, columns])
    return np.clip(picture, 0, 1).astype(np.float32), classes


def scenes(seed, part, count, size):
    """`count` scenes: float32 [count, size, size, 3], uint8 [count, size, size]. The same seed gives the same scenes."""
    random = np.random.default_rng(seed)
    garments, labels = load(part)
    made = [scene(random, garments, labels, size) for _ in range(count)]
    return np.stack([p for p, _ in made]), np.stack([c for _, c in made])
