"""docs/results.md says what the commands do: every rule has its place, the rule it shows can be used."""

from __future__ import annotations

import re
from pathlib import Path

from results.check import main
from results.rules.model import load_rules
from tests.results.rules.conftest import Store
from tests.results.rules.conftest import store as store  # noqa: F401  (a fixture)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()


def test_every_rule_is_listed_once() -> None:
    _, table = PAGE.split("| what | rules |\n")
    rows = table.partition("\n\n")[0].splitlines()[1:]
    named = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    assert sorted(named) == sorted(rule.id for rule in load_rules())


def test_the_rule_that_the_page_shows_works(store: Store, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    rules = tmp_path / "rules.yaml"
    rules.write_text(example)
    assert main([str(store.root), "--rules", str(rules)]) == 1
    store.change("test", "profile", "full")
    assert main([str(store.root), "--rules", str(rules)]) == 0


def test_the_kinds_of_change_are_explained() -> None:
    from results.diff import TOLD

    words = {word for row in re.findall(r"^\| ([a-z, ]+) \|", PAGE, flags=re.MULTILINE) for word in row.split(", ")}
    assert set(TOLD) <= words
