from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hcml.config import to_dict
from hcml.data.manifest import Data, Manifest, VideoEntry
from results.record import problems_of
from sweeps.assemble import assemble
from sweeps.resolve import resolve
from sweeps.store import now

GROUPS = {"change": [0, 1], "order": [2, 3, 4]}


def manifest(subset: str, per_class: int) -> Manifest:
    entries = [
        VideoEntry(f"{subset}{c}{i}", f"{subset}/{c}{i}.mp4", c, 24, 12.0, "change" if c < 2 else "order")
        for c in range(5)
        for i in range(per_class)
    ]
    return Manifest("synthmotion", "v1", "1", subset, Path("."), list("abcde"), GROUPS, entries)


DATA = Data(manifest("train", 2), manifest("test", 1))
COSTS = {"seconds": 2.0, "clips": 8, "clips_per_second": 4.0, "num_parameters": 7, "gmacs": 0.1}
TRAINED = {
    "metrics": {"train_loss": 1.0},
    "groups": {},
    "train": {"loss": float("nan")},
    "alarms": [{"name": "rank_1", "first_step": 3, "last_step": 9, "message": "collapsed", "at_end": True}],
    "unreadable": {"train": 2, "test": 0},
    "unreadable_ids": {"train": {"b": 1, "a": 1}, "test": {}},
    "costs": COSTS,
    "weights": None,
}
TESTED = TRAINED | {
    "metrics": {"top1": 50.0},
    "groups": {"order": {"top1": 40.0, "videos": 3.0, "readable": 2.0}},
    "train": {},
    "alarms": [],
    "unreadable": {"train": 0, "test": 1},
    "unreadable_ids": {"train": {}, "test": {"z": "is empty"}},
}


@pytest.fixture
def frozen(settings):
    return [
        {
            "run_id": run.run_id,
            "phase": run.phase,
            "slug": run.slug,
            "config": to_dict(run.config),
            "parent": run.parent,
            "frozen": {"fingerprint": "f" * 64, "commit": "", "dirty": "abc"},
            "command": ["python", "sweeps/run.py"],
            "profile": "quick",
        }
        for run in resolve(settings("seed=3", "pretrain.seed=5"))
    ]


MACHINE = {"python": "3.11", "torch": "2", "decord": "0.6.0"}


@pytest.mark.parametrize("index, returned, seed", [(0, TRAINED, 5), (1, TRAINED, 3), (2, TESTED, 3)])
def test_every_phase_gives_a_valid_record(frozen, index, returned, seed):
    lineage = frozen[:index][::-1]
    record = assemble(frozen[index]["run_id"], frozen[index], lineage, DATA, returned, MACHINE)
    assert problems_of(record | {"started": now(), "finished": now()}) == []
    assert record["seed"] == seed
    assert record["lineage"] == [item["run_id"] for item in lineage]
    assert record["data"]["videos"] == {"train": 10, "test": 5}
    assert record["cost"]["parameters"] == 7
    assert record["code"] == {"fingerprint": "f" * 64, "commit": None, "dirty": True}


def test_numbers_that_are_none_become_null_and_alarms_readable(frozen):
    record = assemble(frozen[0]["run_id"], frozen[0], [], DATA, TRAINED, MACHINE)
    assert record["metrics"] == {"train_loss": None}
    assert record["alarms"] == ["steps 3-9: collapsed"]
    assert record["unreadable"] == {"train": 2, "test": 0, "ids": ["a", "b"]}


def test_chance_is_among_the_classes_of_the_group(frozen):
    record = assemble(frozen[2]["run_id"], frozen[2], frozen[1::-1], DATA, TESTED, MACHINE)
    assert record["group_chance"] == pytest.approx({"change": 50.0, "order": 100 / 3})
    assert record["chance"] == pytest.approx((2 * 50 + 3 * 100 / 3) / 5)
    assert record["groups"]["order"] == {"top1": 40.0, "videos": 2.0}
    assert record["unreadable"]["ids"] == ["z"]


def test_the_hash_and_the_match_of_loaded_weights_are_in_the_record(frozen):
    report = {"source": "timm:resnet18", "sha256": "a" * 64, "matched_percent": 100.0}
    record = assemble(frozen[0]["run_id"], frozen[0], [], DATA, TRAINED | {"weights": report}, MACHINE)
    assert record["environment"]["pretrained_weights"] == report
    assert problems_of(record | {"started": now(), "finished": now()}) == []


def test_the_record_says_what_was_listed_missing_and_quarantined(frozen):
    test = replace(DATA.test, missing=["gone", "lost"], quarantine={"test00": "truncated"}, origin={"synthetic": True})
    record = assemble("9" * 64, frozen[2], frozen[1::-1], Data(DATA.train, test), TESTED, MACHINE)
    assert problems_of(record | {"started": now(), "finished": now()}) == []
    data = record["data"]
    assert data["videos"]["test"] == 5 and data["expected"] == {"train": 10, "test": 7}
    assert data["quarantined"] == {"train": 0, "test": 1} and data["origin"] == {"synthetic": True}


def test_a_test_names_the_videos_that_its_weights_were_trained_on(frozen):
    returned = TESTED | {"trained_videos": {"manifest_sha256": "7" * 64, "videos": 4}}
    data = assemble("9" * 64, frozen[2], frozen[1::-1], DATA, returned, MACHINE)["data"]
    assert data["manifest_sha256"] == {"train": "7" * 64, "test": DATA.test.content_hash()}
    assert data["videos"] == {"train": 4, "test": 5}


def test_a_chain_that_starts_from_a_file_names_its_hash(frozen):
    first = frozen[1] | {"parent": None, "weights_sha256": "8" * 64}
    assert assemble("9" * 64, frozen[2], [first], DATA, TESTED, MACHINE)["weights_sha256"] == "8" * 64
