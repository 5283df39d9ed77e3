"""Where the processes of a run meet: the store of torch.distributed, found by a file or by torchrun's variables.

With HCML_RENDEZVOUS=FILE (a path on a file system that all see, new for each attempt) the first process opens a store
on a port that the system picks, so that ports never clash, and writes into the file where it listens. Without it
MASTER_ADDR and MASTER_PORT say so, as torchrun sets them.

Who can connect to the store's port can disturb the run: as everywhere with torch.distributed, the network between the
nodes is trusted.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from hcml.config import ConfigError

log = logging.getLogger(__name__)

FILE = "HCML_RENDEZVOUS"
POLL_SECONDS = 0.2
CONNECT_SECONDS = 5.0
"""How long one address is tried before the next one."""
TOKEN, START, CALLED_OFF = "hcml/token", "hcml/start", "hcml/called_off"
CALL_SECONDS = 30.0
"""How long the first process waits for others that must hear that it calls the run off."""


class CalledOff(RuntimeError):
    """The first process will not start the run: there is nothing to do for the others, which end as it does."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code
        """Exit code of the first process."""


@dataclass(frozen=True)
class Place:
    """This process among those of its run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those on its machine."""


def place() -> Place:
    """RANK, WORLD_SIZE and LOCAL_RANK of the environment; ConfigError where they contradict each other."""
    rank, size = number("RANK", 0), number("WORLD_SIZE", 1)
    if rank >= size:
        raise ConfigError(f"RANK={rank} but WORLD_SIZE={size}: ranks count from 0")
    return Place(rank, size, number("LOCAL_RANK", rank))


def number(name: str, default: int) -> int:
    """A number of the environment; ConfigError if it is none."""
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise ConfigError(f"{name}={text!r} in the environment is no number: torchrun sets it, or leave it out")
    return int(text)


def meeting_file() -> Path | None:
    """The file of this attempt, where there is one."""
    return Path(os.environ[FILE]) if os.environ.get(FILE) else None


def call_off(reason: str, code: int) -> None:
    """Tell the processes that wait for this one, the first, that it ends with `code` without starting the run."""
    here, path = place(), meeting_file()
    content = {"called_off": reason, "code": code}
    if here.size == 1:
        return
    if path is not None:
        _publish(path, content)
        return
    store = _torchrun_store(here, timedelta(seconds=CALL_SECONDS))
    store.set(START, json.dumps(content))
    deadline = time.monotonic() + CALL_SECONDS
    while store.add(CALLED_OFF, 0) < here.size - 1 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def meet(here: Place, timeout: timedelta, patience: float = 0.0) -> Any:
    """The store of this run. Raises ConfigError, CalledOff, and TimeoutError when a process does not come."""
    path = meeting_file()
    if path is None:
        store = _torchrun_store(here, timeout)
        if here.rank == 0:
            store.set(START, "{}")
        _wait(lambda: store.check([START]), timeout.total_seconds() + patience, lambda: "the first one is not there")
        if found := json.loads(store.get(START)):
            store.add(CALLED_OFF, 1)
            raise CalledOff(found["called_off"], found["code"])
    else:
        store = _open(path, timeout) if here.rank == 0 else _find(path, timeout, patience)
    # Counted here, where a signal still reaches the process, and not within torch.distributed, where it does not.
    arrived = "hcml/arrived"
    store.add(arrived, 1)
    _wait(
        lambda: store.add(arrived, 0) >= here.size,
        timeout.total_seconds(),
        lambda: f"{store.add(arrived, 0)} of {here.size} are there",
    )
    return store


def _torchrun_store(here: Place, timeout: timedelta) -> Any:
    return next(iter(rendezvous("env://", rank=here.rank, world_size=here.size, timeout=timeout)))[0]


def _wait(met: Callable[[], bool], seconds: float, state: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the processes of this run have not met within {seconds:.0f} s: {state()}. See the "
                "logs of the others, and whether the nodes see the same folder and reach each other"
            )
        time.sleep(POLL_SECONDS)


def _open(path: Path, timeout: timedelta) -> TCPStore:
    store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timeout, wait_for_workers=False)
    token = uuid.uuid4().hex
    store.set(TOKEN, token)
    _publish(path, {"host": socket.gethostname(), "addresses": addresses(), "port": store.port, "token": token})
    return store


def _publish(path: Path, content: dict[str, Any]) -> None:
    """Readers see no file or the whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    partial.write_text(json.dumps(content), encoding="utf-8")
    os.replace(partial, path)


def addresses() -> list[str]:
    """Names and numbers under which other machines may reach this one, the likeliest first."""
    host = socket.gethostname()
    found = [host, socket.getfqdn()]
    # The address of the route to elsewhere; connecting a datagram socket sends nothing.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found.append(probe.getsockname()[0])
        except OSError:
            pass  # a machine without a route: its name must do
    try:
        found += [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        pass  # a name that nobody resolves, its own machine neither
    return list(dict.fromkeys(name for name in found if name and not name.startswith("127.") and name != "::1"))


def _find(path: Path, timeout: timedelta, patience: float) -> TCPStore:
    tried: list[str] = []
    stores: list[TCPStore] = []

    def look() -> bool:
        found = _read(path)
        if found is None:
            return False
        if "called_off" in found:
            raise CalledOff(str(found["called_off"]), int(found["code"]))
        here = ["127.0.0.1"] if found["host"] == socket.gethostname() else []
        tried[:] = here + found["addresses"]
        stores.extend(filter(None, [_connect(tried, found["port"], found["token"], timeout)]))
        return bool(stores)

    def state() -> str:
        return f"the first cannot be reached at {', '.join(tried)}" if tried else f"there is no file {path}"

    _wait(look, timeout.total_seconds() + patience, state)
    return stores[0]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        # Listing the folder makes a network file system look again for a file that was not there a moment ago.
        os.listdir(path.parent)
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _connect(names: list[str], port: int, token: str, timeout: timedelta) -> TCPStore | None:
    """The store at the first of the addresses where it is; None: nothing listens there, or the store of others does."""
    for address in names:
        try:
            with socket.create_connection((address, port), CONNECT_SECONDS):
                pass
            store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=CONNECT_SECONDS))
            if store.check([TOKEN]) and store.get(TOKEN).decode() == token:
                store.set_timeout(timeout)
                return store
        except (OSError, RuntimeError) as error:
            log.info("no way to the first process at %s port %d: %s", address, port, error)
    return None
