"""What all configuration dataclasses share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot run; the message says why and what to change."""


def choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key}={value!r} is not one of {', '.join(allowed)}")


def at_least(key: str, value: float, low: float) -> None:
    if not value >= low:
        raise ConfigError(f"{key}={value} must be at least {low}")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain types, its phase included (what is hashed, stored and compared)."""
    plain = asdict(config)
    if hasattr(config, "phase"):
        plain["phase"] = config.phase
    return plain
