"""SLURM as this user finds it: commands, limits, partitions, accounts, what preemption does, and whether it would take
the jobs of a sweep. Only asks; nothing is submitted."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hcml.config import ConfigError
from sweeps.checks.finding import Finding, ok, problem, warning
from sweeps.checks.site import Site
from sweeps.launchers import Request, check_launcher
from sweeps.slurm import queue
from sweeps.slurm.submit import outer_environment, script
from sweeps.sweep_file import Submission

NEEDED = ("sbatch", "srun", "squeue", "scontrol", "scancel")
TIMEOUT = 30.0
"""Seconds that a command of SLURM may take here."""


@dataclass(frozen=True)
class Partition:
    """One line of `scontrol show partition`."""

    name: str
    default: bool
    up: bool
    nodes: int
    minutes: int
    """Time limit; 0 = none."""
    preempt: str
    """OFF | REQUEUE | CANCEL | SUSPEND...: what happens to its jobs."""
    grace: int
    """Seconds between the notice of preemption and SIGTERM's repetition."""
    accounts: str = "ALL"

    def __str__(self) -> str:
        parts = [f"{self.nodes} nodes", f"limit {span(self.minutes)}"]
        parts += [f"preempted: {self.preempt.lower()}, grace {self.grace} s"] if self.preempt != "OFF" else []
        parts += [] if self.up else ["not up"]
        return f"{self.name}{' (default)' if self.default else ''}: {', '.join(parts)}"


