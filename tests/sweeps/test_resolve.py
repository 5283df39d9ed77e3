from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from hcml import config as hcml_config
from hcml.config import ContrastConfig, FinetuneRun, MotionConfig, PretrainRun, to_dict
from hcml.training.checkpoint import write_file
from sweeps.freeze import run_from_dict
from sweeps.identity import hash_run
from sweeps.resolve import ConfigProblems, resolve
from sweeps.schema import DataPaths

PROFILES = ("quick", "full", "cluster")
EXPERIMENTS = sorted(p.stem for p in (Path(__file__).resolve().parents[2] / "sweeps/conf/experiment").glob("*.yaml"))


def ids(runs):
    return [run.run_id for run in runs]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gives_the_three_phases(settings, profile):
    runs = resolve(settings(f"profile={profile}"))
    assert [type(run.config) for run in runs] == [PretrainRun, FinetuneRun, hcml_config.TestRun]
    assert [run.parent for run in runs] == [None, runs[0].run_id, runs[1].run_id]
    for run in runs:
        assert run.config.sampling.num_frames == run.config.model.num_frames
        assert run.config.transform.crop_size == run.config.model.input_size
        assert re.fullmatch(r"[a-z0-9._-]{1,60}-[0-9a-f]{12}", run.name)


def test_quick_profile_is_what_the_issue_asks_for(settings):
    pretrain, finetune, test = (run.config for run in resolve(settings("profile=quick")))
    assert (pretrain.length.steps, finetune.length.steps) == (80, 130)
    assert test.benchmark.test_per_class * test.model.num_classes >= 480
    assert (test.model.input_size, test.model.num_frames) == (48, 8)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_names_itself(settings, name):
    plain = settings(f"experiment={name}")
    assert plain["experiment"] == name and plain["profile"] == "full"
    assert resolve(plain)[-1].phase == "test"


def test_cluster_profile_gives_every_training_value_a_source():
    text = (Path(__file__).resolve().parents[2] / "sweeps/conf/profile/cluster.yaml").read_text()
    keys = "lr weight_decay momentum schedule milestones gamma clip_norm epochs batch_size warmup scale"
    for key in keys.split():
        lines = re.findall(rf"^ *{key}:.*$", text, flags=re.M)
        assert lines
        assert all("protocols" in line or "ours" in line for line in lines), f"{key} has no source: {lines}"


@pytest.mark.parametrize("count, names", [("pretrain", 1), ("finetune", 2), ("test", 3)])
def test_phase_names_the_leaf(settings, count, names):
    assert len(resolve(settings(f"phase={count}"))) == names


def test_run_id_is_a_stable_function_of_content():
    # if this changes, every finished run of every user is lost: change NOT_READ or the hash only with a new version
    assert hash_run({"a": 1, "b": [1.5, "x"]}, None) == (
        "85e91f833371cec646606ee8900f6f856774f0e686562fed8b89ce954b58255b"
    )
    assert hash_run({"b": [1.5, "x"], "a": 1}, None) == hash_run({"a": 1, "b": [1.5, "x"]}, None)
    assert hash_run({"a": 1}, "parent") != hash_run({"a": 1}, None)


@pytest.mark.parametrize(
    "override",
    [
        "runtime.workers=0",
        "runtime.device=cpu",
        "runtime.save_every=7",
        "paths.runs=elsewhere",
        "paths.data.root=elsewhere",
        "plan=true",
        "rerun_stale=true",
        "temporal.fold_div=4",  # read only with temporal.mode=shift
        "backbone.name=resnet18",
    ],
)
def test_what_cannot_change_the_science_is_no_identity(settings, override):
    assert ids(resolve(settings(override))) == ids(resolve(settings()))


@pytest.mark.parametrize(
    "override, first_changed",
    [
        ("seed=1", 0),
        ("motion.dim=16", 0),
        ("compute.threads=1", 0),
        ("benchmark.train_per_class=20", 0),
        ("backbone.drop_rate=0.1", 0),
        ("pretrain.seed=5", 0),
        ("finetune.optim.lr=0.01", 1),
        ("finetune.label_smoothing=0.1", 1),
        ("test.num_clips=2", 2),
        ("benchmark.test_per_class=20", 2),
    ],
)
def test_a_setting_changes_the_runs_that_read_it_and_their_descendants(settings, override, first_changed):
    old, new = ids(resolve(settings())), ids(resolve(settings(override)))
    assert [a == b for a, b in zip(old, new, strict=True)] == [i < first_changed for i in range(3)]


