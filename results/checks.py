"""Checks of nested plain data that collect every problem instead of stopping at the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def dig(config: Any, path: str) -> Any:
    """``config['a']['b']`` for path ``a.b``; None where a key is missing or something on the way is no mapping."""
    for key in path.split("."):
        if not isinstance(config, Mapping) or key not in config:
            return None
        config = config[key]
    return config


class Check:
    """Collects problems; every method does nothing where the value is missing (that is named once, by itself)."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def say(self, name: str, what: str) -> None:
        self.problems.append(f"{name} {what}")

    def plain(self, name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str):
                    self.say(name or "record", f"has the key {key!r}, which is not text")
                self.plain(f"{name}.{key}" if name else str(key), inner)
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                self.plain(f"{name}[{index}]", inner)
        elif isinstance(value, float) and not math.isfinite(value):
            self.say(name, f"is {value}: write null for what could not be measured (record.finite does)")
        elif not isinstance(value, str | int | float | bool | None):
            self.say(name, f"is a {type(value).__name__}, not plain JSON")

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
        elif not low <= value <= high and math.isfinite(value):
            self.say(name, f"is {value}, outside {low:g}..{high:g}")

    def mapping(self, record: Mapping[str, Any], name: str, keys: tuple[str, ...] = ()) -> bool:
        if not parent_has(record, name):
            return False
        value = dig(record, name)
        if not isinstance(value, Mapping):
            self.say(name, f"is a {type(value).__name__}, not an object")
            return False
        for key in keys:
            if key not in value:
                self.say(f"{name}.{key}", "is missing")
        return True


def parent_has(record: Mapping[str, Any], name: str) -> bool:
    head, _, last = name.rpartition(".")
    owner = dig(record, head) if head else record
    return isinstance(owner, Mapping) and last in owner
