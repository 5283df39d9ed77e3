"""A record as one flat row: the columns that tables are made from.

The row names what the run *is* (``backbone``, ``levels``, ``pretraining``, ``temporal``, ...), what makes it comparable
to others (``profile``, ``protocol``, ``decoder``, manifests, ``fingerprint``), what came out (``metric.top1``,
``group.order.top1``, ``group.order.counted`` = the videos which that counts), and every configuration value of the run
and its ancestors under ``<phase>.<key>`` such as ``finetune.optim.lr``. The seeds are columns of their own (``seed``,
``pretrain_seed``), never ``<phase>.seed``.
"""

from __future__ import annotations

import json
import marshal
import statistics
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from results.checks import dig

NOT_READ = ("pretrain.benchmark.test_per_class", "finetune.benchmark.test_per_class", "test.benchmark.train_per_class")
"""Keys that a phase's configuration carries without reading them: no columns, for they tell no results apart."""
CONFIG_PREFIXES = ("pretrain.", "finetune.", "probe.", "retrieval.", "test.")
NUMBER_PREFIXES = ("metric.", "group.", "group_chance.", "cost.")
_LABELS = (
    *("backbone", "temporal", "motion_input", "prime", "fusion_init", "pairing", "pretraining", "init", "weights"),
    *("features", "pooling", "decoder", "protocol"),
)
_ORIGINS = ("device", "torch", "timm", "protocol_name")
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_LABELS, (str,)),
    **dict.fromkeys(_ORIGINS, (str, type(None))),
    "pretrain_seed": (int, type(None)),
}
"""What tables sort by and join, and the schema of records leaves open."""
PACKAGES = {"pyav": "av", "frames": "pillow"}
"""Decoders that are no package of their own name -> the package whose version decides what they give."""
NOT_APPLICABLE = "-"
"""A setting that the run does not have, such as the fusion of a plain backbone."""


def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one record of :func:`results.record.read_record`.

    Raises ValueError, saying what it is, where a valid record holds a configuration of another shape than ours.
    """
    try:
        row = _row_of(record)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"its configuration is not of this suite's shape ({type(error).__name__}: {error})") from error
    for name, kinds in _KINDS.items():
        if not isinstance(row[name], kinds):
            raise ValueError(f"it gives the {name} {row[name]!r}: tables cannot sort by a {type(row[name]).__name__}")
    return row


def _row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    phases = phase_configs(record)
    row: dict[str, Any] = {name: record[name] for name in ("run_id", "phase", "slug", "parent", "profile", "seed")}
    row["lineage"] = " ".join(record["lineage"])
    row |= _model_columns(record["config"]["model"])
    row |= _training_columns(phases)
    row |= _frozen_columns(record)
    from_file = row["pretraining"] == "from a file"
    if from_file and (digest := _file_digest(record)):
        row["pretraining"] = f"file {digest}"  # two files are two rows
    # runs that start from one file share it as others share a run
    row["pretrain_id"] = pretrain_id(record) or (row["pretraining"] if from_file else "")
    row |= _origin_columns(record)
    row["protocol"] = protocol(record["config"], dig(phases, "finetune.transform.flip"))
    row["protocol_name"] = dig(record, "config.protocol.name")
    row["chance"] = record["chance"]
    for prefix, numbers in (("metric", "metrics"), ("group_chance", "group_chance"), ("cost", "cost")):
        row |= {f"{prefix}.{name}": value for name, value in record[numbers].items()}
    for group, numbers in record["groups"].items():
        row |= {f"group.{group}.{name}": value for name, value in numbers.items()}
        row[f"group.{group}.counted"] = numbers.get("readable", numbers.get("videos"))
    if "metric.mean_group_top1" not in row:
        row["metric.mean_group_top1"] = _mean([numbers.get("top1") for numbers in record["groups"].values()])
    row["alarms"] = "; ".join(record["alarms"])
    for phase, config in phases.items():
        own = {key: value for key, value in config.items() if key not in ("seed", "phase")}
        row.update(_config_columns(phase, marshal.dumps(own, 2)))
    return row


@lru_cache(maxsize=4096)
def _config_columns(phase: str, config: bytes) -> Mapping[str, Any]:
    """Those of one phase. Thousands of runs share some hundred configurations, their own or an ancestor's: packed
    (version 2 of the format: equal bytes = equal values of equal types), each is flattened once, and the rows share
    the names and values, too."""
    names = {f"{phase}.{key}": value for key, value in flat(marshal.loads(config)).items()}
    # the protocol's values are those of the test's own keys
    return {n: value for n, value in names.items() if n not in NOT_READ and not n.startswith("test.protocol")}


def _mean(values: list[float | None]) -> float | None:
    """None unless every value is there: a mean over some of the groups is no mean over groups."""
    numbers = [value for value in values if value is not None]
    return statistics.fmean(numbers) if numbers and len(numbers) == len(values) else None


def phase_configs(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Phase -> configuration, of the run itself and of its ancestors; of two of one phase, the nearest."""
    phases = {record["phase"]: record["config"]}
    for config in filter(None, map(record["lineage_configs"].get, record["lineage"])):
        phases.setdefault(config["phase"], config)
    return phases


