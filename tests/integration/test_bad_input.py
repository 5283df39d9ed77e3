"""What goes wrong in practice, through the functions that run a phase: a clear reason each time, and nothing that was
there before is lost. The parts are tested in detail where they live (tests/hcml); the command in test_bad_commands."""

from __future__ import annotations

import csv
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from hcml import config as c
from hcml.data.manifest import Data, Manifest, VideoEntry
from hcml.training.checkpoint import CheckpointError, read_file
from hcml.training.evaluate import run_test
from hcml.training.finetune import run_finetune
from hcml.training.journal import read_journal
from hcml.training.pretrain import run_pretrain
from hcml.training.tally import UnreadableVideos

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SIDE, FRAMES, VIDEOS = 32, 10, 8


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Eight videos v0.. of moving random textures, files of this test alone, for training and testing."""
    rng = np.random.default_rng(0)
    entries = []
    for i in range(VIDEOS):
        wide = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        path = tmp_path / "videos" / f"{i}.mp4"
        path.parent.mkdir(exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"threads": "1", "g": "5"})
            stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            for t in range(FRAMES):
                start = 16 + (t if i % 2 else -t)
                frame = np.ascontiguousarray(wide[:, start : start + SIDE])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        entries.append(VideoEntry(f"v{i}", path.name, i % 2, FRAMES, 10.0))
    made = [
        Manifest("tiny", "v1", "1", name, tmp_path / "videos", ["left", "right"], {}, entries)
        for name in ("train", "test")
    ]
    return Data(*made)


RUNTIME = c.Runtime(device="cpu", workers=0, log_every=1, save_every=1)


def common(**changes: Any) -> dict[str, Any]:
    model = {"backbone": c.BackboneConfig("test_resnet"), "levels": 2, "num_frames": 5, "input_size": SIDE}
    return {
        "model": c.ModelConfig(**(model | changes.pop("model", {}))),
        "benchmark": c.BenchmarkConfig(name="tiny"),
        "sampling": c.SamplingConfig(num_frames=5, frame_stride=1),
        "transform": c.TransformConfig(crop_size=SIDE),
        "compute": c.ComputeConfig(threads=1),
        **changes,
    }


def training(**changes: Any) -> dict[str, Any]:
    return common(**({"length": c.LengthConfig(steps=4, batch_size=4)} | changes))


def finetune(data: Data, folder: Path, parent: Path | None = None, **changes: Any) -> dict[str, Any]:
    return run_finetune(c.FinetuneRun(**training(**changes)), data, folder, RUNTIME, parent=parent)


def pretrain(data: Data, folder: Path, runtime: c.Runtime = RUNTIME, **changes: Any) -> dict[str, Any]:
    return run_pretrain(c.PretrainRun(eval_videos=2, **training(**changes)), data, folder, runtime)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------------ videos


def _corrupt(path: Path) -> None:
    """Zeros over the second half of the coded frames; size and index stay."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat")
    size = int.from_bytes(content[start - 4 : start], "big")
    content[start + size // 2 : start + size - 4] = bytes(size - 4 - size // 2)
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:900]), "truncated or still being written"),
    "corrupt": (_corrupt, "cannot decode it"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_training_stops_at_an_unreadable_video_and_goes_on_once_it_is_repaired(
    data: Data, tmp_path: Path, kind: str
) -> None:
    video = tmp_path / "videos" / "3.mp4"
    whole = video.read_bytes()
    DAMAGE[kind][0](video)
    # Two epochs: the second time it is more than one clip, and more than a thousandth of them.
    with pytest.raises(
        UnreadableVideos, match="2 of 16 training clips .* is unreadable .*, which leaves them out: v3$"
    ):
        finetune(data, tmp_path / "run")
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())
    reached = read_file(saved[-1])["step"]
    assert 2 <= reached < 4
    video.write_bytes(whole)
    done = finetune(data, tmp_path / "run")
    assert done["steps"] == 4 and done["unreadable_ids"]["train"] == {"v3": 1}
    assert [line["step"] for line in read_journal(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3, 4]


def test_testing_lists_unreadable_videos_with_their_reasons(data: Data, tmp_path: Path) -> None:
    finetune(data, tmp_path / "run")
    for number, (damage, _) in enumerate(DAMAGE.values()):
        damage(tmp_path / "videos" / f"{number}.mp4")
    config = c.TestRun(batch_size=3, **common())
    report = run_test(config, data, tmp_path / "test", RUNTIME, tmp_path / "run" / "weights.pt")
    with (tmp_path / "test" / "unreadable.csv").open() as file:
        listed = {row["video_id"]: row["error"] for row in csv.DictReader(file)}
    assert set(listed) == {f"v{number}" for number in range(len(DAMAGE))}
    for number, (_, said) in enumerate(DAMAGE.values()):
        assert said in listed[f"v{number}"] and f"{number}.mp4" in listed[f"v{number}"]
    with (tmp_path / "test" / "predictions.csv").open() as file:
        assert [row["video_id"] for row in csv.DictReader(file)] == ["v4", "v5", "v6", "v7"]
    assert (report["metrics"]["videos"], report["metrics"]["readable"]) == (8, 4)
    assert report["metrics"]["top1_all"] == report["metrics"]["top1"] / 2


def test_a_clip_longer_than_the_video_follows_the_policy(data: Data, tmp_path: Path) -> None:
    for policy in ("pad_last", "loop"):
        sampling = c.SamplingConfig(num_frames=5, frame_stride=4, short_video=policy)
        assert finetune(data, tmp_path / policy, sampling=sampling)["steps"] == 4
        weights = tmp_path / policy / "weights.pt"
        tested = run_test(c.TestRun(**common(sampling=sampling)), data, tmp_path / f"{policy}-test", RUNTIME, weights)
        assert tested["metrics"]["readable"] == 8
    sampling = c.SamplingConfig(num_frames=5, frame_stride=4, short_video="error")
    with pytest.raises(ValueError, match=r"8 of 8 videos .* shorter than the 17 frames .* v0, 10 frames.*pad_last"):
        finetune(data, tmp_path / "error", sampling=sampling)
    assert not (tmp_path / "error" / "checkpoints").exists()


# ------------------------------------------------------------------------------------------------------- checkpoints

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_bad_input as t
from hcml.data.manifest import Data, Manifest
root = Path(sys.argv[1])
data = Data(*(Manifest.load(root / f"{{name}}.json", root / "videos") for name in ("train", "test")))

def on_step(done, total):
    if done == 2:  # from here on no file may grow beyond 20 kB, and a checkpoint has more
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

t.run_finetune(t.c.FinetuneRun(**t.training()), data, root / "run", t.RUNTIME, on_step=on_step)
"""


def test_a_full_disk_while_saving_keeps_the_previous_checkpoint(data: Data, tmp_path: Path) -> None:
    finetune(data, tmp_path / "alone")
    for manifest in (data.train, data.test):
        manifest.save(tmp_path / f"{manifest.subset}.json")
    script = textwrap.dedent(FULL_DISK).format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "Earlier checkpoints are intact: free some space" in done.stderr, done.stderr
    left = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert left == ["step-00000001.pt", "step-00000002.pt"]
    assert not (tmp_path / "run" / "weights.pt").exists()
    assert finetune(data, tmp_path / "run")["steps"] == 4
    weights = [torch.load(tmp_path / name / "weights.pt", weights_only=True)["model"] for name in ("alone", "run")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_checkpoint_of_another_configuration_is_refused_with_the_keys(data: Data, tmp_path: Path) -> None:
    finetune(data, tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(CheckpointError) as caught:
        finetune(data, tmp_path / "run", optim=c.OptimConfig(lr=0.5), seed=7)
    assert "config.optim.lr: checkpoint has 0.001, this run has 0.5" in str(caught.value)
    assert "config.seed: checkpoint has 0, this run has 7" in str(caught.value)
    assert "weight_decay" not in str(caught.value)
    fewer = Data(replace(data.train, entries=data.train.entries[:6]), data.test)
    with pytest.raises(CheckpointError, match="train_manifest: checkpoint has "):
        finetune(fewer, tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_weights_of_another_model_are_refused_with_the_keys(data: Data, tmp_path: Path) -> None:
    """A static input leaves no trace in the tensors: they would all fit."""
    static = {"motion": c.MotionConfig(input="static")}
    pretrain(data, tmp_path / "pretrain", model=static)
    weights = tmp_path / "pretrain" / "weights.pt"
    with pytest.raises(CheckpointError, match="motion.input: checkpoint has 'static', this run has 'video'"):
        finetune(data, tmp_path / "run", weights, init="run")
    assert not (tmp_path / "run").exists()
    finetune(data, tmp_path / "run", weights, init="run", model=static)
    with pytest.raises(CheckpointError, match="motion.input: checkpoint has 'static', this run has 'video'"):
        run_test(c.TestRun(**common()), data, tmp_path / "test", RUNTIME, tmp_path / "run" / "weights.pt")


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


@pytest.mark.parametrize("form", ["pickle", "archive"])
@pytest.mark.parametrize("place", ["checkpoint", "parent", "pretrained"])
def test_a_file_with_code_in_place_of_weights_is_refused_and_not_run(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ("run/checkpoints/step-00000002.pt" if place == "checkpoint" else "weights.pth")
    file.parent.mkdir(parents=True, exist_ok=True)
    if form == "pickle":
        file.write_bytes(pickle.dumps(Code()))
    else:
        torch.save({"model": Code(), "config": {}, "phase": "pretrain", "step": 1}, file)
    with pytest.raises((CheckpointError, ValueError), match=f"{file.name}.*(code|unsafe|refused)"):
        if place == "checkpoint":
            finetune(data, tmp_path / "run")
        elif place == "parent":
            finetune(data, tmp_path / "run", file, init="run")
        else:
            backbone = c.BackboneConfig("test_resnet", pretrained=str(file))
            finetune(data, tmp_path / "run", init="weights", model={"backbone": backbone})
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Code()))  # the file would have left its trace
    assert (tmp_path / "ran").exists()


# ------------------------------------------------------------------------------------------------------- same numbers

TIMES = ("data_time", "step_time", "clips_per_second")


def test_same_losses_for_the_same_seed_and_any_number_of_loader_processes(data: Data, tmp_path: Path) -> None:
    # Few enough queries, and dropout, that every step draws random numbers.
    drawing = c.ObjectiveConfig(contrast=c.ContrastConfig(max_queries=16, max_keys=32))
    dropout = {"backbone": c.BackboneConfig("test_resnet", drop_rate=0.5)}

    def losses(name: str, workers: int, seed: int) -> list[dict[str, Any]]:
        pretrain(data, tmp_path / name, replace(RUNTIME, workers=workers), seed=seed, objective=drawing)
        lines = read_journal(tmp_path / name / "metrics.jsonl")
        return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]

    first = losses("first", 0, 3)
    assert len(first) == 4 and {"loss", "loss_contrast_2"} <= first[-1].keys()
    assert losses("again", 0, 3) == first
    assert losses("one", 1, 3) == first
    assert losses("two", 2, 3) == first
    assert losses("other", 0, 4) != first
    finetune(data, tmp_path / "f0", seed=3, model=dropout)
    finetune(data, tmp_path / "f1", seed=3, model=dropout)
    one, two = ([line["loss"] for line in read_journal(tmp_path / name / "metrics.jsonl")] for name in ("f0", "f1"))
    assert one == two
