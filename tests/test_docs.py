"""The pages say what the code does: a row for every choice with its default, no file or target that is not there."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hcml import config

ROOT = Path(__file__).resolve().parents[1]

# Where a dataclass stands in a run's configuration; what is not here is only a container of the others.
KEYS = {
    config.BackboneConfig: "backbone.",
    config.TemporalConfig: "temporal.",
    config.ModelConfig: "",
    config.MotionConfig: "motion.",
    config.FusionConfig: "fusion.",
    config.ReconstructionConfig: "objective.reconstruction.",
    config.ContrastConfig: "objective.contrast.",
    config.BenchmarkConfig: "benchmark.",
    config.SamplingConfig: "sampling.",
    config.TransformConfig: "transform.",
    config.OptimConfig: "optim.",
    config.LengthConfig: "length.",
    config.ComputeConfig: "compute.",
    config.CurriculumConfig: "curriculum.",
    config.PretrainRun: "pretrain.",
    config.FinetuneRun: "finetune.",
    config.TestRun: "test.",
    config.FeatureConfig: "features.",
    config.ProbeRun: "probe.",
    config.RetrievalRun: "retrieval.",
    config.Runtime: "runtime.",
}


def config_defaults() -> dict[str, str]:
    """Config key -> its default as docs/method.md writes it, for every field that is a value and not a group."""
    defaults: dict[str, str] = {}
    for cls, prefix in KEYS.items():
        for field in dataclasses.fields(cls):
            if field.default is not dataclasses.MISSING:
                value = field.default
            elif field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            else:
                continue
            is_group = dataclasses.is_dataclass(value) or (cls is config.FinetuneRun and field.name == "objective")
            if not is_group:
                defaults[prefix + field.name] = value if isinstance(value, str) and value else json.dumps(value)
    return defaults


def documented_choices(text: str) -> dict[str, str]:
    """Config key -> default of the tables in docs/method.md: | what | why | `key` | `default` | ... |"""
    rows = re.findall(r"^\|[^|]*\|[^|]*\| `([a-z_0-9.]+)` \| `([^|]*)` \|", text, flags=re.MULTILINE)
    assert len(rows) == len({key for key, _ in rows}), "a key has two rows"
    return dict(rows)


def test_every_config_field_has_its_row_in_the_table_of_choices() -> None:
    documented = documented_choices((ROOT / "docs/method.md").read_text())
    defaults = config_defaults()
    assert defaults.keys() - documented.keys() == set(), "fields without a row in docs/method.md"
    assert documented.keys() - defaults.keys() == set(), "rows of docs/method.md without a field"
    wrong = {key: (documented[key], default) for key, default in defaults.items() if documented[key] != default}
    assert not wrong, f"default in docs/method.md, default in hcml/config: {wrong}"


def test_every_config_class_is_covered() -> None:
    """A new dataclass in hcml/config must be given its place above (or be a plain container)."""
    classes = {cls for cls in vars(config).values() if isinstance(cls, type) and dataclasses.is_dataclass(cls)}
    assert classes - set(KEYS) == {config.ObjectiveConfig}


def test_every_choice_names_its_source() -> None:
    text = (ROOT / "docs/method.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\|[^|]*\|[^|]*\| `[a-z_0-9.]+` \|", line)]
    assert len(rows) == len(documented_choices(text))
    for row in rows:
        assert len(row) == 8, f"not six cells: {'|'.join(row)}"
        assert re.search(r"ours|arXiv|timm|US 11594006|PyTorch", row[6]), f"no source: {'|'.join(row)}"


OUTPUTS = {"results/tables", "results/tables/", "results/records"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"(?:hcml|benchmarks|sweeps|results|tests|docs|\.ci)/[\w./-]*\w(?:/(?=[`)]))?", text)
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    missing = {name for name in named if not (ROOT / name).exists()} - OUTPUTS
    missing |= {link for link in links if not (page.parent / link).exists()}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_the_library_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["logits"].shape == (2, 10)
    assert [tuple(p.shape[:3]) for p in names["motion"]] == [(2, 7, 32)] * 3


def test_the_figures_of_the_readme_stand_in_the_committed_tables() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## What it says so far") : text.index("## The four benchmarks")]
    tables = ROOT / "results" / "tables"
    shown = {
        "| levels | pretraining | top-1": "hierarchy_depth",
        "| levels | temporal": "controls",
        "| levels | pretraining | steps": "equal_steps",
    }
    for head, name in shown.items():
        lines = section[section.index(head) :].split("\n\n")[0].splitlines()
        columns, *rows = ([part.strip() for part in line.strip("|").split("|")] for line in lines if "---" not in line)
        with (tables / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found = [tuple(row[column] for column in columns) for row in csv.DictReader(file)]
        assert rows and all(tuple(row) in found for row in rows), f"README differs from results/tables/{name}.csv"
    prose = section[section.index("Read beside 50 %") :]
    compared = ("equal_labels", "equal_steps", "controls", "pretraining_objectives", "curriculum")
    for pattern, names in (
        (r"[+-]\d+\.\d\s\[[^]]*\]", compared),
        (r"\d\.\d{3} ± \d\.\d{3} \(n=\d\)", ("pretraining",)),
    ):
        figures = "".join((tables / f"{name}.csv").read_text(encoding="utf-8") for name in names)
        said = [" ".join(figure.split()) for figure in re.findall(pattern, prose)]
        assert len(said) > 1 and not [figure for figure in said if figure not in figures], (
            f"README differs from {names}"
        )
