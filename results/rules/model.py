"""A rule, and how a file of rules is read."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from results.record import PHASES
from results.rules.folder import FILES, RunFolder
from results.rules.runs import Runs

LEVELS = ("error", "warning")
FILE = Path(__file__).with_name("runs.yaml")

CheckFunction = Callable[..., Iterator[str]]
"""(run, all runs, **parameters) -> one text for each reason why the run breaks the rule."""
_CHECKS: dict[str, CheckFunction] = {}
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "float": (int, float), "bool": (bool,)}


class RuleError(ValueError):
    """A rules file that cannot be used; the text lists everything that is wrong with it."""


@dataclass(frozen=True)
class Rule:
    """`text` says what is demanded; `check` with `parameters` finds what breaks it, in runs of `phases` that have all
    of the files that the rule `needs`."""

    id: str
    text: str
    level: str
    check: str
    phases: tuple[str, ...] = PHASES
    needs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def broken_by(self, run: RunFolder, runs: Runs) -> Iterator[str]:
        """The reasons why `run` breaks the rule; none if it holds or does not apply."""
        if run.phase not in self.phases and set(self.phases) != set(PHASES):
            return
        if any(getattr(run, kind) is None for kind in self.needs):
            return
        try:
            yield from _CHECKS[self.check](run, runs, **self.parameters)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            # a record may be valid and hold values of kinds that no code of ours writes
            yield f"cannot be checked, for the run's files hold something unforeseen ({type(error).__name__}: {error})"


def check(function: CheckFunction) -> CheckFunction:
    """Makes a function a check that rules can name. Its parameters are keyword-only and annotated."""
    _CHECKS[function.__name__] = function
    return function


def load_rules(path: str | Path = FILE) -> list[Rule]:
    """Raises :class:`RuleError` with every problem of the file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise RuleError(f"{path}: cannot be read: {error}") from error
    plain = content.get("rules") if isinstance(content, Mapping) else None
    if not isinstance(plain, list) or not plain or set(content) != {"rules"}:
        raise RuleError(f"{path}: holds no list of rules under the one key `rules`")
    problems: list[str] = []
    rules = [rule for index, one in enumerate(plain) if (rule := _rule(one, index, problems)) is not None]
    ids = [rule.id for rule in rules]
    problems += [f"{name}: is the id of two rules" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if problems:
        raise RuleError(f"{path}: " + "; ".join(problems))
    return rules


def _rule(plain: Any, index: int, problems: list[str]) -> Rule | None:
    before = len(problems)
    if not isinstance(plain, Mapping):
        problems.append(f"rule {index + 1} is no mapping")
        return None
    name = str(plain.get("id") or f"rule {index + 1}")

    def say(what: str) -> None:
        problems.append(f"{name}: {what}")

    keys = {"id", "text", "level", "check", "phases", "needs", "with"}
    for key in sorted(map(str, set(plain) - keys)):
        say(f"unknown key {key}, known are {', '.join(sorted(keys))}")
    for key in ("id", "text", "level", "check"):
        if not isinstance(plain.get(key), str) or not plain.get(key):
            say(f"{key} must be a text")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        say("an id is lower-case words joined by -")
    if plain.get("level") not in LEVELS:
        say(f"level={plain.get('level')!r} is not one of {', '.join(LEVELS)}")
    phases = _names(plain.get("phases", list(PHASES)), PHASES, "phases", say)
    needs = _names(plain.get("needs", []), tuple(FILES), "needs", say)
    parameters = plain.get("with", {})
    if not isinstance(parameters, Mapping):
        say("with must be a mapping of parameters")
    elif not isinstance(plain.get("check"), str) or plain["check"] not in _CHECKS:
        say(f"there is no check {plain.get('check')!r}; there are {', '.join(sorted(_CHECKS))}")
    else:
        _check_parameters(_CHECKS[plain["check"]], parameters, say)
    if len(problems) > before:
        return None
    return Rule(name, plain["text"], plain["level"], plain["check"], phases, needs, dict(parameters))


def _names(value: Any, known: tuple[str, ...], what: str, say: Callable[[str], None]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(name in known for name in value):
        say(f"{what}={value!r} must be a list of {', '.join(known)}")
        return ()
    return tuple(value)


def _check_parameters(function: CheckFunction, given: Mapping[str, Any], say: Callable[[str], None]) -> None:
    wanted = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name in sorted(map(str, set(given) - set(wanted))):
        say(f"check {function.__name__} has no parameter {name}")
    for name, parameter in wanted.items():
        if name not in given:
            if parameter.default is inspect.Parameter.empty:
                say(f"check {function.__name__} needs the parameter {name}")
            continue
        if not _is_kind(given[name], str(parameter.annotation)):
            say(f"{name}={given[name]!r} is no {parameter.annotation}")
        elif name == "pattern":
            try:
                re.compile(given[name])
            except re.error as error:
                say(f"pattern={given[name]!r}: {error}")


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind == "dict[str, list[str]]":
        return isinstance(value, dict) and all(_is_kind(item, "list[str]") for item in value.values())
    if isinstance(value, float) and not math.isfinite(value):
        return False  # nothing is less or more than nan: a rule with it would never be broken
    return isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
