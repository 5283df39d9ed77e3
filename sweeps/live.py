"""Showing the state of runs: a table, and a view that follows them, repainted on a terminal, line by line elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from sweeps.states import STATES, Row

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

HEAD = ("state", "run", "step", "loss", "clips/s", "left", "node", "job", "")
_NAME, _FEWEST = 1, 24
"""The column that gives way when the terminal is narrow, and the characters that it keeps."""
COLOURS = {
    "running": "cyan",
    "done": "green",
    "failed": "bold red",
    "lost": "bold red",
    "blocked": "red",
    "cancelled": "yellow",
    "preempted": "yellow",
    "requeued": "yellow",
}
_URGENT = {
    "failed": 0,
    "lost": 0,
    "running": 1,
    "requeued": 2,
    "cancelled": 3,
    "preempted": 3,
    "pending": 4,
    "blocked": 5,
}


def render(rows: Sequence[Row], width: int = 0, logs: bool = True) -> str:
    """A line for each run, the counts below and, with `logs`, the last lines of those that failed or are lost.

    No line is longer than `width`; 0 = as long as they need be.
    """
    return "\n".join([*table(rows, width), summary(rows), *(failures(rows) if logs else ())])


def table(rows: Sequence[Row], width: int = 0) -> list[str]:
    """The head, a rule, and a line for each run."""
    cells = [_cells(row) for row in rows]
    kept = [i for i in range(len(HEAD)) if i <= _NAME or i == len(HEAD) - 1 or any(line[i] for line in cells)]
    lines = [[line[i] for i in kept] for line in (HEAD, *cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rest = sum(size + 2 for i, size in enumerate(widths[:-1]) if i != _NAME)
    if width:  # the message, which comes last, is cut before names are shortened below what is legible
        widths[_NAME] = max(_FEWEST, min(widths[_NAME], width - rest - 2 - min(widths[-1], 30)))
    shown = []
    for line in lines:
        line[_NAME] = shorten(line[_NAME], widths[_NAME])
        text = "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()
        shown.append(text[: width - 1] + "…" if width and len(text) > width else text)
    rule = "  ".join("-" * size for size in widths[:-1])
    return [shown[0], rule[:width] if width else rule, *shown[1:]]


def _cells(row: Row) -> list[str]:
    step = "" if row.step is None else f"{row.step}/{row.total_steps}" if row.total_steps else str(row.step)
    return [
        row.state,
        f"{row.phase}/{row.name}",
        step,
        "" if row.loss is None else f"{row.loss:.4g}",
        "" if row.clips_per_second is None else f"{row.clips_per_second:.3g}",
        "" if row.seconds_left is None else duration(row.seconds_left),
        row.node,
        row.job,
        row.message,
    ]


def shorten(text: str, size: int) -> str:
    """At most `size` characters, the middle left out: a name ends in what makes it unique."""
    if len(text) <= size:
        return text
    end = min(13, size // 2)
    return text[: size - end - 1] + "…" + text[len(text) - end :]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} d"


def summary(rows: Sequence[Row]) -> str:
    """`12 runs: 3 running, 8 done, 1 failed; about 2.5 h left for the slowest of those that run`."""
    counts = Counter(row.state for row in rows)
    text = f"{len(rows)} runs: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    left = [row.seconds_left for row in rows if row.seconds_left is not None]
    return text + (f"; about {duration(max(left))} left for the slowest that runs" if left else "")


def failures(rows: Sequence[Row]) -> list[str]:
    """What there is to read about the runs that failed or are lost. Of those with one message, one log is enough."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.state in ("failed", "lost"):
            alike.setdefault((row.state, row.message), []).append(row)
    lines = []
    for (state, message), (first, *others) in alike.items():
        lines += ["", f"{first.phase}/{first.name} {state}: {message}"]
        lines += [f"    {line}" for line in first.log or ["(no log)"]]
        if others:
            names = ", ".join(f"{row.phase}/{row.name}" for row in others[:3]) + (", ..." if len(others) > 3 else "")
            lines.append(f"    and {len(others)} more with the same message: {names}")
    return lines


class Live:
    """Context manager that shows rows again and again.

    On a terminal the table is repainted in place, cut to the screen: what failed and what runs come first. Elsewhere
    (a file, a pipe) there is a line for each change of a run's state. Either way the log of a run that fails is printed
    once, at that moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        self._seen: dict[str, str] = {}
        self._counts = self._note = ""

    def __enter__(self) -> Live:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live as RichLive

            self._console: Console = Console(file=self.stream, highlight=False)
            self._live = RichLive(console=self._console, auto_refresh=False)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.terminal:
            self._live.__exit__(kind, error, trace)

    def show(self, rows: Sequence[Row], note: str = "") -> None:
        """Show how the runs do now, and a line below."""
        changed = [row for row in rows if self._seen.get(row.run_id) != row.state]
        new = not self._seen
        self._seen = {row.run_id: row.state for row in rows}
        logs = failures(changed)
        if self.terminal:
            from rich.text import Text

            for line in logs:
                self._console.print(Text(line), soft_wrap=True)
            size = self._console.size
            picture = paint(rows, size.width, size.height - 2 - bool(note))
            self._live.update(picture.append(f"\n{note[: size.width]}" if note else ""), refresh=True)
            return
        now = time.strftime("%H:%M:%S")
        # at first the counts say enough of those that stay as they are
        news = [row for row in changed if not new or row.state in ("running", "failed", "lost")]
        lines = [f"{now} {self._line(row)}" for row in news] + logs
        if (counts := summary_of_states(rows)) != self._counts:
            lines.append(f"{now} {counts}")
        if note and note != self._note:
            lines.append(f"{now} {note}")
        self._counts, self._note = summary_of_states(rows), note
        for line in lines:
            print(line, file=self.stream)
        self.stream.flush()

    @staticmethod
    def _line(row: Row) -> str:
        where = " ".join(filter(None, [row.job and f"job {row.job}", row.node and f"on {row.node}"]))
        cells = [row.state, f"{row.phase}/{row.name}", where and f"({where})", row.message]
        return " ".join(filter(None, cells))


def summary_of_states(rows: Sequence[Row]) -> str:
    return summary(rows).partition(";")[0]


def paint(rows: Sequence[Row], width: int, height: int) -> Text:
    """The table in colours, at most `height` lines: if there are more runs, the quiet ones are only counted."""
    from rich.text import Text

    room = max(1, height - 4)
    chosen = list(rows)
    if len(rows) > room:
        order = sorted(range(len(rows)), key=lambda i: (_URGENT.get(rows[i].state, 6), i))
        chosen = [rows[i] for i in sorted(order[:room])]
    text = Text()
    for number, line in enumerate(table(chosen, width)):
        style = COLOURS.get(chosen[number - 2].state, "") if number > 1 else "bold"
        text.append(line + "\n", style=style)
    if left := len(rows) - len(chosen):
        text.append(f"... and {left} more\n", style="dim")
    text.append(summary(rows)[:width])
    return text
