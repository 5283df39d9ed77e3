"""What motion costs, beside the plain backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from results.cost_tables import backbones_table, cost_table
from results.runs import Runs
from results.settings import Varying
from tests.results.test_ablation_tables import cells_of

FrameOf = Callable[..., Any]


def test_backbones_say_what_motion_adds(make: Any, frame_of: FrameOf) -> None:
    chains = [make.runs(backbone=name, levels=n, seed=s, pretraining="progressive" if n else "none")
              for name in ("resnet50", "resnet18") for n in (0, 3) for s in (0, 1)]  # fmt: skip
    for chain in chains:
        for record in chain.values():
            plain = 10e6 if "resnet18" in record["slug"] else 20e6
            more = 1.5 if record["config"]["model"]["levels"] else 1.0
            record["cost"] |= {"parameters": plain * more, "gmacs": 2.0 * more}
    frame = frame_of(*chains)
    arms = Runs(frame).arms("test")
    table = backbones_table(arms, Varying(arms))
    (row,) = cells_of(table, "resnet18", "3")
    assert [row[name].text for name in ("parameters (M)", "more parameters (%)", "GMACs", "more GMACs (%)")] == [
        *("15.00", "50.0", "3.000", "50.0")
    ]
    assert [cells["backbone"].text for cells in cells_of(table)] == ["resnet18", "resnet18", "resnet50", "resnet50"]
    assert len(cost_table(frame).rows) == 10


def test_a_control_is_no_backbone_with_motion(make: Any, frame_of: FrameOf) -> None:
    """Its top-1 at chance was the best of a block that looked like the block of the method itself."""
    chains = [make.runs(levels=0, seed=s, correct=100 + s) for s in (0, 1)]
    chains += [make.runs(levels=3, seed=s, correct=300 + s) for s in (0, 1)]
    controls = [make.runs(levels=3, motion_input="static", seed=s, correct=101 + s) for s in (0, 1)]
    look = {f"{phase}.model.motion.pairing": "lookahead" for phase in ("pretrain", "finetune", "test")}
    controls += [make.runs(levels=3, config=look, seed=s, correct=400 + s) for s in (0, 1)]
    arms = Runs(frame_of(*chains, *controls)).arms("test")
    table = backbones_table(arms, Varying(arms))
    assert [(row["levels"].text, row["top-1"].best) for row in cells_of(table)] == [("0", False), ("3", True)]
    assert not {run for row in table.rows for run in row.runs} & {chain["test"]["run_id"] for chain in controls}
    assert "Controls" in table.caption
    methods = [arm for arm in arms if arm["motion_input"] != "static" and arm["pairing"] in ("-", "causal")]
    assert "Controls" not in backbones_table(methods, Varying(methods)).caption
