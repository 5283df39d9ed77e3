"""Checks of nested plain data that collect every problem instead of stopping at the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

DEEPEST = 100
"""Levels of nesting in plain data: more is damage, and would end in a RecursionError somewhere else."""
_WHOLE = range(-(2**63), 2**63)
"""Whole numbers of a column: 64 bits."""
_LARGE = "is a whole number beyond 64 bits"
LARGEST = 1e100
"""Of a figure: sums and squares of more are beyond any float, and nothing measured comes near."""


def dig(config: Any, path: str) -> Any:
    """``config['a']['b']`` for path ``a.b``; None where a key is missing or something on the way is no mapping."""
    for key in _keys(path):
        # dict first: asking for a Mapping takes five times as long, and this is asked a hundred times a record
        if not (isinstance(config, dict) or isinstance(config, Mapping)) or key not in config:
            return None
        config = config[key]
    return config


@lru_cache(maxsize=1024)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) or isinstance(value, Mapping)


def is_plain(record: Mapping[str, Any]) -> bool:
    """Whether a glance shows that :meth:`Check.plain` has nothing to say; False = it must look.

    True only for dicts and lists of ASCII text, finite numbers, booleans and None, at most DEEPEST levels of them.
    """
    owners: list[Any] = [record]
    for _ in range(DEEPEST):
        deeper: list[Any] = []
        for owner in owners:
            if type(owner) is dict:
                try:
                    if not "".join(owner).isascii():
                        return False
                except TypeError:  # a key that is no text
                    return False
                owner = owner.values()
            for value in owner:
                kind = type(value)
                if kind is str:
                    if not value.isascii():
                        return False
                elif kind is float:
                    if not math.isfinite(value):
                        return False
                elif kind is dict or kind is list:
                    deeper.append(value)
                elif value is not None and kind is not int and kind is not bool:
                    return False
        if not deeper:
            return True
        owners = deeper
    return False


class Check:
    """Collects problems; every method does nothing where the value is missing (that is named once, by itself)."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def say(self, name: str, what: str) -> None:
        self.problems.append(f"{name} {what}")

    def plain(self, name: str, value: Any, depth: int = 0) -> None:
        if depth > DEEPEST:
            self.say(name, f"is nested more than {DEEPEST} levels deep")
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str):
                    self.say(name or "record", f"has the key {key!r}, which is not text")
                elif not _is_text(key):
                    self.say(name or "record", f"has the key {key!r}, which holds half a character")
                self.plain(f"{name}.{key}" if name else str(key), inner, depth + 1)
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                self.plain(f"{name}[{index}]", inner, depth + 1)
        elif isinstance(value, float) and not math.isfinite(value):
            self.say(name, f"is {value}: write null for what could not be measured (record.finite does)")
        elif isinstance(value, str) and not _is_text(value):
            self.say(name, f"is {value!r}, which holds half a character")
        elif not isinstance(value, str | int | float | bool | None):
            self.say(name, f"is a {type(value).__name__}, not plain JSON")

    def figures(self, name: str, values: Mapping[str, Any]) -> None:
        """Every value is a number or None."""
        for key, value in values.items():
            if value is None or type(value) is float:
                if value is not None and LARGEST < abs(value) < math.inf:
                    self.say(f"{name}.{key}", f"is {value:g}, more than any figure ({LARGEST:g})")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.say(f"{name}.{key}", f"is {value!r}, not a number")
            elif isinstance(value, int) and value not in _WHOLE:
                self.say(f"{name}.{key}", _LARGE)

    def text(self, record: Mapping[str, Any], name: str, optional: bool = False) -> None:
        value = dig(record, name)
        if (value is None and not optional and parent_has(record, name)) or (
            value is not None and (not isinstance(value, str) or not value)
        ):
            self.say(name, f"is {value!r}, not a text")

    def texts(self, record: Mapping[str, Any], name: str) -> None:
        value = dig(record, name)
        if parent_has(record, name) and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            self.say(name, "is not a list of texts")

    def number(
        self,
        record: Mapping[str, Any],
        name: str,
        whole: bool = False,
        optional: bool = False,
        low: float = 0.0,
        high: float = math.inf,
    ) -> None:
        value = dig(record, name)
        if value is None:
            if not optional and parent_has(record, name):
                self.say(name, "is null, not a number")
        elif isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            self.say(name, f"is {value!r}, not a {'whole ' if whole else ''}number")
        elif isinstance(value, int) and value not in _WHOLE:
            self.say(name, _LARGE)
        elif not low <= value <= high and math.isfinite(value):
            self.say(name, f"is {value}, outside {low:g}..{high:g}")

    def mapping(self, record: Mapping[str, Any], name: str, keys: tuple[str, ...] = ()) -> bool:
        if not parent_has(record, name):
            return False
        value = dig(record, name)
        if not _is_mapping(value):
            self.say(name, f"is a {type(value).__name__}, not an object")
            return False
        for key in keys:
            if key not in value:
                self.say(f"{name}.{key}", "is missing")
        return True


def parent_has(record: Mapping[str, Any], name: str) -> bool:
    head, _, last = name.rpartition(".")
    owner = dig(record, head) if head else record
    return _is_mapping(owner) and last in owner


def _is_text(value: str) -> bool:
    """Whether it can be written: JSON lets half of a surrogate pair through, no file and no terminal does."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