def pretrain_id(record: Mapping[str, Any]) -> str:
    """Id of the pretraining run behind the record (or of the record itself, if it is one); '' if there is none."""
    if record["phase"] == "pretrain":
        return str(record["run_id"])
    configs = record["lineage_configs"]
    return next((run_id for run_id in record["lineage"] if dig(configs.get(run_id), "phase") == "pretrain"), "")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists as JSON text, so that every value can be compared and grouped by."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value
    return found


def protocol(config: Mapping[str, Any], flip: str | None = None) -> str:
    """How clips are taken from videos, shown to the network and scored: results under two protocols are two results.

    `flip` is that of the training, where the run's own configuration does not say it. Records that say nothing of an
    average, a metric or a checkpoint are of before these could be chosen.
    """
    sampling, transform = dig(config, "sampling") or {}, dig(config, "transform") or {}
    parts = [_frames(sampling)]
    views = dig(config, "features") or (config if config.get("phase") == "test" else None)
    if views is not None:
        parts.append(f"{views.get('num_clips', '?')}x{views.get('num_crops', '?')} views")
    resize = transform.get("resize")
    parts.append((f"resize {resize} " if resize else "") + f"crop {transform.get('crop_size', '?')}")
    parts.append(f"short videos {sampling.get('short_video', '?')}")
    if config.get("phase") == "test":
        parts += _scoring(config, flip)
    parts.append(f"split {dig(config, 'benchmark.split') or '?'}")
    if views is not None and dig(config, "benchmark.test_per_class"):
        parts.append(f"at most {dig(config, 'benchmark.test_per_class')} test videos a class")
    if config.get("phase") == "pretrain":
        parts.append(f"{config.get('eval_videos', '?')} held-out videos a group")
    if config.get("within_group"):
        parts.append("group given")
    return ", ".join(parts)


def _frames(sampling: Mapping[str, Any]) -> str:
    frames = sampling.get("num_frames", "?")
    if sampling.get("mode") == "uniform":
        rule = sampling.get("rule") or "parts"
        return f"uniform {frames}" + ("" if rule == "parts" else f" by {rule}")
    text = f"dense {frames}x{sampling.get('frame_stride', '?')}"
    if window := sampling.get("window"):
        text += f" of {window}"
    first = sampling.get("first_frame", -1)
    return text if first < 0 else f"{text} from {first}"


def _scoring(config: Mapping[str, Any], flip: str | None) -> list[str]:
    """What else of a test moves its number."""
    flip = dig(config, "protocol.flip") or flip or "?"
    needed = config.get("coverage")
    parts = [
        f"mean of {config.get('average', 'softmax')}",
        f"top-1 of a {config.get('metric', 'video')}",
        f"{config.get('selection', 'last')} checkpoint",
        f"trained with flip {flip}",
        "any coverage" if needed is None else f"coverage of at least {100 * needed:g} % asked for",
    ]
    trained = dig(config, "model.num_frames"), dig(config, "model.input_size")
    tested = dig(config, "sampling.num_frames"), dig(config, "transform.crop_size")
    if None not in trained and trained != tested:
        parts.append(f"trained on {trained[0]} frames of {trained[1]} px")
    return parts


