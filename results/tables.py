"""All tables, each a pure function of (the frame of :func:`results.collect.collect`, the published figures).

A cell is a mean over runs that differ in nothing but the seed (:mod:`results.grouping`), beside what it must be
compared with; what is not there says ``missing`` and how to get it. One table has one place:

accuracy_tables      levels x backbone, and tier by tier
ablation_tables      what each part is worth: one builder for all axes of ablations.py
cost_tables          parameters, multiply-adds, throughput, memory, time
split_tables         data sets with several official splits
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
from results.cost_tables import backbones_table, cost_table
from results.frozen_tables import self_supervised_by_tier, self_supervised_evaluation
from results.grouping import arms_of, of_phase
from results.pretraining_tables import pretraining_by_group, pretraining_table
from results.settings import Varying
from results.split_tables import top1_per_split
from results.table import Table


def main_tables(frame: pd.DataFrame, expected: Iterable[Mapping[str, Any]] = ()) -> list[Table]:
    """The tables to print: those of :func:`all_tables` that are short."""
    tests = [levels_by_backbone(frame, expected), top1_per_tier(frame), top1_per_split(frame)]
    tables = [*tests, self_supervised_evaluation(frame), pretraining_table(frame)]
    return [table for table in tables if table.rows]


def all_tables(frame: pd.DataFrame, expected: Iterable[Mapping[str, Any]] = ()) -> list[Table]:
    """Every table that has rows; [] for a frame without finished runs. `expected`: see levels_by_backbone."""
    if frame.empty:
        return main_tables(frame, expected)
    arms = arms_of(of_phase(frame, "test"))
    varying = Varying(arms)
    ablations = [ablation_table(axis, arms, varying) for axis in AXES]
    by_group = [self_supervised_by_tier(frame), pretraining_by_group(frame)]
    others = [*ablations, backbones_table(arms, varying), *by_group, cost_table(frame)]
    return main_tables(frame, expected) + [table for table in others if table.rows]
