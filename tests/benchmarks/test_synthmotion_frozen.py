"""synthmotion-v1 is what was calibrated and run: drawing code that changes it belongs to a v2.

`python tests/benchmarks/test_synthmotion_frozen.py` writes the reference anew, which is right for a new version only.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthmotion.motion import draw_motion
from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.spec import CLASSES, SUBSETS, VERSIONS

REFERENCE = Path(__file__).with_name("synthmotion_v1.npz")
SPEC = VERSIONS["v1"]
FRAMES = (0, 8, 17)
BLOCK = 7
TRAJECTORIES = "7a9f3addd724c31f05e11b4f2aa8d64a7de0ca3c6fdce9466d4d719535cefb38"
"""sha256 of the paths of the first video of every class and subset, in thousandths of a pixel."""


def coarse(subset: str, name: str) -> np.ndarray:
    """Three frames of a class's first video as means over blocks: uint8 [3, 8, 8, 3]."""
    frames = render(draw_scene(SPEC, subset, name, 0))[list(FRAMES)].astype(float)
    blocks = frames.reshape(len(FRAMES), SPEC.size // BLOCK, BLOCK, SPEC.size // BLOCK, BLOCK, 3)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def trajectories() -> str:
    found = hashlib.sha256()
    for subset in SUBSETS:
        for name in CLASSES:
            found.update(np.rint(1000 * draw_motion(SPEC, subset, name, 0).paths).astype("<i4").tobytes())
    return found.hexdigest()


def test_the_specification_is_frozen():
    assert SPEC.content_hash() == "6a89e4346050e779087e995f4fb0f2cf72e707188b2d8bbf383f6c1acae7317b"


def test_the_trajectories_are_frozen():
    assert trajectories() == TRAJECTORIES


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_pixels_are_frozen(subset):
    with np.load(REFERENCE) as reference:
        for name in CLASSES:
            difference = np.abs(coarse(subset, name).astype(int) - reference[f"{subset}-{name}"])
            assert difference.max() <= 1, name


if __name__ == "__main__":
    np.savez_compressed(REFERENCE, **{f"{s}-{n}": coarse(s, n) for s in SUBSETS for n in CLASSES})
    print(trajectories())
