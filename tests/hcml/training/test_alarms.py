import pytest

from hcml.training.alarms import alarms

HEALTHY = {
    "std_1": 0.8,
    "rank_1": 12.0,
    "std_2": 0.7,
    "rank_2": 9.0,
    "loss_contrast_2": 3.0,
    "log_n_2": 6.0,
    "at_bound": 0.1,
}


def test_a_healthy_run_raises_none() -> None:
    assert alarms(HEALTHY) == {}
    assert alarms({}) == {}


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        ({"std_2": 0.01}, "std_2", "level 2 has collapsed: feature std 0.01"),
        ({"rank_1": 1.2}, "rank_1", "level 1 has collapsed: effective rank 1.2"),
        ({"loss_contrast_2": 5.95}, "loss_contrast_2", "level 2 predicts at chance: contrast loss 5.95, log.N. = 6"),
        ({"loss_contrast_2": 6.5}, "loss_contrast_2", "at chance"),
        ({"at_bound": 0.35}, "at_bound", "35 % of the displacements.*max_displacement"),
    ],
)
def test_each_sign_raises_its_own_alarm(change: dict[str, float], name: str, message: str) -> None:
    raised = alarms(HEALTHY | change)
    assert list(raised) == [name]
    with pytest.raises(RuntimeError, match=message):
        raise RuntimeError(raised[name])


def test_a_contrast_loss_below_the_margin_is_fine() -> None:
    assert alarms({"loss_contrast_3": 5.9, "log_n_3": 6.0}) == {}
    assert alarms({"loss_contrast_3": 5.9}) == {}
