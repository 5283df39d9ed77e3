import pytest

from hcml.training.progress import ProgressReport


def test_one_plain_line_per_interval(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReport("pretrain", 5, 20, terminal=False) as report:
        report.step(6)
        report.interval(10, {"loss": 1.23456, "loss_contrast_2": 4.0}, 12.34)
        report.step(11)
    out = capsys.readouterr().out
    assert out.startswith("pretrain step 10/20 loss 1.235 loss_contrast_2 4 12.3 clips/s left 0:00:0")
    assert out.count("\n") == 1 and "\x1b" not in out


def test_a_terminal_gets_a_live_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReport("finetune", 0, 4, terminal=True) as report:
        report.interval(4, {"loss": 0.5}, 9.0)
        report.step(4)
    out = capsys.readouterr().out
    assert "finetune" in out and "4/4" in out and "loss 0.5 9.0 clips/s" in out and "\x1b[" in out


def test_the_terminal_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda answer=answer: answer, raising=False)
        assert ProgressReport("test", 0, 1).terminal is answer
