from __future__ import annotations

import pytest
from hydra.errors import ConfigCompositionException

from hcml.config import Runtime
from sweeps import estimate, launch
from sweeps.execute import Outcome
from sweeps.plan import make_plan
from sweeps.resolve import resolve
from sweeps.run import unknown_backbones
from sweeps.schema import DataPaths
from sweeps.store import Store


def jobs(composed, *rows):
    return [(row, composed(*row)) for row in rows]


def test_every_problem_of_every_job_is_listed_with_its_overrides(composed):
    rows = jobs(composed, ["levels=5", "seed=1"], ["levels=1", "seed=1"], ["backbone.name=resnet19", "seed=1"])
    rows.append((["levels=x", "seed=1"], ConfigCompositionException("levels is no number")))
    with pytest.raises(launch.BadJobs) as error:
        launch.resolve_jobs(rows)
    text = str(error.value)
    assert "3 problems, nothing was started" in text
    assert {tuple(where) for where in error.value.problems.values()} == {
        ("levels=5",),
        ("backbone.name=resnet19",),
        ("levels=x",),
    }


def test_a_problem_of_all_jobs_is_said_once(composed):
    rows = jobs(composed, ["levels=1", "finetune.optim.lr=-1"], ["levels=2", "finetune.optim.lr=-1"])
    with pytest.raises(launch.BadJobs) as error:
        launch.resolve_jobs(rows)
    assert list(error.value.problems.values()) == [[]] and "in:" not in str(error.value)


def test_a_key_appended_with_a_plus_is_refused_too(composed):
    """Hydra itself advises the plus when a key is misspelt, and would then carry the key along unread."""
    rows = jobs(composed, ["+finetune.optim.lrr=1", "+nonsense=1", "levels=1"], ["levels=1"])
    with pytest.raises(launch.BadJobs) as error:
        launch.resolve_jobs(rows)
    first, second = error.value.problems
    assert first == "unknown key finetune.optim.lrr: did you mean finetune.optim.lr?"
    assert second.startswith("unknown key nonsense: there are: phase, seed, init,")
    launch.resolve_jobs(jobs(composed, ["+benchmark@pretrain.benchmark=synthmotion"]))


def test_settings_of_the_whole_sweep_cannot_be_swept(composed):
    with pytest.raises(launch.BadJobs, match="whole sweep"):
        launch.resolve_jobs(jobs(composed, ["paths.runs=a"], ["paths.runs=b"]))


def test_bad_input_ends_with_2_before_anything_is_made(composed, tmp_path, capsys):
    assert launch.launch(jobs(composed, ["levels=5", f"paths.runs={tmp_path}/runs"])) == launch.BAD_CONFIG
    assert "at most 4 levels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(estimate, "measure", lambda model, compute: estimate.Speed(0.5, 0.1))
    monkeypatch.setattr(launch, "prepare_benchmarks", lambda plan, root: None)
    monkeypatch.setattr(launch, "snapshot", lambda target: target)


def test_plan_only_executes_nothing(composed, tmp_path, quiet, capsys):
    class Forbidden:
        def execute(self, plan, prepare):
            raise AssertionError("plan=true must not execute")

    rows = jobs(composed, ["levels=1", "plan=true", f"paths.runs={tmp_path}/runs"])
    assert launch.launch(rows, Forbidden()) == launch.SUCCESS
    shown = capsys.readouterr().out
    assert "estimated time" in shown and shown.count("resnet18-l1") == 3
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("state, code", [("done", launch.SUCCESS), ("failed", launch.SOME_FAILED)])
def test_the_exit_code_follows_the_runs(composed, tmp_path, quiet, capsys, state, code):
    class Fake:
        def execute(self, plan, prepare):
            folder = prepare(plan.entries[0])
            assert (folder / "config.json").is_file()
            return {entry.run.run_id: Outcome(state, "why") for entry in plan.entries}

    assert launch.launch(jobs(composed, ["levels=0", f"paths.runs={tmp_path}/runs"]), Fake()) == code
    assert f"2 {state}" in capsys.readouterr().out


