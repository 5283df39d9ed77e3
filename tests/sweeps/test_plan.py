from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.identity import PlannedRun
from sweeps.plan import STATES, make_plan
from sweeps.show import clock, plan_table


class Config:
    phase = "finetune"


def run(name: str, parent: str | None = None) -> PlannedRun:
    return PlannedRun(name * 12, name, Config(), parent and parent * 12)  # type: ignore[arg-type]


P, F, T, G = run("p"), run("f", "p"), run("t", "f"), run("g", "p")
CHAIN = [P, F, T]


def actions(states: dict[str, str], rerun_stale: bool = False) -> dict[str, tuple[bool, bool]]:
    plan = make_plan([CHAIN], lambda r: states.get(r.slug, "new"), rerun_stale)
    return {entry.run.slug: (entry.execute, entry.anew) for entry in plan.entries}


def test_shared_runs_are_planned_once_and_parents_come_first():
    asked = []
    plan = make_plan([CHAIN, [P, G], CHAIN], lambda r: asked.append(r.slug) or "new")
    assert [entry.run.slug for entry in plan.entries] == ["p", "f", "t", "g"] == asked
    assert [entry.jobs for entry in plan.entries] == [(0, 1, 2), (0, 2), (0, 2), (1,)]


def test_finished_runs_are_not_executed():
    assert actions({"p": "done", "f": "stale", "t": "failed"}) == {
        "p": (False, False),
        "f": (False, False),
        "t": (True, False),
    }


def test_rerunning_a_stale_run_renews_what_descends_from_it():
    assert actions({"p": "stale", "f": "done", "t": "done"}, rerun_stale=True) == dict.fromkeys("pft", (True, True))
    assert actions({"p": "done", "f": "stale"}, rerun_stale=True)["p"] == (False, False)


def test_a_run_interrupted_under_other_code_starts_anew_with_its_descendants():
    assert actions({"p": "changed", "f": "interrupted", "t": "new"}) == {
        "p": (True, True),
        "f": (True, True),
        "t": (True, False),
    }


def test_a_child_before_its_parent_is_an_error():
    with pytest.raises(ValueError, match="before its parent"):
        make_plan([[F]], lambda r: "new")


def test_an_unknown_state_is_an_error():
    with pytest.raises(ValueError, match="'lost'"):
        make_plan([[P]], lambda r: "lost")


@given(st.fixed_dictionaries({key: st.sampled_from(STATES) for key in "pftg"}), st.booleans())
def test_whatever_the_states_nothing_finished_is_lost_unasked(states, rerun_stale):
    plan = make_plan([CHAIN, [P, G]], lambda r: states[r.slug], rerun_stale)
    renewed = {entry.run.run_id for entry in plan.entries if entry.anew}
    for entry in plan.entries:
        assert entry.execute or entry.state in ("done", "stale", "queued")
        if entry.state == "done":
            assert entry.execute == (entry.run.parent in renewed)
        if entry.state in ("new", "running", "queued"):
            assert not entry.anew


def test_the_printed_plan_has_a_line_for_every_run():
    plan = make_plan([CHAIN], lambda r: "done" if r.slug == "p" else "new")
    lines = plan_table(plan, {F.run_id: 200.0}).splitlines()
    assert len(lines) == 5
    assert "skip" in lines[2] and "3 min" in lines[3] and "?" in lines[4]


@pytest.mark.parametrize("seconds, text", [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_clock(seconds, text):
    assert clock(seconds) == text
