"""``python -m results.check RUN_OR_FOLDER... [--rules FILE] [--json] [--strict]``: what is wrong with runs.

Run folders, a store of them (all phases) or results/records are held against the rules of results/rules/runs.yaml.
What is damaged, half-written or foreign is named with the rest, never fatal. Exit code 0 when no rule of level `error`
is broken, 1 otherwise (with ``--strict``: when any rule is), 2 for a rules file or an equivalent.json that cannot be
used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from results.command import one_line, run
from results.equivalent import EquivalentError, canonical

# imported for the checks that they define
from results.rules import on_files, on_lineage, on_predictions, on_records  # noqa: F401
from results.rules.folder import RunFolder
from results.rules.model import FILE, Rule, RuleError, load_rules
from results.rules.runs import Runs, find_runs

FOREIGN = "foreign"
"""Instead of a rule's id: something that lies among run folders and is none."""


@dataclass(frozen=True)
class Finding:
    """A reason why a run breaks a rule."""

    path: str
    run_id: str
    """'' where there is no valid record to say it."""
    rule: str
    level: str
    what: str


@dataclass(frozen=True)
class Report:
    findings: tuple[Finding, ...]
    """By path, then in the order of the rules."""
    runs: int
    rules: int

    def count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    def passed(self, strict: bool = False) -> bool:
        return not self.count("error") and not (strict and self.findings)


def check_runs(paths: Iterable[str | os.PathLike[str]], rules: Sequence[Rule]) -> Report:
    """Holds every run folder at and below `paths` against `rules`."""
    runs = find_runs(paths)
    findings = [Finding(path, "", FOREIGN, "error", why) for path, why in runs.foreign]
    while runs.folders:
        findings += _findings(runs.folders.pop(0), runs, rules)
    return Report(tuple(findings), runs.count, len(rules))


def _findings(run: RunFolder, runs: Runs, rules: Sequence[Rule]) -> Iterator[Finding]:
    for rule in rules:
        for what in rule.broken_by(run, runs):
            run_id = run.record["run_id"] if run.record else ""
            yield Finding(str(run.path), run_id, rule.id, rule.level, what)


def lines(report: Report, strict: bool = False) -> Iterator[str]:
    """The report to be read: by run, then by rule, errors and warnings as they come; the last line is the verdict."""
    before = None
    for finding in report.findings:
        if finding.path != before:
            yield one_line(finding.path)
            before = finding.path
        yield f"  {finding.level:7} {finding.rule}: {one_line(finding.what)}"
    verdict = "SUCCESS" if report.passed(strict) else "FAILURE"
    counts = [
        f"{report.count(level)} {level}{'' if report.count(level) == 1 else 's'}" for level in ("error", "warning")
    ]
    runs = f"{report.runs} run folder{'' if report.runs == 1 else 's'}"
    yield f"{verdict}: {runs}, {report.rules} rules, {', '.join(counts)}"


def as_json(report: Report, strict: bool = False) -> dict[str, Any]:
    counts = {f"{level}s": report.count(level) for level in ("error", "warning")}
    found = [asdict(finding) for finding in report.findings]
    return {"success": report.passed(strict), "runs": report.runs, "rules": report.rules, **counts, "findings": found}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m results.check", description="Holds run folders against rules.", allow_abbrev=False
    )
    parser.add_argument("paths", nargs="+", metavar="RUN_OR_FOLDER", help="run folders, or folders of them")
    parser.add_argument("--rules", default=str(FILE), metavar="FILE", help="rules in place of results/rules/runs.yaml")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.add_argument("--strict", action="store_true", help="warnings fail, too")
    options = parser.parse_args(arguments)
    try:
        rules = load_rules(options.rules)
        canonical("")
    except (RuleError, EquivalentError) as error:
        print(error, file=sys.stderr)
        return 2
    report = check_runs(options.paths, rules)
    if options.json:
        print(json.dumps(as_json(report, options.strict), indent=1))
    else:
        print("\n".join(lines(report, options.strict)))
    return 0 if report.passed(options.strict) else 1


if __name__ == "__main__":
    sys.exit(run(main))
