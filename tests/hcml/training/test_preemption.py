import os
import signal
import threading

import pytest

from hcml.training.preemption import SIGNALS, Preempted, StopFlag


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_only_sets_the_flag(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with StopFlag() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and stop.signal_name == number.name
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_handlers_are_restored_after_an_error() -> None:
    def mine(*_: object) -> None: ...

    before = signal.signal(signal.SIGUSR2, mine)
    try:
        with pytest.raises(KeyError), StopFlag():
            raise KeyError
        assert signal.getsignal(signal.SIGUSR2) is mine
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_other_threads_leave_the_handlers_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with StopFlag() as stop:
            seen.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_preempted_says_how_to_go_on() -> None:
    error = Preempted(7, "SIGUSR2")
    assert (error.step, error.signal_name) == (7, "SIGUSR2")
    assert "SIGUSR2 after step 7" in str(error) and "start the same run" in str(error)
