"""Run folders on disk: where they are, what state they are in, what is frozen in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hcml.config import Runtime, to_dict
from sweeps.identity import PlannedRun
from sweeps.lock import is_alive, read_owner, write_json

READ = {
    "pretrain": ("train",),
    "finetune": ("train",),
    "test": ("test",),
    "probe": ("train", "test"),
    "retrieval": ("train", "test"),
}
"""Subsets whose videos decide what a phase gives."""


class FolderError(RuntimeError):
    """A run folder that contradicts the run it is to hold."""


class Store:
    """The folders below `root`: `<phase>/<slug>-<id12>/`, and `_stale/`, `_code/`, `_sweeps/` beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, run: PlannedRun) -> Path:
        """Where the run is or will be. A folder with the same id is found whatever its slug."""
        return self.find(run.phase, run.run_id) or self.root / run.phase / run.name

    def find(self, phase: str, run_id: str) -> Path | None:
        """The folder of a run by its full id, or None. Raises :class:`FolderError` if another run sits there."""
        for folder in sorted((self.root / phase).glob(f"*-{run_id[:12]}")):
            frozen = read_json(folder / "config.json")
            if frozen is not None and frozen.get("run_id") != run_id:
                raise FolderError(f"{folder} holds run {frozen.get('run_id')}, not {run_id}: move that folder away")
            return folder
        return None

    def state(self, run: PlannedRun, fingerprint: str, manifests: Mapping[str, str] | None = None) -> str:
        """One of :data:`sweeps.plan.STATES`, read from the folder alone.

        `manifests` (subset -> content hash) are the data that the run would read now, where they are known.
        """
        folder = self.find(run.phase, run.run_id)
        frozen = read_json(folder / "config.json") if folder else None
        if folder is None or frozen is None:
            return "new"
        owner = read_owner(folder / "lock.json")
        if owner is not None and is_alive(owner):
            return "running"
        status = read_json(folder / "status.json") or {}
        same = frozen.get("frozen", {}).get("fingerprint") == fingerprint
        if status.get("state") == "done" and (folder / "record.json").is_file():
            record = read_json(folder / "record.json") or {}
            read = record.get("data", {}).get("manifest_sha256", {})
            return "done" if same and _same_data(run.phase, read, manifests or {}) else "stale"
        if not status:
            return "new"  # frozen, but never started
        if not (same and _same_data(run.phase, frozen.get("manifests", {}), manifests or {})):
            return "changed"  # a checkpoint of other videos would be refused
        return "failed" if status.get("state") == "failed" else "interrupted"

    def prepare(
        self, run: PlannedRun, runtime: Runtime, frozen: dict[str, Any], anew: bool = False, **notes: Any
    ) -> Path:
        """Freeze a run into its folder before it starts and return the folder.

        `frozen` is the code's state, `notes` are plain extras (profile, command, data root). A folder that was frozen
        by the same code keeps its science; only what cannot change a result (`runtime`, `notes`, the
        split of its batch over processes) is renewed. With
        `anew` the old folder is moved to `_stale/`.
        """
        folder = self.folder(run)
        if anew and folder.exists():
            owner = read_owner(folder / "lock.json")
            if owner is not None and is_alive(owner):  # hours may lie between plan and start
                raise FolderError(f"{folder} is in use by process {owner.get('pid')} on {owner.get('host')} by now")
            self._move_aside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        old = read_json(folder / "config.json") or {}
        started = bool(read_json(folder / "status.json"))
        content = {
            "run_id": run.run_id,
            "phase": run.phase,
            "slug": run.slug,
            "config": _with_split(old["config"], run) if started and "config" in old else to_dict(run.config),
            "parent": run.parent,
            "weights": run.weights,
            "weights_sha256": run.weights_sha256,
            "runtime": asdict(runtime),
            "frozen": old["frozen"] if started and "frozen" in old else frozen,
            **notes,
        }
        write_json(folder / "config.json", content)
        return folder

    def _move_aside(self, folder: Path) -> None:
        target = self.root / "_stale" / folder.parent.name
        target.mkdir(parents=True, exist_ok=True)
        number = 1 + max([int(p.name.rpartition(".")[2]) for p in target.glob(f"{folder.name}.*")], default=0)
        folder.rename(target / f"{folder.name}.{number}")


def _with_split(config: dict[str, Any], run: PlannedRun) -> dict[str, Any]:
    """A frozen configuration with the split of its batch that `run` was planned with: where it changes a result, it is
    the same one, since both have one identity."""
    planned = to_dict(run.config).get("length")
    return config if planned is None else config | {"length": planned}


def _same_data(phase: str, read: Mapping[str, str], there: Mapping[str, str]) -> bool:
    """Whether a run that read the manifests `read` would read the same now: those it trained on, or those it measured.
    What is not known differs from nothing."""
    pairs = ((read.get(subset), there.get(subset)) for subset in READ[phase])
    return all(before is None or now_ is None or before == now_ for before, now_ in pairs)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None if there is no such file. Raises :class:`FolderError` on a damaged one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FolderError(f"{path} is damaged ({error}): move its folder away to run anew") from error
    if not isinstance(content, dict):
        raise FolderError(f"{path} holds no JSON object: move its folder away to run anew")
    return content


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
