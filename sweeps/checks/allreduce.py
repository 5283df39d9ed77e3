"""`python -m sweeps.checks.allreduce [--processes N]`: a sum over all local GPUs (NCCL), or over CPU processes (gloo).

Without N: one process for each GPU, or two where there is none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sweeps.checks.finding import ROOT, Finding, ok, problem, say, warning

SECONDS = 60
"""For all processes to meet."""
BYTES, ROUNDS = 2**26, 5


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--rank", type=int, default=-1)
    parser.add_argument("--meet", default="")
    options = parser.parse_args(arguments)
    if options.rank < 0:
        say(all_reduce(options.processes))
        return 0
    print(f"GB/s {one_process(options.rank, options.processes, options.meet):.3f}", flush=True)
    return 0


def all_reduce(processes: int = 0) -> Iterator[Finding]:
    """Starts the processes and judges what they say."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    count = processes or gpus or 2
    kind = "GPU" if gpus else "CPU process"
    what = f"all-reduce over {count} {kind}{'' if count == 1 else 's' if gpus else 'es'}"
    name = "nccl" if gpus else "gloo"
    with tempfile.TemporaryDirectory(prefix="hcml-doctor-") as folder:  # of the node: all processes are on it
        command = [sys.executable, "-P", "-m", "sweeps.checks.allreduce", "--processes", str(count)]
        started = [
            subprocess.Popen(
                [*command, "--meet", str(Path(folder) / "meet"), "--rank", str(rank)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            for rank in range(count)
        ]
        said, hung = [], False
        for process in started:
            try:
                said.append(process.communicate(timeout=1.5 * SECONDS)[0])
            except subprocess.TimeoutExpired:
                hung = True
                process.kill()
                said.append(process.communicate()[0])
    failed = [text for process, text in zip(started, said, strict=True) if process.returncode]
    if failed:
        last = next((line for line in reversed(failed[0].splitlines()) if line.strip()), "no message")
        yield problem(
            name,
            f"{what} {'hung' if hung else 'failed'}: {last.strip()[:300]}",
            "type NCCL_DEBUG=INFO python -m sweeps.checks.allreduce; NCCL_P2P_DISABLE=1 or NCCL_SHM_DISABLE=1 in "
            "launcher.setup help where the node's links are broken, GLOO_SOCKET_IFNAME where its name does not resolve",
        )
        return
    rate = min(float(text.rsplit("GB/s ", 1)[1].split()[0]) for text in said)
    if not gpus:
        yield ok(name, f"{what}: the sum is right, {rate:.1f} GB/s")
    elif count == 1:
        yield ok(name, "one GPU alone: there is nothing to exchange")
    elif rate < 5:
        yield warning(name, f"{what}: right, but {rate:.1f} GB/s", "slow links: prefer runs on one GPU on such nodes")
    else:
        yield ok(name, f"{what}: the sum is right, {rate:.0f} GB/s")


def one_process(rank: int, size: int, meet: str) -> float:
    """What one process does; returns the rate at which the sum of a large tensor is made, in GB/s. Raises RuntimeError
    if a sum is wrong."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    timeout = timedelta(seconds=SECONDS)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{meet}", rank=rank, world_size=size, timeout=timeout)
    try:
        return measure(device, rank, size)
    finally:
        dist.destroy_process_group()


def measure(device: object, rank: int, size: int, group: object = None) -> float:
    """The sum over a process group (None = the default one): checked, then timed (GB/s of one process's tensor)."""
    import torch
    import torch.distributed as dist

    values = torch.full((BYTES // 4,), float(rank + 1), device=device)  # type: ignore[arg-type]
    dist.all_reduce(values, group=group)
    if not bool((values == size * (size + 1) / 2).all()):
        raise RuntimeError(f"the sum over {size} processes is wrong")
    began = time.perf_counter()
    for _ in range(ROUNDS):
        dist.all_reduce(values, group=group)
    float(values[0])  # waits for the GPU
    return ROUNDS * BYTES / (time.perf_counter() - began) / 1e9


if __name__ == "__main__":
    sys.exit(main())
