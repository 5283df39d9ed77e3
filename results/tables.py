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

from collections.abc import Iterable, Mapping
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
from results.published_tables import published_tables
from results.reference.model import References
from results.runs import Runs
from results.settings import Varying
from results.split_tables import top1_per_split
from results.table import Table, cells_of


def main_tables(source: pd.DataFrame | Runs, expected: Iterable[Mapping[str, Any]] = ()) -> list[Table]:
    """The tables to print: those of :func:`all_tables` that are short."""
    runs = Runs.of(source)
    tests = [levels_by_backbone(runs, expected), top1_per_tier(runs), top1_per_split(runs)]
    tables = [*tests, self_supervised_evaluation(runs), pretraining_table(runs)]
    return [table for table in tables if table.rows]


@no_search_for_cycles()
def all_tables(
    frame: pd.DataFrame,
    references: References | None = None,
    expected: Iterable[Mapping[str, Any]] = (),
    thresholds: Thresholds | None = None,
    unfilled: bool = False,
) -> list[Table]:
    """Every table that has a figure, measured or published.

    references: None leaves the tables of published figures out; expected: see levels_by_backbone; thresholds: None =
    those of thresholds.yaml; unfilled: also the tables in which everything is missing, with the commands to fill them.
    """
    runs = Runs(frame)
    tests = runs.arms("test")
    varying = Varying(tests)
    tables = [ablation_table(axis, tests, varying) for axis in AXES] + [backbones_table(tests, varying)]
    tables += [self_supervised_by_tier(runs), pretraining_by_group(runs), cost_table(runs)]
    if references is not None:
        frozen = [arm for phase in ("probe", "retrieval") for arm in runs.arms(phase)]
        tables += published_tables([*tests, *frozen], references, thresholds or read_thresholds())
    kept = [table for table in tables if table.rows and (unfilled or _has_a_figure(table))]
    return main_tables(runs, expected) + kept


def _has_a_figure(table: Table) -> bool:
    return any(cell.kind in ("measured", "published", "not transcribed") for cell in cells_of(table))
