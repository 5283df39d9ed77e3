"""Data sets, from what their owners hand out to what runs read.

The usual order: `prepare` (find, count, encode anew), `audit` (read every video as training will), then train. Each
command can be interrupted and started again; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from benchmarks import BENCHMARKS, UnknownBenchmark, module_of
from benchmarks.commands.audit import TIME_LIMIT, audit
from benchmarks.commands.examine import UNGUARDED
from benchmarks.commands.isolate import default_processes
from benchmarks.commands.layout import PrepareError, check_root, prepare_command
from benchmarks.commands.overview import overview
from benchmarks.commands.pack import SHARD_SIZE, describe, pack
from benchmarks.commands.prepare import COUNTS, Outcome, prepare
from benchmarks.commands.progress import duration
from benchmarks.commands.stage import stage
from benchmarks.official import AnnotationError, Official
from hcml.config import ConfigError
from hcml.data.manifest import ManifestError

SHOWN = 20
"""Reasons that are printed; all are in the files that the message names."""
SAMPLE = 1000
"""Videos that an audit draws unless it is told otherwise."""
SHORT_SIDES = {"256": "short256", "340x256": "340x256"}
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 all is well, 1 something is wrong with the data or could not be done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.run
        return command(options)
    except (PrepareError, AnnotationError, ManifestError, UnknownBenchmark, ConfigError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    names = [name for name, place in BENCHMARKS.items() if ":" in place]

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=run)
        return command

    def add_for_data(
        name: str, run: Callable[[argparse.Namespace], int], text: str, pick: bool = True
    ) -> argparse.ArgumentParser:
        command = add(name, run, text)
        command.add_argument("name", metavar="NAME", choices=names, help=f"the data set: {', '.join(names)}")
        command.add_argument(
            "--root", type=Path, required=True, metavar="DIR", help="its folder: annotation files and videos"
        )
        command.add_argument(
            "--processes", type=int, metavar="N", default=default_processes(), help="default %(default)s, one a CPU"
        )
        if pick:
            command.add_argument("--split", nargs="+", default=[], metavar="S", help="default: all splits")
            command.add_argument("--copy", default="", help="original, h264, short256, 340x256; `list` says which")
        return command

    listing = add("list", _list, "show the benchmarks, their splits and copies, and what of them is prepared")
    listing.add_argument("--root", type=Path, metavar="DIR", help="a data set's folder, or one that holds several")

    preparing = add_for_data("prepare", _prepare, "find the listed videos, encode them anew, and write manifests")
    preparing.add_argument("--short-side", choices=list(SHORT_SIDES), help="another word for --copy short256, 340x256")
    preparing.add_argument("--count", choices=COUNTS, default=COUNTS[0], help="how frames of originals are counted")
    preparing.add_argument("--pack", action="store_true", help="then pack frame folders, as `pack` does")

    auditing = add_for_data("audit", _audit, "read every prepared video as training will, and quarantine the bad ones")
    some = auditing.add_mutually_exclusive_group()
    some.add_argument("--sample", type=_at_least_one, default=SAMPLE, metavar="N", help="N drawn videos (%(default)s)")
    some.add_argument("--full", action="store_true", help="all videos")
    auditing.add_argument("--decoder", default="", help=f"default decord, frames for folders; {UNGUARDED} for a look")
    auditing.add_argument("--seed", type=int, default=0)
    auditing.add_argument("--limit", type=float, default=TIME_LIMIT, help="seconds a video may take (%(default)g)")
    auditing.add_argument("--again", action="store_true", help="videos that were found healthy before, too")

    making = add_for_data("synthesize", _synthesize, "write a small tree of made-up videos in its layout", pick=False)
    making.add_argument("--classes", type=int, default=8, help="default %(default)s")
    making.add_argument("--train-per-class", type=int, default=4, help="default %(default)s")
    making.add_argument("--test-per-class", type=int, default=2, help="default %(default)s")
    making.add_argument("--short-side", type=int, metavar="PIXELS", help="smaller videos than the official ones")

    packing = add_for_data("pack", _pack, "put frame folders into tar shards, which spares inodes", pick=False)
    for command in (preparing, packing):
        command.add_argument("--shard-size", type=_size, default=SHARD_SIZE, help="such as 512M or 1G, the default")

    staging = add_for_data("stage", _stage, "copy what is prepared to another disk, such as a compute node's own")
    staging.add_argument("--to", type=Path, required=True, metavar="DIR", help="then give this folder as the root")

    weighing = add("weights", _weights, "get timm's pretrained weights for compute nodes without network")
    weighing.add_argument("action", choices=("fetch", "check"), help="fetch: with network; check: is all there?")
    weighing.add_argument("name", metavar="NAME", help="r18, r50, ... or a timm name with its tag (resnet50.tv_in1k)")
    weighing.add_argument("--to", type=Path, metavar="DIR", help="a folder; default: huggingface_hub's cache (HF_HOME)")
    return parser


def _list(options: argparse.Namespace) -> int:
    for line in overview(check_root(options.root) if options.root else None):
        _say(line)
    return 0


def _prepare(options: argparse.Namespace) -> int:
    data, started = _data(options.name), time.monotonic()
    if options.copy and options.short_side:
        raise PrepareError("give --copy or --short-side, not both")
    version = SHORT_SIDES.get(options.short_side, options.copy)
    if options.pack and not data.frame_folders:
        raise PrepareError(f"--pack: {data.name} consists of video files: only frame folders are packed")
    outcome = prepare(
        data,
        options.root,
        version,
        options.split,
        processes=options.processes,
        count=options.count,
        say=_say,
    )
    _say_prepared(data, options.root, outcome, time.monotonic() - started)
    code = 1 if outcome.unreadable else 0
    return max(code, _pack(options)) if options.pack else code


def _say_prepared(data: Official, root: Path, outcome: Outcome, seconds: float) -> None:
    videos = len(outcome.located.paths)
    _say(f"{data.name}, copy {outcome.version}: {videos} videos, {outcome.done_now} of them now ({duration(seconds)})")
    for path in outcome.manifests:
        _say(f"wrote {path}")
    if outcome.cut_short:
        _say(
            f"warning: {len(outcome.cut_short)} files hold clearly fewer frames than their headers say (such as "
            f"{', '.join(outcome.cut_short[:5])}); audit will quarantine them"
        )
    if outcome.unreadable:
        _say(f"{len(outcome.unreadable)} files cannot be read; they are in the manifests' quarantine:")
        _say_some(list(outcome.unreadable.values()))
        _say(f"fetch them again, then type: {prepare_command(data, root, outcome.version)}")
    _say(f"next: python -m benchmarks audit {data.name} --root {quote(str(root))} --copy {outcome.version}")


def _audit(options: argparse.Namespace) -> int:
    report = audit(
        _data(options.name),
        options.root,
        options.copy,
        options.split,
        sample=0 if options.full else options.sample,
        processes=options.processes,
        decoder=options.decoder,
        seed=options.seed,
        limit=options.limit,
        again=options.again,
        say=_say,
    )
    if not options.full and report.checked + report.skipped < report.listed:
        _say(f"this was a sample of {report.checked + report.skipped} of {report.listed} videos; --full takes all")
    skipped = f", {report.skipped} were healthy before" if report.skipped else ""
    bad = len(report.found)
    _say(f"audited {report.checked} of {report.listed} videos with {report.decoder}{skipped}: {bad} are bad")
    for kind, ids in report.by_kind():
        _say(f"{len(ids)} {kind}:")
        _say_some([f"{video_id}: {report.found[video_id].reason}" for video_id in ids])
    if report.list_file is not None:
        _say(f"{report.quarantined} videos are quarantined in {report.list_file}")
    return 1 if report.found or report.quarantined else 0


def _synthesize(options: argparse.Namespace) -> int:
    from benchmarks.synthesize import SynthesisError, synthesize

    try:
        synthesize(
            _data(options.name),
            options.root,
            classes=options.classes,
            train_per_class=options.train_per_class,
            test_per_class=options.test_per_class,
            processes=options.processes,
            short_side=options.short_side,
        )
    except SynthesisError as error:
        raise PrepareError(str(error)) from error
    _say(f"wrote a made-up {options.name} to {options.root}")
    _say(f"next: python -m benchmarks prepare {options.name} --root {quote(str(options.root))}")
    return 0


def _pack(options: argparse.Namespace) -> int:
    started = time.monotonic()
    outcome = pack(
        _data(options.name), options.root, shard_size=options.shard_size, processes=options.processes, say=_say
    )
    for line in describe(outcome, time.monotonic() - started):
        _say(line)
    return 1 if outcome.unreadable else 0


def _stage(options: argparse.Namespace) -> int:
    staged = stage(
        _data(options.name),
        options.root,
        options.to,
        options.copy,
        options.split,
        processes=options.processes,
        say=_say,
    )
    absent = f"; {staged.absent} unreadable videos were not there to copy" if staged.absent else ""
    _say(f"{options.to}: {staged.files} files, {staged.copied} of them copied now{absent}")
    return 0


def _weights(options: argparse.Namespace) -> int:
    from hcml.offline_weights import check, fetch  # imports torch, which the other commands do without

    found = (fetch if options.action == "fetch" else check)(options.name, options.to)
    _say(f"{found.name}: {found.path} ({found.size / 2**20:.1f} MiB, sha256 {found.sha256}); the backbone loads whole")
    if found.pretrained == "timm":
        _say("in jobs: the same HF_HOME, HF_HUB_OFFLINE=1, and backbone.pretrained=timm")
    else:
        _say(f"in jobs: backbone.pretrained={found.pretrained}")
    return 0


def _data(name: str) -> Official:
    data = module_of(name)
    if not isinstance(data, Official):
        raise PrepareError(f"{name} needs no preparing: its videos are rendered when a run needs them")
    return data


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def _size(text: str) -> int:
    number, unit = text.upper().removesuffix("B").removesuffix("I"), ""
    if number[-1:] in "KMG":
        number, unit = number[:-1], number[-1:]
    try:
        size = int(float(number) * UNITS[unit])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 512M or 1G") from None
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1 byte")
    return size


def _say(line: str) -> None:
    print(line, flush=True)


def _say_some(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        _say(f"  {line}")
    if len(lines) > SHOWN:
        _say(f"  ... and {len(lines) - SHOWN} more")


if __name__ == "__main__":
    sys.exit(main())
