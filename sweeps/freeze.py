"""Plain types -> run dataclasses: a run folder's frozen config.json becomes exactly what was planned."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hcml.config import ConfigError, FinetuneRun, PretrainRun, ProbeRun, RetrievalRun, RunConfig, Runtime, TestRun

T = TypeVar("T")

RUNS: dict[str, type] = {cls.phase: cls for cls in (PretrainRun, FinetuneRun, ProbeRun, RetrievalRun, TestRun)}


def run_from_dict(plain: Mapping[str, Any]) -> RunConfig:
    """The inverse of :func:`hcml.config.to_dict` for the run dataclasses.

    Raises :class:`ConfigError` on an unknown phase or on keys that this code does not know or misses (a folder
    written by another version).
    """
    values = dict(plain)
    phase = values.pop("phase", None)
    if phase not in RUNS:
        raise ConfigError(f"phase={phase!r} is not one of {', '.join(RUNS)}")
    return build(RUNS[phase], values, str(phase))


def runtime_from_dict(plain: Mapping[str, Any]) -> Runtime:
    return build(Runtime, plain, "runtime")


def build(cls: type[T], plain: Mapping[str, Any], where: str) -> T:
    """Nested dataclasses from nested plain types; `where` names the place in error messages."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if set(plain) != known:
        raise ConfigError(
            f"{where}: keys differ from this code's {cls.__name__}: "
            f"unknown {sorted(set(plain) - known)}, missing {sorted(known - set(plain))}"
        )
    hints = get_type_hints(cls)
    return cls(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in plain.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is types.UnionType:  # `X | None`
        if value is None:
            return None
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    if is_dataclass(hint):
        return build(hint, value, where)  # type: ignore[arg-type]
    if isinstance(value, list):
        return list(value)
    return value
