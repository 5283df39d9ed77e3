"""Checks that look at one record, and at what is frozen beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from results.checks import dig
from results.flatten import flat
from results.record import PHASES
from results.rules.folder import RunFolder
from results.rules.model import check
from results.rules.runs import Runs


@check
def whole(run: RunFolder, runs: Runs, *, file: str) -> Iterator[str]:
    """The file, where there is one, can be read and is what its name says."""
    if damage := run.damage(file):
        yield damage


@check
def unfinished(run: RunFolder, runs: Runs) -> Iterator[str]:
    """A frozen configuration without a record: how far the run is."""
    if run.file("record") is not None:
        return
    status = run.status or {}
    steps = f" at step {status['step']} of {status['total_steps']}" if status.get("total_steps") else ""
    message = f": {status['message']}" if status.get("message") else ""
    yield f"{status.get('state') or run.damage('status') or 'not started'}{steps}, no record.json{message}"


@check
def done(run: RunFolder, runs: Runs) -> Iterator[str]:
    status = run.status or {}
    if status.get("state") != "done":
        yield f"status.json says {status.get('state')!r} beside a record: the run was started anew, or never ended"
    elif status.get("step") != status.get("total_steps"):
        yield f"status.json says done at step {status.get('step')} of {status.get('total_steps')}"


@check
def folder_named_after_run(run: RunFolder, runs: Runs) -> Iterator[str]:
    record = run.record or {}
    wanted = f"{record['slug']}-{record['run_id'][:12]}"
    if run.path.name != wanted:
        yield f"the folder is {run.path.name}, its record is of {wanted}"


@check
def in_phase_folder(run: RunFolder, runs: Runs) -> Iterator[str]:
    if run.above in PHASES and run.above != (run.record or {})["phase"]:
        yield f"the record of a {(run.record or {})['phase']} run lies in {run.above}/"


@check
def required(run: RunFolder, runs: Runs, *, keys: list[str]) -> Iterator[str]:
    """Keys (dotted) that must hold something."""
    absent = [key for key in keys if dig(run.record, key) in (None, "", [], {})]
    if absent:
        yield f"missing or empty: {', '.join(absent)}"


@check
def matches(run: RunFolder, runs: Runs, *, keys: list[str], pattern: str) -> Iterator[str]:
    """Texts under keys (dotted; a list's are looked at one by one) must match all of `pattern`; null is left out."""
    for key in keys:
        value = dig(run.record, key)
        if key.partition(".")[0] not in (run.record or {}):
            yield f"the rule asks for {key}, and no record has such a field: its name is misspelt in the rules file"
        for text in value if isinstance(value, list) else [value]:
            if text is not None and not (isinstance(text, str) and re.fullmatch(pattern, text)):
                yield f"{key} is {text!r}, which is not of the form {pattern}"


@check
def agree(run: RunFolder, runs: Runs, *, same: dict[str, list[str]]) -> Iterator[str]:
    """`same`: key (dotted) -> those that say the same thing; what is not there says nothing."""
    for key, others in same.items():
        value = dig(run.record, key)
        for other in others:
            found = dig(run.record, other)
            if None not in (value, found) and value != found:
                yield f"{key} is {value!r}, but {other} is {found!r}"


@check
def is_false(run: RunFolder, runs: Runs, *, key: str, why: str) -> Iterator[str]:
    value = dig(run.record, key)
    if value is not False:
        yield f"{key} is {'unknown' if value is None else str(value).lower()}: {why}"


@check
def measured(run: RunFolder, runs: Runs) -> Iterator[str]:
    """None among the metrics stands for a figure that was not finite."""
    metrics = (run.record or {})["metrics"]
    for name in sorted(name for name, value in metrics.items() if value is None):
        yield f"metrics.{name} could not be measured (not finite)"


@check
def seed_recorded_once(run: RunFolder, runs: Runs, *, seeded: list[str]) -> Iterator[str]:
    """The configuration of each `seeded` phase of the chain has one seed, and the record repeats the nearest."""
    record = run.record or {}
    chain = [
        record["config"],
        *(config for run_id in record["lineage"] if (config := record["lineage_configs"].get(run_id))),
    ]
    nearest = None
    for config in chain:
        places = sorted(_places("seed", config))
        phase = config.get("phase")
        if len(places) > 1:
            yield f"the {phase} configuration has {len(places)} seeds: {', '.join(places)}"
        if phase in seeded and not places:
            yield f"the {phase} configuration has no seed"
        if nearest is None and places:
            nearest = dig(config, places[0])
            if nearest != record["seed"]:
                yield f"seed is {record['seed']} in the record, {nearest} in the {phase} configuration"
    if run.config is not None and run.config.get("run_id") == record["run_id"]:
        frozen = dig(run.config, "config.seed")
        if frozen is not None and frozen != record["seed"]:
            yield f"seed is {record['seed']} in the record, {frozen} in config.json"


def _places(name: str, config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys that end in `name`."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _places(name, value, f"{prefix}{key}.")
        elif key == name:
            yield prefix + key


@check
def one_seed_over_lineage(run: RunFolder, runs: Runs) -> Iterator[str]:
    record = run.record or {}
    for run_id, config in record["lineage_configs"].items():
        if config.get("seed", record["seed"]) != record["seed"]:
            yield (
                f"seed {record['seed']}, but its {config['phase']} run {run_id[:12]} has seed {config['seed']}: runs "
                "that share one pretraining count as one"
            )


@check
def as_frozen(run: RunFolder, runs: Runs) -> Iterator[str]:
    """The record says of itself what was frozen in config.json before the run started."""
    record, frozen = run.record or {}, run.config or {}
    for name in ("run_id", "phase", "slug", "parent", "profile", "command"):
        if name in frozen and frozen[name] != record[name]:
            yield f"{name} is {record[name]!r} in the record, {frozen[name]!r} in config.json"
    for name in ("fingerprint", "commit"):
        before, after = dig(frozen, f"frozen.{name}"), record["code"][name]
        if before is not None and (before or None) != after:
            yield f"code.{name} is {after!r} in the record, {before!r} in config.json"
    if record["config"] == frozen.get("config"):
        return
    mine, theirs = flat(record["config"]), flat(frozen.get("config") or {})
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key):
            yield f"config.{key} is {mine.get(key)!r} in the record, {theirs.get(key)!r} in config.json"


@check
def same_manifests_as_frozen(run: RunFolder, runs: Runs, *, read: dict[str, list[str]]) -> Iterator[str]:
    """The subsets that a phase reads are those that it was planned with."""
    record = run.record or {}
    for subset in read.get(record["phase"], []):
        before, after = dig(run.config, f"manifests.{subset}"), record["data"]["manifest_sha256"][subset]
        if before is not None and before != after:
            yield f"data.manifest_sha256.{subset} is {after[:12]}, config.json was frozen for {str(before)[:12]}"


@check
def protocol_agrees(
    run: RunFolder, runs: Runs, *, top: list[str], sampling: list[str], transform: list[str]
) -> Iterator[str]:
    """A named protocol is a claim about the values that the test was run with: `top`-level keys of the configuration,
    those of its sampling and of its transform."""
    config = (run.record or {})["config"]
    protocol = config.get("protocol") or {}
    places = [("", name) for name in top]
    places += [("sampling.", name) for name in sampling] + [("transform.", name) for name in transform]
    for prefix, name in places:
        own = dig(config, prefix + name)
        if name in protocol and own is not None and own != protocol[name]:
            yield f"protocol {protocol.get('name')} says {name}={protocol[name]!r}, the test was run with {own!r}"


@check
def decoder_has_version(run: RunFolder, runs: Runs, *, packages: dict[str, list[str]]) -> Iterator[str]:
    """`packages`: decoder -> the packages of which one must be in the environment with its version."""
    decoder = dig((run.record or {})["config"], "benchmark.decoder")
    if not isinstance(decoder, str) or not decoder:
        yield "config.benchmark.decoder is not recorded"
        return
    if decoder not in packages:
        yield f"the decoder {decoder!r} is none of {', '.join(sorted(packages))}"
        return
    environment = (run.record or {})["environment"]
    if packages[decoder] and not any(environment.get(name) for name in packages[decoder]):
        yield f"the decoder {decoder} has no version: the environment names no {' or '.join(packages[decoder])}"


@check
def unreadable_within(run: RunFolder, runs: Runs, *, train_share: float) -> Iterator[str]:
    """Training clips that another video stood in for, of all clips (one is always allowed)."""
    record = run.record or {}
    lost, clips = record["unreadable"]["train"], record["cost"].get("clips")
    if clips is not None and lost > max(1.0, train_share * clips):
        yield f"{lost} of {clips:.0f} training clips were replaced, more than {100 * train_share:g} %"


@check
def covered(run: RunFolder, runs: Runs, *, share: float) -> Iterator[str]:
    """Readable ones of the listed test videos: the test's own demand, or `share`."""
    record = run.record or {}
    needed = record["config"].get("coverage", share)
    listed = dig(record, "data.expected.test") or record["data"]["videos"]["test"]
    read = record["data"]["videos"]["test"] - record["unreadable"]["test"]
    if listed and isinstance(needed, int | float) and read < needed * listed:
        yield f"{read} of {listed} listed test videos were measured ({100 * read / listed:.1f} % < {100 * needed:g} %)"


@check
def alarms(run: RunFolder, runs: Runs) -> Iterator[str]:
    yield from (run.record or {})["alarms"]


@check
def groups_add_up(run: RunFolder, runs: Runs, *, metric: str, slack: float) -> Iterator[str]:
    """The metric over all videos is the mean of the groups', weighted by their videos."""
    record = run.record or {}
    found, groups = record["metrics"].get(metric), list(record["groups"].values())
    counts: list[Any] = [group.get("readable", group.get("videos")) for group in groups]
    values = [group.get(metric) for group in groups]
    read = record["data"]["videos"]["test"] - record["unreadable"]["test"]
    if found is None or not groups or None in counts or None in values or not sum(counts) or sum(counts) != read:
        return  # videos without a group: nothing follows
    mean = sum(count * value for count, value in zip(counts, values, strict=True)) / sum(counts)
    if abs(mean - found) > slack:
        yield f"{metric} is {found:.6g}, but its groups add up to {mean:.6g} over {read} videos"


@check
def chance_adds_up(run: RunFolder, runs: Runs, *, slack: float) -> Iterator[str]:
    """Guessing over all videos is the mean of guessing in the groups, weighted by their videos."""
    record = run.record or {}
    chance, groups = record["chance"], record["groups"]
    counts = {name: group.get("videos") for name, group in groups.items()}
    if chance is None or set(counts) != set(record["group_chance"]) or None in counts.values():
        return
    total = record["data"]["videos"]["test"]
    if not total or None in record["group_chance"].values() or sum(counts.values()) != total:
        return  # videos without a group: nothing follows
    mean = sum(counts[name] * value for name, value in record["group_chance"].items()) / total
    if abs(mean - chance) > slack:
        yield f"chance is {chance:.6g}, but that of its groups adds up to {mean:.6g}"
