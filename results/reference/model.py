"""Figures of others, and where each was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from results.reference.names import AXES
from results.table import Published

CONDITIONS_OF_A_ROW = (
    "method",
    "backbone",
    "temporal",
    "frames",
    "pretrain",
    "benchmark",
    "split",
    "setting",
    "metric",
    "protocol",
    "protocol_name",
    "reported_by",
    "data",
    "decoder",
    "note",
)
"""What makes a row comparable with another one or not."""


class ReferenceError(ValueError):
    """Reference data that cannot be used; ``problems`` lists all that is wrong, one string each."""

    def __init__(self, problems: list[str], where: str = "the reference data") -> None:
        self.problems = list(problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {where}"
        super().__init__("\n".join([count + ":", *problems]))


@dataclass(frozen=True)
class PublishedRow:
    """A figure of another method, of published.csv. '' = its source does not say."""

    key: str
    method: str
    paper_title: str
    paper_year: int | None
    backbone: str
    temporal: str
    """Ours, descriptive: how frames meet each other (2D, shift, 3D, ...)."""
    frames: str
    pretrain: str
    protocol: str
    """As the source says it, or its configuration at the same commit."""
    protocol_name: str
    """Of benchmarks/protocols, where `protocol`, `frames` and the source's code say exactly that; else ''."""
    benchmark: str
    split: str
    setting: str
    metric: str
    value: float
    """Per cent."""
    text: str
    """The figure as printed."""
    gflops: str
    """As printed, only where the same row of the source prints it."""
    params_m: str
    """Millions, as printed, only where the same row of the source prints it."""
    source_repo: str
    source_path: str
    source_commit: str
    source_line: int
    reported_by: str
    """authors | reimplementation | third-party quote."""
    note: str
    ours: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Axes (results/reference/names.py) of our row that is the same method; {} = we have none."""
    data: str = ""
    """The copy of the data set, where the source says that it is not the original one."""
    decoder: str = ""
    """What turned videos into frames, as the source says it."""

    @property
    def source(self) -> str:
        """Complete, on one line."""
        return f"{self.source_repo}, {self.source_path}, commit {self.source_commit}, line {self.source_line}"

    @property
    def link(self) -> str:
        """To the line in its repository."""
        return f"https://github.com/{self.source_repo}/blob/{self.source_commit}/{self.source_path}#L{self.source_line}"

    def published(self) -> Published:
        conditions = tuple((name, getattr(self, name)) for name in CONDITIONS_OF_A_ROW if getattr(self, name))
        return Published(self.key, self.value, self.text, self.source, conditions)


@dataclass(frozen=True)
class PaperCell:
    """One figure of the paper's own tables, of hcml.yaml; all but `key` and `ours` is empty until it is transcribed."""

    key: str
    ours: Mapping[str, Any] = field(hash=False)
    """Axes of our cell that it is compared with: benchmark, backbone, levels, metric, ...; no setting = supervised."""
    arxiv: str
    """Id with version."""
    table: str
    row: str
    column: str
    text: str
    """The figure as printed."""
    value: float | None
    """Per cent."""
    conditions: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the paper says of how it was measured (CONDITIONS of results/reference/schema.py)."""

    @property
    def benchmark(self) -> str:
        return str(self.ours["benchmark"])

    @property
    def setting(self) -> str:
        return str(self.ours.get("setting", "supervised"))

    @property
    def source(self) -> str:
        """Complete, on one line; '' = not transcribed."""
        return f'arXiv {self.arxiv}, {self.table}, row "{self.row}", column "{self.column}"' if self.text else ""

    @property
    def link(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}" if self.text else ""

    def published(self) -> Published | None:
        """None = not transcribed."""
        if self.value is None:
            return None
        names = [name for name in AXES if name in self.ours] + sorted(set(self.ours) - set(AXES))
        conditions = [(name, str(self.ours[name])) for name in names] + list(self.conditions.items())
        return Published(self.key, self.value, self.text, self.source, tuple(conditions))


@dataclass(frozen=True)
class References:
    published: list[PublishedRow]
    paper: list[PaperCell]

    def paper_cell(self, **ours: Any) -> PaperCell | None:
        """The cell of the paper for exactly these axes of ours (setting="supervised" is the same as none)."""
        wanted = without_default(ours)
        return next((cell for cell in self.paper if cell.ours == wanted), None)

    @property
    def transcribed(self) -> int:
        return sum(cell.value is not None for cell in self.paper)


def without_default(ours: Mapping[str, Any]) -> dict[str, Any]:
    """The same axes, written the one way that hcml.yaml writes them."""
    return {name: value for name, value in ours.items() if (name, value) != ("setting", "supervised")}
