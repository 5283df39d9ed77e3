"""Sweeps as they are typed, small enough for tests, and what can be seen of them afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
STEPS = 60
SMALL = (
    "backbone.name=test_resnet input_size=32 num_frames=4 benchmark.train_per_class=1 benchmark.test_per_class=1 "
    f"pretrain.length.steps={STEPS} pretrain.length.batch_size=4 pretrain.eval_videos=1 "
    f"finetune.length.steps={STEPS} finetune.length.batch_size=4 motion.dim=8 "
    "objective.contrast.max_queries=32 objective.contrast.max_keys=64 compute.precision=fp32 compute.threads=1 "
    "runtime.workers=0 runtime.log_every=1 runtime.save_every=5"
).split()
"""Steps of some milliseconds; with compute.threads=1 equal runs have equal bits."""
SLURM = "launcher=slurm launcher.cpus_per_task=2 launcher.timeout_min=30 launcher.poll_s=1".split()
"""Two CPUs, so a node of its own for each run."""


STARTED: list[subprocess.Popen[str]] = []
"""Everything typed by the present test; a fixture ends what is left of it."""


@dataclass(frozen=True)
class Event:
    """A step, as braked.py has written it down."""

    time: float
    pid: int
    run: str
    step: int
    total: int
    job: str
    start: int
    node: str
    rank: int


@dataclass
class Home:
    """Where sweeps are typed. `data` is shared by all of them, runs are below `folder`."""

    folder: Path
    data: Path
    checkout: Path = ROOT
    braked: bool = False
    small: list[str] = field(default_factory=list)
    """In place of, or beside, what SMALL says."""

    def __post_init__(self) -> None:
        keys = {argument.partition("=")[0] for argument in self.small}
        self.settings = [*(a for a in SMALL if a.partition("=")[0] not in keys), *self.small]
        self.brakes = self.folder / "brakes"
        self.brakes.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_name("braked.py"), self.brakes)
        if self.braked:
            self.settings.append(f"launcher.python='{sys.executable} {self.brakes / 'braked.py'}'")

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def command(self, *arguments: str, script: str = "sweeps/run.py") -> list[str]:
        return [sys.executable, str(self.checkout / script), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type a sweep and do not wait for its end; its output goes to typed.txt."""
        with open(self.folder / "typed.txt", "w") as out:
            process = subprocess.Popen(
                self.command(*arguments, *self.settings, f"paths.data.root={self.data}"),
                cwd=self.folder,
                env=self._environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        STARTED.append(process)
        return process

    def type(self, *arguments: str, expect: int | None = 0, timeout: float = 400) -> str:
        """Type a sweep; returns what it prints. `expect`: its exit code (None = any)."""
        process = self.start(*arguments)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {timeout} s: {self._said()}") from None
        said = self._said()
        assert expect is None or code == expect, f"exit code {code}: {said}"
        return said

    def status(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, f"--runs={self.runs}", script="sweeps/status.py"),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def _said(self) -> str:
        return (self.folder / "typed.txt").read_text()

    def _environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    # ------------------------------------------------------------ what is there

    def found(self) -> dict[str, Path]:
        """Run folders by phase, levels, seed and smoothing, as in `finetune-l1-s0` and `finetune-l1-s0-0.1`; a test is
        called after the fine-tuning that it measures."""
        named: dict[str, str] = {}
        folders: dict[str, Path] = {}
        frozen = [(path.parent, json.loads(path.read_text())) for path in self.runs.glob("[!_]*/*/config.json")]
        for folder, content in sorted(frozen, key=lambda pair: pair[1]["phase"] == "test"):
            config = content["config"]
            if content["phase"] == "test":
                name = named[content["parent"]].replace("finetune", "test")
            else:
                name = f"{content['phase']}-l{config['model']['levels']}-s{config['seed']}"
                name += f"-{config['label_smoothing']}" if config.get("label_smoothing") else ""
            assert name not in folders, f"two runs are called {name}"
            folders[name], named[content["run_id"]] = folder, name
        return folders

    def states(self) -> dict[str, str]:
        """The same names -> the state in status.json, '' before it is written."""
        return {name: status(folder).get("state", "") for name, folder in self.found().items()}

    def submissions(self) -> list[dict[str, Any]]:
        """All submission.json, oldest first."""
        paths = self.runs.glob("_submissions/*/submission.json")
        found = [json.loads(path.read_text()) for path in paths]
        return sorted(found, key=lambda content: int(content["job_id"] or 0))

    def job_of(self, folder: Path) -> tuple[str, dict[str, Any]]:
        """(`86_3`, its submission) of the newest job of a run folder."""
        name = f"{folder.parent.name}/{folder.name}"
        for content in reversed(self.submissions()):
            for index, task in content["tasks"].items():
                if task == name:
                    return f"{content['job_id']}_{index}", content
        raise AssertionError(f"{name} was never submitted")

    # ------------------------------------------------------------ brakes

    def slow(self, seconds: float) -> None:
        (self.brakes / "slow").write_text(str(seconds))

    def release(self) -> None:
        (self.brakes / "slow").unlink(missing_ok=True)

    def fail_once(self, run: str) -> None:
        """The run of that folder name raises after its next step."""
        (self.brakes / f"fail-{run}").touch()

    def fail_rank(self, rank: int, at_step: int) -> None:
        """The run's process of that rank raises after that step, once."""
        (self.brakes / f"fail-rank-{rank}").write_text(str(at_step))

    def events(self) -> dict[str, list[Event]]:
        """Run folder name -> its steps of rank 0, in the order in which they were executed."""
        path = self.brakes / "events.jsonl"
        found: dict[str, list[Event]] = defaultdict(list)
        for line in path.read_text().splitlines() if path.exists() else []:
            event = Event(**json.loads(line))
            if event.rank == 0:
                found[event.run].append(event)
        return found


def status(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "status.json").read_text())
    except FileNotFoundError:
        return {}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a finished run."""
    saved = torch.load(folder / "weights.pt", weights_only=True)
    state: dict[str, torch.Tensor] = saved["model"]
    return state


def assert_same_bits(left: Path, right: Path) -> None:
    """Two run folders with equal weights."""
    first, second = weights(left), weights(right)
    assert first.keys() == second.keys(), f"{left.name} and {right.name} are not of one model"
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing, f"{left} and {right} differ in {len(differing)} tensors, first {differing[0]}"


def assert_never_twice(events: list[Event]) -> None:
    """The steps of one run: one process after the other, each going on at or before the place where the one before it
    was stopped, and none once the last step was taken."""
    processes: dict[tuple[str, int, int], list[Event]] = defaultdict(list)
    for event in events:
        processes[event.job, event.start, event.pid].append(event)
    in_order = sorted(processes.values(), key=lambda steps: steps[0].time)
    for steps in in_order:
        taken = [event.step for event in steps]
        assert taken == sorted(set(taken)), f"steps out of order: {taken}"
    for earlier, later in zip(in_order, in_order[1:], strict=False):
        assert earlier[-1].time < later[0].time, f"two processes at once: {earlier[-1]} and {later[0]}"
        assert earlier[-1].step < earlier[-1].total, f"run again though it was over: {later[0]}"
        assert later[0].step <= earlier[-1].step + 1, f"steps are missing between {earlier[-1]} and {later[0]}"
    assert in_order[-1][-1].step == in_order[-1][-1].total, "the last step was never taken"
