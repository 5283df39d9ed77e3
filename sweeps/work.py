"""What the execution of a run does: load the data, execute the phase, make the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcml.config import ConfigError, FinetuneRun, PretrainRun, ProbeRun, RetrievalRun
from sweeps.leaks import check_leaks
from sweeps.provenance import ROOT, environment, fingerprint
from sweeps.store import FolderError

if TYPE_CHECKING:
    from hcml.training.distributed import World
    from sweeps.job import Assignment


def carry_out(job: Assignment) -> dict[str, Any]:
    """Load the data, execute the phase, and return the record (without its times; {} but from the first process)."""
    from hcml.training.distributed import joined

    with joined(on_failure=job.abandon, patience=job.patience) as world:
        return _carry_out(job, world)


def _carry_out(job: Assignment, world: World) -> dict[str, Any]:
    code, frozen = fingerprint(ROOT), job.frozen["frozen"]["fingerprint"]
    if code != frozen:
        raise FolderError(
            f"this run was frozen with code {frozen[:12]}, but {code[:12]} would execute it: start it through "
            "sweeps/run.py, which keeps the two together"
        )
    from benchmarks import load, motion_field
    from hcml.training.evaluate import run_test
    from hcml.training.finetune import run_finetune
    from hcml.training.pretrain import run_pretrain
    from hcml.training.probe import run_probe
    from hcml.training.retrieval import run_retrieval
    from sweeps.assemble import assemble

    config = job.config
    data = load(config.benchmark, Path(job.frozen["data_root"]))
    if len(data.train.classes) != config.model.num_classes:
        raise ConfigError(
            f"{config.benchmark.name} has {len(data.train.classes)} classes here, but this run was planned for "
            f"{config.model.num_classes}: prepare the benchmark again"
        )
    parent = job.parent_weights
    root = Path(job.frozen["data_root"])
    start = f"what {job.folder.name} starts from"
    check_leaks(config.benchmark, job.trained_on, lambda which: load(which, root), start)
    around = (data, job.folder, job.runtime)
    if isinstance(config, PretrainRun):
        returned = run_pretrain(config, *around, motion_field=motion_field, on_step=job.count, world=world)
    elif isinstance(config, FinetuneRun):
        returned = run_finetune(config, *around, parent=parent, on_step=job.count, world=world)
    elif isinstance(config, ProbeRun):
        returned = run_probe(config, *around, parent=parent, on_step=job.count)
    elif isinstance(config, RetrievalRun):
        returned = run_retrieval(config, *around, parent=parent, on_step=job.count)
    elif parent is not None:
        returned = run_test(config, *around, parent=parent, on_step=job.count, world=world)
    else:
        raise FolderError(f"{job.folder} tests no fine-tuning run: its config.json names no parent")
    if not world.first:
        return {}
    machine = environment(job.runtime.device, config.compute.threads)
    return assemble(job.run_id, job.frozen, job.lineage, data, returned, machine)
