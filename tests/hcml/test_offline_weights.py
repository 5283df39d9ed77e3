"""Weights for nodes without network: found in a cache or a folder, fetched from a hub on this machine, failing fast."""

from __future__ import annotations

import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmarks.__main__ import main
from hcml.config import ConfigError
from hcml.offline_weights import check, fetch, unreachable

NAME = "resnet18.tv_in1k"
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def fill(cache: Path, content: bytes) -> Path:
    """As huggingface_hub lays it out."""
    repository = cache / f"models--timm--{NAME}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    (snapshot / "model.safetensors").write_bytes(content)
    return snapshot / "model.safetensors"


def test_cached_weights_are_checked_without_network(cache: Path, content: bytes) -> None:
    path = fill(cache, content)
    for found in (check("r18"), check(NAME), fetch("r18")):
        assert (found.name, found.path, found.pretrained) == (NAME, path, "timm")
        assert found.sha256 == hashlib.sha256(content).hexdigest() and found.size == len(content)
        assert found.dropped == []
    assert "HF_HUB_OFFLINE" not in os.environ


def test_weights_in_a_folder(cache: Path, content: bytes, tmp_path: Path) -> None:
    fill(cache, content)
    with pytest.raises(ConfigError, match=f"is not there: type `python -m benchmarks weights fetch {NAME} --to"):
        check("r18", tmp_path / "to")
    found = fetch("r18", tmp_path / "to")
    assert found.path == tmp_path / f"to/{NAME}.safetensors" and found.pretrained == str(found.path)
    assert found.path.read_bytes() == content
    assert check("r18", tmp_path / "to") == found
    found.path.write_bytes(content[:-100])
    with pytest.raises(ConfigError, match="no valid safetensors file"):
        check("r18", tmp_path / "to")


def test_missing_weights_are_an_error_with_the_remedy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set and they are not in the cache"):
        check("r18")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set: unset it, and fetch on a machine with network"):
        fetch("r18")
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_name_must_say_which_weights(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"convnext_atto: say which weights.*convnext_atto\.d2_in1k"):
        fetch("convnext_atto")
    with pytest.raises(ConfigError, match="did you mean"):
        check("resnet19")


def test_a_hub_that_cannot_be_reached_is_told_within_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ConfigError, match=r"cannot be reached \(.*refused.*HF_HOME=FOLDER, or --to FOLDER"):
            fetch("r18")
    assert time.monotonic() - started < 8


def test_a_hub_that_never_answers_is_given_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.monotonic()
        assert unreachable(f"http://127.0.0.1:{mute.getsockname()[1]}", patience=0.3)
        assert time.monotonic() - started < 3


@pytest.fixture
def hub(content: bytes) -> Iterator[str]:
    """A model hub on this machine, with one file; answers as the real one does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def answer(self, whole: bool) -> None:
            found = self.path == f"/timm/{NAME}/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            if found:
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()
            if found and whole:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing on the test's output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_from_a_hub_to_an_offline_job(
    hub: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fetched by a process of its own, because huggingface_hub reads its environment once."""
    proxies = ("http_proxy", "all_proxy", "hf_hub_offline")
    environment = {key: value for key, value in os.environ.items() if key.lower() not in proxies}
    environment |= {"HF_HOME": str(tmp_path), "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "benchmarks", "weights", "fetch", "r18"]
    fetched = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert fetched.returncode == 0, fetched.stderr
    digest = hashlib.sha256(content).hexdigest()
    assert digest in fetched.stdout and "backbone.pretrained=timm" in fetched.stdout

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert main(["weights", "check", "r18"]) == 0
    assert digest in capsys.readouterr().out
    assert main(["weights", "check", "r34"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: the weights of resnet34.tv_in1k") and len(error.splitlines()) == 1
