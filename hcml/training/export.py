"""The backbone of a finished run as safetensors with timm's own parameter names.

A plain timm model has no motion levels, no temporal shift and no average over frames: the file says what is left out.
It is written only once timm has loaded it strictly and gives, bit for bit, the features of the run's own backbone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg
from torch import Tensor

from hcml.config import ConfigError, ModelConfig, TemporalConfig
from hcml.model import HCML
from hcml.taps import eval_mode
from hcml.training.checkpoint import CheckpointError
from hcml.training.transfer import build_without_weights, load_model
from hcml.weights import classifier_prefixes

PREFIX = "backbone.model."


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        name: timm's name of the model.
        num_classes: of the classifier in the file; 0 = there is none.
        create: the line of Python that makes the model from the file.
        left_out: what of the run's network is not in the file, in words.
        untrained: parameters in the file that the run never trained, by their first two names (``layer4.0``).
    """

    path: Path
    name: str
    num_classes: int
    create: str
    left_out: tuple[str, ...]
    untrained: tuple[str, ...]


def export_backbone(
    payload: Mapping[str, Any], config: ModelConfig, source: Path, path: Path, notes: Mapping[str, str]
) -> Exported:
    """Write the backbone of a ``weights.pt`` to ``path`` (.safetensors).

    Args:
        payload: content of the file, by :func:`hcml.training.transfer.read_weights`.
        config: the model that it holds.
        source: the file, for messages.
        path: what to write; a file that is there is not replaced.
        notes: further metadata.

    Raises:
        CheckpointError: the weights are not those of ``config``, not finite, or not what timm computes with.
        ConfigError: ``path`` cannot be used.
    """
    _check_target(path)
    # The shift has neither parameters nor modules: without it the same tensors fit.
    run = build_without_weights(replace(config, temporal=TemporalConfig()))
    load_model(run, dict(payload["model"]), source, classifier=True)
    backbone = run.backbone
    prefixes = classifier_prefixes(backbone.model)
    # That of a pretraining run has never seen a label, whatever number of classes the run was planned with.
    with_classifier = payload["phase"] == "finetune" and bool(prefixes)
    state = {
        key.removeprefix(PREFIX): value.contiguous().clone()
        for key, value in payload["model"].items()
        if key.startswith(PREFIX)
    }
    if not with_classifier:
        state = {key: value for key, value in state.items() if not key.startswith(prefixes or ("\0",))}
    if broken := [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise CheckpointError(
            f"{source} holds numbers that are not finite ({', '.join(broken[:8])}): this run has diverged, and nothing "
            "can be done with its backbone"
        )
    classes = config.num_classes if with_classifier else 0
    cfg = get_pretrained_cfg(backbone.name)
    size: dict[str, Any] = {"img_size": config.input_size} if cfg and cfg.fixed_input_size else {}
    arguments = "".join(f", {key}={value}" for key, value in {"num_classes": classes, **size}.items())
    create = f"timm.create_model({backbone.name!r}, pretrained=False{arguments}, checkpoint_path={path.name!r})"
    left_out, untrained = _left_out(payload, config, with_classifier), _untrained(payload, run, state)
    metadata = {
        "format": "pt",
        "timm_model": backbone.name,
        "timm_version": timm.__version__,
        "create": create,
        "num_classes": str(classes),
        "input_size": str(config.input_size),
        "mean": json.dumps(backbone.mean),
        "std": json.dumps(backbone.std),
        "phase": payload["phase"],
        "step": str(payload["step"]),
        "trained_on": json.dumps(payload["trained_on"]),
        "left_out": json.dumps(left_out),
        "untrained": json.dumps(untrained),
        **notes,
    }
    _write(path, state, metadata, lambda written: _check(written, run, classes, size, config))
    return Exported(path, backbone.name, classes, create, tuple(left_out), tuple(untrained))


def _check_target(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise ConfigError(f"{path}: give a name that ends in .safetensors; timm tells the format by it")
    if path.exists():
        raise ConfigError(f"{path} is there already and is not replaced: give another name, or delete it")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder: make it first")


def _left_out(payload: Mapping[str, Any], config: ModelConfig, with_classifier: bool) -> list[str]:
    lines = []
    if config.levels:
        levels = f"{config.levels} motion level{'s' if config.levels > 1 else ''}"
        lines.append(
            f"{levels} and their fusion into the backbone's maps: "
            "a plain timm model sees single frames, and the motion that the run's network saw between them is missing "
            "from every map behind the first level"
        )
    if config.temporal.mode == "shift":
        kind = "causal" if config.temporal.causal else "two-sided"
        lines.append(
            f"the temporal shift ({kind}, 1/{config.temporal.fold_div} of the channels): it has no parameters, but "
            "these weights were trained behind it, so that without it the plain model computes something else"
        )
    if "heads" in payload:
        lines.append("the heads of pretraining (reconstruction, prediction)")
    if not with_classifier:
        why = "pretraining has not trained it" if payload["phase"] == "pretrain" else "timm names none for this model"
        lines.append(f"the classifier ({why})")
    else:
        lines.append("the mean of the logits over a clip's frames: apply the model to each frame, then average")
    lines.append("the normalisation of the input: mean and std are in the metadata, and in timm's pretrained_cfg")
    return lines


def _untrained(payload: Mapping[str, Any], run: HCML, state: Mapping[str, Tensor]) -> list[str]:
    """Pretraining stops the backbone at the map of its highest level: what lies behind has kept its start values."""
    if payload["phase"] != "pretrain":
        return []
    reached = {name for name, _ in run.backbone.path_parameters(len(run.hierarchy) - 1)}
    own = dict(run.backbone.model.named_parameters())
    behind = [name for name in state if name in own and name not in reached]
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in behind))


def _write(path: Path, state: dict[str, Tensor], metadata: dict[str, str], check: Any) -> None:
    """Whole and checked, or not at all. The temporary file keeps the suffix, by which timm tells the format."""
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        save_file(state, temporary, metadata=metadata)
        check(temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path} cannot be written ({error}): make room there, or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check(written: Path, run: HCML, classes: int, size: dict[str, Any], config: ModelConfig) -> None:
    """CheckpointError unless timm loads the file strictly and computes what the run's backbone does with frames."""
    name = run.backbone.name
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            plain: Any = timm.create_model(
                name, pretrained=False, num_classes=classes, checkpoint_path=str(written), **size
            )
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"timm does not take the weights of this run as {name}: {error}") from error
        generator = torch.Generator().manual_seed(0)
        frames = torch.randn(2, 3, config.input_size, config.input_size, generator=generator)
        with eval_mode(run.backbone.model), eval_mode(plain):
            wanted = run.backbone(frames)
            same = torch.equal(plain.forward_features(frames), wanted)
            if same and classes:
                same = torch.equal(plain.forward_head(wanted), run.backbone.head(wanted))
    if not same:
        raise CheckpointError(f"timm's {name} does not compute with these weights what the run's backbone does")


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; ConfigError if it is none."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path} is no safetensors file: {error}") from error
