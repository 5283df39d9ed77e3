import re
from dataclasses import fields, replace

import pytest

from benchmarks.synthmotion.spec import (
    CLASSES,
    FAMILIES,
    TIERS,
    VERSIONS,
    Spec,
    SpecError,
    parse_video_id,
    video_id,
)

OTHER = {
    "stream": "calibration",
    "preset": "fast",
    "radii_train": (5.0,),
    "radii_test": (5.5,),
    "speeds_train": ((1.0, 1.1),),
    "speeds_test": ((1.2, 1.3),),
    "turn": (90.0, 100.0),
    "background_contrast": (0.1, 0.2),
    "size": 64,
}


@pytest.mark.parametrize("name", [field.name for field in fields(Spec)])
def test_the_hash_depends_on_every_field(name):
    value = getattr(Spec(), name)
    other = OTHER.get(name, value * 0.9 if isinstance(value, float) else value)
    other = value + 1 if other == value else other
    assert replace(Spec(), **{name: other}).content_hash() != Spec().content_hash()


def test_a_specification_survives_json():
    spec = Spec(stream="calibration", speeds_test=((1.0, 1.2), (1.4, 1.5)))
    assert Spec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize("broken", [{}, {**Spec().to_dict(), "colour": 1}])
def test_a_foreign_specification_is_refused_with_the_keys(broken):
    with pytest.raises(SpecError, match="crf" if not broken else "colour"):
        Spec.from_dict(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 55}, "size=55"),
        ({"frames": 3}, "frames=3"),
        ({"stream": "x"}, "stream='x'"),
        ({"radii_test": ()}, "radii_test"),
        ({"radii_train": (20.0,)}, "radii_train"),
        ({"speeds_train": ((2.0, 1.0),)}, "speeds_train"),
        ({"relation_duty": 1.0}, "relation_duty"),
        ({"contrast": 0.9}, "contrast=0.9"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        replace(Spec(), **change)


def test_training_and_test_share_no_sizes_speeds_or_textures():
    for spec in VERSIONS.values():
        assert not set(spec.radii_train) & set(spec.radii_test)
        for low, high in spec.speeds_train:
            assert all(high <= test_low or test_high <= low for test_low, test_high in spec.speeds_test)
    assert not set(FAMILIES["train"]) & set(FAMILIES["test"])


def test_four_tiers_of_four_distinct_classes():
    assert [len(names) for names in TIERS.values()] == [4, 4, 4, 4]
    assert len(set(CLASSES)) == 16


def test_calibration_differs_from_the_benchmark_in_its_stream_alone():
    assert replace(VERSIONS["calibration"], stream="main") == VERSIONS["v1"]


@pytest.mark.parametrize("name", CLASSES)
def test_video_ids_parse_back(name):
    assert parse_video_id(video_id("test", name, 7)) == ("test", name, 7)


@pytest.mark.parametrize("name", ["", "test-right", "test-right-x", "val-right-00001", "test-sideways-00001"])
def test_foreign_video_ids_are_refused(name):
    with pytest.raises(SpecError, match="not a synthmotion video id"):
        parse_video_id(name)


def test_the_order_of_the_labels_is_fixed():
    """Class indices are in checkpoints and predictions.csv: another order would misname old ones without an error."""
    names = "right left up down accelerate decelerate turn_cw turn_ccw right_then_down up_then_left down_then_right"
    assert " ".join(CLASSES) == f"{names} left_then_up approach separate cross follow"


def test_calibration_differs_in_its_stream_alone():
    assert VERSIONS["calibration"] == replace(VERSIONS["v1"], stream="calibration")
