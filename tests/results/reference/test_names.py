"""The names that stand here as data are those of the rest of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import benchmarks
from results.flatten import row_of
from results.reference import names

ROOT = Path(__file__).resolve().parents[3]


def test_benchmarks_are_all_but_the_embedded_one() -> None:
    assert set(names.BENCHMARKS) == set(names.SPLITS) == set(benchmarks.BENCHMARKS) - {"synthmotion"}


def test_splits_are_those_of_the_benchmarks() -> None:
    for name in names.BENCHMARKS:
        known = set(names.SPLITS[name]) - {names.MEAN_OF_SPLITS}
        assert known == set(benchmarks.module_of(name).splits), name


def test_protocols_are_the_files() -> None:
    assert list(names.PROTOCOLS) == sorted(path.stem for path in (ROOT / "benchmarks/protocols").glob("*.yaml"))


def test_axes_are_columns_of_the_frame(make: Any) -> None:
    row = row_of(make.runs()["test"])
    assert set(names.AXES) - {"split", "setting", "metric"} <= set(row)
    assert all(names.is_axis(name) for name in row if name.startswith(("pretrain.", "finetune.", "test.")))
    assert not names.is_axis("seed") and not names.is_axis(3)
