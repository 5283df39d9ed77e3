"""Whatever runs there are: tables, renderings and the page are made, and a figure is that of the runs it leads to."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results.collect import collect
from results.reference import load
from results.render import rendered
from results.report import page
from results.tables import all_tables

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
TOP1 = ("top-1", "resnet18", "resnet50")


def scatter(make: Any, root: Path, draw: random.Random) -> None:
    """Some chains that a researcher might have left: done by two codes, with gaps, without ancestors, all wrong."""
    for _ in range(draw.randint(1, 12)):
        levels = draw.choice([0, 0, 1, 2, 3])
        config: dict[str, Any] = {"finetune.optim.lr": draw.choice([0.1, 0.01])} if draw.random() < 0.3 else {}
        if draw.random() < 0.2:
            config["finetune.length"] = {"steps": draw.choice([100, 200])}
        chosen = {
            "backbone": draw.choice(["resnet18", "resnet50"]),
            "levels": levels,
            "pretraining": draw.choice(["none", "progressive", "joint"]),
            "seed": draw.randint(0, 2),
            "temporal": draw.choice(["none", "none", "shift"]),
            "motion_input": draw.choice(["video", "video", "static"]),
            "fusion": draw.choice(["random", "zero"]),
            "profile": draw.choice(["quick", "quick", "full"]),
            "data__benchmark": draw.choice(["synthmotion", "synthmotion", "ucf101", "hmdb51", "sthv1"]),
        }
        for code in draw.choice(["a", "a", "b", "ab"]):
            correct = draw.choice([0, 120, 240, 480])
            chain = make.runs(**chosen, config=config, fingerprint=code * 64, correct=correct)
            for record in chain.values():
                spoil(record, draw)
            for phase in ("pretrain", "finetune"):
                if draw.random() < 0.2:
                    chain.pop(phase, None)
            make.save(root / code / draw.choice("xy"), chain)


def spoil(record: dict[str, Any], draw: random.Random) -> None:
    for name in record["metrics"]:
        if name != "top1" and draw.random() < 0.05:
            record["metrics"][name] = None
    for changes in (
        {"groups": {}},
        {"unreadable": {"train": 1, "test": 3, "ids": ["x"]}},
        {"data": record["data"] | {"expected": {"train": 1000, "test": 500}}},
        {"environment": record["environment"] | {"torch": "2.16.0"}},
        {"metrics": record["metrics"] | {"coverage": 95.0}},
    ):
        if draw.random() < 0.1:
            record |= changes


@given(st.integers(0, 10**9), st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_figure_is_that_of_the_runs_it_leads_to(make: Any, seed: int, unfilled: bool) -> None:
    with TemporaryDirectory() as folder:
        scatter(make, Path(folder), random.Random(seed))
        frame = collect(folder)
        tables = all_tables(frame, load(), unfilled=unfilled)
        assert rendered(tables)
        data = json.loads(DATA.search(page(tables, frame, load()))[1])  # type: ignore[index]
    for cell in data["cells"].values():
        runs = [data["runs"][key] for key in cell["runs"]]
        assert len({run["code"]["fingerprint"] for run in runs}) <= 1, cell
        estimate = cell.get("estimate")
        if not estimate or cell["column"] not in TOP1 or {run["phase"] for run in runs} != {"test"}:
            continue
        assert estimate["runs"] == len(runs), cell
        if estimate["independent"] == len(runs):  # of runs that share a pretraining, the mean counts once
            assert estimate["mean"] == pytest.approx(sum(run["metrics"]["top1"] for run in runs) / len(runs)), cell
