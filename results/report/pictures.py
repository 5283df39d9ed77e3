"""What the motion module learned, in pictures: those that lie beside the records of pretraining runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results.report.data import Details, RunDetails
from results.report.kinds import kinds

MAX_BYTES = 400_000
"""A set larger than this is not embedded."""


@dataclass(frozen=True)
class Picture:
    name: str
    note: str
    source: str
    """A data URI."""


@dataclass(frozen=True)
class Video:
    title: str
    figures: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Section:
    run: str
    title: str
    scale: str
    wheel: str
    videos: list[Video]
    trouble: str
    opened: bool = False
    """The one to be seen first: the deepest that sees motion."""


def picture_sections(details: Details) -> list[Section]:
    """One for each kind of pretraining run (the lowest seed of it), as far as somebody has drawn its pictures."""
    drawn = {
        key: run for key, run in details.runs.items()
        if run.record["phase"] == "pretrain" and (run.folder / "pictures" / "pictures.json").is_file()
    }  # fmt: skip
    names = kinds({key: run.record for key, run in drawn.items()})
    chosen: dict[str, RunDetails] = {}
    for key, run in sorted(drawn.items(), key=lambda item: (item[1].record["seed"], item[1].name)):
        chosen.setdefault(names[key], run)
    sections = [_section(name, run) for name, run in sorted(chosen.items())]
    if sections:
        best = max(
            range(len(sections)), key=lambda place: (not sections[place].trouble, *_depth(chosen, sections[place]))
        )
        sections[best] = replace(sections[best], opened=True)
    return sections


def _depth(chosen: Mapping[str, RunDetails], section: Section) -> tuple[bool, int]:
    model = chosen[section.title].record["config"]["model"]
    return (model.get("motion") or {}).get("input") != "static", int(model["levels"])


def _section(title: str, run: RunDetails) -> Section:
    folder = run.folder / "pictures"
    try:
        content = json.loads((folder / "pictures.json").read_text(encoding="utf-8"))
        if sum(file.stat().st_size for file in folder.iterdir()) > MAX_BYTES:
            raise ValueError(f"the set is larger than {MAX_BYTES} bytes")
        videos = [_video(folder, video) for video in content["videos"]]
        return Section(run.name, title, str(content["scale"]), _uri(folder, content["wheel"]), videos, "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Section(run.name, title, "", "", [], f"the pictures cannot be shown: {error}")


def _video(folder: Path, video: dict[str, Any]) -> Video:
    figures = []
    if video.get("end_point_error") is not None:
        figures.append(f"end-point error {video['end_point_error']:.2f} px")
    if video.get("reconstruction_ratio") is not None:
        figures.append(f"reconstruction ratio {video['reconstruction_ratio']:.2f}")
    pictures = [
        Picture(str(image["name"]), str(image["note"]), _uri(folder, image["file"])) for image in video["images"]
    ]
    title = ": ".join(part for part in (str(video["group"]), str(video["class"])) if part)
    return Video(title, ", ".join(figures), pictures)


def _uri(folder: Path, name: str) -> str:
    if Path(name).name != name or not name.endswith(".png"):
        raise ValueError(f"{name!r} is not the name of a PNG file beside pictures.json")
    return "data:image/png;base64," + base64.b64encode((folder / name).read_bytes()).decode()
