import errno
import logging
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from hcml.training import checkpoint
from hcml.training.checkpoint import CheckpointError, DamagedError, differences, load_latest, read_file, save

CONFIG = {"seed": 0, "model": {"levels": 2, "dim": 32}}


def state(value: float) -> dict[str, Any]:
    return {"weights": torch.full((1000,), value), "tally": {"clips": 7, "names": ["a"]}}


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


def test_latest_of_two_kept_is_loaded(tmp_path: Path) -> None:
    assert load_latest(tmp_path, CONFIG) is None
    for step in (3, 6, 12):
        save(tmp_path, step, CONFIG, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006.pt", "step-00000012.pt"]
    loaded = load_latest(tmp_path, CONFIG)
    assert loaded is not None and loaded["step"] == 12
    assert torch.equal(loaded["weights"], torch.full((1000,), 12.0))
    assert loaded["tally"] == {"clips": 7, "names": ["a"]}


def test_files_load_with_plain_torch_and_weights_only(tmp_path: Path) -> None:
    path = save(tmp_path, 1, CONFIG, state(1))
    assert torch.load(path, weights_only=True)["run_config"] == CONFIG


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[: len(b) // 2], lambda b: b"", _flip, lambda b: b"hello", lambda b: b[:-10]],
    ids=["half", "empty", "one bit", "other", "tail"],
)
def test_damaged_newest_falls_back_to_the_one_before(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, CONFIG, state(1))
    newest = save(tmp_path, 2, CONFIG, state(2))
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING):
        loaded = load_latest(tmp_path, CONFIG)
    assert loaded is not None and loaded["step"] == 1
    assert "step-00000002.pt is damaged" in caplog.text


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    save(tmp_path, 1, CONFIG, state(1)).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="all 1 checkpoints in .* are damaged: delete"):
        load_latest(tmp_path, CONFIG)


def test_another_configuration_is_refused_naming_the_keys(tmp_path: Path) -> None:
    save(tmp_path, 1, CONFIG, state(1))
    with pytest.raises(CheckpointError, match=r"model\.levels: checkpoint has 2, this run has 3; seed: .* 0, .* 5"):
        load_latest(tmp_path, {"seed": 5, "model": {"levels": 3, "dim": 32}})


def test_differences_name_absent_keys() -> None:
    assert differences({"a": {"b": 1}}, {"a": {}, "c": 2}) == [
        "a.b: checkpoint has 1, this run has '(absent)'",
        "c: checkpoint has '(absent)', this run has 2",
    ]
    assert differences(CONFIG, dict(CONFIG)) == []


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_is_refused_unread(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, 1, CONFIG, state(1))
    (tmp_path / "step-00000002.pt").write_bytes(pickle.dumps(Code(), protocol))
    with pytest.raises(CheckpointError, match="can run code when loaded: refused"):
        load_latest(tmp_path, CONFIG)
    assert not (tmp_path / "ran").exists()


def test_an_archive_with_code_is_refused_by_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"step": 1, "run_config": CONFIG, "state": Code()}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointError, match=r"system.*could run code when loaded: refused") as caught:
        load_latest(tmp_path, CONFIG)
    assert not isinstance(caught.value, DamagedError)
    assert not (tmp_path / "ran").exists()


def test_foreign_archives_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointError, match="lacks run_config, state, step"):
        load_latest(tmp_path, CONFIG)
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        read_file(tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        read_file(tmp_path / "absent.pt")


def test_full_disk_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, CONFIG, state(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device.*free some space"):
        save(tmp_path, 2, CONFIG, state(2))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]
    loaded = load_latest(tmp_path, CONFIG)
    assert loaded is not None and loaded["step"] == 1


def test_a_write_that_really_fails_leaves_the_previous_one(tmp_path: Path) -> None:
    """The kernel itself refuses to let the file grow, in the middle of torch's own writing."""
    script = """
        import resource, signal, sys, pathlib, torch
        from hcml.training.checkpoint import CheckpointError, load_latest, save
        folder = pathlib.Path(sys.argv[1])
        save(folder, 1, {}, {"weights": torch.zeros(10)})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save(folder, 2, {}, {"weights": torch.zeros(1_000_000)})
        except CheckpointError as error:
            print(error)
        print([path.name for path in folder.iterdir()], load_latest(folder, {})["step"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    message, rest = done.stdout.strip().splitlines()
    assert "cannot write" in message and "Earlier checkpoints are intact" in message
    assert rest == "['step-00000001.pt'] 1"


def test_leftovers_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    save(tmp_path, 1, CONFIG, state(1))
    (tmp_path / "step-00000002.pt.tmp").write_bytes(b"half")
    loaded = load_latest(tmp_path, CONFIG)
    assert loaded is not None and loaded["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]
