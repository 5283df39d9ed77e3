"""Code that gives the same numbers counts as one, and only what was shown to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results import equivalent
from results.collect import collect, problems
from results.equivalent import Equivalent, EquivalentError, Evidence, add, canonical, classes, read

EVIDENCE = Evidence("python sweeps/run.py levels=3", "0123abc", 20, "5" * 64)


def entry(a: str, b: str) -> Equivalent:
    return Equivalent(a * 64, b * 64, "a variable has another name", EVIDENCE)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "equivalent.json"
    monkeypatch.setattr(equivalent, "FILE", path)
    return path


def test_the_committed_file_is_valid() -> None:
    assert isinstance(read(), list)


def test_entries_are_added_in_order_and_once(file: Path) -> None:
    assert add(entry("b", "c"), file) and add(entry("a", "b"), file)
    text = file.read_bytes()
    assert [one.a[0] for one in read(file)] == ["a", "b"] and read(file)[0].evidence == EVIDENCE
    assert not add(entry("b", "a"), file) and file.read_bytes() == text


def test_canonical_is_transitive_and_follows_the_file(file: Path) -> None:
    assert canonical("c" * 64) == "c" * 64
    add(entry("c", "b"), file)
    assert canonical("c" * 64) == canonical("b" * 64) == "b" * 64
    add(entry("b", "a"), file)
    add(entry("e", "d"), file)
    assert {canonical(name * 64)[0] for name in "abc"} == {"a"} and canonical("e" * 64)[0] == "d"
    assert canonical("f" * 64) == "f" * 64


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=12))
def test_classes_are_the_connected_parts_whatever_the_order(pairs: list[tuple[str, str]]) -> None:
    found = classes([Equivalent(a, b, "", EVIDENCE) for a, b in pairs])
    assert found == classes([Equivalent(b, a, "", EVIDENCE) for a, b in reversed(pairs)])
    for a, b in pairs:
        assert found[a] == found[b]
    for name in found:  # by walking, which is another way to find the same
        reached = {name}
        for _ in pairs:
            reached |= {y for x, y in [*pairs, *(p[::-1] for p in pairs)] if x in reached}
        assert found[name] == min(reached)


GOOD = dataclasses.asdict(entry("a", "b"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read"),
        ({}, "no list of entries"),
        ([3], "entry 1: it is no object"),
        ([GOOD | {"a": "abc"}], "a='abc' is no fingerprint"),
        ([GOOD | {"b": "a" * 64}], "a and b are the same"),
        ([GOOD | {"what": " "}], "what must say what differs"),
        ([GOOD | {"why": "x"}], "why is unknown"),
        ([{k: v for k, v in GOOD.items() if k != "evidence"}], "evidence is missing"),
        ([GOOD | {"evidence": GOOD["evidence"] | {"steps": 5}}], "20 steps or more"),
        ([GOOD | {"evidence": GOOD["evidence"] | {"steps": True}}], "steps=True is no int"),
        ([GOOD | {"evidence": GOOD["evidence"] | {"losses_sha256": ""}}], "no sha256"),
        ([GOOD | {"evidence": GOOD["evidence"] | {"command": ""}}], "evidence.command is empty"),
        ([GOOD, GOOD | {"a": "b" * 64, "b": "a" * 64}], "entry 2: is there twice"),
    ],
)
def test_a_file_that_is_not_valid_is_refused(file: Path, content: Any, problem: str) -> None:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(EquivalentError) as caught:
        read(file)
    assert problem in str(caught.value)
    with pytest.raises(EquivalentError):
        canonical("a" * 64)


def test_an_entry_without_evidence_is_not_added(file: Path) -> None:
    with pytest.raises(EquivalentError, match="20 steps"):
        add(dataclasses.replace(entry("a", "b"), evidence=dataclasses.replace(EVIDENCE, steps=1)), file)
    assert not file.exists()


def test_runs_of_equivalent_code_are_of_one_code(make: Any, frame_of: Callable[..., Any], file: Path) -> None:
    chains = [make.runs(seed=seed, fingerprint=name * 64) for seed, name in enumerate("ab")]
    chains[1]["pretrain"]["code"]["fingerprint"] = "a" * 64
    assert set(frame_of(*chains)["fingerprints"]) == {"a" * 64, f"{'b' * 64}+{'a' * 64}"}
    add(entry("a", "b"), file)
    frame = frame_of(*chains)
    assert set(frame["fingerprints"]) == {"a" * 64}
    assert set(frame["fingerprint"]) == {"a" * 64, "b" * 64}  # what was recorded stays


def test_one_run_by_two_equivalent_codes_counts_once(make: Any, tmp_path: Path, file: Path) -> None:
    """Its seed would otherwise stand for two."""
    for name in "ab":
        make.save(tmp_path / name, make.runs(levels=0, fingerprint=name * 64))
    assert len(collect(tmp_path)) == 4
    add(entry("a", "b"), file)
    frame = collect(tmp_path)
    assert len(frame) == 2 and [problem.kind for problem in problems(frame)] == ["duplicate"] * 2
