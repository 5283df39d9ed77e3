from pathlib import Path

import pytest

from hcml.training.journal import Journal, read_journal


def test_lines_behind_the_checkpoint_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    with Journal(path, 0) as journal:
        for step in (2, 4, 6):
            journal.write({"step": step, "loss": step / 10})
    with path.open("a") as file:
        file.write('{"step": 8, "lo')  # killed in the middle of a line
    with Journal(path, 4) as journal:
        journal.write({"step": 6, "loss": 0.7})
        journal.sync()
    assert read_journal(path) == [
        {"step": 2, "loss": 0.2},
        {"step": 4, "loss": 0.4},
        {"step": 6, "loss": 0.7},
    ]


def test_a_fresh_start_begins_an_empty_record(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\nnot json\n')
    with Journal(path, 0):
        assert path.read_text() == ""


def test_each_line_is_on_file_at_once_and_numbers_are_finite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path, 0) as journal:
        journal.write({"step": 1})
        assert read_journal(path) == [{"step": 1}]
        with pytest.raises(ValueError):
            journal.write({"step": 2, "loss": float("nan")})
