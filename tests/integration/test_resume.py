"""kill -9 at any moment, the same call again: the run ends bit-identical to one that was left alone.

Run as a script, this file is the driver: it imports torch once and forks a fresh child for every (interrupted) run,
so that each child is a process of its own that can really be killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STEPS, TURN = 8, 4
TIMES = ("data_time", "step_time", "clips_per_second")

KILLS: dict[str, list[tuple[str, int]]] = {
    "before_any_checkpoint": [("step", 1)],
    "at_the_turn": [("step", TURN)],
    "after_a_checkpoint": [("step", 6)],
    "after_the_last_step": [("step", STEPS)],
    "while_writing_the_first": [("write", 1)],
    "while_writing_the_second": [("write", 2)],
    "before_the_rename": [("rename", 2)],
    "while_writing_the_weights": [("write", 4)],
    "three_times": [("step", 2), ("rename", 1), ("step", 7)],
    "by_request": [("SIGUSR2", 2), ("SIGTERM", 5)],
}
FINETUNE_KILLS = ("before_any_checkpoint", "after_a_checkpoint", "while_writing_the_second", "three_times")
"""The second phase runs the same loop: fewer cases."""


def render(root: Path) -> None:
    """Eight H.264 videos of moving random textures, and their manifest.json."""
    import av
    import numpy as np

    from hcml.data.manifest import Manifest, VideoEntry

    rng = np.random.default_rng(0)
    entries = []
    for i in range(8):
        wide = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        with av.open(str(root / f"{i}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"threads": "1"})
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
            for t in range(10):
                start = 16 + (t if i % 2 else -t)
                frame = np.ascontiguousarray(wide[:, start : start + 32])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        entries.append(VideoEntry(f"v{i}", f"{i}.mp4", i % 2, 10, 10.0))
    for subset in ("train", "test"):
        Manifest("tiny", "v1", "1", subset, root, ["left", "right"], {}, entries).save(root / f"{subset}.json")


# ------------------------------------------------------------------- the driver


def run_phase(phase: str, root: Path, folder: Path, workers: int, on_step: Callable[[int, int], None]) -> None:
    from hcml import config as c
    from hcml.data.manifest import Data, Manifest
    from hcml.training.finetune import run_finetune
    from hcml.training.pretrain import run_pretrain

    data = Data(*(Manifest.load(root / f"{subset}.json", root) for subset in ("train", "test")))
    runtime = c.Runtime(device="cpu", workers=workers, log_every=2, save_every=3)
    common = {
        "benchmark": c.BenchmarkConfig(name="tiny"),
        "sampling": c.SamplingConfig(num_frames=5, frame_stride=1),
        "transform": c.TransformConfig(crop_size=32),
        "length": c.LengthConfig(steps=STEPS, batch_size=3),
        "compute": c.ComputeConfig(precision="bf16", channels_last=True, threads=2),
    }
    model = c.ModelConfig(
        backbone=c.BackboneConfig("test_resnet"),
        temporal=c.TemporalConfig("shift"),
        levels=2,
        num_frames=5,
        input_size=32,
    )
    if phase == "pretrain":
        run_pretrain(c.PretrainRun(model=model, eval_videos=4, **common), data, folder, runtime, on_step=on_step)
    else:
        objective = c.ObjectiveConfig()
        config = c.FinetuneRun(model=model, init="run", auxiliary_weight=0.1, objective=objective, **common)
        run_finetune(config, data, folder, runtime, parent=root / "parent" / "weights.pt", on_step=on_step)


def child(phase: str, root: Path, folder: Path, kill: tuple[str, int] | None, workers: int) -> None:
    """One process of a run, which ends as `kill` says."""
    from hcml.training import checkpoint
    from hcml.training.preemption import Preempted

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def on_step(done: int, total: int) -> None:
        if kill == ("step", done):
            die()
        if kill and kill[0].startswith("SIG") and done == kill[1]:
            os.kill(os.getpid(), signal.Signals[kill[0]])

    written = 0
    save, replace = checkpoint.torch.save, os.replace

    def write(payload: object, file: object) -> None:
        nonlocal written
        written += 1
        if kill == ("write", written):
            file.write(b"PK\x03\x04 the beginning of an archive")  # type: ignore[attr-defined]
            file.flush()  # type: ignore[attr-defined]
            die()
        save(payload, file)

    def rename(source: Path, target: Path) -> None:
        if kill == ("rename", written) and str(target).endswith(".pt"):
            die()
        replace(source, target)

    checkpoint.torch.save = write
    checkpoint.os.replace = rename
    try:
        run_phase(phase, root, folder, workers, on_step)
    except Preempted:
        os._exit(75)


def forked(phase: str, root: Path, folder: Path, kill: tuple[str, int] | None, workers: int = 0) -> int:
    """Exit code of a child process; -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(phase, root, folder, kill, workers)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def drive(phase: str, root: Path) -> None:
    import hcml.training.finetune
    import hcml.training.pretrain  # noqa: F401  (imported once, before the first fork)

    if phase == "finetune":
        assert forked("pretrain", root, root / "parent", None) == 0
    codes: dict[str, list[int]] = {"alone": [forked(phase, root, root / phase / "alone", None)]}
    for name, kills in KILLS.items():
        if phase == "finetune" and name not in FINETUNE_KILLS:
            continue
        folder = root / phase / name
        codes[name] = [forked(phase, root, folder, kill) for kill in [*kills, None]]
    folder = root / phase / "with_workers"
    codes["with_workers"] = [forked(phase, root, folder, ("step", 5), 1), forked(phase, root, folder, None, 2)]
    (root / f"{phase}.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    drive(sys.argv[1], Path(sys.argv[2]))
    sys.exit()


# -------------------------------------------------------------------- the tests

import pytest  # noqa: E402
import torch  # noqa: E402

from hcml.training.journal import read_journal  # noqa: E402


@pytest.fixture(scope="module", params=["pretrain", "finetune"])
def driven(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[int]]]:
    root = tmp_path_factory.mktemp("resume")
    render(root)
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), request.param, str(root)], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / request.param, json.loads((root / f"{request.param}.json").read_text())


