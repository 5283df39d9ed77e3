"""Write the backbone of a finished run as safetensors that timm loads.

python sweeps/export.py RUN FILE.safetensors [--runs DIR]

RUN is the folder of a pretraining or a fine-tuning, the beginning of its id, or a weights.pt. The parameters have
timm's names, so `timm.create_model(NAME, pretrained=False, num_classes=N, checkpoint_path=FILE)` takes them (the line
to type is printed), and so does `backbone.pretrained=FILE` of a sweep. What a plain timm model lacks of the run's
network is printed, and written into the file's metadata.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks import class_names  # noqa: E402
from hcml.config import ConfigError, FinetuneRun, PretrainRun  # noqa: E402
from hcml.training.checkpoint import CheckpointError  # noqa: E402
from hcml.training.export import Exported, export_backbone  # noqa: E402
from hcml.training.transfer import WEIGHTS, read_weights  # noqa: E402
from hcml.weights import file_sha256  # noqa: E402
from sweeps.freeze import run_from_dict  # noqa: E402
from sweeps.store import FolderError, read_json  # noqa: E402

PHASES = ("pretrain", "finetune")


def find_weights(run: str, runs: Path) -> Path:
    """The weights.pt of a run: its folder, the beginning of its id (its folder is then looked for below `runs`), or
    the file itself. Raises ConfigError, also for a run that has not finished."""
    given = Path(run).expanduser()
    if given.is_file():
        return given
    if given.is_dir():
        return _of_folder(given)
    if not re.fullmatch(r"[0-9a-f]{4,64}", run):
        raise ConfigError(
            f"{run} is neither a folder, nor a file, nor the beginning of a run's id (4 hex digits or more)"
        )
    found = []
    for phase in PHASES:
        for folder in sorted((runs / phase).glob(f"*-{run[:12]}*")):
            frozen = read_json(folder / "config.json") or {}
            if str(frozen.get("run_id", "")).startswith(run):
                found.append(folder)
    if not found:
        raise ConfigError(f"no pretraining or fine-tuning in {runs} has an id that begins with {run}: name its folder")
    if len(found) > 1:
        raise ConfigError(f"{run} begins the ids of {', '.join(folder.name for folder in found)}: give more digits")
    return _of_folder(found[0])


def _of_folder(folder: Path) -> Path:
    status = (read_json(folder / "status.json") or {}).get("state", "done")
    weights = folder / WEIGHTS
    if status != "done":
        hint = f" (give {weights} itself to export what is there)" if weights.is_file() else ""
        raise ConfigError(f"{folder} has not finished, it is {status}: type its sweep's command again first{hint}")
    if not weights.is_file():
        raise ConfigError(f"{folder} has no {WEIGHTS}: only pretraining and fine-tuning runs leave one")
    return weights


def export(run: str, path: Path, runs: Path) -> Exported:
    """Raises ConfigError, CheckpointError and FolderError."""
    weights = find_weights(run, runs)
    payload = read_weights(weights, *PHASES)
    config = run_from_dict(payload["config"])
    assert isinstance(config, PretrainRun | FinetuneRun)  # read_weights has checked the phase
    frozen: dict[str, Any] = read_json(weights.parent / "config.json") or {}
    notes = {
        "run_id": str(frozen.get("run_id", "")),
        "code_fingerprint": str(frozen.get("frozen", {}).get("fingerprint", "")),
        "source_sha256": file_sha256(weights),
    }
    if isinstance(config, FinetuneRun):
        try:
            notes["classes"] = json.dumps(class_names(config.benchmark))
        except ValueError:  # of a benchmark that this checkout does not have: the names are a courtesy
            notes["classes"] = ""
    return export_backbone(payload, config.model, weights, path, notes)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a finished run, the beginning of its id, or a weights.pt")
    parser.add_argument("file", type=Path, help="file to write; ends in .safetensors")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        exported = export(options.run, options.file, options.runs)
    except (CheckpointError, ConfigError, FolderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{exported.path}: {exported.name}, {exported.num_classes or 'no'} classes")
    print(f"  load it with: {exported.create}")
    print("  not in it, so a plain timm model is not the network that the run tested:")
    for line in exported.left_out:
        print(f"  - {line}")
    if exported.untrained:
        print(f"  in it, but never trained by this run (start values): {', '.join(exported.untrained)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
