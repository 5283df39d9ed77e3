"""Run one experiment, or with -m a sweep of them.

python sweeps/run.py backbone=r50 levels=3
python sweeps/run.py -m backbone=r50,r101 levels=1,2,3 profile=quick
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    # Typed as a script, Python puts sweeps/ itself on the path, where plan.py or job.py would shadow other modules.
    # It goes to the end, for Hydra to find hydra_plugins/ there; the checkout comes first.
    sys.path[:] = [str(_HERE.parent), *(p for p in sys.path if Path(p or ".").resolve() != _HERE), str(_HERE)]

import hydra  # noqa: E402
from hydra.core.hydra_config import HydraConfig  # noqa: E402
from hydra.types import RunMode  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from hcml.config import ConfigError  # noqa: E402
from sweeps import launch, schema  # noqa: E402

schema.register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """The plan of one job; also what stock Hydra launchers call for each of theirs."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        # Another job of a stock launcher may be at a run that both need: it is waited for, however long that takes.
        os.environ.setdefault("HCML_LOCK_WAIT", "inf")
    code = launch.launch([(list(hydra_config.overrides.task), config)])
    if code and hydra_config.mode == RunMode.MULTIRUN:
        raise RuntimeError(f"a job ended with code {code}")  # SystemExit would end the launcher and its other jobs
    if code:
        sys.exit(code)


def unknown_backbones(arguments: list[str]) -> list[str]:
    """What is wrong with `backbone=A,B` on the command line: Hydra would only list the files of the group."""
    problems = []
    for value in (a.partition("=")[2] for a in arguments if re.fullmatch(r"backbone=[\w.,-]+", a)):
        for name in value.split(","):
            if (_HERE / "conf" / "backbone" / f"{name}.yaml").is_file():
                continue
            from hcml.backbone import resolve_name  # seconds to import, so only where it is needed

            try:
                resolve_name(name)
                problems.append(
                    f"backbone={name}: for timm models other than r18, r34, r50, r101 type backbone.name={name}"
                )
            except ConfigError as error:
                problems.append(str(error))
    return problems


def share_path() -> None:
    """Let processes that start with nothing but the environment import what this one can: submitit's jobs unpickle
    Hydra's plugins, ours among them."""
    added = [str(_HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")]), str(_HERE)]
    os.environ["PYTHONPATH"] = os.pathsep.join(added)


if __name__ == "__main__":
    if any(argument.startswith("hydra/launcher=submitit_") for argument in sys.argv[1:]):
        share_path()
    if found := unknown_backbones(sys.argv[1:]):
        print("\n".join(found), file=sys.stderr)
        sys.exit(launch.BAD_CONFIG)
    main()
