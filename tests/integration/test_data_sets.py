"""Each data set from the files its owners hand out (imitated) to manifests that training loads, by the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import load
from benchmarks.__main__ import main
from hcml.config import BenchmarkConfig
from hcml.data.video import read_frames

CASES = [
    ("kinetics400", "val", "short256", ["--short-side", "256"], "decord"),
    ("sthv1", "val", "original", ["--pack"], "frames"),
    ("sthv2", "val", "original", [], "decord"),
    ("ucf101", "2", "h264", [], "decord"),
    ("hmdb51", "3", "h264", [], "decord"),
]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(("name", "split", "version", "options", "decoder"), CASES, ids=[case[0] for case in CASES])
def test_from_official_files_to_frames(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    split: str,
    version: str,
    options: list[str],
    decoder: str,
) -> None:
    root, node = tmp_path / "root", tmp_path / "node"

    def command(verb: str, *arguments: str, where: Path = root) -> str:
        code = main([verb, name, "--root", str(where), "--processes", "0", *arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.out + captured.err
        return captured.out

    small = ("--classes", "2", "--train-per-class", "2", "--test-per-class", "1", "--short-side", "48")
    command("synthesize", *small)
    command("prepare", *options)
    audited = command("audit", "--copy", version)
    assert f"with {decoder}: 0 are bad" in audited and "--full takes all" not in audited
    command("stage", "--copy", version, "--to", str(node))
    assert main(["list", "--root", str(node)]) == 0
    assert f"{version}, split {split}: train " in capsys.readouterr().out
    data = load(BenchmarkConfig(name=name, version=version, split=split, decoder=decoder), node)
    assert data.train.origin["synthetic"] is True and data.train.benchmark == name
    assert len(data.train.entries) >= 2 and len(data.test.entries) >= 1
    for manifest in (data.train, data.test):
        for entry in manifest.entries:
            frames = read_frames(manifest.video_path(entry), np.array([0, entry.num_frames - 1]), decoder)
            assert frames.shape[0] == 2 and frames.dtype == np.uint8
