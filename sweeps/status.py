"""How a sweep does, and how to end it or have its failed runs tried again.

python sweeps/status.py [SWEEP] [--watch | --json | --retry-failed]
python sweeps/status.py cancel [SWEEP]
python sweeps/status.py list

SWEEP is the id that the sweep printed, or the beginning of it; by default the newest one. A line for each run: state,
step, loss, speed, time left, node, job; below, the last lines of the log of those that failed. What the run folders say
comes first, then squeue, then sacct; each of these commands may be missing.

Exit code: 0 if all runs are done or some still go on, 1 if the sweep has come to a rest with runs that are not done, or
if a run has failed, is lost or is blocked; 2 if there is no such sweep or it cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[0] = str(_HERE.parent)

from sweeps import overview  # noqa: E402
from sweeps.lock import read_owner  # noqa: E402
from sweeps.slurm import queue  # noqa: E402
from sweeps.sweep_file import SWEEPS, submissions  # noqa: E402

GOOD, NOT_GOOD, UNUSABLE = 0, 1, 2
RETRIED = ("failed", "lost", "cancelled", "preempted", "blocked")


class NoSweep(RuntimeError):
    """There is no such sweep; the message says which there are."""


def read_sweeps(root: Path) -> list[dict[str, Any]]:
    """The sweeps below `root`, oldest first; one that cannot be read has the key `damage` and no runs."""
    found = []
    for path in sorted((root / SWEEPS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
                raise ValueError("it lists no runs")
        except (OSError, ValueError) as error:
            content = {"runs": [], "damage": f"{path} cannot be read ({error}): type the sweep's command again"}
        found.append({"time": "", "command": "", "launcher": "local"} | content | {"sweep": path.stem})
    return sorted(found, key=lambda sweep: str(sweep["time"]))


def choose(root: Path, wanted: str) -> dict[str, Any]:
    """The sweep whose id begins with `wanted`, the newest for ''. Raises :class:`NoSweep`."""
    known = read_sweeps(root)
    if not known:
        raise NoSweep(
            f"no sweep has been started in {root}: say where its runs are, by --runs DIR or "
            "(as when it was started) by --cluster NAME"
        )
    fitting = [sweep for sweep in known if sweep["sweep"].startswith(wanted)]
    if not fitting:
        ids = ", ".join(sweep["sweep"] for sweep in reversed(known[-5:]))
        raise NoSweep(f"no sweep in {root} begins with {wanted!r}; the newest: {ids}")
    if wanted and len(fitting) > 1:
        raise NoSweep(
            f"{wanted!r} is the beginning of {', '.join(sweep['sweep'] for sweep in fitting)}: say more of it"
        )
    if "damage" in fitting[-1]:
        raise NoSweep(fitting[-1]["damage"])
    return fitting[-1]


def ask_queue(sweep: Mapping[str, Any]) -> tuple[list[queue.QueuedJob] | None, str]:
    """What is in SLURM's queue, and why that is not known. A sweep that runs here has no queue."""
    if sweep["launcher"] != "slurm":
        return None, ""
    try:
        return queue.queued(), ""
    except queue.SchedulerError as error:
        return None, f"without the queue: {error}"


def look(root: Path, sweep: Mapping[str, Any]) -> tuple[list[overview.Row], str]:
    """The rows of the sweep now, and a note on what could not be asked."""
    jobs, note = ask_queue(sweep)
    return overview.rows(root, sweep, jobs, queue.ended if sweep["launcher"] == "slurm" else None), note


def exit_code(rows: Sequence[overview.Row]) -> int:
    states = {row.state for row in rows}
    if states & {"failed", "lost", "blocked"}:
        return NOT_GOOD
    return NOT_GOOD if states & overview.BAD and states <= overview.TERMINAL else GOOD


def show(root: Path, sweep: Mapping[str, Any]) -> int:
    rows, note = look(root, sweep)
    print(f"sweep {sweep['sweep']} of {sweep['time']}: {overview.printable(str(sweep['command']))}")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(overview.render(rows, width))
    if note:
        print(note)
    if any(row.state in RETRIED for row in rows):
        print("\ntry them again: " + _typed(root, "--retry-failed", sweep))
    if any(row.state == "waiting" for row in rows):
        print("waiting runs are started by the sweep's command; if it does not run any more, type it again")
    return exit_code(rows)


