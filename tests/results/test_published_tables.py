from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from results.compare import Thresholds, differences_of
from results.published_tables import benchmark_table, paper_table, self_supervised_table
from results.reference import load
from results.reference.model import References
from results.runs import Runs
from results.table import Cell, Table
from tests.results.test_frozen_tables import frozen

FrameOf = Callable[..., Any]
JUDGED = ("reproduced", "within noise", "above", "below")


def chains(make: Any, correct: tuple[int, ...], **rest: Any) -> list[Any]:
    """Runs on Something-Something V1: levels 0 on a ResNet-50, trained from weights, unless `rest` says else."""
    changes = {"data__benchmark": "sthv1", "profile": "cluster", "pretraining": "none", "levels": 0} | rest
    config = {"test.benchmark.name": "sthv1", "finetune.benchmark.name": "sthv1", "test.benchmark.split": "val"}
    config |= {
        f"{phase}.model.backbone": {"name": "resnet50.tv_in1k", "pretrained": "timm"} for phase in ("test", "finetune")
    }
    config["test.protocol"] = {"name": "tsm_efficient"}
    config |= changes.pop("config", {})
    return [
        make.runs(correct=hits, videos=500, seed=seed, config=config, **changes) for seed, hits in enumerate(correct)
    ]


def rows(table: Table, text: str) -> list[dict[str, Cell]]:
    found = [dict(zip(table.header, row.cells, strict=True)) for row in table.rows]
    return [row for row in found if any(text in cell.text for cell in row.values())]


def transcribed(
    references: References, value: float, conditions: dict[str, str] | None = None, **ours: Any
) -> References:
    """As somebody with the PDF would have entered one cell (the figure is made up)."""
    axes = ours or {"benchmark": "sthv1", "levels": 0}
    first = next(cell for cell in references.paper if axes.items() <= cell.ours.items())
    filled = replace(
        first, arxiv="2007.10321v3", table="Table 9", row="r", column="c", text=f"{value:.1f}", value=value,
        conditions=conditions or {},
    )  # fmt: skip
    return References(references.published, [filled if cell is first else cell for cell in references.paper])


def test_slots_of_the_paper_are_not_transcribed_and_say_how_ours_are_made() -> None:
    table = paper_table([], load(), Thresholds())
    assert len(table.rows) == len(load().paper)
    for row in table.rows:
        cells = dict(zip(table.header, row.cells, strict=True))
        assert cells["printed"].text == cells["verdict"].text == "not transcribed" and cells["where"].text == "-"
        assert cells["ours"].text == "missing" and cells["ours"].command.startswith(
            "python sweeps/run.py -m benchmark="
        )


def test_a_mean_over_splits_is_asked_for_split_by_split() -> None:
    references = load()
    first = next(cell for cell in references.paper if cell.setting == "finetune")
    cell = replace(first, ours={**first.ours, "split": "mean(1,2,3)"})
    (command,) = paper_table([], References([], [cell]), Thresholds()).missing
    assert " benchmark.split=1,2,3 " in command and "mean" not in command


@pytest.mark.parametrize(
    ("correct", "verdict"),
    [
        ((250, 250, 251), "reproduced"),
        ((200, 250, 300), "within noise"),
        ((300, 301, 302), "above"),
        ((250,), "single run"),
    ],
)
def test_a_transcribed_cell_gets_its_verdict(
    make: Any, frame_of: FrameOf, correct: tuple[int, ...], verdict: str
) -> None:
    references = transcribed(load(), 50.0)
    arms = Runs(frame_of(*chains(make, correct))).arms("test")
    (row,) = [row for row in rows(paper_table(arms, references, Thresholds()), "Table 9")]
    assert row["verdict"].comparison.verdict == verdict and len(row["ours"].runs) == len(correct)
    assert row["printed"].text == "50.0" and 'row "r", column "c"' in row["where"].text


def test_a_copy_that_is_no_real_one_is_incomparable(make: Any, frame_of: FrameOf) -> None:
    found = chains(make, (250, 250, 251), data__origin={"synthetic": True})
    (row,) = rows(paper_table(Runs(frame_of(*found)).arms("test"), transcribed(load(), 50.0), Thresholds()), "Table 9")
    assert row["verdict"].text == "incomparable" and "synthetic imitation" in row["verdict"].comparison.reason


def test_another_decoder_is_incomparable(make: Any, frame_of: FrameOf) -> None:
    arms = Runs(frame_of(*chains(make, (250, 250, 251)))).arms("test")
    for decoder, verdict in (("decord", "reproduced"), ("OpenCV", "incomparable")):
        references = transcribed(load(), 50.0, {"decoder": decoder})
        (row,) = rows(paper_table(arms, references, Thresholds()), "Table 9")
        assert row["verdict"].comparison.verdict == verdict


