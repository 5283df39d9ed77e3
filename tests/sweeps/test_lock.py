from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from sweeps.lock import FolderLock, Locked, is_alive, process_birth, read_owner, write_json


def owner(**changes):
    mine = {"pid": os.getpid(), "born": process_birth(os.getpid()), "host": socket.gethostname(), "token": "other"}
    return mine | {"time": time.time(), "heartbeat": 10.0} | changes


def test_two_processes_never_share_a_folder(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(Locked, match=str(os.getpid())), FolderLock(tmp_path):
            raise AssertionError("entered a locked folder")
    with FolderLock(tmp_path):
        pass
    assert not (tmp_path / "lock.json").exists()


def test_of_many_at_once_exactly_one_gets_in(tmp_path):
    inside, most, entered = [], [], []

    def work():
        with FolderLock(tmp_path, wait=30):
            inside.append(1)
            most.append(len(inside))
            entered.append(1)
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 6 and max(most) == 1


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    born = process_birth(process.pid)
    process.wait()
    write_json(tmp_path / "lock.json", owner(pid=process.pid, born=born))
    with FolderLock(tmp_path) as lock:
        assert read_owner(lock.path)["pid"] == os.getpid()


def test_a_pid_given_to_another_process_is_not_the_owner():
    assert is_alive(owner())
    assert not is_alive(owner(born="1"))


@pytest.mark.parametrize("age, alive", [(5, True), (50, True), (61, False)])
def test_another_host_is_judged_by_its_heartbeat(age, alive):
    assert is_alive(owner(host="elsewhere", time=time.time() - age)) == alive
    assert is_alive(owner(host="elsewhere", time=time.time() - age, heartbeat=100.0))


def test_a_lock_cut_short_by_a_crash_does_not_block(tmp_path):
    (tmp_path / "lock.json").write_text('{"pid": 1')
    with FolderLock(tmp_path) as lock:
        assert read_owner(lock.path)["pid"] == os.getpid()


def test_the_heartbeat_beats_and_notices_a_takeover(tmp_path):
    beats, lost = [], threading.Event()
    with FolderLock(tmp_path, heartbeat=0.02, beat=lambda: beats.append(1), on_lost=lost.set) as lock:
        first = read_owner(lock.path)["time"]
        deadline = time.monotonic() + 5
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(beats) >= 3 and read_owner(lock.path)["time"] > first
        write_json(lock.path, owner())
        assert lost.wait(5)
    assert read_owner(tmp_path / "lock.json")["token"] == "other", "a lock that is not ours any more must stay"


def test_the_heartbeat_survives_a_disk_that_is_full_for_a_while(tmp_path):
    beats, failures = [], iter([OSError(28, "No space left on device")] * 3)

    def beat():
        beats.append(1)
        for failure in failures:
            raise failure

    with FolderLock(tmp_path, heartbeat=0.02, beat=beat):
        deadline = time.monotonic() + 5
        while len(beats) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(beats) >= 6


def test_write_json_leaves_the_old_file_when_it_fails(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == '{\n "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


EARLIER = """
import sys
from pathlib import Path
from sweeps.lock import FolderLock
with FolderLock(Path(sys.argv[1]), heartbeat=0.2, job="86_3", restarts=0):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_an_earlier_start_of_the_same_job_is_ended_and_waited_for(tmp_path):
    """On a node that the scheduler has lost the process may go on: no two of them ever work at the same time."""
    earlier = subprocess.Popen(
        [sys.executable, "-c", EARLIER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert earlier.stdout.readline() == "in\n"
    for job, restarts in (("86_3", 0), ("86_4", 1), ("", 5)):  # itself, another job, no job at all
        with pytest.raises(Locked), FolderLock(tmp_path, job=job, restarts=restarts):
            raise AssertionError("entered a locked folder")
    with FolderLock(tmp_path, job="86_3", restarts=1):
        assert earlier.poll() == 74
    earlier.communicate()


def test_an_earlier_start_on_another_host_is_given_two_heartbeats(tmp_path):
    write_json(tmp_path / "lock.json", owner(host="elsewhere", heartbeat=0.2, job="86_3", restarts=0))
    began = time.monotonic()
    with FolderLock(tmp_path, job="86_3", restarts=2) as lock:
        assert time.monotonic() - began >= 0.4
        assert read_owner(lock.path)["restarts"] == 2
