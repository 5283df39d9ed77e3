"""What phase=probe and phase=retrieval resolve to."""

from __future__ import annotations

import pytest

from hcml.config import ProbeRun, RetrievalRun, to_dict
from sweeps.estimate import num_clips
from sweeps.freeze import run_from_dict
from sweeps.resolve import ConfigProblems, resolve
from sweeps.schema import DataPaths

PHASES = ("probe", "retrieval")


def ids(runs):
    return [run.run_id for run in runs]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("profile", ["quick", "full", "cluster"])
def test_the_parent_is_the_pretraining_run_that_fine_tuning_has(settings, phase, profile):
    pretrain, leaf = resolve(settings(f"phase={phase}", f"profile={profile}"))
    assert pretrain.run_id == resolve(settings(f"profile={profile}"))[0].run_id
    assert leaf.parent == pretrain.run_id and leaf.phase == phase
    assert isinstance(leaf.config, {"probe": ProbeRun, "retrieval": RetrievalRun}[phase])
    config = leaf.config
    assert config.init == "run" and config.features.source == "level"
    # the motion that was learned is between frames so far apart
    assert config.sampling.frame_stride == pretrain.config.sampling.frame_stride
    assert config.sampling.mode == pretrain.config.sampling.mode
    assert config.transform.resize == pretrain.config.transform.resize
    assert config.features.num_clips == (10 if profile == "cluster" else 1)
    assert config.within_group and run_from_dict(to_dict(config)) == config
    assert "run-level" in leaf.name


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("pretrain.optim.lr=0.01", [True, True]),
        ("finetune.optim.lr=0.01", [False, False]),
        ("test.num_clips=3", [False, False]),
        ("benchmark.test_per_class=20", [False, True]),
        ("probe.features.source=motion", [False, True]),
        ("probe.features.pool=concat", [False, True]),
        ("probe.features.num_clips=2", [False, True]),
    ],
)
def test_a_setting_changes_the_runs_that_read_it(settings, phase, override, changed):
    old, new = ids(resolve(settings(f"phase={phase}"))), ids(resolve(settings(f"phase={phase}", override)))
    assert [a != b for a, b in zip(old, new, strict=True)] == changed


def test_each_phase_has_its_own_settings(settings):
    old = {phase: resolve(settings(f"phase={phase}"))[-1].run_id for phase in PHASES}
    for override, changed in (("probe.l2=[0.1]", "probe"), ("retrieval.center=train", "retrieval")):
        new = {phase: resolve(settings(f"phase={phase}", override))[-1].run_id for phase in PHASES}
        assert [phase for phase in PHASES if old[phase] != new[phase]] == [changed]
    alone = resolve(settings("phase=retrieval", "retrieval.features.source=motion"))[-1].config
    assert alone.features.source == "motion"


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_is_drawn_from_the_seed_where_all_weights_are_loaded(settings, tmp_path, phase):
    """Two seeds that share a pretraining are one run; two untrained networks are two."""
    shared = [ids(resolve(settings(f"phase={phase}", f"seed={s}", "pretrain.seed=0"))) for s in (0, 1)]
    assert shared[0] == shared[1]
    assert resolve(settings(f"phase={phase}", "seed=4"))[-1].config.seed == 4
    drawn = [ids(resolve(settings(f"phase={phase}", f"seed={s}", "init=scratch"))) for s in (0, 1)]
    assert [len(runs) for runs in drawn] == [1, 1] and drawn[0] != drawn[1]
    (tmp_path / "image.pth").write_bytes(b"")
    image = ("init=weights", f"backbone.pretrained={tmp_path / 'image.pth'}")
    plain = [ids(resolve(settings(f"phase={phase}", f"seed={s}", "levels=0", *image))) for s in (0, 1)]
    assert plain[0] == plain[1]
    motion = [ids(resolve(settings(f"phase={phase}", f"seed={s}", "levels=1", *image))) for s in (0, 1)]
    assert motion[0] != motion[1]


@pytest.mark.parametrize("phase", PHASES)
def test_a_plain_backbone_stays_in_a_sweep_over_levels(settings, phase):
    (run,) = resolve(settings(f"phase={phase}", "levels=0"))
    assert run.config.init == "scratch" and run.config.features.source == "final"
    assert ids(resolve(settings(f"phase={phase}", "levels=0", "init=scratch"))) == [run.run_id]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("levels", [0, 2])
def test_a_file_is_measured_in_place_of_a_pretraining(settings, tmp_path, phase, levels):
    file = tmp_path / "weights.pt"
    file.write_bytes(b"x")
    (run,) = resolve(settings(f"phase={phase}", f"checkpoint={file}", f"levels={levels}", "seed=3"))
    assert (run.parent, run.weights, run.config.init, run.config.seed) == (None, str(file), "run", 0)
    file.write_bytes(b"y")
    assert resolve(settings(f"phase={phase}", f"checkpoint={file}", f"levels={levels}"))[0].run_id != run.run_id


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["probe.features.source=head"], "level, motion, final"),
        (["probe.l2=[]"], "one or more different positive numbers"),
        (["benchmark.train_per_class=1", "pretrain.length.batch_size=4"], "give one value, or more videos"),
        (["init=weights"], "needs backbone.pretrained"),
        (["checkpoint=gone.pt", "init=scratch"], "takes the place of a pretraining run"),
    ],
)
def test_bad_input_says_what_is_wrong(settings, overrides, message):
    with pytest.raises(ConfigProblems) as error:
        resolve(settings("phase=probe", *overrides))
    assert message in str(error.value)


@pytest.mark.parametrize("phase", PHASES)
def test_the_estimate_counts_both_subsets(settings, tmp_path, phase):
    config = resolve(settings(f"phase={phase}", "probe.features.num_clips=2"))[-1].config
    assert num_clips(config, DataPaths(root=str(tmp_path))) == (40 + 30) * 16 * 2
