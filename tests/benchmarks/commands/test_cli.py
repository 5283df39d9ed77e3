"""`python -m benchmarks`: exit codes, and messages that say what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import main
from tests.benchmarks.tree import avi, cut_short, encode, frame_folder, write_lists


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        benchmarks,
        "BENCHMARKS",
        {
            "synthmotion": "benchmarks.synthmotion",
            "toy": "tests.benchmarks.tree:TOY",
            "frames": "tests.benchmarks.tree:FRAMES",
        },
    )
    for module in ("benchmarks.__main__", "benchmarks.commands.overview"):
        monkeypatch.setattr(sys.modules[module], "BENCHMARKS", benchmarks.BENCHMARKS)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    avi(root / "a/one.avi")
    encode(root / "a/two.mp4")
    write_lists(root, ["train 0 a/one.avi", "test 1 a/two.mp4", "test 1 a/gone.mp4"])
    return root


@pytest.fixture
def root(tmp_path: Path, grown: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "root"))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def test_from_files_to_a_staged_and_audited_copy(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "list", "--root", root)
    assert code == 0 and "toy: Toy\n  splits 1, 2; copies h264, original, short256, 340x256" in out
    assert f"nothing of it is prepared in {root}" in out and "synthmotion: made by this repository" in out
    code, out, _ = run(capsys, "prepare", "toy", "--root", root, "--processes", "2")
    assert code == 0
    assert "toy: 3 videos are listed, 2 found (66.7 %), 1 missing (33.3 %)" in out
    assert f"next: python -m benchmarks audit toy --root {root} --copy h264" in out
    code, out, _ = run(capsys, "list", "--root", root)
    train, test = "train 1 of 1 videos (0 missing, 0.0 %; 0 quarantined)", "test 1 of 2 videos (1 missing, 50.0 %; 0"
    assert f"{root}: h264, split 1: {train}; {test} quarantined); not audited" in out
    code, out, _ = run(capsys, "audit", "toy", "--root", root, "--processes", "0")
    assert code == 0 and "audited 2 of 2 videos with decord: 0 are bad" in out
    code, out, _ = run(capsys, "stage", "toy", "--root", root, "--to", tmp_path / "node", "--processes", "1")
    assert code == 0 and "copied now" in out
    code, out, _ = run(capsys, "list", "--root", tmp_path / "node")
    assert code == 0 and "h264, split 2: train 1 of 1" in out


def test_a_short_side_names_a_copy(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, copy in (("256", "short256"), ("340x256", "340x256")):
        assert run(capsys, "prepare", "toy", "--root", root, "--short-side", side, "--processes", "0")[0] == 0
        assert (root / f"prepared/{copy}/a/two.mp4").is_file()
    code, _, err = run(capsys, "prepare", "toy", "--root", root, "--short-side", "256", "--copy", "h264")
    assert code == 1 and "not both" in err


def test_bad_videos_are_exit_code_1_with_their_reasons(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "a/two.mp4").write_bytes(b"<html>404</html>" * 20)
    cut_short(avi(root / "a/one.avi", 100))
    code, out, _ = run(capsys, "prepare", "toy", "--root", root, "--processes", "0")
    assert code == 1 and "1 files cannot be read" in out and "a/two.mp4: PyAV cannot decode it" in out
    assert "1 files hold clearly fewer frames than their headers say (such as one)" in out
    code, out, _ = run(capsys, "audit", "toy", "--root", root, "--processes", "0", "--full")
    assert code == 1 and "1 truncated:" in out and "1 unreadable:" in out
    assert f"2 videos are quarantined in {root}/quarantine/h264.csv" in out
    code, out, _ = run(capsys, "list", "--root", root)
    assert "train 1 of 1 videos (0 missing, 0.0 %; 1 quarantined)" in out and "not audited" not in out


def test_a_sample_says_that_it_is_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "prepare", "toy", "--root", root, "--processes", "0")
    code, out, _ = run(capsys, "audit", "toy", "--root", root, "--processes", "0", "--sample", "1")
    assert code == 0 and "this was a sample of 1 of 2 videos; --full takes all" in out
    code, out, _ = run(capsys, "audit", "toy", "--root", root, "--processes", "0", "--full")
    assert "audited 1 of 2 videos with decord, 1 were healthy before: 0 are bad" in out


def test_what_decord_does_to_avi_files_can_be_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "prepare", "toy", "--root", root, "--copy", "original", "--processes", "0")
    arguments = ("audit", "toy", "--root", root, "--copy", "original", "--processes", "0", "--decoder")
    code, out, _ = run(capsys, *arguments, "decord-unguarded")
    assert code == 1 and re.search(r"1 wrong frames:\n  one: decord-unguarded gives \d+ wrong frames of 41", out)
    assert run(capsys, *arguments, "pyav")[0] == 0


def test_frame_folders_are_prepared_and_packed_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame_folder(tmp_path / "all/1", 5)
    frame_folder(tmp_path / "all/2", 7)
    write_lists(tmp_path, ["train 0 all/1", "test 0 all/2"], ("1",))
    arguments = ("--root", tmp_path, "--processes", "0", "--shard-size", "1M")
    code, out, _ = run(capsys, "prepare", "frames", *arguments, "--pack")
    assert code == 0 and "14 files and folders become 2 files" in out
    assert f"{tmp_path}/all is not needed any more, and deleting it is yours to do" in out
    code, out, _ = run(capsys, "pack", "frames", *arguments)
    assert code == 0 and "packed 0 videos" in out
    code, _, err = run(capsys, "prepare", "toy", "--root", tmp_path, "--pack")
    assert code == 1 and "only frame folders are packed" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "toy", "--root", "ROOT/none"], "there is no such folder"),
        (["prepare", "toy", "--root", "ROOT", "--split", "9"], "'9' is not a split of toy: 1, 2"),
        (["prepare", "toy", "--root", "ROOT", "--copy", "h265"], "toy has no copy 'h265'"),
        (["audit", "toy", "--root", "ROOT"], "is not prepared"),
        (["audit", "toy", "--root", "ROOT", "--decoder", "eyes"], "--decoder eyes is not one of"),
        (["stage", "toy", "--root", "ROOT", "--to", "ROOT"], "is the --root itself"),
        (["pack", "toy", "--root", "ROOT"], "consists of video files"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = run(capsys, *[argument.replace("ROOT", str(root)) for argument in arguments])
    assert code == 1 and err.startswith("error: ") and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["prepare"],
        ["prepare", "toy"],
        ["prepare", "synthmotion", "--root", "x"],
        ["weights", "fetch"],
        ["nonsense"],
    ],
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-1", "lots", "1T"])
def test_bad_shard_sizes_are_bad_usage(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["pack", "frames", "--root", ".", f"--shard-size={size}"])
    assert stopped.value.code == 2


def test_the_module_runs_and_every_command_has_help() -> None:
    text = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, check=True)
    for command in ("list", "prepare", "audit", "synthesize", "pack", "stage", "weights"):
        assert re.search(rf"^    {command}\b", text.stdout, re.MULTILINE), command
