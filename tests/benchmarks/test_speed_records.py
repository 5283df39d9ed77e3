"""Made-up run folders are valid records of chains that hang together, and the tables of them can be timed."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.speed import tables
from benchmarks.speed.__main__ import main
from benchmarks.speed.records import TIERS, chains, write
from results.collect import collect, problems
from results.record import problems_of


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_record_is_valid_and_names_its_ancestors() -> None:
    known: dict[str, str] = {}
    for chain in itertools.islice(chains(), 0, 2000, 7):
        for record in chain:
            assert problems_of(record) == []
            known[record["run_id"]] = record["phase"]
            expected = {"pretrain": [], "test": ["finetune", "pretrain"]}.get(record["phase"], ["pretrain"])
            phases = [known[run_id] for run_id in record["lineage"]]
            assert phases == expected[: len(phases)]
            assert list(record["lineage_configs"]) == record["lineage"][::-1]
    assert set(known.values()) == {"pretrain", "probe", "retrieval", "finetune", "test"}


def test_the_grid_holds_all_that_tables_compare() -> None:
    runs = [chain[-1] for chain in itertools.islice(chains(), 10_800)]
    models = [run["config"]["model"] for run in runs]
    assert {model["levels"] for model in models} == {0, 1, 2, 3}
    assert {model["motion"]["prime"] for model in models} == {"cost_volume", "difference", "both"}
    assert {model["motion"]["input"] for model in models} == {"video", "static"}
    assert {model["temporal"]["mode"] for model in models} == {"none", "shift"}
    assert {model["fusion"]["init"] for model in models} == {"random", "zero"}
    assert len({(run["data"]["benchmark"], run["data"]["split"]) for run in runs}) == 9
    assert {tuple(run["groups"]) for run in runs} == {(), TIERS}


def test_folders_are_counted_and_what_is_broken_is_named(tmp_path: Path) -> None:
    made = write(tmp_path / "a", 600)
    assert len(list((tmp_path / "a").glob("*/*"))) == sum(made.values()) == 600
    assert all(made.values()), made
    frame = collect(tmp_path / "a")
    assert len(frame) == made["whole"] and frame["run_id"].is_unique
    kinds = Counter(problem.kind for problem in problems(frame))
    assert kinds == {"unusable": made["damaged"] + made["foreign"], "unfinished": made["half-written"]}
    assert write(tmp_path / "b", 600) == made and contents(tmp_path / "b") == contents(tmp_path / "a")
    write(tmp_path / "c", 600, seed=1)
    assert contents(tmp_path / "c") != contents(tmp_path / "a")


def test_the_command_times_tables_of_fresh_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    assert main(["records", "--count", "60", "--repeats", "2", "--out", str(out), "--cold"]) == 0
    said = capsys.readouterr().out
    whole = int(re.search(r"60 run folders: (\d+) whole", said)[1])
    rows = re.findall(
        r"^(\d): collect ([\d.]+) s .* (\d+) records, (\d+) named .* memory (\d+) MiB, .* (\d+) MiB$",
        said,
        re.MULTILINE,
    )
    assert [(row[0], int(row[2]), int(row[3])) for row in rows] == [("1", whole, 60 - whole), ("2", whole, 60 - whole)]
    assert all(float(row[1]) > 0 and 10 < int(row[4]) < 4000 and int(row[5]) == 0 for row in rows)
    assert re.search(
        r"^median of 2: collect .* \([\d.]+ to [\d.]+\);.*cores, load .*file cache cold", said, re.MULTILINE
    )
    assert main(["records", "--count", "60", "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.slow
def test_time_grows_with_the_folders_and_not_with_their_square(tmp_path: Path) -> None:
    """Of the processor; seconds say more of a machine than of the code (tests/soak/results/records.txt has them)."""
    taken = []
    for count in (1_000, 4_000):
        write(tmp_path / str(count), count)
        taken.append(tables.in_fresh_process(tmp_path / str(count)))
        assert taken[-1]["peak_mib"] + taken[-1]["helper_peak_mib"] < 1024
    # four times as much, and what a shared machine adds; sixteen times would be a square
    assert taken[1]["together_cpu"] < 8 * taken[0]["together_cpu"], taken


def test_a_failing_process_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match="making the tables failed"):
        tables.in_fresh_process(tmp_path)


def test_numbers_that_measure_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "--count", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err


def test_one_configuration_is_flattened_once(tmp_path: Path) -> None:
    """What makes thousands of records fast, counted: a clock would measure whatever else the machine does."""
    from results import flatten

    write(tmp_path, 400)
    flatten._config_columns.cache_clear()
    frame = collect(tmp_path)
    found = flatten._config_columns.cache_info()
    used = sum(len(lineage.split()) + 1 for lineage in frame["lineage"])
    assert found.hits + found.misses == used > 700
    assert found.misses < used / 4, found