def test_plain_backbones_merge_whatever_the_hierarchy_would_have_been(settings):
    base = ids(resolve(settings("levels=0")))
    assert len(base) == 2
    for override in ("init=scratch", "motion.dim=16", "fusion.init=zero", "objective=reconstruction"):
        assert ids(resolve(settings("levels=0", override))) == base
    config = resolve(settings("levels=0", "motion.dim=16"))[0].config
    assert config.init == "scratch" and config.model.motion == MotionConfig()
    assert ids(resolve(settings("levels=0", "temporal=shift"))) != base


def test_one_level_has_no_contrast_to_differ_in(settings):
    runs = [resolve(settings("levels=1", f"objective={name}"))[0] for name in ("both", "reconstruction")]
    assert runs[0].run_id == runs[1].run_id
    assert runs[0].config.objective.contrast == ContrastConfig()


def test_fusion_follows_the_weights(settings, tmp_path):
    weights = tmp_path / "r18.pth"
    weights.write_bytes(b"some weights")
    assert resolve(settings())[0].config.model.fusion.init == "random"
    given = resolve(settings(f"backbone.pretrained={weights}"))[0]
    assert given.config.model.fusion.init == "zero"
    assert resolve(settings("init=scratch", f"backbone.pretrained={weights}"))[0].config.model.backbone.pretrained == ""
    copy = tmp_path / "copy.pth"
    copy.write_bytes(b"some weights")
    assert resolve(settings(f"backbone.pretrained={copy}"))[0].run_id == given.run_id
    copy.write_bytes(b"other weights")
    assert resolve(settings(f"backbone.pretrained={copy}"))[0].run_id != given.run_id


def test_timm_weights_get_their_tag(settings):
    config = resolve(settings("backbone=r50", "backbone.pretrained=timm", "init=weights", "levels=0"))[0].config
    assert config.model.backbone.name == "resnet50.tv_in1k" and config.init == "weights"


def test_a_checkpoint_takes_the_place_of_pretraining(settings, tmp_path):
    file = tmp_path / "weights.pt"
    payload = {"phase": "pretrain", "model": {}, "config": {}, "step": 1, "trained_on": []}
    write_file(file, payload)
    runs = resolve(settings(f"checkpoint={file}"))
    assert [run.phase for run in runs] == ["finetune", "test"]
    assert runs[0].parent is None and runs[0].weights == str(file) and runs[0].config.init == "run"
    write_file(file, payload | {"step": 2})
    assert resolve(settings(f"checkpoint={file}"))[0].run_id != runs[0].run_id


def test_pretraining_on_another_benchmark(settings):
    plain = settings("+benchmark@pretrain.benchmark=synthmotion", "pretrain.benchmark.version=calibration")
    pretrain, finetune, _ = (run.config for run in resolve(plain))
    assert (pretrain.benchmark.version, finetune.benchmark.version) == ("calibration", "v1")


def test_frozen_configuration_comes_back_as_it_was(settings):
    for run in resolve(settings("temporal=shift", "finetune.auxiliary_weight=0.5")):
        assert run_from_dict(to_dict(run.config)) == run.config


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["levels=5"], "at most 4 levels"),
        (["backbone.name=resnet19"], "did you mean resnet18"),
        (["benchmark.name=kinetics"], "known: hmdb51, kinetics400, sthv1, sthv2, synthmotion"),
        (["pretrain.length.batch_size=1000"], "set pretrain.length.batch_size=640 or less"),
        (["phase=train"], "not one of pretrain, finetune, test"),
        (["init=imagenet"], "not one of run, scratch, weights"),
        (["init=weights"], "needs backbone.pretrained"),
        (["phase=pretrain", "levels=0"], "nothing to pretrain"),
        (["phase=pretrain", "init=scratch"], "nothing to pretrain"),
        (["checkpoint=gone.pt"], "cannot be read"),
        (["checkpoint=gone.pt", "init=scratch"], "takes the place of a pretraining run"),
        (["backbone.pretrained=gone.pth"], "cannot be read"),
        (["objective=contrastive", "levels=1"], "without a loss"),
        (["objective.reconstruction.weight=0"], "curriculum.name=joint"),
        (["pretrain.curriculum.steps_per_level=[10,20]"], "levels=3"),
        (["finetune.optim.lr=-1"], "finetune: optim.lr=-1.0 must be positive"),
        (["finetune.length.epochs=2"], "set exactly one of them"),
        (["temporal=shift", "temporal.causal=false"], "temporal.causal=true"),
        (["test.num_crops=2"], "must be 1"),
        (["init=scratch", "finetune.auxiliary_weight=0.1", "temporal=shift", "temporal.causal=false"], "causal=true"),
        (["init=scratch", "finetune.auxiliary_weight=0.1", "levels=3", "num_frames=4"], "no query is valid at level 3"),
    ],
)
def test_bad_input_says_what_is_wrong(settings, overrides, message):
    with pytest.raises(ConfigProblems) as error:
        resolve(settings(*overrides))
    assert message in str(error.value)


