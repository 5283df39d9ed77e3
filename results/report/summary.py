"""What a reader wants to know first: what was measured, on what, and how it compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from results.reference.model import References
from results.report.data import Details
from results.table import Table, cells_of

JUDGED = ("reproduced", "within noise", "above", "below")
ORDER = (*JUDGED, "incomparable", "single run", "missing", "not transcribed")


@dataclass(frozen=True)
class Overview:
    facts: list[tuple[str, str]]
    verdicts: list[tuple[str, int]]
    rule: str
    judged: str


def overview(tables: Sequence[Table], details: Details, references: References) -> Overview:
    records = [run.record for run in details.runs.values()]
    phases = Counter(str(record["phase"]) for record in records)
    facts = [
        ("runs", f"{len(records)}: " + ", ".join(f"{count} {name}" for name, count in sorted(phases.items()))),
        ("benchmarks", _list(f"{record['data']['benchmark']} {record['data']['version']}" for record in records)),
        ("profiles", _list(str(record["profile"]) for record in records)),
        ("backbones", _list(str(record["config"]["model"]["backbone"]["name"]) for record in records)),
        ("chance", _list(f"{record['chance']:.3g} %" for record in records if record["phase"] == "test")),
        ("seeds", _list(str(record["seed"]) for record in records)),
        ("code", _list(str(record["code"]["fingerprint"])[:12] for record in records)),
        ("commits", _list(_commit(record["code"]) for record in records)),
        ("machines", _list(_machine(record["environment"]) for record in records)),
        ("finished", _span([str(record["finished"]) for record in records])),
        ("published figures", f"{len(references.published)} of others, each with its line of source"),
        ("the paper's figures", f"{references.transcribed} of {len(references.paper)} slots transcribed"),
    ]
    judged = [cell.comparison.verdict for table in tables for cell in cells_of(table) if cell.comparison]
    counts = Counter(map(str, judged))
    rule = next((table.rule for table in tables if table.rule), "")
    return Overview(facts, [(name, counts[name]) for name in ORDER if counts[name]], rule, _judged(counts))


def _judged(counts: Counter[str]) -> str:
    """What the verdicts come to, in a sentence that nobody can take for a reproduction."""
    judged = sum(counts[name] for name in JUDGED)
    if judged:
        return f"{judged} printed figures are judged; {counts['incomparable']} are incomparable."
    why = {
        "incomparable": "ours differ in what makes figures comparable",
        "single run": "ours are single runs",
        "missing": "no run of ours gives the figure",
        "not transcribed": "nobody has entered the printed figure",
    }
    parts = [f"for {counts[name]} {why[name]}" for name in why if counts[name]]
    return f"No figure of ours is judged against a published one yet: {', '.join(parts)}." if parts else ""


def _list(values: object) -> str:
    found = sorted({str(value) for value in values})  # type: ignore[attr-defined]
    return ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "") if found else "none"


def _commit(code: dict[str, object]) -> str:
    return f"{str(code['commit'] or 'unknown')[:12]}{' (dirty)' if code['dirty'] else ''}"


def _machine(environment: dict[str, object]) -> str:
    kind = environment.get("gpu") or environment.get("cpu") or environment.get("device") or "unknown"
    return f"{kind}, {environment.get('cores', '?')} cores, torch {environment['torch']}"


def _span(times: list[str]) -> str:
    days = sorted(time[:10] for time in times)
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
