from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from results.collect import collect
from results.report.curves import CHARTS, DASHES, curve_sections
from results.report.data import Details, read_details
from results.report.kinds import kinds
from results.report.svg import SERIES
from results.tables import all_tables

RECORDS = Path(__file__).resolve().parents[3] / "results" / "records"


def details_of(root: Path) -> Details:
    frame = collect(root)
    return read_details(frame, all_tables(frame))


def journal(path: Path, *values: float) -> None:
    path.write_text("".join(json.dumps({"step": 10 * k, "top1": v, "loss": v}) + "\n" for k, v in enumerate(values)))


def test_charts_are_of_what_trainings_write() -> None:
    written: dict[str, set[str]] = {}
    for phase, kind in (("pretrain", "*-l3-s0-*"), ("finetune", "*-l3-run-s0-*")):
        for path in RECORDS.glob(f"{phase}/{kind}/metrics.jsonl"):  # of one loss or the other, too
            written.setdefault(phase, set()).update(json.loads(path.read_text().splitlines()[-1]))
    assert len(written) == 2
    for phase, metric, _, chance, _ in CHARTS:
        if not metric.endswith("_4"):
            assert {metric, *filter(None, [chance])} <= written[phase], metric


def test_no_two_kinds_of_runs_look_alike(make: Any, tmp_path: Path) -> None:
    for levels in range(4):
        for temporal in ("none", "shift"):
            for pretraining in ("none", "progressive") if levels else ("none",):
                make.save(tmp_path, make.runs(levels=levels, temporal=temporal, pretraining=pretraining))
    for path in tmp_path.glob("finetune/*/record.json"):
        journal(path.parent / "metrics.jsonl", 1.0, 0.5)
    charts = {chart.title: chart for chart in curve_sections(details_of(tmp_path))}
    legend = charts["Fine-tuning: loss"].legend
    assert SERIES < len(legend) == 14 <= SERIES * DASHES
    assert len({look for look, _ in legend}) == len({name for _, name in legend}) == len(legend)


def test_a_mean_is_over_runs_that_differ_in_their_seeds_alone(make: Any, tmp_path: Path) -> None:
    for seed in range(3):
        make.save(tmp_path, make.runs(seed=seed), make.runs(seed=seed, config={"finetune.optim.lr": 0.1}))
    for path in sorted(tmp_path.glob("finetune/*/record.json")):
        journal(path.parent / "metrics.jsonl", 10.0, 20.0)
    details = details_of(tmp_path)
    names = kinds({key: run.record for key, run in details.runs.items() if run.record["phase"] == "finetune"})
    assert len(names) == 6 and len(set(names.values())) == 2
    assert any("finetune.optim.lr=0.1" in name for name in names.values())
    picture = str(curve_sections(details)[-1].picture)
    assert picture.count("mean of 3: ") == 2 and picture.count('class="curve"') == 6


def test_settings_that_look_like_markup_stay_text(make: Any, tmp_path: Path) -> None:
    hostile = {"finetune.optim.name": "</svg><script>window.hit=1</script>\"'"}
    make.save(tmp_path, make.runs(), make.runs(config=hostile))
    for path in sorted(tmp_path.glob("finetune/*/record.json")):
        journal(path.parent / "metrics.jsonl", 10.0, 20.0)
    picture = str(curve_sections(details_of(tmp_path))[-1].picture)
    assert "window.hit" in picture and "<script" not in picture and picture.count("</svg>") == 1


def test_a_kind_tells_what_most_runs_have_otherwise(make: Any, tmp_path: Path) -> None:
    long, slow = {"finetune.length": {"steps": 720}}, {"finetune.optim.lr": 0.1}
    for seed in range(2):
        make.save(tmp_path, *(make.runs(seed=seed, levels=levels) for levels in (1, 2, 3)))
        make.save(tmp_path, *(make.runs(seed=seed, levels=3, config=config) for config in (long, long | slow)))
    runs = details_of(tmp_path).runs
    names = kinds({key: run.record for key, run in runs.items() if run.record["phase"] == "finetune"})
    words = "resnet50, levels 3, pretrained"
    assert {name for name in names.values() if name.startswith(words)} == {
        words,
        f"{words}, 720 steps",
        f"{words}, 720 steps, finetune.optim.lr=0.1",
    }
