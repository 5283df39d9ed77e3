"""`python -m sweeps.checks.devices`: what torch sees of the GPUs, and whether it can compute on them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

from sweeps.checks.finding import Finding, ok, problem, run, say, warning


def devices(login: bool = False) -> Iterator[Finding]:
    """`login`: this may be a login node, on which no GPU is no fault."""
    import torch

    listed, driver = nvidia_smi()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = f", CUDA_VISIBLE_DEVICES={visible}" if visible is not None else ""
    built = torch.version.cuda or torch.version.hip
    if not built and listed:
        yield problem(
            "gpu",
            f"this torch ({torch.__version__}) is built for CPUs, but there are {len(listed)} GPUs: {listed[0]}",
            "install a torch for CUDA: make install, or make install SYSTEM_TORCH=1 PYTHON=... with the cluster's",
        )
        return
    why = cuda_problem() if built else ""
    if not torch.cuda.is_available() or why:
        if listed and visible != "":
            yield problem(
                "gpu",
                f"{len(listed)} GPUs here (driver {driver}), but torch {torch.__version__} for CUDA {built} cannot use "
                f"them: {why or 'no reason given'}{seen}",
                "a driver older than the CUDA of torch needs a torch built for an older CUDA: make install "
                "SYSTEM_TORCH=1 PYTHON=... with the one that the cluster offers (`nvidia-smi` names the newest CUDA)",
            )
        elif login:
            yield ok("gpu", f"none here{seen}, which is normal on a login node; --submit looks at a compute node")
        else:
            yield ok("gpu", f"none here{seen}: runs compute on the CPU")
        yield from cpu_bf16()
        return
    for index in range(torch.cuda.device_count()):
        yield from one_gpu(index, f"driver {driver or 'unknown'}, torch {torch.__version__} for CUDA {built}{seen}")


def one_gpu(index: int, versions: str) -> Iterator[Finding]:
    """Name and memory; a matrix product in bf16 that must be right."""
    import torch

    name = f"gpu {index}"
    properties = torch.cuda.get_device_properties(index)
    text = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {versions}"
    try:
        free = torch.cuda.mem_get_info(index)[0] / 2**30
        ones = torch.ones(256, 256, dtype=torch.bfloat16, device=f"cuda:{index}")
        right = bool((ones @ ones == 256).all())
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        yield problem(
            name,
            f"{text}: {first}",
            "'no kernel image' = torch is not built for this GPU; 'out of memory' or 'busy' = somebody else is on it; "
            "else ask the site's support, with this line",
        )
        return
    if not right:
        yield problem(name, f"{text}: a product of matrices comes out wrong", "tell the site: this GPU is broken")
    elif not torch.cuda.is_bf16_supported(including_emulation=False):
        yield warning(name, f"{text}; bf16 is emulated", "slow: set compute.precision=fp32 for this kind of GPU")
    elif free < 0.8 * properties.total_memory / 2**30:
        yield warning(name, f"{text}; only {free:.0f} GiB are free", "somebody else computes on it (nvidia-smi)")
    else:
        yield ok(name, f"{text}; bf16")


def cpu_bf16() -> Iterator[Finding]:
    """Whether this processor has instructions for bf16: without them it is right and slow."""
    import torch

    flags = torch.backends.cpu.get_cpu_capability()
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    text = "in hardware" if known else "emulated, several times slower than fp32: here, set compute.precision=fp32"
    yield ok("cpu", f"{flags}, {cores()} cores for this process; bf16 {text}")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_problem() -> str:
    """What torch says when it is asked to use CUDA; '' = nothing."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return str(error).splitlines()[0]
        if not torch.cuda.is_available() and caught:
            return str(caught[0].message).splitlines()[0]
    return ""


def nvidia_smi(timeout: float = 30.0) -> tuple[list[str], str]:
    """([a line for each GPU], version of the driver) as the driver's own command says; ([], '') without it."""
    command = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    code, out, _ = run(command, timeout)
    lines = [line for line in out.splitlines() if line.count(",") >= 2] if code == 0 else []
    return [line.partition(",")[2].strip() for line in lines], lines[0].partition(",")[0].strip() if lines else ""


if __name__ == "__main__":
    import sys

    say(devices(login="login" in sys.argv[1:]))
