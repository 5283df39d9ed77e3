"""Which arms differ in nothing but what an ablation varies: the blocks in which its rows are compared.

A setting has a scope: those of motion blocks mean nothing for a plain backbone (levels = 0), those of the pretraining
nothing without one. So a plain or an unpretrained arm is the baseline of every block whose other settings it shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from results.arm import IDENTITY, MOTION_KEYS, Arm, is_setting, value_text

Label = tuple[str, ...]
Settings = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scoped:
    """What an arm sets, as (key, value) pairs; None where the scope does not apply to it."""

    base: Settings
    motion: Settings | None
    pretraining: Settings | None

    @property
    def pairs(self) -> Settings:
        return self.base | (self.motion or frozenset()) | (self.pretraining or frozenset())

    @property
    def depth(self) -> int:
        return (self.motion is not None) + (self.pretraining is not None)


@dataclass(frozen=True)
class Block:
    """Labelled arms which differ in what the ablation varies alone; `own` are those that made the block."""

    settings: Scoped
    arms: tuple[tuple[Label, Arm], ...]
    """Two arms with one label differ in something that the ablation sets and its label does not say."""
    own: tuple[Label, ...]

    @cached_property
    def identity(self) -> str:
        """Blocks of different identities are not comparable at all."""
        return "; ".join(sorted(value for name, value in self.settings.base if name in IDENTITY))


class Varying:
    """The settings that differ anywhere among some arms, found once for all ablations."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        values: dict[str, set[str]] = {}
        for arm in arms:
            for name, value in arm.first.items():
                if is_setting(name):
                    values.setdefault(name, set()).add(value_text(value))
        self.names = sorted(name for name, found in values.items() if len(found) > 1)
        self._pairs = {id(arm): self._of(arm) for arm in arms}
        self._arms = arms  # ids are those of living objects
        self._keys = {key for pairs in self._pairs.values() for _, key, _ in pairs}
        self._free: dict[tuple[str, ...], set[str]] = {}

    def _of(self, arm: Arm) -> list[tuple[str, str, tuple[str, str]]]:
        found = []
        for name in self.names:
            phase, _, key = name.rpartition(".") if name in IDENTITY else name.partition(".")
            if name in IDENTITY:
                scope = "pretraining" if name == "pretrain_manifest" else "base"
                key = name
            elif phase == "pretrain":
                scope = "pretraining"
            else:
                scope = "motion" if key.startswith(MOTION_KEYS) else "base"
            text = value_text(arm.first.get(name))
            found.append((scope, key, (name, text)))
        return found

    def of(self, arm: Arm, owned: Sequence[str]) -> Scoped:
        """owned: keys without their phase (or parts of keys, up to a dot) that the ablation sets."""
        if tuple(owned) not in self._free:
            heads = tuple(f"{name}." for name in owned)
            self._free[tuple(owned)] = {key for key in self._keys if not f"{key}.".startswith(heads)}
        free = self._free[tuple(owned)]
        sets: dict[str, set[tuple[str, str]]] = {"base": set(), "motion": set(), "pretraining": set()}
        for scope, key, pair in self._pairs[id(arm)]:
            if key in free:
                sets[scope].add(pair)
        pretrained = bool(arm.first["pretrain_id"]) or str(arm["pretraining"]) not in ("none",)
        motion = frozenset(sets["motion"]) if arm["levels"] else None
        return Scoped(frozenset(sets["base"]), motion, frozenset(sets["pretraining"]) if pretrained else None)


def blocks_of(labelled: Iterable[tuple[Label, Arm]], varying: Varying, owned: Sequence[str]) -> list[Block]:
    """The blocks of some arms, in the order in which their first arm comes.

    Arms with motion but no pretraining, and plain ones, join every block that agrees with them in the scopes that apply
    to them; where there is none, they make a block of their own.
    """
    items = [(label, arm, varying.of(arm, owned)) for label, arm in labelled]
    found: dict[Scoped, list[tuple[Label, Arm]]] = {}
    own: dict[Scoped, list[Label]] = {}
    below: dict[tuple[Any, ...], list[Scoped]] = {}
    for depth in (2, 1, 0):
        for label, arm, settings in items:
            if settings.depth != depth:
                continue
            homes = [] if depth == 2 else below.get(_key(settings), [])
            if not homes:
                homes = [settings]
                found.setdefault(settings, [])
                own.setdefault(settings, []).append(label)
                for key in _keys_below(settings):
                    if settings not in below.setdefault(key, []):
                        below[key].append(settings)
            for home in homes:
                found[home].append((label, arm))
    return [Block(settings, tuple(arms), tuple(own[settings])) for settings, arms in found.items()]


def _key(settings: Scoped) -> tuple[Any, ...]:
    return (settings.base,) if settings.motion is None else (settings.base, settings.motion)


def _keys_below(settings: Scoped) -> list[tuple[Any, ...]]:
    keys: list[tuple[Any, ...]] = []
    if settings.motion is not None:
        keys.append((settings.base,))
        if settings.pretraining is not None:
            keys.append((settings.base, settings.motion))
    return keys
