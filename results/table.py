"""What a table is: cells that know their figures, what they are compared with, and the runs behind them.

Nothing here computes or renders: :mod:`results.tables` makes tables, :mod:`results.render` and :mod:`results.report`
show them. Every rendering of a cell shows the same :attr:`Cell.text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

MISSING = "missing"
"""No finished run gives the figure; the cell's command makes one."""
NOT_TRANSCRIBED = "not transcribed"
"""A figure that the source prints, as far as is known, and that nobody has copied from there yet."""
NOT_APPLICABLE = "-"

Kind = Literal["label", "measured", "published", "missing", "not transcribed", "not applicable"]
IntervalKind = Literal["seeds", "videos", "binomial"]
Verdict = Literal[
    "", "reproduced", "within noise", "above", "below", "incomparable", "single run", "missing", "not transcribed"
]


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the figure."""

    low: float
    high: float
    kind: IntervalKind
    """What varies: seeds (Student t over independent pretrainings), videos (bootstrap over the test videos of one run:
    "video sampling only"), binomial (exact, Clopper-Pearson, over the test videos of one run)."""
    confidence: float = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure as measured by runs that differ in nothing but their seeds."""

    mean: float
    sd: float | None
    """Over the `independent` values (ddof = 1); None for one."""
    runs: int
    independent: int
    """Pretrainings behind the runs (runs that share one are not independent); = runs where nothing is shared."""
    interval: Interval | None = None


@dataclass(frozen=True)
class Published:
    """A figure of somebody else, exactly as its source prints it."""

    key: str
    """Names the row of results/reference."""
    value: float
    text: str
    source: str
    """Complete, on one line: repository, path, commit and line; or arXiv id with version, table, row and column."""
    conditions: tuple[tuple[str, str], ...] = ()
    """(name, value) of what makes it comparable or not: benchmark, backbone, frames, pretrain, protocol, ..."""


@dataclass(frozen=True)
class Comparison:
    """A measured figure beside another one, d = ours - the other."""

    other: str
    """What it is compared with, to be read."""
    difference: float | None
    interval: Interval | None
    """Of the difference; between seeds if n >= 2 on both sides or the other is a printed number."""
    verdict: Verdict = ""
    """'' for a comparison between two of our own arms."""
    reason: str = ""
    """For `incomparable`: everything that differs; otherwise '' or a word on how it was found."""


@dataclass(frozen=True)
class Cell:
    """`text` is all that is shown of a cell in a grid, in plain characters that every renderer escapes."""

    text: str
    kind: Kind = "label"
    estimate: Estimate | None = None
    published: Published | None = None
    comparison: Comparison | None = None
    runs: tuple[str, ...] = ()
    """Full ids of the runs behind the figure, sorted."""
    command: str = ""
    """For `missing`: what to type to fill the cell."""
    best: bool = False
    """The best of its column among comparable measured cells, of a mean over all seeds: never of one lucky seed."""


@dataclass(frozen=True)
class Column:
    name: str
    """Unique within its table."""
    kind: Literal["label", "figure"] = "figure"
    unit: str = ""
    better: Literal["", "higher", "lower"] = ""


@dataclass(frozen=True)
class Row:
    cells: tuple[Cell, ...]
    """As many as the table has columns."""
    block: str = ""
    """Rows of different blocks differ in what makes results incomparable (protocol, data, decoder, code); '' = one."""
    kind: Literal["", "chance", "published"] = ""

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(sorted({run for cell in self.cells for run in cell.runs}))


@dataclass(frozen=True)
class Table:
    name: str
    """A file name without suffix, and the table's id in every rendering: [a-z0-9_]+."""
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    experiment: str = ""
    """The sweep that fills it: a file of sweeps/conf/experiment, without suffix."""
    rule: str = ""
    """How verdicts are found, printed under the table; '' where it gives none."""
    names: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(run id, name of the run's folder) of every run in the table."""

    def texts(self) -> list[list[str]]:
        """The grid as it is shown, without the header."""
        return [[cell.text for cell in row.cells] for row in self.rows]

    @property
    def header(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def missing(self) -> tuple[str, ...]:
        """The commands that fill the missing cells, each once, in the order of the cells."""
        return tuple(dict.fromkeys(cell.command for cell in cells_of(self) if cell.kind == "missing" and cell.command))


def cells_of(table: Table) -> Iterable[Cell]:
    return (cell for row in table.rows for cell in row.cells)


def label(text: object) -> Cell:
    return Cell(str(text))


def missing(command: str = "") -> Cell:
    return Cell(MISSING, "missing", command=command)


def not_applicable() -> Cell:
    return Cell(NOT_APPLICABLE, "not applicable")