def scheduler(site: Site) -> Iterator[Finding]:
    """All checks of SLURM; one line where there is none and none is needed."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if len(missing) == len(NEEDED) and not site.slurm:
        yield ok("slurm", "none here, and launcher=slurm was not typed")
        return
    if missing:
        remedy = "type this on a login node, or load SLURM's module; launcher=local needs none"
        where = problem if site.slurm else warning
        yield where("slurm", f"these commands are missing: {', '.join(missing)}", remedy)
        return
    try:
        limits, settings = queue.limits(), settings_of(ask("scontrol", "show", "config"))
        partitions = [read_partition(line) for line in ask("scontrol", "show", "partition", "--oneliner").splitlines()]
    except queue.SchedulerError as error:
        where = problem if site.slurm else warning
        yield where("slurm", str(error), "is SLURM's controller down? ask the site, or try again later")
        return
    yield from cluster(site, limits)
    yield from preemption(site, limits, settings, partitions)
    shown = "; ".join(str(partition) for partition in partitions[:8])
    yield ok("partitions", shown + (f"; and {len(partitions) - 8} more" if len(partitions) > 8 else ""))
    if site.slurm:
        yield from asked_partitions(site, partitions)
    yield from accounts(site)
    yield from accounting(limits)
    if site.slurm:
        yield from requests(site)


def ask(*command: str) -> str:
    """What a command of SLURM prints. Raises SchedulerError."""
    return queue.run_command(list(command), timeout=TIMEOUT).stdout


def settings_of(text: str) -> dict[str, str]:
    """The lines `Key = value` of `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def read_partition(line: str) -> Partition:
    """One line of `scontrol show partition --oneliner`."""
    said = dict(part.partition("=")[::2] for part in line.split() if "=" in part)
    return Partition(
        name=said.get("PartitionName", ""),
        default=said.get("Default") == "YES",
        up=said.get("State") == "UP",
        nodes=number(said.get("TotalNodes", "")),
        minutes=minutes(said.get("MaxTime", "")),
        preempt=said.get("PreemptMode", "OFF").split(",")[-1],
        grace=number(said.get("GraceTime", "")),
        accounts=said.get("AllowAccounts", "ALL"),
    )


def minutes(text: str) -> int:
    """[days-]hours:minutes:seconds -> minutes; 0 = no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return 0
    days, hours, mins, seconds = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + mins + (seconds > 0)


def span(limit: int) -> str:
    """Minutes in words."""
    if not limit:
        return "none"
    hours, rest = divmod(limit, 60)
    return f"{limit} min" if limit < 60 else f"{hours} h" + (f" {rest} min" if rest else "")


def number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else 0


def cluster(site: Site, limits: queue.Limits) -> Iterator[Finding]:
    """Version and the limits on arrays and jobs; whether jobs may go back into the queue."""
    text = (
        f"{limits.version} on {limits.cluster}; arrays of at most {limits.max_array_size - 1} elements (MaxArraySize "
        f"{limits.max_array_size}), {limits.max_job_count} jobs in all (MaxJobCount)"
    )
    wanted = int(site.launcher.get("max_array") or 0)
    if 0 < limits.max_array_size < wanted:
        yield warning("slurm", f"{text}; launcher.max_array={wanted} is more", "leave launcher.max_array at 0")
    elif limits.max_array_size == 1:
        yield problem("slurm", f"{text}: array jobs are switched off", "ask the site for a MaxArraySize above 1")
    else:
        yield ok("slurm", text)
    if limits.job_requeue:
        yield ok("requeue", "jobs may be requeued (JobRequeue=1)")
    else:
        yield ok("requeue", "JobRequeue=0 here, so jobs say `--requeue` themselves, which sweeps always do")


def preemption(
    site: Site, limits: queue.Limits, settings: Mapping[str, str], partitions: list[Partition]
) -> Iterator[Finding]:
    """What happens to a job that is pushed out, and how long it has to save."""
    kind, mode = settings.get("PreemptType", "?"), settings.get("PreemptMode", "?")
    if kind.endswith("/none"):
        text = "none on this cluster"
    else:
        early = "the user's signal is sent, too" if limits.preempt_send_user_signal else "SIGTERM alone is sent"
        text = f"{kind}, {mode}; {early} (preempt_send_user_signal)"
    text += f"; from SIGTERM to SIGKILL {limits.kill_wait} s (KillWait)"
    if limits.kill_wait < 15:
        remedy = "a step and a checkpoint must fit into it, else what was done since the last one is lost: "
        yield warning("preemption", text, remedy + "smaller runtime.save_minutes")
    else:
        yield ok("preemption", text)
    asked = {request.get("partition") for request in site.requests().values()}
    for partition in partitions:
        mine = partition.name in asked or (partition.default and None in asked)
        if site.slurm and mine and partition.preempt == "CANCEL":
            yield warning(
                "preemption",
                f"{partition.name} cancels what it preempts: such runs save, and do not come back by themselves",
                "type the sweep's command again, or `python sweeps/status.py --retry-failed`",
            )


def asked_partitions(site: Site, partitions: list[Partition]) -> Iterator[Finding]:
    """Is there each partition that was typed, and does the time asked for fit?"""
    known = {partition.name: partition for partition in partitions}
    default = next((partition.name for partition in partitions if partition.default), None)
    said = set()
    for phase, request in site.requests().items():
        key = f"launcher.phases.{phase}" if phase else "launcher"
        names = [name.strip() for name in str(request.get("partition") or default or "").split(",")]
        for name in names:
            if (name, request["timeout_min"]) in said:
                continue
            said.add((name, request["timeout_min"]))
            if name not in known:
                choice = (
                    f"there are: {', '.join(known)}" if name else f"there is no default; choose of {', '.join(known)}"
                )
                yield problem("partition", f"{key}.partition={name or 'null'}: {choice}", f"set {key}.partition")
            elif not known[name].up:
                yield warning("partition", f"{name} is not up", "its jobs wait until the site brings it back")
            elif 0 < known[name].minutes < request["timeout_min"]:
                yield problem(
                    "partition",
                    f"{key}.timeout_min={request['timeout_min']} is above the {known[name].minutes} min of {name}",
                    f"set {key}.timeout_min={known[name].minutes}: a run that needs longer is requeued and goes on",
                )


def accounts(site: Site) -> Iterator[Finding]:
    """The accounts and qos of this user, and whether those that were typed are among them."""
    me = getpass.getuser()
    try:
        rows = ask("sacctmgr", "-nP", "show", "assoc", f"user={me}", "format=Account,Partition,QOS").splitlines()
        default = ask("sacctmgr", "-nP", "show", "user", me, "format=DefaultAccount").strip()
    except queue.SchedulerError as error:
        yield ok("accounts", f"sacctmgr cannot be asked, which not every site lets one ({str(error)[:120]})")
        return
    cells = [row.split("|") for row in rows if row.count("|") >= 2]
    mine = sorted({row[0] for row in cells})
    levels = sorted({name for row in cells for name in row[2].split(",") if name})
    yield ok(
        "accounts", f"{', '.join(mine) or 'none'} (default: {default or 'none'}); qos: {', '.join(levels) or 'none'}"
    )
    for key, choice in (("account", mine), ("qos", levels)):
        asked = {str(request[key]) for request in site.requests().values() if request.get(key)} if site.slurm else set()
        for name in sorted(asked - set(choice)):
            if choice:
                yield problem(key, f"launcher.{key}={name} is not yours: {', '.join(choice)}", f"set launcher.{key}")


def accounting(limits: queue.Limits) -> Iterator[Finding]:
    """Whether sacct answers. It is not needed: run folders and squeue tell nearly all."""
    without = "a job that was killed without a word then shows as lost, not as out of memory or cancelled"
    if not limits.accounting:
        yield ok("sacct", f"the cluster keeps no accounts; {without}")
        return
    try:
        ask("sacct", "-X", "-n", "-P", "-o", "JobID", "-S", "now-1hour")
    except queue.SchedulerError as error:
        yield warning("sacct", f"{str(error)[:200]}; {without}", "nothing needs to be done")
    else:
        yield ok("sacct", "answers")


def requests(site: Site) -> Iterator[Finding]:
    """`sbatch --test-only` of what each phase asks for, with the script that a sweep would submit."""
    try:
        check_launcher(site.launcher)
        asked: dict[Request, list[str]] = {}
        for phase in ("pretrain", "finetune", "test", "probe", "retrieval"):
            asked.setdefault(site.request(phase), []).append(phase)
    except ConfigError as error:
        yield problem("request", str(error), "correct that key; nothing could be submitted")
        return
    for request, phases in asked.items():
        yield one_request(request, ", ".join(phases))


def one_request(request: Request, phases: str, test: Callable[[Request], str] | None = None) -> Finding:
    """Would SLURM take it? The answer names a start, which is a guess."""
    values = request.values
    text = (
        f"{values['nodes']} x {values['tasks_per_node']} processes, {request.gpus} GPUs, {values['cpus_per_task']} "
        f"CPUs each, {values['mem_gb'] or 'default'} GB a node, {span(values['timeout_min'])}"
    )
    try:
        said = (test or test_only)(request)
    except (queue.SchedulerError, ConfigError) as error:
        return problem(
            f"request of {phases}", f"{text}: {error}", "correct launcher.* (sinfo -Nel shows what nodes have)"
        )
    if request.gpus and request.gpus < request.world:
        remedy = "one process for each GPU: launcher.tasks_per_node and gpus_per_node should be equal"
        return warning(f"request of {phases}", f"{text}: fewer GPUs than processes", remedy)
    if request.gpus > request.world:
        remedy = "a process uses one GPU: set launcher.tasks_per_node to the GPUs of a node, or ask for fewer GPUs"
        return warning(f"request of {phases}", f"{text}: GPUs that no process uses", remedy)
    return ok(f"request of {phases}", f"{text}: would be taken{said}")


def test_only(request: Request) -> str:
    """Raises SchedulerError with what sbatch says against it, and ConfigError."""
    with tempfile.TemporaryDirectory(prefix="hcml-doctor-") as folder:
        submission = Submission("0" * 12, "", "hcml-doctor", folder, {"0": "x"}, dict(request.values), "", "", 0)
        path = Path(folder) / "script.sh"
        path.write_text(script(Path(folder), submission, 1), encoding="utf-8")
        path.chmod(0o600)
        done = queue.run_command(
            ["sbatch", "--test-only", str(path)], TIMEOUT, check=False, environment=outer_environment(os.environ)
        )
    said = " ".join(done.stderr.split())
    if done.returncode:
        raise queue.SchedulerError(f"sbatch refuses: {said.replace('sbatch: error: ', '')[-300:]}")
    start = re.search(r"to start at (\S+)", said)
    return f" (earliest start {start[1]})" if start else ""


def small(request: Request) -> Request:
    """The same place (partition, account, ...), for two processes and five minutes: on two nodes if runs take several,
    with a GPU each if they take any."""
    values = request.values
    nodes = min(2, int(values["nodes"]))
    tasks = 2 // nodes
    gres = values["gres"]
    if gres and request.gpus:
        parts = [re.sub(r"^(gpu(?::[^:]+)??)(?::\d+)?$", rf"\1:{tasks}", part.strip()) for part in gres.split(",")]
        gres = ",".join(parts)
    changed: dict[str, Any] = {
        "nodes": nodes,
        "tasks_per_node": tasks,
        "timeout_min": 5,
        "signal_delay_s": 10,
        "cpus_per_task": min(4, int(values["cpus_per_task"])),
        "gpus_per_node": tasks if values["gpus_per_node"] else None,
        "gres": gres,
        "mem_gb": min(16, int(values["mem_gb"])) if values["mem_gb"] else None,
    }
    return replace(request, text=Request.of(values | changed).text)
