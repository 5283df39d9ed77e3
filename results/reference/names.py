"""Names that published figures may use. `results` imports nothing of ours, so they stand here as data; a test holds
them equal to what benchmarks/ and its protocols/*.yaml have."""

from __future__ import annotations

import re

PAPER = "2007.10321"
"""arXiv id, without version, of the paper that hcml.yaml transcribes."""
BENCHMARKS = ("kinetics400", "sthv1", "sthv2", "ucf101", "hmdb51")
"""The data sets of others; nobody but us has published anything on the embedded one."""
MEAN_OF_SPLITS = "mean(1,2,3)"
SPLITS: dict[str, tuple[str, ...]] = {
    "kinetics400": ("val", "test"),
    "sthv1": ("val",),
    "sthv2": ("val",),
    "ucf101": ("1", "2", "3", MEAN_OF_SPLITS),
    "hmdb51": ("1", "2", "3", MEAN_OF_SPLITS),
}
"""What a figure was measured on, where its source says so."""
PROTOCOLS = (
    "coclr_ten_crop",
    "i3d_32x2",
    "own",
    "slowfast_8x8",
    "ssv2_slow",
    "tsm_accurate",
    "tsm_dense",
    "tsm_efficient",
    "tsn_25x10",
    "tsn_25x3",
    "vcop_16x112",
)
SETTINGS = ("supervised", "finetune", "linear", "retrieval")
"""Trained with labels from the start; or weights from self-supervised pretraining, then everything fine-tuned, a linear
classifier on frozen features, nearest neighbours of frozen features."""
CLASSIFICATION_METRICS = ("top1", "top5")
RETRIEVAL_METRICS = ("r1", "r5", "r10", "r20", "r50")
METRICS = (*CLASSIFICATION_METRICS, *RETRIEVAL_METRICS)
"""All in per cent."""
REPORTED_BY = ("authors", "reimplementation", "third-party quote")
AXES = (
    "benchmark",
    "split",
    "setting",
    "metric",
    "backbone",
    "levels",
    "temporal",
    "pretraining",
    "weights",
    "motion_input",
    "prime",
    "fusion_init",
    "pairing",
    "features",
    "pooling",
)
"""What tells one of our cells from another: a data set, what is measured of it, and columns of results/flatten.py."""
CONFIG_AXIS = re.compile(r"(pretrain|finetune|probe|retrieval|test)(\.[a-z0-9_]+)+")
"""Any other column of results/flatten.py that comes from a phase's configuration."""


def is_axis(name: object) -> bool:
    return name in AXES or (isinstance(name, str) and CONFIG_AXIS.fullmatch(name) is not None)
