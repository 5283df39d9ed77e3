"""Every rule of runs.yaml is broken by a planted fault, and by nothing in a store that is right."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results.check import check_runs
from results.rules.model import load_rules
from tests.results.rules.conftest import Store, csv_text, rows_of

RULES = load_rules()
Plant = Callable[[Store], Any]


def changed(phase: str, path: str, value: Any, name: str = "record.json") -> Plant:
    return lambda store: store.change(phase, path, value, name)


def text(phase: str, name: str, content: str) -> Plant:
    return lambda store: store.put(phase, name, content)


def without(phase: str, name: str) -> Plant:
    return lambda store: (store.folders[phase] / name).unlink()


def journal(*lines: Any) -> Plant:
    return text("pretrain", "metrics.jsonl", "".join(f"{line}\n" for line in lines))


def rows(change: Callable[[list[list[str]]], Any]) -> Plant:
    def plant(store: Store) -> None:
        content = rows_of()
        change(content)
        store.put("test", "predictions.csv", csv_text(content))

    return plant


def renamed(store: Store) -> None:
    store.folders["test"].rename(store.folders["test"].with_name(f"other-{store.folders['test'].name[-12:]}"))


def moved(store: Store) -> None:
    shutil.move(store.folders["test"], store.folders["probe"].parent)


def copied_and_changed(store: Store) -> None:
    other = store.root / "copy" / "test" / store.folders["test"].name
    shutil.copytree(store.folders["test"], other)
    store.change("test", "cost/seconds", 3.0)


def id_of(store: Store, phase: str) -> str:
    return str(store.get(phase)["run_id"])


def seed_of_pretraining(store: Store) -> None:
    store.change("pretrain", "seed", 7)
    store.change("pretrain", "config/seed", 7)
    store.change("pretrain", "config/seed", 7, "config.json")
    for phase in ("finetune", "test", "probe", "retrieval"):
        store.change(phase, f"lineage_configs/{id_of(store, 'pretrain')}/seed", 7)


def other_code(store: Store) -> None:
    for name, path in (("record.json", "code/fingerprint"), ("config.json", "frozen/fingerprint")):
        store.change("pretrain", path, "e" * 64, name)


def other_manifest(phase: str) -> Plant:
    def plant(store: Store) -> None:
        store.change(phase, "data/manifest_sha256/train", "e" * 64)
        store.change(phase, "manifests/train", "e" * 64, "config.json")

    return plant


def best_checkpoint(store: Store) -> None:
    for name in ("record.json", "config.json"):
        store.change("test", "config/selection", "best", name)
        store.change("test", "config/protocol/selection", "best", name)


def parent_of_a_test(store: Store) -> None:
    run_id = id_of(store, "finetune")
    store.change("test", f"lineage_configs/{run_id}/phase", "probe")


def top5_of_groups(store: Store) -> None:
    store.change("test", "metrics/top5", 90.1)
    for tier in store.get("test")["groups"]:
        store.change("test", f"groups/{tier}/top5", 90.0)


def other_labels(store: Store) -> None:
    content = rows_of()
    content[1][0] = "w000"
    store.put("test", "predictions.csv", csv_text(content))


def line(step: Any, **values: Any) -> str:
    return json.dumps({"step": step, "loss": 1.0, "alarms": []} | values)


FAULTS: dict[str, list[Plant]] = {
    "record-whole": [
        text("test", "record.json", '{"run_id": "0'),
        text("test", "record.json", "[]"),
        changed("test", "metrics", ...),
        changed("test", "code/dirty", "perhaps"),
        changed("test", "chance", None),
        changed("test", "finished", "2020-01-01T00:00:00Z"),
    ],
    "config-whole": [text("test", "config.json", "{"), text("test", "config.json", "3")],
    "status-whole": [text("test", "status.json", "{")],
    "journal-readable": [lambda store: (store.folders["pretrain"] / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")],
    "predictions-readable": [text("test", "predictions.csv", "a,b\n1,2\n"), text("test", "predictions.csv", "")],
    "unreadable-readable": [text("test", "unreadable.csv", "error\nx\n")],
    "unfinished": [without("test", "record.json")],
    "predictions-there": [without("test", "predictions.csv"), without("probe", "predictions.csv")],
    "journal-there": [without("finetune", "metrics.jsonl")],
    "status-done": [
        changed("test", "state", "running", "status.json"),
        changed("finetune", "step", 19, "status.json"),
    ],
    "folder-name": [renamed, changed("test", "run_id", "9" * 64)],
    "phase-folder": [moved],
    "frozen-config": [
        changed("test", "config/num_clips", 2),
        changed("test", "frozen/fingerprint", "e" * 64, "config.json"),
        changed("test", "profile", "full"),
    ],
    "hashes": [changed("test", "run_id", "resnet")],
    "fingerprint": [changed("test", "code/fingerprint", "F" * 64), changed("test", "code/fingerprint", "f" * 63)],
    "weights-hash": [changed("test", "weights_sha256", "123")],
    "copies": [copied_and_changed],
    "required-keys": [
        changed("test", "environment/platform", ...),
        changed("test", "config/benchmark/split", ""),
        changed("test", "command", []),
    ],
    "required-when-trained": [changed("finetune", "config/compute/precision", "")],
    "seed": [
        changed("finetune", "seed", 1),
        changed("test", "seed", 1),
        changed("finetune", "config/optim/seed", 0),
        changed("finetune", "config/seed", ...),
        changed("finetune", "config/seed", 5, "config.json"),
    ],
    "seed-of-lineage": [seed_of_pretraining],
    "commit": [changed("test", "code/commit", None)],
    "clean-tree": [changed("test", "code/dirty", True), changed("test", "code/dirty", None)],
    "decoder": [
        changed("test", "environment/decord", ""),
        changed("test", "config/benchmark/decoder", "vlc"),
        changed("test", "config/benchmark/decoder", ...),
    ],
    "protocol-complete": [changed("test", "config/protocol", ...), changed("test", "config/protocol/flip", ...)],
    "protocol-kept": [
        changed("test", "config/protocol/num_crops", 3),
        changed("test", "config/sampling/num_frames", 16),
        changed("test", "config/transform/crop_size", 224),
    ],
    "last-checkpoint": [best_checkpoint],
    "manifest-hash": [changed("test", "data/manifest_sha256/test", "a" * 63)],
    "manifest-frozen": [changed("finetune", "data/manifest_sha256/train", "e" * 64)],
    "manifest-of-lineage": [other_manifest("pretrain")],
    "data-as-configured": [changed("test", "data/version", "v2"), changed("finetune", "data/benchmark", "sthv1")],
    "trained-videos": [changed("test", "data/manifest_sha256/train", "e" * 64)],
    "replaced-videos": [changed("finetune", "unreadable/train", 5)],
    "coverage": [changed("test", "unreadable/test", 2), changed("test", "data/expected/test", 50)],
    "unreadable-list": [
        text("test", "unreadable.csv", "video_id,error\nv001,gone\n"),
        text("test", "unreadable.csv", "video_id,error\nv001,gone\nv001,gone\n"),
        changed("test", "unreadable/ids", ["v001"]),
    ],
    "lineage": [parent_of_a_test, changed("test", "lineage_configs", {})],
    "ancestors": [lambda store: shutil.rmtree(store.folders["pretrain"])],
    "ancestors-agree": [
        changed("finetune", "config/optim/lr", 0.1),
        lambda store: store.change("test", f"lineage_configs/{id_of(store, 'pretrain')}/eval_videos", 1),
    ],
    "evaluation-after-training": [
        changed("test", "started", "2026-11-23T10:10:00Z"),
        changed("finetune", "started", "2026-11-23T10:10:00Z"),
        changed("finetune", "finished", "2026-11-23T23:00:00Z"),
    ],
    "code-of-lineage": [other_code],
    "network-of-lineage": [
        changed("test", "config/model/levels", 3),
        changed("probe", "config/model/motion/dim", 64),
        changed("retrieval", "config/model/backbone/name", "resnet50"),
    ],
    "journal-whole": [
        journal(line(10), line(20), '{"step": 3'),
        text("pretrain", "metrics.jsonl", line(10) + "\n" + line(20)),
    ],
    "journal-steps": [journal(line(10), line(10), line(20)), journal(line(10), line("x"), line(20))],
    "journal-end": [journal(line(10)), journal()],
    "finite-losses": [
        journal(line(10), line(20, loss=float("nan"))),
        journal(line(10, loss_contrast_2=float("inf")), line(20)),
        journal(line(10), line(20, loss=None)),
        journal('{"step": 20}'),
    ],
    "alarms-recorded": [journal(line(10), line(20, alarms=["collapse_2"]))],
    "alarms": [changed("pretrain", "alarms", ["steps 3-20: level 2 has collapsed"])],
    "measured": [changed("pretrain", "metrics/end_point_error", None)],
    "predictions-whole": [
        rows(lambda content: content[3].pop()),
        rows(lambda content: content[3].__setitem__(1, "four")),
        text("test", "predictions.csv", csv_text(rows_of())[:-1]),
    ],
    "predictions-rows": [
        rows(lambda content: content.pop()),
        rows(lambda content: content.append(content[-1])),
        changed("test", "unreadable", {"train": 0, "test": 1, "ids": ["v003"]}),
    ],
    "predictions-classes": [
        rows(lambda content: content[1].__setitem__(1, "12")),
        rows(lambda content: content[1].__setitem__(4, "0")),
    ],
    "predictions-groups": [
        rows(lambda content: content[1].__setitem__(2, "change")),
        rows(lambda content: content[1].__setitem__(2, "another")),
    ],
    "predictions-top1": [
        changed("test", "metrics/top1", 50.1),
        changed("probe", "groups/order/top1", 50.1),
        text("test", "predictions.csv", csv_text(rows_of(correct=24))),
    ],
    "groups-top1": [changed("test", "metrics/top1", 50.1), changed("probe", "groups/order/top1", 60.0)],
    "groups-top5": [top5_of_groups],
    "groups-chance": [
        changed("test", "chance", 25.1),
        changed("probe", "group_chance/order", 30.0),
    ],
    "groups-r1": [changed("retrieval", "metrics/r1", 50.1)],
    "labels": [other_labels],
}
CASES = [(rule, number) for rule, plants in FAULTS.items() for number in range(len(plants))]


def test_nothing_is_wrong_with_a_store_that_is_right(store: Store) -> None:
    report = check_runs([store.root], RULES)
    assert [f"{finding.rule}: {finding.what}" for finding in report.findings] == []
    assert report.runs == 5 and report.passed(strict=True)


def test_every_rule_has_a_planted_fault() -> None:
    assert set(FAULTS) == {rule.id for rule in RULES}


@pytest.mark.parametrize(("rule", "number"), CASES, ids=[f"{rule}-{number}" for rule, number in CASES])
def test_a_planted_fault_is_found(store: Store, rule: str, number: int) -> None:
    FAULTS[rule][number](store)
    report = check_runs([store.root], RULES)
    (level,) = {known.level for known in RULES if known.id == rule}
    found = [finding for finding in report.findings if finding.rule == rule]
    assert found, [f"{finding.rule}: {finding.what}" for finding in report.findings]
    assert {finding.level for finding in found} == {level}
    assert all(finding.what and finding.path.startswith(str(store.root)) for finding in found)
    assert report.passed() == (report.count("error") == 0)
    if level == "error":
        assert not report.passed()
    if level == "warning":
        assert not report.passed(strict=True)


def test_a_single_run_finds_its_ancestors_on_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.folders["test"])
    assert check_runs(["."], RULES).findings == ()
    store.change("pretrain", "finished", "2026-11-23T23:00:00Z")
    assert [finding.rule for finding in check_runs(["."], RULES).findings] == ["evaluation-after-training"]


def test_a_length_in_epochs_is_known_by_its_clips(store: Store) -> None:
    for name in ("record.json", "config.json"):
        store.change("pretrain", "config/length", {"steps": 0, "epochs": 3.3, "batch_size": 16}, name)
    for phase in ("finetune", "test", "probe", "retrieval"):
        store.change(phase, f"lineage_configs/{id_of(store, 'pretrain')}/length/epochs", 3.3)
        store.change(phase, f"lineage_configs/{id_of(store, 'pretrain')}/length/steps", 0)
    store.change("pretrain", "cost/clips", 320)
    assert check_runs([store.root], RULES).findings == ()
    store.change("pretrain", "cost/clips", 336)
    assert [finding.rule for finding in check_runs([store.root], RULES).findings] == ["journal-end"]


def test_committed_predictions_are_read_as_well(store: Store) -> None:
    plain = store.folders["test"] / "predictions.csv"
    packed = Path(f"{plain}.gz")
    packed.write_bytes(gzip.compress(csv_text([row[:5] for row in rows_of()]).encode(), mtime=0))
    plain.unlink()
    assert check_runs([store.root], RULES).findings == ()
    packed.write_bytes(packed.read_bytes()[:40])
    assert [finding.rule for finding in check_runs([store.root], RULES).findings] == ["predictions-readable"]