def show_json(root: Path, sweep: Mapping[str, Any]) -> int:
    rows, note = look(root, sweep)
    counts = Counter(row.state for row in rows)
    about = {key: sweep.get(key) for key in ("sweep", "time", "command", "launcher")}
    print(json.dumps(about | {"note": note, "counts": counts, "runs": [asdict(row) for row in rows]}, indent=1))
    return exit_code(rows)


def watch(root: Path, sweep: Mapping[str, Any], interval: float) -> int:
    """Look every `interval` seconds until nothing changes any more, or Ctrl-C: the runs are none of its business."""
    rows: list[overview.Row] = []
    try:
        with overview.Live() as live:
            while True:
                rows, note = look(root, sweep)
                live.show(rows, note)
                if all(row.state in overview.TERMINAL for row in rows):
                    break
                time.sleep(interval)
    except KeyboardInterrupt:
        print("the runs go on; look again: " + _typed(root, "--watch", sweep))
    return exit_code(rows)


def cancel(root: Path, sweep: Mapping[str, Any]) -> int:
    """Take the sweep's own jobs out of SLURM's queue; of a local sweep, say how to end it."""
    if sweep["launcher"] != "slurm":
        return _how_to_stop(root, sweep)
    known = list(submissions(root))
    own = [one for one in known if one.sweep == sweep["sweep"]]
    names, numbers = {one.submission for one in own}, {one.job_id for one in own if one.job_id}
    jobs = queue.queued()
    mine = [job for job in jobs if job.submission in names or job.job_id.partition("_")[0] in numbers]
    if mine:
        queue.cancel({job.job_id.partition("_")[0] for job in mine})  # an array at a time: all of it is the sweep's
        counts = Counter(job.state for job in mine)
        what = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        ids = ", ".join(sorted({job.job_id.partition("_")[0] for job in mine}))
        print(f"cancelled {len(mine)} jobs of sweep {sweep['sweep']} ({what}): {ids}")
        print("what was running keeps its last checkpoint; go on from there: " + _typed(root, "--retry-failed", sweep))
    else:
        print(f"no job of sweep {sweep['sweep']} is in the queue")
    theirs = {one.submission: one.sweep for one in known if one.sweep != sweep["sweep"]}
    tasks = {one.submission: one.tasks for one in known}
    ids12 = {str(run["run_id"])[:12] for run in sweep["runs"]}
    shared = Counter(
        theirs[job.submission]
        for job in jobs
        if job.submission in theirs
        and tasks[job.submission].get(job.job_id.partition("_")[2], "").rpartition("-")[2] in ids12
    )
    for other, count in shared.items():
        print(f"left alone: {count} jobs of runs that it shares with sweep {other}, which has submitted them")
    return GOOD


def _how_to_stop(root: Path, sweep: Mapping[str, Any]) -> int:
    running = [row for row in overview.rows(root, sweep, None, None) if row.state == "running"]
    if not running:
        print(f"sweep {sweep['sweep']} ran on this machine, without SLURM, and nothing of it runs now")
        return GOOD
    for row in running:
        owner = next((read_owner(path) for path in root.glob(f"{row.phase}/*-{row.run_id[:12]}/lock.json")), None) or {}
        print(f"running: {row.phase}/{row.name}, process {owner.get('pid')} on {owner.get('host')}")
        if owner.get("host") == socket.gethostname() and (launcher := _launcher(owner.get("pid"))):
            print(f"    the sweep itself is process {launcher}: kill {launcher}")
    print("the sweep does not run on SLURM: end it where it was typed (Ctrl-C), or by kill; its runs save their state")
    return NOT_GOOD


def _launcher(pid: Any) -> str:
    """The process of the sweep that has started a run's process; '' if nobody knows."""
    try:
        found = re.search(rb"(?:^|\0)HCML_LAUNCHER=(\d+)", Path(f"/proc/{int(pid)}/environ").read_bytes())
    except (OSError, ValueError, TypeError):
        return ""
    return found[1].decode() if found else ""


