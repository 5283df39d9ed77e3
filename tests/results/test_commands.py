"""What tables tell one to type for a missing cell; tests/sweeps/test_experiments.py resolves such commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from results.ablations import DEPTH, TEMPORAL
from results.reference import load
from results.tables import all_tables
from tests.results.test_ablation_tables import table_of

FrameOf = Callable[..., Any]


def test_the_command_of_a_row_has_what_its_block_has(make: Any, frame_of: FrameOf) -> None:
    """Another split, copy or decoder of the data, protocol, weights, network: else it fills another block."""
    phases = ("pretrain", "finetune", "test")
    benchmark = {"name": "ucf101", "version": "original", "split": "2", "decoder": "pyav", "test_per_class": 0}
    backbone = {"name": "resnet50.tv_in1k", "pretrained": "timm"}
    config: dict[str, Any] = {f"{phase}.benchmark": benchmark for phase in phases}
    config |= {f"{phase}.model.backbone": backbone for phase in phases}
    config["test.protocol"] = {"name": "tsm_dense"}
    frame = frame_of(make.runs(levels=3, config=config, temporal="shift", fusion="random", data__benchmark="ucf101"))
    commands = table_of(DEPTH, frame).missing
    place = "profile=quick benchmark=ucf101 benchmark.version=original benchmark.split=2 benchmark.decoder=pyav"
    place += " protocol=tsm_dense backbone.name=resnet50.tv_in1k backbone.pretrained=timm"
    head = f"python sweeps/run.py -m experiment=hierarchy {place}"
    assert commands[0] == f"{head} levels=0 init=weights temporal=shift fusion.init=random"
    assert commands[1] == f"{head} levels=1 init=weights temporal=shift fusion.init=random"
    # what an axis sets itself is not said twice
    assert all(words.count("temporal=") == 1 for words in table_of(TEMPORAL, frame).missing)


def test_names_in_records_cannot_put_words_into_a_command(make: Any, frame_of: FrameOf) -> None:
    frame = frame_of(make.runs(backbone="a; rm -rf x", levels=1))
    for table in all_tables(frame, load()):
        for words in map(shlex.split, table.missing):
            assert "rm" not in words and words[:2] == ["python", "sweeps/run.py"]


def test_every_missing_cell_of_a_half_finished_sweep_has_a_command(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs("resnet18", n, seed=seed) for n in (0, 1, 3) for seed in (0, 1)]
    chains += [make.runs("resnet50", 2, "none"), make.runs("resnet50", 1, "joint", temporal="shift")]
    for record in (record for chain in chains for record in chain.values()):
        record["cost"] |= {"parameters": 1e6, "gmacs": 1.0, "clips_per_second": 9.0, "peak_memory_mb": 100.0}
    tables = all_tables(frame_of(*chains), load())
    gaps = [
        (table.name, cell) for table in tables for row in table.rows for cell in row.cells if cell.kind == "missing"
    ]
    assert {"levels_by_backbone", "hierarchy_depth", "backbones", "paper"} <= {name for name, _ in gaps}
    assert {name for name, cell in gaps if not cell.command.startswith("python sweeps/run.py -m ")} == set()
