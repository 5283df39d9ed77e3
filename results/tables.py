"""All tables, each a pure function of (the frame of :func:`results.collect.collect`, the published figures).

A cell is a mean over runs that differ in nothing but the seed (:mod:`results.grouping`), beside what it must be
compared with; what is not there says ``missing`` and how to get it. One table has one place:

accuracy_tables      levels x backbone, and tier by tier
ablation_tables      what each part is worth: one builder for all axes of ablations.py
cost_tables          parameters, multiply-adds, throughput, memory, time
published_tables     beside the paper's figures and those of others
split_tables         data sets with several official splits (whose mean is an arm beside others: split_means)
frozen_tables        linear probe and retrieval
pretraining_tables   what the levels learned without labels
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from results.ablation_tables import ablation_table
from results.ablations import AXES
from results.accuracy_tables import levels_by_backbone, top1_per_tier
from results.compare import Thresholds, read_thresholds
from results.cost_tables import backbones_table, cost_table
from results.frozen_tables import self_supervised_by_tier, self_supervised_evaluation
from results.garbage import no_search_for_cycles
from results.pretraining_tables import pretraining_by_group, pretraining_table
from results.processes import beside, usable
from results.published_tables import published_tables
from results.reference.model import References
from results.runs import Runs
from results.settings import Varying
from results.split_tables import top1_per_split
from results.table import Table, cells_of

PRINTED = ("levels_by_backbone", "top1_per_tier", "top1_per_split", "self_supervised_evaluation", "pretraining")
"""The tables that are short enough to be printed."""


def main_tables(tables: Iterable[Table]) -> list[Table]:
    """Those of :func:`all_tables` to print. None: there is no finished run, and none is expected."""
    return [table for table in tables if table.name in PRINTED]


@no_search_for_cycles()
def all_tables(
    frame: pd.DataFrame,
    references: References | None = None,
    expected: Iterable[Mapping[str, Any]] = (),
    thresholds: Thresholds | None = None,
    unfilled: bool = False,
) -> list[Table]:
    """Every table that has a figure, measured or published, those to print first.

    references: None leaves the tables of published figures out; expected: see levels_by_backbone; thresholds: None =
    those of thresholds.yaml; unfilled: also the tables in which everything is missing, with the commands to fill them.
    """
    runs = Runs(frame)
    tests = runs.arms("test")
    varying = Varying(tests)
    of_tests: list[Callable[[], Table]] = [partial(levels_by_backbone, runs, expected)]
    of_tests += [partial(top1_per_tier, runs), partial(top1_per_split, runs)]
    of_tests += [partial(ablation_table, axis, tests, varying) for axis in AXES]
    with beside(of_tests, usable(len(frame))) as made:  # half of the work
        others = [self_supervised_evaluation(runs), pretraining_table(runs), backbones_table(tests, varying)]
        others += [self_supervised_by_tier(runs), pretraining_by_group(runs), cost_table(runs)]
        if references is not None:
            frozen = [arm for phase in ("probe", "retrieval") for arm in runs.arms(phase)]
            others += published_tables([*tests, *frozen], references, thresholds or read_thresholds())
        tables = [table for table in (*made(), *others) if table.rows]
    tables.sort(key=lambda table: table.name not in PRINTED)
    return [table for table in tables if unfilled or table.name in PRINTED or _has_a_figure(table)]


def _has_a_figure(table: Table) -> bool:
    return any(cell.kind in ("measured", "published", "not transcribed") for cell in cells_of(table))
