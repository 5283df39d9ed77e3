"""Names of backbones and their pretrained weights: resolved, found, checked and hashed, never guessed."""

from __future__ import annotations

import difflib
import hashlib
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from hcml.config import ConfigError

SHORT_NAMES = {
    "r18": "resnet18",
    "r34": "resnet34",
    "r50": "resnet50",
    "r101": "resnet101",
    "r152": "resnet152",
}
DEFAULT_TAG = "tv_in1k"
"""torchvision's first ImageNet weights: what papers of 2020 mean by "ImageNet pretrained"."""


def resolve_name(name: str, pretrained: str = "") -> str:
    """Short or timm name -> timm name; a tag (``r50.a1_in1k``) is kept.

    With ``pretrained='timm'`` a short name without a tag gets ``tv_in1k``; other untagged names stay as they are
    (and :class:`hcml.config.BackboneConfig` refuses them), because they have meant different weights over time.

    Raises:
        ConfigError: the model or the tag is unknown to timm; the message lists near misses.
    """
    base, _, tag = name.partition(".")
    if base in SHORT_NAMES:
        if pretrained == "timm" and not tag:
            tag = DEFAULT_TAG
        base = SHORT_NAMES[base]
    if not timm.is_model(base):
        known = [*SHORT_NAMES, *timm.list_models()]
        near = difflib.get_close_matches(base, known, n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists all names"
        raise ConfigError(
            f"backbone.name={name!r} is neither a short name ({', '.join(SHORT_NAMES)}) nor a timm model: {hint}"
        )
    if not tag:
        return base
    resolved = f"{base}.{tag}"
    tags = [full.partition(".")[2] for full in timm.list_models(f"{base}.*", pretrained=True)]
    tags = [known_tag for known_tag in tags if known_tag]
    if tag not in tags:
        near = difflib.get_close_matches(tag, tags, n=5, cutoff=0.0)
        hint = f"timm has {', '.join(near)}" if near else f"timm has no weights for {base}"
        raise ConfigError(f"backbone.name={name!r}: {base} has no weights tagged {tag!r}; {hint}")
    return resolved


@dataclass(frozen=True)
class WeightsReport:
    """Where the weights of a backbone came from.

    Attributes:
        source: file that was read.
        sha256: of that file.
        matched_percent: share of the backbone's tensors (classifier excluded) that were loaded; always 100.
        dropped: tensors of the file, or of the model, that were not loaded: the classifier's, where it differs.
    """

    source: str
    sha256: str
    matched_percent: float
    dropped: list[str] = field(default_factory=list)


def load_weights(model: nn.Module, pretrained: str, name: str, **kwargs: Any) -> WeightsReport:
    """Load ``pretrained`` into a timm model, in place.

    Args:
        model: made by ``timm.create_model(name, **kwargs)``, with any number of classes.
        pretrained: 'timm' (the weights of the name's tag), or the path of a .safetensors or .pth file.
        name: timm name, with its tag for 'timm'.
        kwargs: what else the model was created with (its input size).

    Raises:
        ConfigError: the file is absent or unreadable, or not every tensor of the backbone was matched.
    """
    if pretrained == "timm":
        path = timm_file(name)
        # timm's own loader knows how to convert old formats and to resample position embeddings. Its own number of
        # classes makes it strict; a forked generator keeps the throw-away initialisation out of the run's seed.
        with torch.random.fork_rng(devices=[]):
            try:
                donor = timm.create_model(
                    name, pretrained=True, pretrained_cfg_overlay={"file": str(path), "custom_load": False}, **kwargs
                )
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                raise ConfigError(f"the weights of {name} in {path} could not be loaded: {error}") from error
        state = donor.state_dict()
    else:
        path = Path(pretrained)
        state = read_state(path)
    dropped = load_state(model, state, str(path))
    return WeightsReport(str(path), file_sha256(path), 100.0, dropped)


def timm_file(name: str) -> Path:
    """The local file of a tagged timm name's weights; downloaded unless HF_HUB_OFFLINE is set.

    Raises:
        ConfigError: it is neither in the cache nor to be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    offline = is_offline()
    cfg = get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigError(
            f"timm has no Hugging Face weights for {name}: give a file instead (backbone.pretrained=FILE.safetensors)"
        )
    repository = cfg.hf_hub_id + name if cfg.hf_hub_id.endswith("/") else cfg.hf_hub_id
    filename = cfg.hf_hub_filename or "model.safetensors"
    try:
        return Path(hf_hub_download(repository, filename, local_files_only=offline))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        why = "HF_HUB_OFFLINE is set and they are not in the cache" if offline else "they could not be downloaded"
        raise ConfigError(
            f"the weights of {name} ({filename} of {repository}) are missing: {why}. Fetch them once on a machine "
            f"with network (hf download {repository} {filename}, same HF_HOME), or set backbone.pretrained=FILE "
            f"[{type(error).__name__}]"
        ) from error


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE asks to stay off the network, now: huggingface_hub itself reads it once, at import."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors or .pth file (bare, or under ``state_dict`` or ``model``); runs no code.

    Raises:
        ConfigError: the file is absent, damaged, holds pickled code, or no state dict.
    """
    if not path.is_file():
        raise ConfigError(f"backbone.pretrained={path} is no file: give 'timm' or a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise ConfigError(f"backbone.pretrained={path} is no valid safetensors file: {error}") from error
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"backbone.pretrained={path} holds more than tensors and plain types (pickled code is never run), or is "
            "damaged: save its state_dict() alone"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ConfigError(f"backbone.pretrained={path} cannot be read: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"backbone.pretrained={path} holds no state dict (parameter name -> tensor)")
    return state


def classifier_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the classifier's parameter names, by timm's pretrained_cfg (``fc.``, ``head.fc.``, ...)."""
    cfg: Any = getattr(model, "pretrained_cfg", {})
    names = cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def load_state(model: nn.Module, state: dict[str, Tensor], source: str) -> list[str]:
    """Load a state dict with timm's parameter names: all of the backbone, and the classifier where it fits.

    Returns:
        Names of classifier tensors that were not loaded.

    Raises:
        ConfigError: a tensor of the backbone is missing, unexpected or of another shape; nothing was loaded.
    """
    prefixes = classifier_prefixes(model)
    own = model.state_dict()

    def backbone_keys(keys: Any) -> list[str]:
        # num_batches_tracked counts steps, it is no weight; files from before torch 0.4.1 lack it.
        return [k for k in keys if not k.startswith(prefixes) and not k.endswith("num_batches_tracked")]

    missing = [k for k in backbone_keys(own) if k not in state]
    unexpected = [k for k in backbone_keys(state) if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in backbone_keys(own)
        if k in state and state[k].shape != own[k].shape
    ]
    if missing or unexpected or shapes:
        total = len(backbone_keys(own))
        matched = total - len(missing) - len(shapes)
        problems = [("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)]
        lists = "; ".join(f"{len(v)} {k}: {', '.join(v[:8])}{', ...' if len(v) > 8 else ''}" for k, v in problems if v)
        raise ConfigError(
            f"{source} matches {matched} of the backbone's {total} tensors ({100 * matched / total:.1f} %), and all "
            f"must match ({lists}): is it of another architecture, or not in timm's parameter names?"
        )
    classifier = [k for k in {**own, **state} if k.startswith(prefixes)] if prefixes else []
    fits = all(k in state and k in own and state[k].shape == own[k].shape for k in classifier)
    dropped = [] if fits else sorted(classifier)
    wanted = {k: v for k, v in state.items() if k in own and k not in dropped}
    model.load_state_dict({**own, **wanted}, strict=True)
    return dropped


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def activate_residuals(model: nn.Module) -> None:
    """Set norm weights that timm starts at zero (the last of each residual block) to one, in place.

    With zero every block starts as the identity, so a temporal shift in front of its first convolution has no effect
    at first, and a ResNet from scratch is slow to find a use for it.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm) and module.weight is not None:
            if not module.weight.any():
                nn.init.ones_(module.weight)