def assert_identical(left: object, right: object, where: str) -> None:
    if isinstance(left, torch.Tensor):
        assert isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right), where
    elif isinstance(left, dict):
        assert isinstance(right, dict) and left.keys() == right.keys(), where
        for key in left:
            assert_identical(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert isinstance(right, list) and len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_identical(a, b, f"{where}[{i}]")
    else:
        assert left == right, where


@pytest.mark.integration
@pytest.mark.slow
def test_interrupted_runs_end_like_an_uninterrupted_one(driven: tuple[Path, dict[str, list[int]]]) -> None:
    folder, codes = driven
    assert codes.pop("alone") == [0]
    expected_weights = torch.load(folder / "alone" / "weights.pt", weights_only=True)
    last = f"checkpoints/step-{STEPS:08d}.pt"
    expected_optimizer = torch.load(folder / "alone" / last, weights_only=True)["state"]["optimizer"]
    expected_lines = [_timeless(line) for line in read_journal(folder / "alone" / "metrics.jsonl")]
    assert [line["step"] for line in expected_lines] == [2, 4, 6, 8]
    for name, ended in codes.items():
        interrupted = KILLS.get(name, [("step", 5)])
        assert ended == [75 if kind.startswith("SIG") else -signal.SIGKILL for kind, _ in interrupted] + [0], name
        run = folder / name
        assert_identical(torch.load(run / "weights.pt", weights_only=True), expected_weights, name)
        optimizer = torch.load(run / last, weights_only=True)["state"]["optimizer"]
        assert_identical(optimizer, expected_optimizer, f"{name}: optimizer")
        assert [_timeless(line) for line in read_journal(run / "metrics.jsonl")] == expected_lines, name
        leftovers = [path.name for path in (run / "checkpoints").iterdir() if path.suffix != ".pt"]
        assert not leftovers, (name, leftovers)


def _timeless(line: dict) -> dict:
    return {key: value for key, value in line.items() if key not in TIMES}