def retry(root: Path, sweep: Mapping[str, Any]) -> int:
    """Submit again what is not done and will not come by itself, as it is frozen."""
    rows, note = look(root, sweep)
    again = [row.run_id for row in rows if row.state in RETRIED]
    if not again:
        print(overview.summary(rows) + "; there is nothing to try again")
        return GOOD
    if sweep["launcher"] != "slurm":
        where = f"cd {shlex.quote(sweep['cwd'])} && " if sweep.get("cwd") not in (None, os.getcwd()) else ""
        print(f"{len(again)} runs are not done; the same command tries them again: {where}{sweep['command']}")
        return NOT_GOOD
    if note:
        print(f"{note}\nnothing is submitted: jobs that are there already must be known", file=sys.stderr)
        return NOT_GOOD
    from sweeps.slurm.jobs import resubmit  # after the checks: it takes a second to import

    return resubmit(root, dict(sweep), again)


def list_sweeps(root: Path) -> int:
    """Every sweep, the newest last."""
    known = read_sweeps(root)
    if not known:
        raise NoSweep(f"no sweep has been started in {root}: say where its runs are, by --runs DIR or --cluster NAME")
    for sweep in known:
        runs = f"{len(sweep['runs'])} runs"
        command = overview.printable(sweep.get("damage") or str(sweep["command"]))
        print(f"{sweep['sweep']}  {sweep['time'] or '?':20}  {runs:>10}  {sweep['launcher']:5}  {command}")
    return GOOD


def _typed(root: Path, option: str, sweep: Mapping[str, Any]) -> str:
    where = "" if root == Path("runs").resolve() else f" --runs {shlex.quote(str(root))}"
    return f"python sweeps/status.py {sweep['sweep']} {option}{where}"


def runs_folder(runs: str, cluster: str) -> Path:
    """Where the run folders are. Raises :class:`NoSweep` for a site file that is not there or says nothing."""
    if cluster:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        known = {path.stem: path for path in (_HERE / "conf" / "cluster").glob("*.yaml")}
        if cluster not in known:
            raise NoSweep(f"no site file sweeps/conf/cluster/{cluster}.yaml; there are: {', '.join(sorted(known))}")
        try:
            runs = runs or str(OmegaConf.select(OmegaConf.load(known[cluster]), "paths.runs") or "")
        except (OmegaConfBaseException, OSError, ValueError) as error:
            raise NoSweep(f"{known[cluster]} cannot be read ({error}): give --runs DIR") from error
    return Path(runs or "runs").expanduser().resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, usage=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="[cancel|list] [SWEEP]", help="what to do, and of which sweep")
    parser.add_argument("--runs", default="", metavar="DIR", help="where the run folders are (default: runs)")
    parser.add_argument("--cluster", default="", metavar="NAME", help="take --runs from sweeps/conf/cluster/NAME.yaml")
    parser.add_argument("--interval", type=float, default=10.0, metavar="S", help="seconds between looks of --watch")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--watch", action="store_true", help="follow it until all runs have ended; Ctrl-C only looks away"
    )
    what.add_argument("--json", action="store_true", help="the same for programs")
    what.add_argument("--retry-failed", action="store_true", help="submit again what failed, was lost or cancelled")
    options = parser.parse_args(arguments)
    verb, wanted = "show", list(options.words)
    if wanted and wanted[0] in ("cancel", "list"):
        verb = wanted.pop(0)
    if len(wanted) > 1 or (verb == "list" and wanted):
        parser.error(f"one sweep at a time, not {' '.join(options.words)}")
    if verb != "show" and (options.watch or options.json or options.retry_failed):
        parser.error(f"{verb} takes none of --watch, --json and --retry-failed")
    try:
        root = runs_folder(options.runs, options.cluster)
        if verb == "list":
            return list_sweeps(root)
        sweep = choose(root, wanted[0] if wanted else "")
        if verb == "cancel":
            return cancel(root, sweep)
        if options.watch:
            return watch(root, sweep, options.interval)
        if options.retry_failed:
            return retry(root, sweep)
        return show_json(root, sweep) if options.json else show(root, sweep)
    except (NoSweep, queue.SchedulerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    except BrokenPipeError:  # `status.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD


if __name__ == "__main__":
    sys.exit(main())
