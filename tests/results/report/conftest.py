"""A report of plausible runs, some of them with labels that would like to be markup."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from results.collect import collect
from results.reference import load
from results.report import write_report
from results.tables import all_tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>window.hit=1</script><img src=x onerror='window.hit=1'>\"&'</td>"


def journal(path: Path, names: tuple[str, ...]) -> None:
    lines = [
        json.dumps({"step": s, **{name: 1.0 / (1 + s) + k for k, name in enumerate(names)}}) for s in range(0, 400, 10)
    ]
    path.write_text("\n".join(lines) + "\n")


def png(path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def draw(folder: Path) -> None:
    (folder / "pictures").mkdir()
    png(folder / "pictures" / "a.png")
    images = [{"name": "true displacement", "file": "a.png", "note": HOSTILE}] * 4
    video = {"video_id": "v", "group": "direction", "class": HOSTILE, "images": images}
    video |= {"end_point_error": 0.5, "reconstruction_ratio": None}
    content = {"run_id": "r", "levels": 1, "videos": [video], "wheel": "a.png", "scale": "4 px"}
    (folder / "pictures" / "pictures.json").write_text(json.dumps(content))


@pytest.fixture(scope="session")
def runs(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report") / "runs"
    for levels in (0, 1, 2):
        for seed in (0, 1, 2):
            kind = "progressive" if levels else "none"
            correct = 150 + 60 * levels + 3 * seed
            make.save(root, make.runs(backbone="resnet18", levels=levels, pretraining=kind, seed=seed, correct=correct))
            if levels:
                plain = {"backbone": "resnet18", "levels": levels, "pretraining": "none", "seed": seed}
                make.save(root, make.runs(**plain, correct=correct - 40 - 9 * seed * (levels - 1)))
    hostile = make.runs(
        backbone="resnet50",
        levels=1,
        environment__gpu=HOSTILE,
        alarms=[HOSTILE],
        command=["run", HOSTILE],
        unreadable={"train": 0, "test": 1, "ids": [HOSTILE]},
    )
    make.save(root, hostile)
    for path in sorted(root.glob("pretrain/*/record.json")):
        journal(path.parent / "metrics.jsonl", ("loss", "reconstruction_ratio", "top1_time_2", "chance_time_2"))
        draw(path.parent)
    for path in sorted(root.glob("finetune/*/record.json"))[1:]:
        journal(path.parent / "metrics.jsonl", ("loss", "top1"))
    (root / "test" / "half").mkdir()
    (root / "test" / "half" / "record.json").write_text("{")
    return root


@pytest.fixture(scope="session")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    frame = collect(runs)
    write_report(path, all_tables(frame, load()), frame, load())
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI installs Chromium (.ci/run)"
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Any]:
    """Opens the page; afterwards nothing may have been said on the console or asked of a network."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def go(fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri() + fragment)
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((report.as_uri(), "data:"))] == []
