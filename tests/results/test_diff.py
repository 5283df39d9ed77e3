"""Two sets of records, and what the command says of them."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.diff import main

ROOT = Path(__file__).resolve().parents[2]
Chain = dict[str, dict[str, Any]]


class Sides:
    """Records of two sides, three seeds of one arm and of a plain backbone each."""

    def __init__(self, make: Any, root: Path) -> None:
        self.make, self.root = make, root
        self.a = [make.runs(seed=seed, correct=240 + seed) for seed in range(3)]
        self.a += [make.runs(levels=0, seed=seed, correct=100 + 3 * seed) for seed in range(3)]
        self.b = copy.deepcopy(self.a)
        self.more: list[Chain] = []
        """Of the second side, in folders of their own: runs whose ids it has already."""

    def save(self) -> list[str]:
        self.make.save(self.root / "a", *self.a)
        self.make.save(self.root / "b", *self.b)
        self.make.save(self.root / "b" / "more", *self.more)
        return [str(self.root / "a"), str(self.root / "b")]


@pytest.fixture
def sides(make: Any, tmp_path: Path) -> Sides:
    return Sides(make, tmp_path)


def told(sides: Sides, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    code = main([*sides.save(), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def changed(chain: Chain, **values: Any) -> None:
    for record in chain.values():
        for path, value in values.items():
            *heads, last = path.split("__")
            inner = record
            for head in heads:
                inner = inner[head]
            inner[last] = value


def test_equal_sets_are_equal(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(sides.save()) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("cells on both sides: no difference")


def test_a_planted_error_is_found_with_the_run_behind_it(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    test = sides.b[1]["test"]
    test["metrics"]["top1"] += 0.1
    code, found = told(sides, capsys)
    assert code == 1 and found["moved"] == len(found["differ"]) > 0
    top1 = [cell for cell in found["differ"] if cell["column"] in ("top-1", "all videos", "resnet50")]
    assert top1 and all(cell["difference"] == pytest.approx(0.1 / 3) for cell in top1)
    assert all(cell["within_noise"] for cell in top1)
    assert all(test["run_id"] in cell["a"]["runs"] for cell in found["differ"])
    (cause,) = found["common"]
    assert cause["kind"] == "record" and cause["name"].endswith(test["run_id"][:12])
    assert cause["a"] == "metric.top1 differs (one run, of one start and end: a record was changed)"
    assert main([*sides.save(), "--tolerance", "0.1"]) == 0


def test_a_move_beyond_noise_says_so(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    for chain in sides.b[3:]:
        chain["test"]["metrics"]["top1"] += 30.0
    assert main(sides.save()) == 1
    out = capsys.readouterr().out
    assert "21.5 ± 0.6 (n=3) -> 51.5 ± 0.6 (n=3): +30, beyond noise (± 2.2 over seeds)" in out


def test_what_all_have_in_common_is_said_once(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    for chain in sides.b:
        changed(chain, code__fingerprint="e" * 64, environment__torch="2.16.0", environment__decord="0.7.0")
        chain["test"]["metrics"]["top1"] += 1.0
    for chain in sides.b[:3]:
        changed(chain, data__manifest_sha256__train="c" * 64)
    assert main(sides.save()) == 1
    out = capsys.readouterr().out
    first, second, *_ = out.splitlines()
    assert first == "Behind all that differ, or all of them whose runs have such a phase:"
    assert second == "  code fingerprints: ffffffffffff -> eeeeeeeeeeee"
    for line in ("decoder: decord 0.6.0 -> decord 0.7.0", "environment torch: 2.15.0 -> 2.16.0"):
        assert out.count(line) == 1
    assert out.count("data manifest_train: aaaaaaaaaaaa -> cccccccccccc") > 1


def test_another_configuration_is_named_by_its_key(make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    new = {"finetune.optim.lr": 0.01, "pretrain.model.motion.dim": 64, "finetune.model.motion.dim": 64}
    sides.a = sides.a[:3]
    sides.b = [make.runs(seed=seed, correct=300, config=new) for seed in range(3)]
    code, found = told(sides, capsys)
    assert code == 1 and found["appeared"] == found["disappeared"] == 0
    causes = {(*cause["phases"], cause["name"], cause["a"], cause["b"]) for cause in found["common"]}
    assert causes == {
        ("finetune", "optim.lr", "0.001", "0.01"),
        ("finetune", "pretrain", "model.motion.dim", "32", "64"),
    }


def test_another_protocol_is_named_by_the_parts_that_differ(
    make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    sides.b = [make.runs(seed=seed, correct=300, config={"test.num_clips": 10}) for seed in range(3)]
    sides.a = sides.a[:3]
    _, found = told(sides, capsys)
    (cause,) = [cause for cause in found["common"] if cause["kind"] == "protocol"]
    assert (cause["a"], cause["b"]) == ("1x1 views", "10x1 views")


def test_a_seed_more_is_told(make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    sides.b.append(make.runs(seed=3, correct=260))
    code, found = told(sides, capsys)
    assert code == 1
    assert ("seeds", "seed", "0, 1, 2", "0, 1, 2, 3") in {tuple(cause.values())[:4] for cause in found["common"]}
    assert any("runs 3 -> 4" in cell["details"] for cell in found["differ"])


def test_rows_that_come_and_go(make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    sides.b = sides.b[:3] + [make.runs(levels=3, seed=seed, correct=400) for seed in range(3)]
    code, found = told(sides, capsys)
    rows = {(cell["change"], cell["row"].get("levels")) for cell in found["differ"] if cell["table"] == "top1_per_tier"}
    assert code == 1 and rows == {("disappeared", "0"), ("appeared", "3")}


def test_runs_of_two_codes_beside_each_other_leave_the_old_ones_where_they_were(
    make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks are then named after the codes; the rows of the old code are still the same rows."""
    sides.more = [make.runs(seed=seed, correct=300, fingerprint="e" * 64) for seed in range(3)]
    code, found = told(sides, capsys)
    assert code == 1 and found["moved"] == found["disappeared"] == 0 and found["appeared"] > 0