def _model_columns(model: Mapping[str, Any]) -> dict[str, Any]:
    levels = model["levels"]
    temporal = dig(model, "temporal.mode") or "none"
    if temporal != "none" and dig(model, "temporal.causal") is False:
        temporal += " (not causal)"
    pairing = dig(model, "motion.pairing") or "causal"
    columns = {
        "motion_input": dig(model, "motion.input") or "?",
        "prime": dig(model, "motion.prime") or "?",
        "fusion_init": dig(model, "fusion.init") or "?",
        "pairing": f"{pairing} (target visible)" if pairing == "lookahead" else pairing,
    }
    if levels == 0:
        columns = dict.fromkeys(columns, NOT_APPLICABLE)
    backbone = model["backbone"]
    # the tag of a name (resnet50.tv_in1k) says which weights: a column of its own
    name = backbone["name"].partition(".")[0] if backbone.get("pretrained") == "timm" else backbone["name"]
    return {"backbone": name, "levels": levels, "temporal": temporal} | columns


def _training_columns(phases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    pretrain = phases.get("pretrain")
    finetune = phases.get("finetune") or phases.get("probe") or phases.get("retrieval")  # who says where it started
    if pretrain is not None:
        pretraining = dig(pretrain, "curriculum.name") or "?"
    elif finetune is None or dig(finetune, "init") == "run":
        # fine-tuned from a file, or tested from one: nobody recorded how it was made
        pretraining = "from a file"
    else:
        pretraining = "none"
    first = pretrain or finetune or next(iter(phases.values()))
    return {
        "pretraining": pretraining,
        "init": dig(finetune or {}, "init") or NOT_APPLICABLE,
        "weights": _weights(first["model"]["backbone"]),
        "pretrain_seed": None if pretrain is None else pretrain.get("seed"),
    }


def _weights(backbone: Mapping[str, Any]) -> str:
    """Those that the backbone started from: the tag of timm's (tv_in1k), or a file by its name alone, for a table must
    not depend on where it lay."""
    given = backbone.get("pretrained") or "scratch"
    return backbone["name"].partition(".")[2] or given if given == "timm" else PurePath(given).name


def _doubts(data: Mapping[str, Any]) -> str:
    """What makes a data set another one than its name says."""
    origin = data.get("origin") or {}
    doubts = ["a part of its videos"] if origin.get("part") else []
    if origin.get("synthetic"):
        doubts.insert(0, "synthetic imitation")
    elif origin.get("official_lists") is False:
        doubts.insert(0, "not the official lists")
    return f" ({', '.join(doubts)})" if doubts else ""


def _frozen_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of a frozen network, and what was trained at all."""
    features = dig(record["config"], "features") or {}
    trained = {"probe": "linear", "retrieval": "nothing"}.get(record["phase"], "everything")
    # a fine-tuned file has seen labels before the phase itself trains anything
    supervised = features and dig(record["environment"], "pretrained_weights.source") == "a finetune run"
    return {
        "features": features.get("source", NOT_APPLICABLE),
        "pooling": features.get("pool", NOT_APPLICABLE),
        "trained": f"everything, then {trained}" if supervised else trained,
    }


def _file_digest(record: Mapping[str, Any]) -> str:
    """First digits of the hash of the weights file that the chain of runs starts from; '' if none was given."""
    return str(record.get("weights_sha256") or dig(record["environment"], "pretrained_weights.sha256") or "")[:8]


def _origin_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    code, data, environment = record["code"], record["data"], record["environment"]
    decoder = dig(record, "config.benchmark.decoder") or "?"
    version = environment.get(PACKAGES.get(decoder, decoder))
    return {
        "fingerprint": code["fingerprint"],
        "commit": code["commit"],
        "dirty": code["dirty"],
        "benchmark": f"{data['benchmark']} {data['version']}{_doubts(data)}",
        "manifest_train": data["manifest_sha256"]["train"],
        "manifest_test": data["manifest_sha256"]["test"],
        "videos_train": data["videos"]["train"],
        "videos_test": data["videos"]["test"],
        "expected_train": dig(data, "expected.train"),
        "expected_test": dig(data, "expected.test"),
        "unreadable_train": record["unreadable"]["train"],
        "unreadable_test": record["unreadable"]["test"],
        "decoder": f"{decoder} {version}" if version else decoder,
        "device": environment.get("device"),
        "machine": str(environment.get("gpu") or environment.get("cpu") or environment.get("device") or "?"),
        "torch": environment["torch"],
        "timm": environment.get("timm"),
        "started": record["started"],
        "finished": record["finished"],
    }
