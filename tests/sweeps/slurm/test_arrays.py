"""Array jobs and dependencies, as pure functions of the tree of runs."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.launchers import Request
from sweeps.slurm.arrays import index_list, make_arrays

GPU, CPU = Request.of({"gpus_per_node": 1}), Request.of({"gpus_per_node": 0})


@dataclass(frozen=True)
class Run:
    """As much of a PlannedRun as arrays look at."""

    run_id: str
    phase: str
    parent: str | None = None


def tree(pretrains: int, finetunes: int, tests: int = 1) -> list[Run]:
    runs = []
    for p in range(pretrains):
        runs.append(Run(f"p{p}", "pretrain"))
        for f in range(finetunes):
            runs.append(Run(f"p{p}f{f}", "finetune", f"p{p}"))
            runs += [Run(f"p{p}f{f}t{t}", "test", f"p{p}f{f}") for t in range(tests)]
    return runs


def arrays(runs, queued=None, max_array=1000, request=lambda run: CPU if run.phase == "test" else GPU):
    return make_arrays(runs, request, queued or {}, max_array)


def shape(found):
    return [(a.phase, len(a.elements), a.after.text(["11", "12", "13", "14"]) if a.after else "") for a in found]


def test_each_run_waits_for_its_own_parent_element_by_element():
    assert shape(arrays(tree(6, 1))) == [
        ("pretrain", 6, ""),
        ("finetune", 6, "aftercorr:11"),
        ("test", 6, "aftercorr:12"),
    ]


def test_children_of_one_parent_wait_for_that_element_alone():
    """200 fine-tunings of one pretraining are one array, not 200."""
    assert shape(arrays(tree(1, 200, tests=0))) == [("pretrain", 1, ""), ("finetune", 200, "afterok:11_0")]


def test_several_children_of_each_parent_go_by_layers():
    found = arrays(tree(100, 3, tests=0))
    assert shape(found) == [("pretrain", 100, "")] + 3 * [("finetune", 100, "aftercorr:11")]


def test_one_large_family_among_small_ones_has_an_array_of_its_own():
    runs = tree(50, 1, tests=0) + [Run(f"p7more{i}", "finetune", "p7") for i in range(40)]
    found = arrays(runs)
    assert shape(found) == [
        ("pretrain", 50, ""),
        ("finetune", 41, "afterok:11_7"),
        ("finetune", 49, "aftercorr:11"),
    ]


def test_a_parent_in_the_queue_is_waited_for_and_a_finished_one_is_not():
    runs = [Run("f1", "finetune", "p1"), Run("f2", "finetune", "p2"), Run("f3", "finetune", "gone")]
    found = arrays(runs, queued={"p1": "86_3", "p2": "86_5"})
    assert shape(found) == [("finetune", 1, ""), ("finetune", 2, "aftercorr:86")]
    assert list(found[1].elements) == [3, 5]


def test_resource_classes_do_not_share_an_array():
    found = arrays(tree(4, 1, tests=0), request=lambda run: GPU if run.run_id[:2] in ("p0", "p1") else CPU)
    assert sorted(len(array.elements) for array in found) == [2, 2, 2, 2]


def test_arrays_stay_below_the_clusters_size():
    found = arrays(tree(25, 1, tests=0), max_array=10)
    assert [len(array.elements) for array in found] == [10, 10, 5, 10, 10, 5]
    assert [a.after.array for a in found[3:]] == [0, 1, 2]
    with pytest.raises(ValueError, match="max_array=0"):
        arrays(tree(1, 1), max_array=0)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 12), st.randoms(use_true_random=False))
def test_every_run_is_in_one_array_behind_its_own_parent(families, max_array, rng: random.Random):
    runs = [Run(f"p{i}", "pretrain") for i in range(len(families))]
    for parent, count in enumerate(families):
        runs += [Run(f"p{parent}c{i}", rng.choice(["finetune", "probe"]), f"p{parent}") for i in range(count)]
    queued = {run.run_id: f"86_{n}" for n, run in enumerate(runs) if run.parent is None and rng.random() < 0.3}
    found = arrays([run for run in runs if run.run_id not in queued], queued, max_array)
    place = {run_id: ("86", int(job.partition("_")[2])) for run_id, job in queued.items()}
    for number, array in enumerate(found):
        assert array.elements and len({run.phase for run in array.elements.values()}) == 1
        assert list(array.elements) == sorted(array.elements)
        for index, run in array.elements.items():
            assert run.run_id not in place
            place[run.run_id] = (number, index)
            if run.parent is None:
                assert array.after is None and index < max_array
            else:
                waits_for = (array.after.array, index if array.after.index is None else array.after.index)
                assert waits_for == place[run.parent]
    assert set(place) == {run.run_id for run in runs}


@given(st.sets(st.integers(0, 60), min_size=1))
def test_index_lists_name_exactly_the_indices(indices):
    text = index_list(sorted(indices))
    named = set()
    for part in text.split(","):
        a, _, b = part.partition("-")
        named |= set(range(int(a), int(b or a) + 1))
    assert named == indices