def test_a_copy_that_others_have_too_is_compared_with_theirs() -> None:
    """The only row of published.csv on a copy that we can make."""
    (row,) = [row for row in load().published if row.data == "340x256"]
    run = {"benchmark": "kinetics400 340x256", "protocol_name": row.protocol_name, "backbone": "resnet50"}
    run |= {"weights": "tv_in1k"}
    assert differences_of(run, dict(row.published().conditions), Thresholds()) == []
    (gap,) = differences_of(run | {"benchmark": "kinetics400 short256"}, dict(row.published().conditions), Thresholds())
    assert gap == "data copy short256, theirs 340x256"


def test_controls_are_not_judged_and_what_differs_is_said(make: Any, frame_of: FrameOf) -> None:
    """A network that sees no motion is not the method that the paper's figure is of."""
    found = []
    for motion_input, fusion in (("video", "random"), ("static", "random"), ("video", "zero")):
        rest = {"levels": 3, "pretraining": "progressive", "motion_input": motion_input, "fusion": fusion}
        found += chains(make, (240, 241, 242), **rest)
    arms = Runs(frame_of(*found)).arms("test")
    references = transcribed(load(), 50.0, benchmark="sthv1", levels=3, pretraining="progressive")
    table = paper_table(arms, references, Thresholds())
    judged = rows(table, "Table 9")
    assert [row["kept apart by"].text for row in judged] == ["fusion init random", "fusion init zero"]
    static = {run["run_id"] for arm in arms if arm["motion_input"] == "static" for run in arm.records}
    assert not static & {run for row in table.rows for run in row.runs}
    (pretrained,) = {
        row["pretrain"].text for row in rows(benchmark_table("sthv1", arms, load(), Thresholds()), "(ours)")
    }
    assert pretrained == "synthmotion SSL"
    methods = [row["method"].text for row in rows(benchmark_table("sthv1", arms, load(), Thresholds()), "(ours)")]
    assert len(set(methods)) == 3 and sum("motion input static" in method for method in methods) == 1


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"split": "1", "frames": "8"}, ""),
        ({"split": "2"}, "split 1, theirs 2"),
        ({"frames": "16"}, "frames 8, theirs 16"),
    ],
)
def test_a_probe_is_judged_by_its_own_split_and_frames(
    make: Any, frame_of: FrameOf, conditions: dict[str, str], reason: str
) -> None:
    found = [frozen(make, "probe", 60.0, levels=3, seed=seed) for seed in range(3)]
    for record in (record for chain in found for record in chain.values()):
        record["data"]["benchmark"] = "ucf101"
        record["config"]["model"]["backbone"]["name"] = "resnet50"
    references = transcribed(load(), 60.0, conditions, benchmark="ucf101", setting="linear")
    (row,) = rows(paper_table(Runs(frame_of(*found)).arms("probe"), references, Thresholds()), "Table 9")
    assert row["verdict"].comparison.reason == reason
    assert row["verdict"].comparison.verdict == ("incomparable" if reason else "reproduced")


def test_ours_stand_among_others_and_only_the_same_method_is_judged(make: Any, frame_of: FrameOf) -> None:
    shift = {"mode": "shift", "causal": False, "fold_div": 8}
    both = {"test.model.temporal": shift, "finetune.model.temporal": shift}
    found = chains(make, (230, 231, 232), config=both)
    found += chains(make, (240, 241, 242), levels=3)
    table = benchmark_table("sthv1", Runs(frame_of(*found)).arms("test"), load(), Thresholds())
    printed = [
        row for row in load().published if (row.benchmark, row.setting, row.metric) == ("sthv1", "supervised", "top1")
    ]
    assert sum(row.kind == "published" for row in table.rows) == len(printed) > 20
    plain, ours = rows(table, "(ours)")[-1], rows(table, "levels=3")[0]
    assert "shift (not causal)" in plain["method"].text and plain["verdict"].comparison.verdict in JUDGED
    assert "TSM" not in plain["method"].text and "commit" in plain["verdict"].comparison.other
    assert ours["verdict"].text == "-"
    figures = [row.cells[table.header.index("top-1 or R@1")] for row in table.rows]
    means = [cell.estimate.mean if cell.estimate else cell.published.value for cell in figures]
    assert means == sorted(means, reverse=True)


def test_every_printed_figure_shows_its_source_and_its_text() -> None:
    for benchmark in ("kinetics400", "sthv1", "sthv2", "ucf101", "hmdb51"):
        table = benchmark_table(benchmark, [], load(), Thresholds())
        for row in table.rows:
            cells = dict(zip(table.header, row.cells, strict=True))
            if row.kind == "published":
                assert "commit" in cells["source"].text and "line" in cells["source"].text
                assert cells["top-1 or R@1"].text == cells["top-1 or R@1"].published.text
        assert [cell.command for row in table.rows for cell in row.cells if cell.command]


def test_self_supervised_figures_are_sorted_within_their_setting() -> None:
    table = self_supervised_table("ucf101", [], load(), Thresholds())
    settings = [row.cells[1].text for row in table.rows if row.kind == "published"]
    assert settings == sorted(settings) and {"finetune", "retrieval"} <= set(settings)
