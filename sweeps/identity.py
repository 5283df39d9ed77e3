"""What a run is: its identity, its name, and the dataclass that carries both before the run exists."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hcml.config import BenchmarkConfig, ConfigError, FinetuneRun, ProbeRun, RetrievalRun, RunConfig, TestRun, science

NOT_READ = {
    "pretrain": ("benchmark.test_per_class",),
    "finetune": ("benchmark.test_per_class",),
    "test": ("benchmark.train_per_class", "protocol"),
    "probe": (),
    "retrieval": (),
}
"""Keys that a phase carries but that cannot change what it produces, so they are not hashed: a bigger test set must
train nothing (what pretraining measures on held-out videos is fixed by `eval_videos`)."""


@dataclass(frozen=True)
class PlannedRun:
    """A run before it exists: what it is, and what it starts from."""

    run_id: str
    """64 hex digits."""
    slug: str
    config: RunConfig
    parent: str | None = None
    """run_id of the run whose weights it starts from."""
    weights: str = ""
    """A weights file given by the user (`checkpoint=FILE`) in place of a parent."""
    weights_sha256: str = ""
    """Of that file, when the run was planned."""

    @property
    def phase(self) -> str:
        return self.config.phase

    @property
    def name(self) -> str:
        """Folder name: slug and the first 12 digits of the id."""
        return f"{self.slug}-{self.run_id[:12]}"


def hash_run(identity: Mapping[str, Any], parent: str | None) -> str:
    """sha256 (64 hex) of the canonical JSON of a run's identity and its parent's id."""
    text = json.dumps({"run": identity, "parent": parent}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(run: RunConfig) -> dict[str, Any]:
    """What of a run's configuration is hashed: :func:`hcml.config.science` without `NOT_READ`, and with the content
    of a weights file in place of its path."""
    plain = science(run)
    for key in NOT_READ[run.phase]:
        *path, last = key.split(".")
        node = plain
        for part in path:
            node = node[part]
        del node[last]
    backbone = plain["model"]["backbone"]
    if backbone["pretrained"] not in ("", "timm"):
        backbone["pretrained"] = f"sha256:{file_hash(backbone['pretrained'], 'backbone.pretrained')}"
    return plain


def planned(run: RunConfig, parent: str | None, weights: str = "", prefix: str = "") -> PlannedRun:
    """Name a run. `parent` is its parent's run_id, or `sha256:...` of `weights` where that file is given
    instead; `prefix` is the slug of the run that a test run tests, which says more than its own settings."""
    digest = (parent or "").removeprefix("sha256:") if weights else ""
    run_id = hash_run(identity(run), parent)
    return PlannedRun(run_id, slug(run, prefix), run, None if weights else parent, weights, digest)


def slug(run: RunConfig, prefix: str = "") -> str:
    """A short readable name, `[a-z0-9._-]+`, at most 60 characters; not unique."""
    model = run.model
    words = [model.backbone.name.split(".")[0], f"l{model.levels}"]
    if run.benchmark.name != BenchmarkConfig().name:
        words += [run.benchmark.name, run.benchmark.split]
    if model.temporal.mode != "none":
        words.append(model.temporal.mode)
    if model.levels and model.motion.input != "video":
        words.append(model.motion.input)
    if isinstance(run, FinetuneRun | ProbeRun | RetrievalRun):
        words.append(run.init)
    if isinstance(run, ProbeRun | RetrievalRun):
        words += [run.features.source, *(["concat"] if run.features.pool == "concat" else [])]
    if isinstance(run, TestRun):
        words = [prefix] if prefix else words
        words.append(f"{run.num_clips}x{run.num_crops}")
    else:
        words.append(f"s{run.seed}")
    text = re.sub(r"[^a-z0-9._-]+", "-", "-".join(words).lower()).strip("-.")
    return text[:60].strip("-.")


def file_hash(path: str, key: str) -> str:
    """sha256 (64 hex) of a file that the setting `key` names; :class:`ConfigError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{key}={path} cannot be read ({error.strerror}): give an existing weights file") from error