def test_a_run_that_two_codes_have_done_is_the_one_of_its_rows_code(
    make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    """One id, two rows: what changed in the old code's record is no difference of code."""
    sides.a, sides.b = sides.b[:3], sides.a[:3]
    test = sides.a[1]["test"]
    test["metrics"]["top1"] += 1.0
    sides.more = [make.runs(seed=seed, correct=300, fingerprint="e" * 64) for seed in range(3)]
    code, found = told(sides, capsys)
    assert code == 1 and found["moved"] > 0 and found["appeared"] > 0 and found["disappeared"] == 0
    causes = [*found["common"], *(cause for cell in found["differ"] for cause in cell["causes"])]
    assert {(cause["kind"], cause["name"][-12:]) for cause in causes} == {("record", test["run_id"][:12])}


def test_output_is_the_same_every_time(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    sides.b[0]["test"]["metrics"]["top1"] = 12.0
    outputs = []
    for option in ([], [], ["--json"], ["--json"]):
        main([*sides.save(), *option])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and outputs[2] == outputs[3]


def test_sides_swapped_move_the_other_way(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    sides.b[0]["test"]["metrics"]["top1"] = 12.0
    first = told(sides, capsys)[1]["differ"]
    sides.a, sides.b = sides.b, sides.a
    second = told(sides, capsys)[1]["differ"]
    assert [cell["difference"] for cell in first] == [-cell["difference"] for cell in second]


def test_a_side_without_runs_is_bad_usage(sides: Sides, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, _ = sides.save()
    (tmp_path / "empty").mkdir()
    assert main([a, str(tmp_path / "empty")]) == 2
    assert f"no finished run below {tmp_path / 'empty'}" in capsys.readouterr().err
    assert main([a, str(tmp_path / "nowhere")]) == 2
    for tolerance in ("-1", "nan", "inf", "much"):
        with pytest.raises(SystemExit) as caught:
            main([a, a, "--tolerance", tolerance])
        assert caught.value.code == 2


def test_declared_equivalents_that_are_damaged_are_said_in_words(sides: Sides, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("records", "tables", "__pycache__")
    shutil.copytree(ROOT / "results", tmp_path / "code" / "results", ignore=ignored)
    (tmp_path / "code" / "results" / "equivalent.json").write_text("{")
    command = [sys.executable, "-m", "results.diff", *sides.save()]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "code")}
    done = subprocess.run(command, cwd=tmp_path / "code", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "equivalent.json cannot be read" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_record_is_named_and_its_cells_differ(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = sides.save()
    (path,) = Path(b).glob(f"test/*{sides.b[0]['test']['run_id'][:12]}/record.json")
    path.write_text("{")
    assert main([a, b]) == 1
    shown = capsys.readouterr()
    assert f"not in the tables: unusable: {path}" in shown.err and "runs 3 -> 2" in shown.out


def test_a_column_that_one_side_hides_does_not_pair_other_experiments(
    make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table shows `motion input` only where its rows differ in it."""
    static = [make.runs(seed=seed, correct=120, motion_input="static") for seed in range(3)]
    sides.a = [*static, *sides.a[:3]]
    sides.b = [make.runs(seed=seed, correct=250, config={"finetune.optim.lr": 0.01}) for seed in range(3)]
    _, found = told(sides, capsys)
    rows = [cell for cell in found["differ"] if cell["table"] == "levels_by_backbone"]
    assert {(cell["change"], cell["row"].get("motion input")) for cell in rows} == {
        ("moved", None),
        ("disappeared", "static"),
    }
    (moved,) = [cell for cell in rows if cell["change"] == "moved"]
    assert moved["a"]["value"] == pytest.approx(100 * 241 / 480)


def test_what_a_phase_has_in_common_is_said_once_though_others_have_no_such_phase(
    make: Any, sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain backbones are not pretrained."""
    new = {"finetune.optim.lr": 0.01}
    more = new | {"pretrain.eval_videos": 32}
    sides.b = [make.runs(seed=seed, correct=300, config=more) for seed in range(3)]
    sides.b += [make.runs(levels=0, seed=seed, correct=200, config=new) for seed in range(3)]
    assert main(sides.save()) == 1
    out = capsys.readouterr().out
    head = out.partition("table ")[0]
    assert "configuration finetune.optim.lr: 0.001 -> 0.01" in head
    assert "configuration pretrain.eval_videos: 64 -> 32" in head
    assert out.count("configuration") == 2


def test_a_reader_that_goes_away_is_no_error(sides: Sides) -> None:
    sides.b[0]["test"]["metrics"]["top1"] = 12.0
    command = f"{sys.executable} -m results.diff {' '.join(sides.save())} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (1, 141) and "Traceback" not in done.stderr and done.stdout.count("\n") == 1


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_tolerance_is_a_number(text: str, sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*sides.save(), f"--tolerance={text}"])
    assert f"argument --tolerance: {text!r} must be a number, 0 or more" in capsys.readouterr().err
