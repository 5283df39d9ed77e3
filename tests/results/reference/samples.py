"""A small folder of reference data, made by hand; no figure in it is anybody's."""

from __future__ import annotations

from typing import Any

import yaml

from results.reference.schema import COLUMNS

HEAD = "# a comment that stays\ncells:\n"
SLOT = """
# one slot
- key: sthv1-resnet50-levels3-progressive-top1
  ours: {benchmark: sthv1, backbone: resnet50, levels: 3, pretraining: progressive, metric: top1}
  conditions: {}  # none yet
  arxiv: ""
  table: ""  # which?
  row: ''
  column: ""
  text: ""
  value: null
"""
FILLED = """- key: ucf101-resnet50-levels3-progressive-retrieval-r1
  ours: {benchmark: ucf101, backbone: resnet50, levels: 3, pretraining: progressive, setting: retrieval, metric: r1}
  conditions: {frames: "8", protocol_name: tsm_efficient}
  arxiv: 2007.10321v2
  table: Table 0
  row: a row
  column: a column
  text: "1.50"
  value: 1.5
# the end
"""


def make_row(**changes: str) -> dict[str, str]:
    """A valid row; keywords say how it differs."""
    row = dict.fromkeys(COLUMNS, "") | {
        "key": "a-row",
        "method": "TSN",
        "paper_year": "2016",
        "backbone": "ResNet-50",
        "frames": "8",
        "benchmark": "sthv1",
        "split": "val",
        "setting": "supervised",
        "metric": "top1",
        "value": "1.5",
        "text": "1.50",
        "source_repo": "owner/name",
        "source_path": "docs/README.md",
        "source_commit": "0123456789abcdef" * 2 + "01234567",
        "source_line": "7",
        "reported_by": "authors",
        "ours": "backbone=resnet50; levels=0; temporal=none",
    }
    return row | changes


def make_cell(**changes: Any) -> dict[str, Any]:
    """A valid, transcribed cell; keywords say how it differs."""
    return yaml.safe_load("\n".join(FILLED.splitlines()[:-1]))[0] | changes
