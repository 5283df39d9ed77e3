"""Checkpoints that survive kill -9, a full disk and a damaged file, and that can never run code.

A checkpoint is ``torch.save`` of tensors and plain types, written to a temporary file, synced, then renamed: a name
``step-N.pt`` always stands for a complete file. torch writes a zip archive with a CRC for every record, so damage
that came later (a truncated copy, a flipped bit) is found when loading.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

KEEP = 2
_NAME = re.compile(r"step-(\d+)\.pt")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or must not be loaded; the message says why and what to do."""


class DamagedError(CheckpointError):
    """The file is not a complete archive."""


def write_file(path: Path, payload: dict[str, Any]) -> None:
    """``torch.save`` that leaves either the old file or the whole new one, whatever happens in between.

    Raises CheckpointError when the disk is full or cannot be written; what was at ``path`` is untouched then.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            torch.save(payload, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's archive writer turns a failed write into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {path}: {error}. Earlier checkpoints are intact: free some space (or move the run "
            "folders to another disk) and start the same run again"
        ) from error


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk only with its folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(path: Path) -> dict[str, Any]:
    """A file of :func:`write_file`, onto the CPU.

    Raises DamagedError for an incomplete or altered archive, and CheckpointError for a file that holds anything but
    tensors and plain types (a pickle may run code when loaded, so it is refused unread) or that does not exist.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    with open(path, "rb") as file:
        head = file.read(1)
    if head == b"\x80":
        raise CheckpointError(f"{path} is a plain pickle, which can run code when loaded: refused")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise DamagedError(f"{path} is damaged: the record {broken} does not have its checksum")
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "nsupported" in line), "not plain data").strip()
        raise CheckpointError(
            f"{path} holds more than tensors and plain types ({reason}) and could run code when loaded: refused"
        ) from error
    except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, ValueError, KeyError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise DamagedError(f"{path} is damaged ({str(error).splitlines()[0] if str(error) else 'empty'})") from error
    if not isinstance(payload, dict):
        raise CheckpointError(f"{path} holds a {type(payload).__name__}, not a checkpoint")
    return payload


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints of ``folder``, newest first."""
    found = []
    for path in folder.glob("step-*.pt"):
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def save(folder: Path, step: int, run_config: dict[str, Any], state: dict[str, Any]) -> Path:
    """Write ``folder/step-N.pt`` and drop all but the last two; ``run_config`` is what :func:`load_latest` compares."""
    path = folder / f"step-{step:08d}.pt"
    write_file(path, {"step": step, "run_config": run_config, "state": state})
    for _, old in _steps(folder)[KEEP:]:
        old.unlink()
    return path


def load_latest(folder: Path, run_config: dict[str, Any]) -> dict[str, Any] | None:
    """State of the newest sound checkpoint in ``folder`` (with its ``step``), or None when there is none at all.

    A damaged file is skipped with a warning, and the one before it is used. Raises CheckpointError when all are
    damaged, when one is unsafe, or when it belongs to another configuration (naming the keys that differ).
    """
    for leftover in folder.glob("step-*.pt.tmp"):  # a save that was killed
        leftover.unlink(missing_ok=True)
    found = _steps(folder)
    for _, path in found:
        try:
            payload = read_file(path)
        except DamagedError as error:
            log.warning("%s; trying the checkpoint before it", error)
            continue
        missing = {"step", "run_config", "state"} - payload.keys()
        if missing:
            raise CheckpointError(f"{path} is not a checkpoint of this suite: it lacks {', '.join(sorted(missing))}")
        if different := differences(payload["run_config"], run_config):
            raise CheckpointError(
                f"{path} belongs to another configuration: "
                + "; ".join(different)
                + ". Use another run folder, or delete this one to start over"
            )
        return {"step": payload["step"], **payload["state"]}
    if found:
        raise CheckpointError(
            f"all {len(found)} checkpoints in {folder} are damaged: delete the folder to train from the start"
        )
    return None


def differences(stored: Any, wanted: Any, key: str = "") -> list[str]:
    """``key: stored -> wanted`` for every leaf in which two nested dicts differ."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        lines = []
        for name in sorted(stored.keys() | wanted.keys()):
            inner = f"{key}.{name}" if key else str(name)
            lines += differences(stored.get(name, "(absent)"), wanted.get(name, "(absent)"), inner)
        return lines
    return [] if stored == wanted else [f"{key}: checkpoint has {stored!r}, this run has {wanted!r}"]
