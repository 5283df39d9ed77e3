"""Look at a machine or a cluster before the first sweep: will it work, and if not, what is to be done?

python sweeps/doctor.py [OVERRIDE...] [--submit [--wait SECONDS]]

The overrides are those of the sweep that is to be typed (`cluster=MYSITE launcher=slurm benchmark=ucf101`). One line is
printed for each check: ok, warning, or problem with what to do about it. `--submit` sends a job of five minutes and two
processes, with a GPU each if runs ask for GPUs, through the same code as a sweep, and prints what it found on
the compute node. The exit code is 0 unless there is a problem, and 2 for overrides that cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from sweeps.checks import data, machine, packages, scheduler, storage, weights  # noqa: E402
from sweeps.checks.finding import Finding, guarded, isolated, summary  # noqa: E402
from sweeps.checks.site import Site, read_site  # noqa: E402

Check = Callable[[], Iterable[Finding]]


def checks(site: Site) -> Iterator[tuple[str, Check]]:
    """(name, check) of all that is looked at here, quick ones first."""
    login = ["login"] if site.slurm else []
    decoders = {str(settings["benchmark"]["decoder"]) for settings in site.all_settings}
    runs = site.runs
    yield "python", packages.python
    yield "packages", packages.packages
    yield "runs", lambda: storage.writable(runs)
    yield "trust", lambda: storage.trusted(runs)
    yield "space", lambda: storage.space(runs)
    yield "quota", lambda: storage.quota(runs)
    yield "file system", lambda: storage.file_system(runs, site.slurm)
    yield "locks", lambda: storage.locks(runs)
    yield "clock", lambda: storage.clock(runs)
    if site.slurm:  # the rest of the machine is that of a compute node: --submit
        yield (
            "processors",
            lambda: machine.processors(site.settings, 1, site.request("pretrain").values["cpus_per_task"]),
        )
    else:
        yield "processors", lambda: machine.processors(site.settings, site.tasks_per_node)
        yield "shared memory", lambda: machine.shared_memory(site.settings, site.tasks_per_node)
        yield "open files", machine.open_files
        yield "host name", machine.host_name
    yield "data sets", lambda: data.data_sets(site)
    yield "slurm", lambda: scheduler.scheduler(site)
    for name in ("codecs", "decord", "pyav", "torchcodec"):
        needed = ["needed"] if name in decoders | {"pyav"} else []
        yield name, lambda name=name, needed=needed: isolated(name, "sweeps.checks.decoders", [name, *needed])
    yield "weights", lambda: weights.weights(site)
    yield "gpu", lambda: isolated("gpu", "sweeps.checks.devices", login)
    yield "all-reduce", lambda: isolated("all-reduce", "sweeps.checks.allreduce")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as typed for the sweep")
    parser.add_argument("-m", "--multirun", action="store_true", help="may stay in a copied line; changes nothing")
    parser.add_argument("--submit", action="store_true", help="send a job of five minutes and two processes, too")
    parser.add_argument("--wait", type=float, default=1800.0, help="seconds to wait for it (default: %(default)g)")
    options = parser.parse_intermixed_args(arguments)
    try:
        site = read_site(options.overrides)
    except Exception as error:  # whatever Hydra raises for what was typed
        print(f"error: {error}", file=sys.stderr)
        return 2
    found: list[Finding] = []

    def tell(findings: Iterable[Finding]) -> None:
        for finding in findings:
            found.append(finding)
            print(finding, flush=True)

    for name, check in checks(site):
        tell(guarded(name, check))
    if options.submit:
        from sweeps.checks.submission import submitted

        tell(guarded("job", lambda: submitted(site, options.wait, lambda line: print(line, flush=True))))
    print(summary(found))
    return 1 if any(finding.level == "problem" for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())
