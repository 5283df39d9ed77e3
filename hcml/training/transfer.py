"""From one phase to the next: the final weights of a run, and loading all of them or saying why not."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from hcml.backbone import resolve_name
from hcml.config import ModelConfig
from hcml.data.manifest import Manifest
from hcml.model import HCML, build_model
from hcml.training.checkpoint import CheckpointError, differences, read_file, write_file
from hcml.weights import classifier_prefixes

WEIGHTS = "weights.pt"


def save_weights(
    folder: Path,
    model: HCML,
    config: dict[str, Any],
    step: int,
    heads: nn.Module | None = None,
    parent: Mapping[str, Any] | None = None,
    train: Manifest | None = None,
) -> Path:
    """Write ``folder/weights.pt``: the model's state dict, where it comes from, every benchmark that it and the
    weights it started from (``parent``, a payload) were trained on, hash and number of its training videos, and the
    pretraining heads (kept for measuring, never transferred)."""
    trained_on = [*(parent["trained_on"] if parent else []), config["benchmark"]]
    payload = {"model": model.state_dict(), "config": config, "phase": config["phase"], "step": step}
    payload["trained_on"] = trained_on
    if train is not None:
        payload["train"] = {"manifest_sha256": train.content_hash(), "videos": len(train.entries)}
    if heads is not None:
        payload["heads"] = heads.state_dict()
    path = folder / WEIGHTS
    write_file(path, payload)
    return path


def read_weights(path: Path, *phases: str) -> dict[str, Any]:
    """Content of a ``weights.pt`` written by a run of one of ``phases``; CheckpointError when it is anything else."""
    payload = read_file(path)
    missing = {"model", "config", "phase", "step", "trained_on"} - payload.keys()
    if missing:
        raise CheckpointError(
            f"{path} is not the weights.pt of a run (it lacks {', '.join(sorted(missing))}): ImageNet weights go into "
            "backbone.pretrained=FILE"
        )
    if payload["phase"] not in phases:
        wanted = " or ".join(phases)
        raise CheckpointError(f"{path} comes from a {payload['phase']} run; the weights of a {wanted} run are needed")
    return payload


def check_same_model(payload: Mapping[str, Any], config: ModelConfig, source: Path) -> None:
    """CheckpointError, naming the keys that differ, unless a ``weights.pt`` was written by the model of ``config``.

    The tensors alone do not show it: a temporal shift, a static input or another pairing in time has none of its own.
    Number of classes, frames and pixels may differ, and so may what only matters while training.
    """
    if different := differences(_architecture(payload["config"]["model"]), _architecture(asdict(config))):
        raise CheckpointError(
            f"{source} belongs to another model: {'; '.join(different)}. Give this run the settings of the one that "
            "wrote it, or another file"
        )


def _architecture(model: Mapping[str, Any]) -> dict[str, Any]:
    """What two models must share for one to compute with the other's weights, as nested plain types."""
    backbone, temporal = model["backbone"], model["temporal"]
    found: dict[str, Any] = {
        "backbone": {"name": resolve_name(backbone["name"], backbone["pretrained"])},
        "temporal": temporal if temporal["mode"] != "none" else {"mode": "none"},
        "levels": model["levels"],
    }
    if model["levels"]:
        found["motion"] = {key: value for key, value in model["motion"].items() if key != "detach_levels"}
    return found


def build_without_weights(config: ModelConfig) -> HCML:
    """The model of ``config`` for weights that come from a parent run: ImageNet weights are neither needed nor read,
    only the normalisation that belongs to them."""
    backbone = config.backbone
    name = resolve_name(backbone.name, backbone.pretrained)
    if not backbone.pretrained:
        return build_model(config)
    bare = copy.copy(backbone)
    bare.name, bare.pretrained = name, ""
    return build_model(replace(config, backbone=bare))


def load_model(model: HCML, state: dict[str, Any], source: Path, classifier: bool) -> None:
    """Load every tensor of ``state`` into ``model``, all of the model being covered.

    With ``classifier=False`` the classifier keeps its fresh values (that of a pretraining run was never trained, and
    may have another number of classes). Raises CheckpointError listing what is missing, unexpected or of another
    shape; nothing is loaded then.
    """
    own = model.state_dict()
    if not classifier:
        prefixes = tuple(f"backbone.model.{prefix}" for prefix in classifier_prefixes(model.backbone.model))
        fresh = {key: value for key, value in own.items() if prefixes and key.startswith(prefixes)}
        state = {key: value for key, value in state.items() if not (prefixes and key.startswith(prefixes))} | fresh
    problems = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    if any(problems.values()):
        lists = "; ".join(f"{len(keys)} {kind}: {', '.join(keys[:12])}" for kind, keys in problems.items() if keys)
        raise CheckpointError(
            f"{source} does not hold this model: all tensors must match ({lists}). The file was "
            "changed, or another version of this code wrote it"
        )
    model.load_state_dict(state)
