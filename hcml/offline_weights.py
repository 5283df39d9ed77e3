"""timm's weights where compute nodes without network find them: fetched once where there is network, checked before a
job is sent. (`python -m benchmarks weights fetch|check NAME`.)"""

from __future__ import annotations

import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import timm

from hcml.config import ConfigError
from hcml.weights import file_sha256, is_offline, load_weights, resolve_name, timm_file

PATIENCE = 5.0
"""Seconds to wait for the model hub's first answer. Its own library retries for most of a minute."""


@dataclass(frozen=True)
class OfflineWeights:
    """A file of weights on this machine, found whole: all of the backbone was loaded from it.

    `pretrained` is what `backbone.pretrained` must say, `dropped` what was not loaded (a classifier at most).
    """

    name: str
    path: Path
    sha256: str
    size: int
    pretrained: str
    dropped: list[str]


def fetch(name: str, folder: Path | None = None) -> OfflineWeights:
    """Makes the weights of a timm name (or r18, r50, ...) available offline and checks them.

    Without `folder` they go to the cache of huggingface_hub (HF_HOME), else to FOLDER/NAME.safetensors. What is there
    already is not asked for again. Raises :class:`ConfigError` within seconds if the model hub cannot be reached.
    """
    name = _tagged(name)
    if folder is not None:
        target = _file_in(folder, name)
        if not target.is_file():
            _copy(_downloaded(name), target)
    else:
        _downloaded(name)
    return check(name, folder)


def check(name: str, folder: Path | None = None) -> OfflineWeights:
    """Loads the weights of `name` into its model without network, as a job does. Raises :class:`ConfigError`."""
    name = _tagged(name)
    with _offline():
        if folder is None:
            path, pretrained = timm_file(name), "timm"
        else:
            path = _file_in(folder, name)
            pretrained = str(path)
            if not path.is_file():
                raise ConfigError(
                    f"{path} is not there: type `python -m benchmarks weights fetch {name} --to {folder}`"
                )
        report = load_weights(timm.create_model(name), pretrained, name)
    return OfflineWeights(name, path, report.sha256, path.stat().st_size, pretrained, report.dropped)


def _tagged(name: str) -> str:
    resolved = resolve_name(name, "timm")
    if "." not in resolved:
        tags = [full.partition(".")[2] for full in timm.list_models(f"{resolved}.*", pretrained=True)]
        raise ConfigError(
            f"{name}: say which weights, because a name without a tag has meant different ones over time: "
            f"{', '.join(f'{resolved}.{tag}' for tag in tags) or 'timm has none for it'}"
        )
    return resolved


def _file_in(folder: Path, name: str) -> Path:
    return Path(folder).expanduser() / f"{name}.safetensors"


def _cached(name: str) -> Path | None:
    with _offline():
        try:
            return timm_file(name)
        except ConfigError:
            return None


def _downloaded(name: str) -> Path:
    found = _cached(name)
    if found is not None:
        return found
    if is_offline():
        raise ConfigError(
            f"the weights of {name} are not in the cache, and HF_HUB_OFFLINE is set: unset it, and fetch on a machine "
            "with network"
        )
    from huggingface_hub.constants import ENDPOINT

    problem = unreachable(ENDPOINT)
    if problem:
        raise ConfigError(
            f"the weights of {name} are not in the cache, and {ENDPOINT} cannot be reached ({problem}): fetch on a "
            "machine with network (a login node) into a folder that the compute nodes see: HF_HOME=FOLDER, or "
            "--to FOLDER; a mirror can be named by HF_ENDPOINT"
        )
    return timm_file(name)


def unreachable(address: str, patience: float = PATIENCE) -> str:
    """Why nobody answers at a http(s) address within `patience` seconds ('' = somebody does, whatever the answer).
    Proxies that the environment names are used."""
    answer: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=patience):
                answer.append("")
        except urllib.error.HTTPError:
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)))

    # in a thread, because looking up a name keeps to no time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience + 1)
    return answer[0] if answer else f"no answer for {patience:g} s"


@contextmanager
def _offline() -> Iterator[None]:
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, temporary)
            if file_sha256(temporary) != file_sha256(source):
                raise ConfigError(f"{target}: the copy differs from {source}; check the disk")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written ({error.strerror}); choose another --to") from error
