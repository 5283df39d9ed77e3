import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.synthmotion.__main__ import main
from benchmarks.synthmotion.render import draw_scene, render
from benchmarks.synthmotion.sheet import GAP, LABEL, STRIDE, contact_sheet
from benchmarks.synthmotion.spec import CLASSES, VERSIONS

ROOT = Path(__file__).resolve().parents[2]
SPEC = VERSIONS["v1"]


def test_a_row_shows_the_frames_of_its_class_and_their_displacement():
    sheet = np.asarray(contact_sheet(SPEC))
    tile = SPEC.size + GAP
    frames = render(draw_scene(SPEC, "train", "left", 0))[::STRIDE]
    row = sheet[tile : tile + SPEC.size]
    for place, frame in enumerate(frames):
        np.testing.assert_array_equal(row[:, LABEL + place * tile :][:, : SPEC.size], frame)
    width = LABEL + tile * (len(frames) + 1)
    assert sheet.shape == (len(CLASSES) // 2 * tile, 2 * width, 3)
    for number, leading in ((CLASSES.index("right"), 0), (CLASSES.index("down"), 1)):  # red is right, greenish is down
        field = sheet[number * tile :][: SPEC.size, width - tile :][:, : SPEC.size].reshape(-1, 3).astype(float)
        moving = field[field.max(axis=1) > 128]
        assert len(moving) and np.argmax(moving.mean(axis=0)) == leading


def test_the_picture_of_the_readme_is_the_benchmark():
    committed = np.asarray(Image.open(ROOT / "docs" / "synthmotion.jpg").convert("RGB"), float)
    assert np.abs(committed - np.asarray(contact_sheet(SPEC), float)).mean() < 4


def test_the_command_writes_a_picture(tmp_path):
    path = tmp_path / "sheet.png"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.synthmotion", "--sheet", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(contact_sheet(SPEC)))


def test_what_cannot_be_drawn_is_an_error(tmp_path, capsys):
    assert main(["--sheet", str(tmp_path / "sheet.txt")]) == 1
    assert main(["--sheet", str(tmp_path / "sheet.png"), "--version", "own"]) == 1
    error = capsys.readouterr().err
    assert "sheet.txt cannot be written" in error and "not 'own'" in error
    assert not list(tmp_path.iterdir())
