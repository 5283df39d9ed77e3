"""`python -m sweeps.checks.weights NAME PRETRAINED`: are the weights of a backbone here, whole, offline?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from sweeps.checks.finding import Finding, isolated, ok, problem, say, warning
from sweeps.checks.site import Site

OVERRIDES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
"""If set, huggingface_hub looks there and HF_HOME, which `paths.cache` sets, is not read for weights."""


def weights(site: Site, timeout: float = 120.0) -> Iterator[Finding]:
    """A line for each pretrained backbone that was typed, and what the offline settings are."""
    wanted = {
        (settings["backbone"]["name"], settings["backbone"]["pretrained"])
        for settings in site.all_settings
        if settings["backbone"]["pretrained"] and settings["init"] != "scratch"
    }
    for name, pretrained in sorted(wanted):
        env = site.environment | {"HF_HUB_OFFLINE": "1"}
        yield from isolated(f"weights {name}", "sweeps.checks.weights", [name, pretrained], timeout, env)
    if not wanted:
        yield ok("weights", "no pretrained weights are asked for")
    yield offline(site, any(pretrained == "timm" for _, pretrained in wanted))


def offline(site: Site, needed: bool) -> Finding:
    """`needed`: weights come from timm's cache."""
    name, home = "cache", site.environment.get("HF_HOME") or os.environ.get("HF_HOME", "")
    other = next((key for key in OVERRIDES if os.environ.get(key)), "")
    setup = " ".join(str(line) for line in site.launcher.get("setup") or [])
    is_offline = "HF_HUB_OFFLINE" in setup or bool(os.environ.get("HF_HUB_OFFLINE"))
    text = f"HF_HOME={home or '(unset: ~/.cache/huggingface)'}, HF_HUB_OFFLINE is {'set' if is_offline else 'not set'}"
    if other and site.environment:
        return warning(name, f"{text}; but {other}={os.environ[other]} goes before paths.cache", f"unset {other}")
    if needed and site.slurm and not is_offline:
        remedy = (
            'nodes without network: launcher.setup=["export HF_HUB_OFFLINE=1"], else each process waits for most of a '
            "minute when a file is missing"
        )
        return warning(name, text, remedy)
    return ok(name, text)


def one(name: str, pretrained: str) -> Iterator[Finding]:
    """Loads the weights into their model, as a run does."""
    import timm

    from hcml.config import ConfigError
    from hcml.offline_weights import check
    from hcml.weights import load_weights, resolve_name

    title = f"weights {name}"
    try:
        if pretrained == "timm":
            found = check(name)
            yield ok(title, f"{found.path} ({found.size / 2**20:.0f} MiB, sha256 {found.sha256[:12]}) loads whole")
        else:
            resolved = resolve_name(name, pretrained)
            report = load_weights(timm.create_model(resolved), pretrained, resolved)
            yield ok(title, f"{report.source} (sha256 {report.sha256[:12]}) loads whole")
    except (ConfigError, RuntimeError, OSError) as error:
        home = os.environ.get("HF_HOME")
        before = f"HF_HOME={home} " if home else ""
        fetch = f"where there is network, type: {before}python -m benchmarks weights fetch {name}"
        yield problem(title, str(error), fetch if pretrained == "timm" else "correct backbone.pretrained")


if __name__ == "__main__":
    say(one(sys.argv[1], sys.argv[2]))
