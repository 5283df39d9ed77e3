"""Checks of a run against the runs it comes from, and against other copies of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from results.checks import dig
from results.equivalent import canonical
from results.record import FILE_NAME
from results.rules.folder import RunFolder
from results.rules.model import check
from results.rules.runs import Runs


def _ancestors(run: RunFolder, runs: Runs) -> Iterator[dict[str, Any]]:
    """The records of the ancestors that are there, nearest first."""
    for run_id in (run.record or {})["lineage"]:
        record = runs.find(run_id, run.path)
        if record is not None:
            yield record


@check
def ancestors_there(run: RunFolder, runs: Runs) -> Iterator[str]:
    for run_id in (run.record or {})["lineage"]:
        if runs.find(run_id, run.path) is None:
            phase = dig((run.record or {})["lineage_configs"], f"{run_id}.phase") or "ancestor"
            yield f"the record of its {phase} run {run_id[:12]} is not here: what it says cannot be compared"


@check
def phases_follow(run: RunFolder, runs: Runs, *, after: dict[str, list[str]]) -> Iterator[str]:
    """`after`: phase -> the phases that its parent may be of ([] = it has none)."""
    record = run.record or {}
    phase = record["phase"]
    for run_id in record["lineage"]:
        parent = dig(record["lineage_configs"].get(run_id), "phase")
        if parent is None:
            yield f"lineage_configs has no configuration of {run_id[:12]}"
            return
        if parent not in after.get(phase, []):
            yield f"a {phase} run comes from a {parent} run, {run_id[:12]}"
        phase = parent


@check
def measured_after_training(run: RunFolder, runs: Runs) -> Iterator[str]:
    """Nothing starts before what it starts from has finished."""
    record = run.record or {}
    later, name = record["started"], record["phase"]
    for ancestor in _ancestors(run, runs):
        if datetime.fromisoformat(ancestor["finished"]) > datetime.fromisoformat(later):
            yield (
                f"the {name} run started at {later}, before its {ancestor['phase']} run {ancestor['run_id'][:12]} "
                f"had finished ({ancestor['finished']})"
            )
        later, name = ancestor["started"], ancestor["phase"]


@check
def ancestors_as_recorded(run: RunFolder, runs: Runs) -> Iterator[str]:
    """What a record says of its ancestors is what their own records say."""
    record = run.record or {}
    for ancestor in _ancestors(run, runs):
        run_id = ancestor["run_id"]
        at = record["lineage"].index(run_id)
        if ancestor["lineage"] != record["lineage"][at + 1 :]:
            yield f"{ancestor['phase']} run {run_id[:12]} has another lineage in its own record"
        mine, theirs = record["lineage_configs"].get(run_id), ancestor["config"]
        if mine is not None and mine != theirs:
            differing = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
            yield (
                f"{ancestor['phase']} run {run_id[:12]} has another configuration in its own record: "
                f"{', '.join(differing)}"
            )


@check
def same_code_as_ancestors(run: RunFolder, runs: Runs) -> Iterator[str]:
    mine = (run.record or {})["code"]["fingerprint"]
    for ancestor in _ancestors(run, runs):
        theirs = ancestor["code"]["fingerprint"]
        if canonical(mine) != canonical(theirs):
            yield f"code {mine[:12]}, but its {ancestor['phase']} run {ancestor['run_id'][:12]} is of {theirs[:12]}"


@check
def same_data_as_ancestors(run: RunFolder, runs: Runs, *, train: list[str], test: list[str]) -> Iterator[str]:
    """Runs of one chain whose benchmark configurations agree in the keys `train` (`test`) read the same videos."""
    record = run.record or {}
    for ancestor in _ancestors(run, runs):
        for subset, keys in (("train", train), ("test", test)):
            mine, theirs = ([dig(one["config"], f"benchmark.{key}") for key in keys] for one in (record, ancestor))
            hashes = [one["data"]["manifest_sha256"][subset] for one in (record, ancestor)]
            if mine == theirs and hashes[0] != hashes[1]:
                yield (
                    f"{subset} manifest {hashes[0][:12]}, but its {ancestor['phase']} run {ancestor['run_id'][:12]} "
                    f"has {hashes[1][:12]} for the same benchmark: the data changed between them"
                )


@check
def same_network_as_parent(run: RunFolder, runs: Runs, *, keys: list[str]) -> Iterator[str]:
    """What is measured is the network that was trained: the configurations agree under `keys` (dotted)."""
    record = run.record or {}
    parent = record["lineage_configs"].get(record["parent"]) or {}
    for key in keys:
        mine, theirs = dig(record["config"], key), dig(parent, key)
        if parent and mine != theirs:
            yield f"config.{key} is {mine!r}, but {theirs!r} in its {parent.get('phase')} run {record['parent'][:12]}"


@check
def tested_weights_trained_on(run: RunFolder, runs: Runs) -> Iterator[str]:
    """A test reports the training videos of the weights that it tests."""
    record = run.record or {}
    for ancestor in _ancestors(run, runs):
        if ancestor["run_id"] == record["parent"]:
            mine, theirs = (one["data"]["manifest_sha256"]["train"] for one in (record, ancestor))
            if mine != theirs:
                yield f"it names training manifest {mine[:12]}, the run it tests was trained on {theirs[:12]}"


@check
def copies_agree(run: RunFolder, runs: Runs) -> Iterator[str]:
    """Records of one run by one code, in several places, are one record."""
    record = run.record or {}
    for place in runs.places(record["run_id"]):
        if place == run.path:
            return  # said once, by the later one
        try:
            other = json.loads((place / FILE_NAME).read_text(encoding="utf-8"))
            mine = json.loads((run.path / FILE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # named by the rule on records
        same = (
            dig(other, "run_id") == record["run_id"] and dig(other, "code.fingerprint") == record["code"]["fingerprint"]
        )
        if same and other != mine:
            keys = sorted(key for key in {*mine, *other} if mine.get(key) != other.get(key))
            yield f"differs from the record of the same run in {place}: {', '.join(keys)}"