def test_a_full_disk_is_a_reason_and_no_traceback(composed, tmp_path, quiet, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    class Fake:
        def execute(self, plan, prepare):
            return {entry.run.run_id: Outcome("done") for entry in plan.entries}

    rows = jobs(composed, ["levels=0", f"paths.runs={tmp_path}/runs"])
    with monkeypatch.context() as patch:
        patch.setattr(launch, "snapshot", full)
        assert launch.launch(rows) == launch.SOME_FAILED
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.setattr(launch, "show_results", full)
    assert launch.launch(rows, Fake()) == launch.SOME_FAILED
    shown = capsys.readouterr()
    assert "2 done" in shown.out and "the tables cannot be written" in shown.err


def test_the_estimate_multiplies_clips_by_speed(composed, settings, tmp_path, quiet):
    plan = make_plan([resolve(settings("levels=1"))], lambda run: "new")
    guess = estimate.estimate(plan, tmp_path, DataPaths(str(tmp_path)))
    clips = [80 * 8, 130 * 8, 480]
    assert list(guess.seconds.values()) == [
        estimate.STARTUP + n * speed for n, speed in zip(clips, (0.5, 0.5, 0.1), strict=True)
    ]
    assert guess.complete and guess.total == sum(guess.seconds.values())


def test_recorded_speed_goes_before_measuring(settings, tmp_path, monkeypatch):
    import json

    from hcml.config import to_dict
    from sweeps.provenance import cpu_model

    monkeypatch.setattr(estimate, "measure", lambda model, compute: None)
    runs = resolve(settings("levels=1"))
    folder = tmp_path / "finetune" / "some-run"
    folder.mkdir(parents=True)
    record = {
        "phase": "finetune",
        "config": to_dict(runs[1].config),
        "cost": {"clips_per_second": 4.0},
        "environment": {"cpu": cpu_model()},
    }
    (folder / "record.json").write_text(json.dumps(record))
    guess = estimate.estimate(make_plan([runs], lambda run: "new"), tmp_path, DataPaths(str(tmp_path)))
    assert guess.seconds == {runs[1].run_id: estimate.STARTUP + 130 * 8 / 4.0}
    assert not guess.complete


def test_measuring_a_small_model_takes_a_positive_time(settings):
    config = resolve(settings("levels=1", "input_size=32", "num_frames=4", "compute.threads=1"))[1].config
    speed = estimate.measure(config.model, config.compute)
    assert 0 < speed.test < speed.train * 3


def test_epochs_without_videos_are_unknown(settings, tmp_path):
    config = resolve(settings("profile=cluster"))[1].config
    assert estimate.num_clips(config, DataPaths(str(tmp_path))) is None


def test_what_is_expected_in_the_table_speaks_its_words(settings):
    rows = [resolve(settings("levels=2")), resolve(settings("levels=2", "init=scratch")), resolve(settings("levels=0"))]
    plan = make_plan(rows, lambda run: "new")
    assert launch.expected_rows(plan) == [
        {"backbone": "resnet18", "levels": 2, "pretraining": "progressive"},
        {"backbone": "resnet18", "levels": 2, "pretraining": "none"},
        {"backbone": "resnet18", "levels": 0, "pretraining": "none"},
    ]


def test_an_unknown_backbone_on_the_command_line_gets_help():
    assert unknown_backbones(["backbone=r18,r50", "levels=1", "backbone.name=anything"]) == []
    (typo,) = unknown_backbones(["backbone=r18,resnet5"])
    assert "did you mean resnet50" in typo
    (other,) = unknown_backbones(["backbone=convnext_atto"])
    assert "backbone.name=convnext_atto" in other


def test_a_run_that_was_finished_on_other_data_is_stale(settings, tmp_path):
    (run,) = resolve(settings("phase=pretrain"))
    store = Store(tmp_path)
    folder = store.prepare(run, Runtime(), {"fingerprint": "f"})
    (folder / "status.json").write_text('{"state": "done"}')
    (folder / "record.json").write_text('{"data": {"manifest_sha256": {"train": "a", "test": "b"}}}')
    assert store.state(run, "f") == "done", "where nothing is known of the data"
    assert store.state(run, "f", {"train": "a", "test": "c"}) == "done", "pretraining trains on no test video"
    assert store.state(run, "f", {"train": "c", "test": "b"}) == "stale"


def test_a_run_that_stopped_on_other_data_starts_anew(settings, tmp_path):
    """Its checkpoint would be refused: an audit that takes a damaged video out of the training must not end there."""
    (run,) = resolve(settings("phase=pretrain"))
    store = Store(tmp_path)
    folder = store.prepare(run, Runtime(), {"fingerprint": "f"}, manifests={"train": "a", "test": "b"})
    (folder / "status.json").write_text('{"state": "failed"}')
    assert store.state(run, "f") == "failed"
    assert store.state(run, "f", {"train": "a", "test": "c"}) == "failed"
    assert store.state(run, "f", {"train": "c", "test": "b"}) == "changed"