def test_all_problems_of_a_job_are_named_at_once(settings):
    with pytest.raises(ConfigProblems) as error:
        resolve(settings("levels=5", "finetune.optim.lr=-1", "pretrain.optim.lr=-1", "benchmark.name=none"))
    assert len(error.value.problems) == 4


def test_an_unknown_key_is_refused(composed):
    with pytest.raises(ConfigCompositionException, match="lrr"):
        composed("finetune.optim.lrr=1")


@pytest.mark.parametrize("value", ["on", "no", "1e-4"])
def test_texts_stay_texts(settings, value):
    assert settings(f"paths.runs='{value}'")["paths"]["runs"] == value


def test_tiers_share_one_pretraining_on_all_of_them(settings):
    first, second = (
        resolve(settings(f"benchmark.split={tier}", "pretrain.split=all")) for tier in ("direction", "order")
    )
    assert first[0].run_id == second[0].run_id and first[0].config.model.num_classes == 16
    assert first[1].run_id != second[1].run_id
    assert [run.config.model.num_classes for run in first[1:]] == [4, 4]
    own = resolve(settings("benchmark.split=order"))
    assert own[0].run_id != first[0].run_id and own[0].config.model.num_classes == 4


def test_a_plain_backbone_stays_in_a_sweep_with_auxiliary_losses(settings):
    plain, auxiliary = (ids(resolve(settings("levels=0", *extra))) for extra in ([], ["finetune.auxiliary_weight=0.1"]))
    assert plain == auxiliary


def test_an_objective_that_nobody_reads_is_not_judged(settings):
    same = ["init=scratch", "levels=1"]
    assert ids(resolve(settings(*same, "objective=contrastive"))) == ids(resolve(settings(*same)))
    with pytest.raises(ConfigProblems, match="without a loss"):
        resolve(settings(*same, "objective=contrastive", "finetune.auxiliary_weight=0.1"))


def test_held_out_videos_that_are_not_there_are_no_part_of_a_run(settings):
    few, many = (resolve(settings(f"benchmark.test_per_class={n}"))[0] for n in (2, 30))
    assert few.config.eval_videos == 8 and many.config.eval_videos == 64
    assert few.run_id != many.run_id


def test_an_unknown_split_is_refused(settings):
    with pytest.raises(ConfigProblems, match="not a split of synthmotion: all, direction"):
        resolve(settings("benchmark.split=2"))


def test_the_name_of_a_run_says_which_data_set_and_split(settings):
    names = [run.slug for run in resolve(settings("benchmark=hmdb51", "benchmark.split=3", "levels=1"))]
    assert names == ["resnet18-l1-hmdb51-3-s0", "resnet18-l1-hmdb51-3-run-s0", "resnet18-l1-hmdb51-3-run-s0-1x1"]


def test_a_site_file_says_where_data_lie_and_changes_no_run(settings):
    here, there = settings("benchmark=ucf101"), settings("benchmark=ucf101", "cluster=example")
    assert [run.run_id for run in resolve(here)] == [run.run_id for run in resolve(there)]
    paths = DataPaths(**there["paths"]["data"])
    assert str(paths.of("ucf101")) == "/datasets/ucf101" and paths.of("synthmotion").name == "data"
    assert DataPaths(**here["paths"]["data"]).of("ucf101").parts[-2:] == ("data", "ucf101")


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["benchmark=sthv1", "benchmark.decoder=decord"], "consists of folders of frames"),
        (["benchmark=sthv2", "benchmark.decoder=frames"], "consists of video files"),
        (["benchmark=ucf101", "benchmark.version=original"], "set benchmark.decoder=pyav"),
        (["benchmark=hmdb51", "benchmark.split=4"], "not a split of hmdb51: 1, 2, 3"),
        (["benchmark=sthv2", "benchmark.version=h264"], "not a copy of sthv2: original"),
    ],
)
def test_what_a_data_set_cannot_be_is_refused_before_anything_starts(settings, overrides, text):
    with pytest.raises(ConfigProblems, match=text):
        resolve(settings(*overrides))
