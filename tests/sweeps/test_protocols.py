"""Protocols on the command line: what they set, what can be overridden, and which runs they make."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import module_of
from benchmarks.protocol import named
from hcml.config import Runtime, to_dict
from hcml.data.manifest import Manifest
from hcml.model import build_model
from hcml.training.transfer import save_weights
from sweeps.identity import identity
from sweeps.resolve import ConfigProblems, resolve
from sweeps.store import Store

PLAIN = ("levels=0", "init=scratch")
MIRRORED = sorted(name for name, protocol in named().items() if protocol.num_crops == 10)


def leaf(settings, *overrides):
    runs = resolve(settings(*PLAIN, *overrides))
    return runs[-1]


@pytest.mark.parametrize("name", sorted(set(named()) - set(MIRRORED)))
def test_every_protocol_composes_and_is_recognised(settings, name):
    finetune, test = resolve(settings(*PLAIN, f"protocol={name}"))
    protocol = named()[name].settled(directed=True)
    assert test.config.protocol == asdict(protocol)
    assert finetune.config.model.num_frames == finetune.config.sampling.num_frames == protocol.train_frames
    assert finetune.config.model.input_size == finetune.config.transform.crop_size == protocol.train_crop
    assert finetune.config.transform.flip == "none"  # left and right are classes of synthmotion
    assert (test.config.sampling.num_frames, test.config.transform.crop_size) == (
        protocol.num_frames,
        protocol.crop_size,
    )
    assert finetune.config.sampling.mode == test.config.sampling.mode == protocol.sampling
    assert test.config.num_clips * test.config.num_crops == protocol.views


@pytest.mark.parametrize("name", MIRRORED)
def test_mirrored_crops_are_refused_where_left_and_right_are_classes(settings, name):
    with pytest.raises(ConfigProblems, match="num_crops=10 mirrors its crops.*num_crops=5 or 3"):
        leaf(settings, f"protocol={name}")
    assert leaf(settings, f"protocol={name}", "test.num_crops=5").config.protocol["name"] == "custom"


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_what_the_profiles_do_is_the_protocol_own(settings, profile):
    assert leaf(settings, f"profile={profile}").config.protocol["name"] == "own"


def test_left_and_right_of_something_something_are_mirrored_with_their_labels(settings):
    """Every class whose name says left or right has its partner; all others stay what they are."""
    for name in ("sthv1", "sthv2"):
        benchmark = module_of(name)
        classes = benchmark.classes()
        pairs = [[classes.index(side) for side in pair] for pair in benchmark.mirrored]
        manifest = Manifest(name, "original", "val", "test", Path("."), classes, mirror=pairs)
        for label, text in enumerate(classes):
            other = classes[manifest.mirrored_label(label)]
            assert manifest.mirrored_label(manifest.mirrored_label(label)) == label
            sides = {"left": "right", "right": "left"}
            swapped = " ".join(sides.get(word, word) for word in text.split())
            assert other == (swapped if swapped in classes else text)
        assert len(pairs) == 3
        job = (*PLAIN, f"benchmark={name}", "benchmark.train_per_class=0")
        mapped = leaf(settings, *job, "protocol=tsm_efficient", "finetune.transform.flip=mapped").config
        assert mapped.protocol["flip"] == "mapped" and mapped.protocol["name"] == "custom"
        assert leaf(settings, *job, "protocol=tsm_efficient").config.protocol["name"] == "tsm_efficient"
        with pytest.raises(ConfigProblems, match="set transform.flip=mapped or none"):
            leaf(settings, *job, "finetune.transform.flip=horizontal")


@pytest.mark.parametrize("name", ["kinetics400", "ucf101", "hmdb51"])
def test_elsewhere_the_flip_of_a_protocol_is_horizontal(settings, name):
    job = (*PLAIN, f"benchmark={name}", "benchmark.train_per_class=0", "benchmark.test_per_class=0")
    finetune, test = resolve(settings(*job, "protocol=tsn_25x10"))
    assert finetune.config.transform.flip == test.config.protocol["flip"] == "horizontal"
    assert test.config.protocol["name"] == "tsn_25x10" and test.config.num_crops == 10
    assert (finetune.config.sampling.num_frames, test.config.sampling.num_frames) == (3, 25)


def test_later_overrides_hold_and_make_it_custom(settings):
    run = leaf(settings, "protocol=tsm_dense", "test.num_clips=5")
    assert (run.config.num_clips, run.config.num_crops, run.config.sampling.window) == (5, 3, 64)
    assert run.config.protocol["name"] == "custom" and run.config.protocol["num_clips"] == 5
    run = leaf(settings, "protocol=tsm_accurate", "num_frames=16")
    assert run.config.sampling.num_frames == run.config.model.num_frames == 16
    with pytest.raises(ConfigProblems, match="set sampling.frame_stride=4"):
        leaf(settings, "protocol=tsm_dense", "num_frames=16")


def test_a_run_is_its_values_whatever_their_name(settings):
    by_name = leaf(settings, "protocol=tsm_accurate")
    by_hand = leaf(
        settings,
        "num_frames=8",
        "input_size=224",
        "finetune.sampling.mode=uniform",
        "finetune.sampling.rule=tsm",
        "finetune.sampling.frame_stride=1",
        "finetune.transform.resize=256",
        "test.transform.crop_size=256",
        "test.num_clips=2",
        "test.num_crops=3",
        "test.average=logits",
    )
    assert by_hand.run_id == by_name.run_id and by_hand.config.protocol["name"] == "tsm_accurate"
    assert "protocol" not in identity(by_name.config) and "protocol" in to_dict(by_name.config)
    assert leaf(settings, "protocol=tsm_efficient").run_id != by_name.run_id


@pytest.mark.parametrize(
    "override", ["test.average=logits", "test.metric=clip", "test.coverage=0.5", "finetune.sampling.window=30"]
)
def test_every_value_of_a_test_is_part_of_what_it_is(settings, override):
    assert leaf(settings, override).run_id != leaf(settings).run_id


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["finetune.transform.flip=horizontal"], "finetune: transform.flip=horizontal gives mirrored videos of synthm"),
        (["finetune.transform.flip=mapped"], "finetune: transform.flip=mapped: synthmotion does not say"),
        (["finetune.transform.flip=vertical"], "transform.flip='vertical' is not one of none, horizontal, mapped"),
        (["test.selection=best"], "only the last checkpoint is tested"),
        (["test.coverage=97"], "0 <= coverage <= 1"),
        (["test.average=max"], "test.average='max' is not one of softmax, logits"),
        (["test.metric=frame"], "test.metric='frame' is not one of video, clip"),
        (["protocol=tsm_accurate", "test.num_clips=3"], "sampling.rule=tsm has 1 clip or, twice sampled, 2"),
        (["backbone.name=vit_tiny_patch16_224", "test.transform.crop_size=64"], "takes frames of the size it was"),
    ],
)
def test_a_test_that_cannot_be_is_refused_with_the_remedy(settings, overrides, message):
    with pytest.raises(ConfigProblems) as error:
        leaf(settings, *overrides)
    assert message in str(error.value)


@pytest.fixture
def weights(settings, tmp_path):
    """weights(phase) -> a weights.pt of that phase, of the network of `backbone.name=test_resnet levels=0`."""

    def make(phase="finetune", *overrides):
        run = resolve(settings(*PLAIN, "backbone.name=test_resnet", *overrides))[0].config
        return save_weights(tmp_path, build_model(run.model), to_dict(run) | {"phase": phase}, 1)

    return make


SAME = ("phase=test", "backbone.name=test_resnet")


def test_fine_tuned_weights_are_tested_without_any_training(settings, weights):
    path = weights()
    (run,) = resolve(settings(*SAME, "levels=0", f"checkpoint={path}", "protocol=tsm_efficient", "test.num_crops=3"))
    assert run.phase == "test" and run.parent is None and run.weights == str(path)
    assert run.config.num_crops == 3
    (again,) = resolve(settings(*SAME, *PLAIN, f"checkpoint={path}", "protocol=tsm_efficient", "test.num_crops=3"))
    assert again.run_id == run.run_id
    weights("finetune", "finetune.transform.resize=60")
    (other,) = resolve(settings(*SAME, "levels=0", f"checkpoint={path}", "protocol=tsm_efficient", "test.num_crops=3"))
    assert other.run_id != run.run_id


def test_pretrained_weights_keep_their_meaning(settings, weights):
    runs = resolve(settings(*SAME, "levels=1", f"checkpoint={weights('pretrain')}"))
    assert [run.phase for run in runs] == ["finetune", "test"] and runs[0].weights and not runs[1].weights


def test_weights_that_cannot_be_tested_say_why(settings, weights, tmp_path):
    path = weights()
    for overrides, said in (
        (["levels=1"], "belongs to another model: levels: checkpoint has 0, this run has 1"),
        (["levels=0", "temporal=shift"], "belongs to another model: temporal"),
        (["levels=0", "benchmark.split=order"], "tells 16 classes of synthmotion apart, but synthmotion, split order"),
        (["levels=0", "backbone.name=resnet18"], "belongs to another model: backbone.name"),
    ):
        with pytest.raises(ConfigProblems, match=said):
            resolve(settings(*SAME, f"checkpoint={path}", *overrides))
    with pytest.raises(ConfigProblems, match="gone.pt cannot be read .*give an existing file"):
        resolve(settings(*SAME, "levels=0", "checkpoint=gone.pt"))
    other = tmp_path / "other.pt"
    other.write_bytes(b"no archive")
    with pytest.raises(ConfigProblems, match="other.pt is damaged"):
        resolve(settings(*SAME, "levels=0", f"checkpoint={other}"))


def test_as_many_classes_need_not_be_the_same(settings, weights):
    path = weights("finetune", "benchmark.split=direction")
    same = (*SAME, "levels=0", f"checkpoint={path}")
    assert len(resolve(settings(*same, "benchmark.split=direction"))) == 1
    with pytest.raises(ConfigProblems, match="tells 4 classes of synthmotion apart, but synthmotion, split order"):
        resolve(settings(*same, "benchmark.split=order"))


def test_tested_weights_say_what_they_were_trained_on(settings, weights):
    path = weights("finetune", "num_frames=4", "input_size=32")
    (run,) = resolve(settings(*SAME, "levels=0", f"checkpoint={path}"))
    trained, tested = run.config.model, run.config.sampling.num_frames
    assert (trained.num_frames, trained.input_size, tested, run.config.transform.crop_size) == (4, 32, 8, 48)
    assert (run.config.protocol["train_frames"], run.config.protocol["train_crop"]) == (4, 32)
    assert run.config.protocol["name"] == "custom"  # with frames and pixels of the test it would be own


def test_a_frozen_test_keeps_its_protocol(settings, tmp_path):
    run = leaf(settings, "protocol=tsm_accurate")
    folder = Store(tmp_path).prepare(run, Runtime(), {"fingerprint": "x"})
    frozen = json.loads((folder / "config.json").read_text())["config"]
    assert frozen["protocol"]["name"] == "tsm_accurate" and frozen["protocol"]["crop_size"] == 256
    assert replace(run.config, protocol={}) != run.config
