"""What is committed: every figure as it was copied, and no figure of the paper that nobody has read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from results.reference import HERE, PublishedRow, load
from results.reference.files import rows_of, text_of

COPIED = (
    *("method", "paper_title", "paper_year", "backbone", "temporal", "frames", "pretrain", "protocol", "benchmark"),
    *("metric", "text", "gflops", "params_m", "source_repo", "source_path", "source_commit", "source_line"),
    *("reported_by", "note"),
)
"""Columns that hold what the list held that they were copied from; there `text` was called value."""
COPIES = 250
HASH = "72a387770f7714a038e65594e24204ba802e99a4982fc1f726cf7fd11c5d4cd4"
"""Of these columns of that list, computed from the list itself and not from our file. Rows that are added come after
these; whoever corrects one of them changes this, and says why."""


def test_no_copied_figure_was_altered() -> None:
    rows = [row for _, row in rows_of((HERE / "published.csv").read_bytes().decode())[0]][:COPIES]
    copied = json.dumps([[row[name] for name in COPIED] for row in rows])
    assert hashlib.sha256(copied.encode()).hexdigest() == HASH


def test_the_file_is_as_this_package_writes_it() -> None:
    """So that adding a row adds a line, and changes no other."""
    text = (HERE / "published.csv").read_bytes().decode()
    assert text_of(row for _, row in rows_of(text)[0]) == text


def test_nothing_of_the_paper_stands_here_without_its_whole_source() -> None:
    for cell in load().paper:
        given = [cell.text, cell.arxiv, cell.table, cell.row, cell.column]
        assert all(given) if any(given) else cell.published() is None, cell.key


def test_our_tables_find_their_slots() -> None:
    references = load()
    for benchmark in ("kinetics400", "sthv1", "sthv2", "ucf101", "hmdb51"):
        ours = dict(benchmark=benchmark, backbone="resnet50", metric="top1")
        assert references.paper_cell(**ours, levels=0, pretraining="none")
        for levels in (1, 2, 3):
            for pretraining in ("none", "progressive"):
                assert references.paper_cell(**ours, levels=levels, pretraining=pretraining)
    for benchmark in ("ucf101", "hmdb51"):
        for setting, metric in (("finetune", "top1"), ("linear", "top1"), ("retrieval", "r1")):
            ours = dict(benchmark=benchmark, backbone="resnet50", levels=3, pretraining="progressive")
            assert references.paper_cell(**ours, setting=setting, metric=metric)


TSM, MMACTION2, SLOWFAST = "mit-han-lab/temporal-shift-module", "open-mmlab/mmaction2", "facebookresearch/SlowFast"
NAMED = {
    (TSM, "kinetics400", "TSM", "8", "1 clip x 1 crop"): "tsm_efficient",
    (TSM, "sthv1", "TSM", "8", "1 clip x center crop"): "tsm_efficient",
    (MMACTION2, "kinetics400", "TSM", "8", "1 clip x center crop"): "tsm_efficient",
    (MMACTION2, "sthv1", "TSM", "8", "1 clip x center crop (efficient)"): "tsm_efficient",
    (MMACTION2, "sthv1", "TIN", "8", "1 clip x center crop"): "tsm_efficient",
    (MMACTION2, "sthv2", "TIN", "8", "1 clip x center crop"): "tsm_efficient",
    (TSM, "sthv1", "TSM", "8", "2 clips x 3 crops full-res"): "tsm_accurate",
    (TSM, "sthv2", "TSM", "8", "2 clips x 3 crops full-res"): "tsm_accurate",
    (TSM, "kinetics400", "TSM", "8 dense", "10 clips x 3 crops full-res (--dense_sample --full_res)"): "tsm_dense",
    (TSM, "kinetics400", "TSM-NL", "8 dense", "10 clips x 3 crops full-res (--dense_sample --full_res)"): "tsm_dense",
    (MMACTION2, "kinetics400", "TSN", "3 (train)", "25 frames x 3 crops"): "tsn_25x3",
    (MMACTION2, "ucf101", "TSN", "3 (train)", "25 frames x 3 crops, split 1 only"): "tsn_25x3",
    **{
        (SLOWFAST, "kinetics400", name, "8x8", "10 clips x 3 crops"): "slowfast_8x8"
        for name in ("C2D", "I3D", "I3D-NL")
    },
    (SLOWFAST, "kinetics400", "SlowOnly", "8x8", "10 clips x 3 crops"): "slowfast_8x8",
    ("facebookresearch/pytorchvideo", "sthv2", "SlowOnly", "8x8", "1 clip x 3 crops"): "ssv2_slow",
}
"""What docs/reference.md gives the reasons for; every other row has no protocol of ours."""


@pytest.fixture(scope="module")
def rows() -> list[PublishedRow]:
    return load().published[:COPIES]


def test_a_row_has_a_protocols_name_only_where_that_was_looked_up(rows: list[PublishedRow]) -> None:
    found = {}
    for row in rows:
        what = (row.source_repo, row.benchmark, row.method, row.frames, row.protocol)
        if name := row.protocol_name:
            found[what] = name
        assert NAMED.get(what, "") == name, row
    assert found == NAMED
    assert Counter(row.protocol_name for row in rows)[""] == COPIES - 19


def test_a_split_stands_only_where_the_row_says_it(rows: list[PublishedRow]) -> None:
    words = {"": "", "1": "split 1", "mean(1,2,3)": "mean of 3 splits", "val": "validation set", "test": "TEST set"}
    for row in rows:
        assert words[row.split] in f"{row.protocol} {row.note}", row
        assert row.split or not any(word in row.protocol for word in words.values() if word), row


def test_a_copy_of_the_data_stands_only_where_the_note_says_it(rows: list[PublishedRow]) -> None:
    for row in rows:
        assert row.data in row.note, row
        words = ("short-side", "340x256", "copy")
        assert bool(row.data) == any(word in row.note for word in words), row


def test_our_rows_that_are_the_same_method(rows: list[PublishedRow]) -> None:
    temporal = {"TSN": "none", "TSM": "shift (not causal)"}
    backbone = {"ResNet-50": "resnet50", "ResNet-101": "resnet101"}
    for row in rows:
        if row.method in temporal and row.backbone in backbone:
            assert row.ours == {"backbone": backbone[row.backbone], "levels": 0, "temporal": temporal[row.method]}
        else:
            assert row.ours == {}, row
    assert sum(bool(row.ours) for row in rows) == 44
