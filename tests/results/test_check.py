"""The command: what it prints and how it ends, and that nothing on a disk makes it fall over."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results import equivalent
from results.check import check_runs, main
from results.rules.model import RuleError, load_rules
from tests.results.rules.conftest import Store, build
from tests.results.rules.conftest import store as store  # noqa: F401  (a fixture)


def test_a_right_store_succeeds(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(store.root)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("SUCCESS: 5 run folders, ") and line.endswith("0 errors, 0 warnings")


def test_every_reason_is_printed_by_run_and_rule(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.change("test", "metrics/top1", 50.1)
    store.change("test", "code/dirty", True)
    assert main([str(store.root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(store.folders["test"])
    assert lines[1].startswith("  warning clean-tree: code.dirty is true")
    assert lines[2] == "  error   predictions-top1: top1 is 50.1 in the record, predictions.csv gives 50"
    assert lines[3].startswith("  error   groups-top1: ")
    assert lines[4].startswith("FAILURE: 5 run folders, ") and lines[4].endswith("2 errors, 1 warning")
    assert len(lines) == 5


def test_a_hostile_text_does_not_reach_the_terminal(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.change("test", "alarms", ["\x1b[2J\x1b]0;title\x07 line\nline <b>"])
    assert main([str(store.root)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "line line <b>" in out


def test_warnings_fail_only_when_strict(store: Store) -> None:
    store.change("test", "code/dirty", True)
    assert main([str(store.root)]) == 0
    assert main([str(store.root), "--strict"]) == 1


def test_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.change("test", "code/dirty", True)
    assert main([str(store.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["success"], found["runs"], found["errors"], found["warnings"]) == (True, 5, 0, 1)
    (finding,) = found["findings"]
    assert finding["rule"] == "clean-tree" and finding["run_id"] == store.get("test")["run_id"]


def test_what_is_no_run_is_named(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store.root / "test" / "notes").mkdir()
    (store.root / "_stale" / "test" / "old").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (store.root / "test" / "odd" / "record.json").mkdir(parents=True)
    given = [tmp_path / name for name in ("empty", "nowhere", "file")]
    assert main([str(store.root), *map(str, given)]) == 1
    out = capsys.readouterr().out
    assert f"{store.root / 'test' / 'notes'}\n  error   foreign: is no run folder" in out
    assert f"{tmp_path / 'empty'}\n  error   foreign: there is no run folder in it" in out
    assert f"{tmp_path / 'nowhere'}\n  error   foreign: there is no such folder" in out
    assert f"{tmp_path / 'file'}\n  error   foreign: is no folder" in out
    assert "odd\n  error   foreign: is no run folder: no file record.json or config.json, only record.json" in out
    assert "_stale" not in out and "5 errors" in out


def test_a_record_file_stands_for_its_folder_and_a_folder_given_twice_counts_once(store: Store) -> None:
    report = check_runs([store.folders["test"] / "record.json", store.folders["test"], store.root], load_rules())
    assert report.runs == 5 and not report.findings


def test_rules_of_ones_own(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules:\n- {id: full, text: full profile, level: error, needs: [record], check: matches,"
        " phases: [test], with: {keys: [profile], pattern: full}}\n"
    )
    assert main([str(store.root), "--rules", str(rules)]) == 1
    assert "error   full: profile is 'quick'" in capsys.readouterr().out


GOOD = {"id": "a", "text": "b", "level": "error", "check": "there", "with": {"file": "journal"}}


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("rules: [", "cannot be read"),
        ("3", "no list of rules"),
        ("rules: []", "no list of rules"),
        ([3], "rule 1 is no mapping"),
        ([GOOD, GOOD], "a: is the id of two rules"),
        ([GOOD | {"level": "fatal"}], "level='fatal'"),
        ([GOOD | {"levle": "error"}], "unknown key levle"),
        ([GOOD | {"check": "__import__"}], "there is no check '__import__'"),
        ([GOOD | {"check": ["matches"]}], "there is no check ['matches']"),
        ([GOOD | {"check": "covered", "with": {"share": float("nan")}}], "share=nan is no float"),
        ([GOOD | {"phases": ["train"]}], "phases=['train']"),
        ([GOOD | {"needs": "record"}], "needs='record'"),
        ([GOOD | {"with": {}}], "needs the parameter file"),
        ([GOOD | {"with": {"file": "journal", "files": 1}}], "no parameter files"),
        ([GOOD | {"with": {"file": 3}}], "file=3 is no str"),
        ([GOOD | {"with": [1]}], "with must be a mapping"),
        ([GOOD | {"id": "A b"}], "an id is lower-case words"),
        ([GOOD | {"check": "matches", "with": {"keys": ["a"], "pattern": "("}}], "pattern='('"),
        ([GOOD | {"check": "covered", "with": {"share": True}}], "share=True is no float"),
    ],
)
def test_a_bad_rules_file_is_refused_with_its_reasons(tmp_path: Path, rules: Any, problem: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(rules if isinstance(rules, str) else json.dumps({"rules": rules}).replace("NaN", ".nan"))
    with pytest.raises(RuleError, match=r"rules\.yaml") as caught:
        load_rules(path)
    assert problem in str(caught.value)
    assert main([str(tmp_path), "--rules", str(path)]) == 2


def test_a_rule_with_a_misspelt_field_does_not_pass(store: Store, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "rules.yaml"
    rule = {"id": "a", "text": "t", "level": "error", "check": "matches"}
    path.write_text(json.dumps({"rules": [rule | {"with": {"keys": ["profle"], "pattern": ".*"}}]}))
    assert main([str(store.root), "--rules", str(path)]) == 1
    assert "the rule asks for profle, and no record has such a field" in capsys.readouterr().out


def test_all_problems_of_a_rules_file_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"rules": [GOOD | {"level": "x"}, GOOD | {"check": "x", "id": "c"}]}))
    with pytest.raises(RuleError, match="(?s)level='x'.*no check 'x'"):
        load_rules(path)


def test_a_damaged_list_of_equal_code_is_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "equivalent.json").write_text("{")
    monkeypatch.setattr(equivalent, "FILE", tmp_path / "equivalent.json")
    assert main([str(store.root)]) == 2
    assert "equivalent.json cannot be read" in capsys.readouterr().err


VALUES = [None, True, -1, 1e308, "", "x", [], [[]], {}, {"x": {}}, {"a": None}]


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_is_fatal(store: Store, seed: int) -> None:
    """Bytes are cut, flipped and repeated, and keys get values of other kinds: the check ends, and says something."""
    draw = random.Random(seed)
    phase = draw.choice(list(store.folders))
    path = draw.choice(sorted(store.folders[phase].iterdir()))
    content = path.read_bytes()
    if seed % 2 and path.suffix == ".json":
        plain = json.loads(content)
        for _ in range(3):
            _replace_a_value(plain, draw)
        path.write_text(json.dumps(plain))
    else:
        cut = draw.randrange(max(1, len(content)))
        flipped = bytes([content[cut] ^ 0x80]) if content else b"\0"
        path.write_bytes(draw.choice([content[:cut], content[:cut] + flipped + content[cut + 1 :], content[cut:]]))
    report = check_runs([store.root], load_rules())
    assert report.runs == 5
    assert report.findings or path.read_bytes() in (content, b"") or path.suffix == ".json"


def _replace_a_value(plain: Any, draw: random.Random) -> None:
    while isinstance(plain, dict) and plain:
        key = draw.choice(sorted(plain))
        if not isinstance(plain[key], dict) or draw.random() < 0.3:
            plain[key] = draw.choice(VALUES)
            return
        plain = plain[key]


@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), name=st.sampled_from(
    ["record.json", "config.json", "status.json", "metrics.jsonl", "predictions.csv", "predictions.csv.gz",
     "unreadable.csv"]))  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_any_file(fuzzed: Store, content: bytes, name: str) -> None:
    folder = fuzzed.folders["pretrain" if name == "metrics.jsonl" else "test"]
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    (folder / name).write_bytes(content)
    if name.endswith(".gz"):
        (folder / "predictions.csv").unlink()
    report = check_runs([fuzzed.root], load_rules())
    assert report.runs == 5 and report.findings
    (folder / name).unlink()
    for path, before in kept.items():
        path.write_bytes(before)


@pytest.fixture
def fuzzed(make: Any, tmp_path: Path) -> Store:
    return build(make, tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_that_cannot_be_listed_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.folders["test"].parent.chmod(0)
    try:
        assert main([str(store.root)]) == 1
    finally:
        store.folders["test"].parent.chmod(0o755)
    assert "cannot be listed" in capsys.readouterr().out
