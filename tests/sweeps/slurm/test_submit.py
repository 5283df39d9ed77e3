"""The script that goes to sbatch: submitit's keys, our dependencies, and nothing that a shell would execute."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess

import pytest

from hcml.config import ConfigError
from sweeps.launchers import request_of
from sweeps.slurm import submit
from sweeps.slurm.queue import SchedulerError
from sweeps.sweep_file import Submission, write_submission


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A folder of commands in front of PATH, with an srun."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def add(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    add("srun", "exit 0")
    return add


@pytest.fixture
def submission(settings):
    def make(*overrides: str, **fields) -> Submission:
        request = request_of(settings("launcher=slurm", *overrides), "test")
        values = {
            "submission": "0123456789ab", "sweep": "s", "job_name": "hcml-test-0123456789ab", "code": "/code/it's here",
            "tasks": {"0": "test/a", "3": "test/b", "4": "test/c"}, "request": dict(request.values),
            "dependency": "aftercorr:86", "time": "now", "max_requeues": 5,
        }  # fmt: skip
        return Submission(**values | fields)

    return make


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_the_script_says_what_was_asked_for(commands, submission, tmp_path):
    job = submission(
        "launcher.partition=gpu", "launcher.qos=long", "launcher.account=me", "launcher.gres='gpu:a100:2'",
        "launcher.mem_gb=32", "launcher.timeout_min=90", "launcher.constraint='a&b'", "launcher.tasks_per_node=2",
        "launcher.setup=['module load x']", "launcher.srun_args=['--cpu-bind=none']",
        "+launcher.additional_parameters.mail_type=END", environment={"HF_HOME": "/a b"},
    )  # fmt: skip
    text = submit.script(tmp_path, job, array_parallelism=2)
    found = lines(text)
    for line in (
        "--partition=gpu", "--qos=long", "--account=me", "--gres=gpu:a100:2", "--mem=32GB", "--time=90",
        "--constraint='a&b'", "--ntasks-per-node=2", "--array=0,3-4%2", "--dependency=aftercorr:86",
        "--kill-on-invalid-dep=yes", "--requeue", "--mail-type=END", "--signal=USR2@120", "--open-mode=append",
        "--job-name=hcml-test-0123456789ab",
    ):  # fmt: skip
        assert any(shlex.split(f)[-1:] == shlex.split(line) for f in found if f.startswith("#SBATCH")), line
    assert "module load x" in found and "export HF_HOME='/a b'" in found
    assert "export SLURM_KILL_BAD_EXIT=1" in found
    command = found[-1]
    assert command.startswith("srun --unbuffered") and "--cpu-bind=none" in command
    assert shlex.split(command)[-2:] == [
        "sweeps.slurm.task",
        str(tmp_path / "_submissions" / "0123456789ab" / "submission.json"),
    ]
    assert "wckey" not in text
    # PYTHONPATH begins with the frozen code, whatever is in the path's name
    export = next(line for line in found if line.startswith("export PYTHONPATH"))
    shown = subprocess.run(["sh", "-c", f'PYTHONPATH=/x; {export}; echo "$PYTHONPATH"'], capture_output=True, text=True)
    assert shown.stdout.strip() == "/code/it's here:/x"


@pytest.mark.parametrize(
    "nasty", ["$(touch owned)", "`touch owned`", "a; touch owned", "a'b\"; touch owned #", "../../x"]
)
def test_no_value_is_executed(commands, submission, tmp_path, nasty, monkeypatch):
    """The whole script is given to a real shell, in which srun does nothing."""
    monkeypatch.chdir(tmp_path)
    quoted = nasty.replace("\\", "\\\\").replace('"', '\\"')
    job = submission(f'launcher.comment="{quoted}"', environment={"X": nasty}, code=nasty, job_name=f"{nasty}-0123")
    text = submit.script(tmp_path / f"runs {nasty}".replace("/", "_"), job, 8)
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


def test_a_folder_that_slurm_would_read_as_a_pattern_is_refused(commands, submission, tmp_path):
    with pytest.raises(ConfigError, match="paths.runs"):
        submit.script(tmp_path / "50%j", submission(), 8)


def test_without_slurm_the_error_says_so(submission, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match="on PATH"):
        submit.script(tmp_path, submission(), 8)


def test_sbatch_is_called_without_what_an_allocation_left(commands, submission, tmp_path, monkeypatch):
    commands("sbatch", f'env > {tmp_path}/seen; cp "$2" {tmp_path}/script; echo "86;cluster"')
    monkeypatch.setenv("SLURM_CPU_BIND", "mask")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/x")
    old = os.umask(0)
    try:
        os.umask(0o022)
        job = submission()
        write_submission(tmp_path, job)
        assert submit.sbatch(tmp_path, job, 8) == "86"
    finally:
        os.umask(old)
    seen = (tmp_path / "seen").read_text()
    assert "SLURM_CONF=/etc/x" in seen and "SLURM_CPU_BIND" not in seen and "SLURM_JOB_ID" not in seen
    for path in (tmp_path / "_submissions").rglob("*"):
        assert not path.stat().st_mode & stat.S_IWOTH, path


@pytest.mark.parametrize(
    "said, kind",
    [
        ("sbatch: error: AssocMaxSubmitJobLimit", submit.NoRoom),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", submit.NoRoom),
        ("sbatch: error: invalid partition specified: x", submit.Refused),
        ("sbatch: error: Socket timed out on send/recv operation", SchedulerError),  # it may be in the queue
    ],
)
def test_what_sbatch_refuses(commands, submission, tmp_path, said, kind):
    commands("sbatch", f"echo '{said}' >&2; exit 1")
    job = submission()
    write_submission(tmp_path, job)
    with pytest.raises(SchedulerError) as error:
        submit.sbatch(tmp_path, job, 8)
    assert type(error.value) is kind and said.partition(": error: ")[2] in str(error.value)
