"""Two versions of the code are the same only if every number is."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from results.equivalent import read
from sweeps import equivalence
from sweeps.equivalence import STEPS, CannotRun, Numbers, code_of, compute, differences, main, read_numbers
from sweeps.provenance import PACKAGES, ROOT, fingerprint

ROWS = ["video_id,label,group,prediction,correct", "v1,0,a,0,1"]


def write_chain(runs: Path, steps: int = STEPS, loss: float = 0.1) -> None:
    for phase in ("pretrain", "finetune"):
        folder = runs / phase / f"run-{phase}"
        folder.mkdir(parents=True)
        lines = [
            {"step": step, "loss": loss / step, "lr": 0.1, "data_time": step * 0.7, "alarms": []}
            for step in range(1, steps + 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (runs / "test" / "run").mkdir(parents=True)
    (runs / "test" / "run" / "predictions.csv").write_text("\n".join(ROWS) + "\n")


def test_all_numbers_of_both_trainings_count_but_times(tmp_path: Path) -> None:
    write_chain(tmp_path)
    numbers = read_numbers(tmp_path)
    assert len(numbers.losses) == 2 * STEPS * 3 and numbers.predictions == tuple(ROWS)
    assert {name for _, _, name in numbers.losses} == {"step", "loss", "lr"}


def test_a_chain_that_is_cut_short_proves_nothing(tmp_path: Path) -> None:
    write_chain(tmp_path, steps=19)
    with pytest.raises(CannotRun, match="19 steps are in the journal, not 20"):
        read_numbers(tmp_path)
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(CannotRun):
        read_numbers(tmp_path / "nowhere")


def numbers(*predictions: str, **losses: float) -> Numbers:
    return Numbers({("finetune", 1, name): value for name, value in losses.items()}, predictions)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (numbers("a", loss=math.nextafter(0.1, 1)), "finetune step 1: loss is 0.1 with A, 0.10000000000000002 with B"),
        (numbers("a", loss=0.1, more=1.0), "finetune step 1: more is None with A, 1.0 with B"),
        (numbers("b", loss=0.1), "predictions differ, first: 'a' with A, 'b' with B"),
        (numbers("a", "b", loss=0.1), "predictions differ, first: 'no line' with A, 'b' with B"),
    ],
)
def test_one_bit_is_a_difference(other: Numbers, text: str) -> None:
    mine = numbers("a", loss=0.1)
    assert differences(mine, other) == [text] and mine.sha256 != other.sha256
    assert differences(mine, numbers("a", loss=0.1)) == [] and mine.sha256 == numbers("a", loss=0.1).sha256


def test_pretraining_comes_first_among_the_differences() -> None:
    a = Numbers({("finetune", 1, "loss"): 1.0, ("pretrain", 3, "loss"): 1.0, ("pretrain", 2, "loss"): 1.0}, ())
    assert [text.partition(":")[0] for text in differences(a, Numbers({}, ()))] == [
        "pretrain step 2",
        "pretrain step 3",
        "finetune step 1",
    ]


def test_a_folder_or_a_commit_is_a_version(tmp_path: Path) -> None:
    assert code_of(str(ROOT), tmp_path / "x") == ROOT
    for version in (str(tmp_path), "no-such-commit", "--output=x"):
        with pytest.raises(CannotRun):
            code_of(version, tmp_path / "x")
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode == 0:
        code = code_of("HEAD", tmp_path / "x")
        assert (code / "sweeps" / "run.py").is_file() and not (code / "tests").exists()


def copy_of_the_code(target: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__", "records"))
    return target


def fake(numbers_of: dict[str, Numbers]):
    return lambda code, home, overrides: numbers_of[Path(code).name]


def test_the_entry_is_written_only_for_equal_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [tmp_path / name for name in "ab"]
    for number, code in enumerate(codes):
        (code / "sweeps").mkdir(parents=True)
        (code / "sweeps" / "run.py").touch()
        (code / "hcml").mkdir()
        (code / "hcml" / "a.py").write_text(f"x = {number}\n")
    file, arguments = tmp_path / "equivalent.json", [str(code) for code in codes]
    same = numbers("a", loss=0.1)
    monkeypatch.setattr(equivalence, "compute", fake({"a": same, "b": numbers("a", loss=0.2)}))
    assert main([*arguments, "--what", "x", "--file", str(file)]) == 1
    assert "different: finetune step 1: loss is 0.1 with A, 0.2 with B" in capsys.readouterr().out
    assert not file.exists()
    monkeypatch.setattr(equivalence, "compute", fake({"a": same, "b": same}))
    assert main([*arguments, "--file", str(file)]) == 0 and not file.exists()
    assert main([*arguments, "--what", "x", "--file", str(file), "--overrides", "temporal=shift"]) == 0
    (entry,) = read(file)
    assert (entry.a, entry.b) == tuple(map(fingerprint, codes)) and entry.evidence.losses_sha256 == same.sha256
    assert entry.evidence.command.endswith(" temporal=shift") and entry.what == "x"
    assert main([*arguments, "--what", "x", "--file", str(file)]) == 0 and read(file) == [entry]
    assert main([arguments[0], arguments[0]]) == 0
    assert main([arguments[0], str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("content", "what", "said"),
    [("{", "x", "cannot be read"), ("[]", " ", "--what is empty"), ("a folder", "x", "cannot be read")],
)
def test_what_could_not_be_written_is_said_before_anything_is_computed(
    content: str, what: str, said: str, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [tmp_path / name for name in "ab"]
    for code in codes:
        (code / "sweeps").mkdir(parents=True)
        (code / "sweeps" / "run.py").touch()
        (code / "hcml").mkdir()
        (code / "hcml" / "a.py").write_text(f"x = {code.name!r}\n")
    file = tmp_path / "equivalent.json"
    if content == "a folder":
        file.mkdir()
    else:
        file.write_text(content)
    monkeypatch.setattr(equivalence, "compute", lambda *_: pytest.fail("it was computed first"))
    try:
        code = main([*map(str, codes), "--what", what, "--file", str(file)])
    except SystemExit as caught:
        code = int(str(caught.code))
    assert code == 2 and said in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.slow
def test_real_code_with_another_name_in_it_is_the_same_and_with_another_number_is_not(tmp_path: Path) -> None:
    codes = [copy_of_the_code(tmp_path / name) for name in ("a", "b", "c")]
    optim = [code / "hcml" / "training" / "optim.py" for code in codes]
    text = optim[0].read_text()
    assert text.count("warmup = math.ceil(") == 1 and text.count("0.5 * (1 + math.cos") == 1
    head, tail = text.split("    warmup = math.ceil(")
    renamed = tail.replace("step < warmup", "step < rise").replace("/ warmup", "/ rise").replace("- warmup", "- rise")
    optim[1].write_text(f"{head}    rise = math.ceil({renamed}")
    optim[2].write_text(text.replace("0.5 * (1 + math.cos", "0.4999 * (1 + math.cos"))
    assert len({fingerprint(code) for code in codes}) == 3
    smaller = ["levels=1", "input_size=32", "num_frames=4"]
    a, b, c = (compute(code, tmp_path / f"runs_{code.name}", smaller) for code in codes)
    assert differences(a, b) == [] and a.sha256 == b.sha256
    first = differences(a, c)[0]
    assert first.startswith("pretrain step ") and ": lr is " in first
