"""A folder of reference data, and the command on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from results.reference.__main__ import main
from results.reference.files import text_of
from tests.results.reference.samples import FILLED, HEAD, SLOT, make_row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "published.csv").write_text(text_of([make_row()]))
    (tmp_path / "hcml.yaml").write_text(HEAD + SLOT + FILLED)
    return tmp_path


@pytest.fixture
def texts(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in ("published.csv", "hcml.yaml")}


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command on the folder: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main([*arguments, "--folder", str(folder)])
        except SystemExit as stop:
            code = int(str(stop.code))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
