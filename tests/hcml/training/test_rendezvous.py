from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from hcml.config import ConfigError
from hcml.training import rendezvous
from hcml.training.distributed import World, joined
from hcml.training.rendezvous import CalledOff, Place, addresses, call_off, meet, place
from tests.hcml.training.processes import run_processes

SOON = timedelta(seconds=1)


@pytest.fixture
def meeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "meeting" / "place.json"
    monkeypatch.setenv("HCML_RENDEZVOUS", str(path))
    return path


def test_the_first_opens_a_store_that_the_others_find(meeting: Path) -> None:
    found: list = []
    other = threading.Thread(target=lambda: found.append(meet(Place(1, 2, 1), timedelta(seconds=30))))
    other.start()
    time.sleep(0.3)  # it looks for a file that is not there yet
    store = meet(Place(0, 2, 0), timedelta(seconds=30))
    other.join(30)
    store.set("key", "value")
    assert found[0].get("key") == b"value"
    assert json.loads(meeting.read_text())["port"] == store.port


def test_two_runs_at_once_have_two_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = []
    for name in ("a", "b"):
        monkeypatch.setenv("HCML_RENDEZVOUS", str(tmp_path / name))
        stores.append(meet(Place(0, 1, 0), SOON))
    assert stores[0].port != stores[1].port


def test_the_store_of_another_run_is_not_taken_for_ours(meeting: Path) -> None:
    store = rendezvous._open(meeting, SOON)
    stale = json.loads(meeting.read_text()) | {"token": "of an earlier run"}
    meeting.write_text(json.dumps(stale))
    with pytest.raises(TimeoutError, match="the first cannot be reached at 127.0.0.1"):
        meet(Place(1, 2, 1), SOON)
    assert store.port


def test_who_waits_in_vain_is_told_for_what(meeting: Path) -> None:
    with pytest.raises(TimeoutError, match=r"have not met within 1 s: there is no file .*place\.json"):
        meet(Place(1, 2, 1), SOON)
    with pytest.raises(TimeoutError, match="1 of 2 are there"):
        meet(Place(0, 2, 0), SOON)


def test_a_run_that_is_called_off_ends_the_others_with_its_code(meeting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    call_off("another process has the folder", 73)
    with pytest.raises(CalledOff, match="another process has the folder") as end:
        meet(Place(1, 2, 1), SOON)
    assert end.value.code == 73


def test_alone_nobody_is_told_anything(meeting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    call_off("nothing to do", 0)
    assert not meeting.exists()
    with joined() as world:
        assert world == World() and world.share(1) == 1 and world.gather_all(2) == [2]


def test_places_that_contradict_themselves_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="RANK=3 but WORLD_SIZE=3"):
        place()
    monkeypatch.setenv("RANK", "-1")
    with pytest.raises(ConfigError, match="RANK='-1'"):
        place()


def test_addresses_are_of_this_machine_and_no_loopback() -> None:
    assert addresses() and not any(name.startswith("127.") for name in addresses())


def test_values_go_round(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with joined() as world:
            assert (world.rank, world.size, world.first) == (rank, 3, rank == 0)
            assert world.share({"from": rank}) == {"from": 0}
            assert world.gather_all(rank) == [0, 1, 2]
            assert world.gather(rank) == ([0, 1, 2] if rank == 0 else [])

    assert run_processes(3, tmp_path, work) == {}
