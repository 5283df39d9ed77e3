import logging

import pytest

from hcml.training.tally import Tally, UnreadableVideos


def test_means_are_over_the_steps_that_had_the_number() -> None:
    tally = Tally()
    tally.add({"loss": 1.0}, 4, 0.5, 1.5)
    tally.add({"loss": 3.0, "std_2": 0.5}, 4, 0.5, 1.5)
    assert tally.close_interval() == {"loss": 2.0, "std_2": 0.5, "data_time": 0.5, "step_time": 1.5}
    tally.add({"loss": 7.0}, 4, 0.0, 1.0)
    assert tally.close_interval()["loss"] == 7.0
    assert tally.last["loss"] == 7.0
    costs = tally.costs()
    assert costs["clips"] == 12 and costs["seconds"] == 5.0
    assert costs["clips_per_second"] == pytest.approx(2.4) and costs["data_time_share"] == pytest.approx(0.2)


def test_it_survives_a_round_trip_in_the_middle_of_an_interval() -> None:
    tally = Tally()
    tally.add({"loss": 1.0}, 4, 0.1, 0.1)
    tally.replace(["bad"], 10_000)
    again = Tally(**tally.to_plain())
    assert again == tally
    for each in (tally, again):
        each.add({"loss": 2.0}, 4, 0.1, 0.1)
    assert again.close_interval() == tally.close_interval()


def test_one_unreadable_clip_is_allowed_and_more_than_the_share_is_not() -> None:
    tally = Tally()
    tally.replace(["a"], 10)
    with pytest.raises(UnreadableVideos, match=r"2 of 10 training clips.*a, b"):
        tally.replace(["b"], 10)
    large = Tally()
    large.replace(["a"] * 5, 5000)
    with pytest.raises(UnreadableVideos, match="6 of 5000"):
        large.replace(["a"], 5000)
    assert large.replaced == {"a": 6}


def test_alarms_wait_for_the_warm_up_and_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(step=10, last={"std_1": 0.0})
    assert tally.watch(settled=False) == {} and tally.alarms == {}
    with caplog.at_level(logging.WARNING):
        assert "std_1" in tally.watch(settled=True)
        tally.step = 20
        tally.watch(settled=True)
    assert caplog.text.count("ALARM") == 1
    assert (tally.alarms["std_1"]["first_step"], tally.alarms["std_1"]["last_step"]) == (10, 20)
