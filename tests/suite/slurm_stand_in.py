"""A Slurm of one node on this machine: as much of its commands as submitit calls, each job a process group of its own.

`install(folder)` puts them on a path; what they know lies in that folder. `preempt(folder, task)` does what Slurm does
to a job whose machine it wants: a signal, some time to leave, an end; it runs again when the job asked for it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fixtures import ROOT

COMMANDS = ("sbatch", "srun", "sacct", "scontrol")
FOLDER = "SLURM_STAND_IN"


def install(folder: Path) -> dict[str, str]:
    """The variables of a process for which Slurm is there."""
    (folder / "bin").mkdir(parents=True)
    for name in COMMANDS:
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {__name__} {name} "$@"\n')
        command.chmod(0o755)
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {"PATH": path, FOLDER: str(folder), "PYTHONPATH": python}


def jobs(folder: Path) -> list[str]:
    """Of every task that began, such as `1_0`."""
    return sorted(path.stem for path in folder.glob("*.pid"))


def preempt(folder: Path, task: str) -> None:
    """Take the machine from a task: its Python gets the signal that its script asked for."""
    script = (folder / f"{task.partition('_')[0]}.sh").read_text()
    asked = re.search(r"--signal=(?:B:)?(\w+)@", script)
    assert asked is not None
    worker = int((folder / f"{task}.pid").read_text())
    os.kill(worker, getattr(signal, f"SIG{asked[1]}"))


def _sbatch(arguments: Sequence[str]) -> int:
    folder = Path(os.environ[FOLDER])
    number = len(list(folder.glob("*.sh"))) + 1
    script = Path(arguments[-1]).read_text()
    (folder / f"{number}.sh").write_text(script)
    array = re.search(r"--array=0-(\d+)", script)
    for task in [f"{number}_{one}" for one in range(int(array[1]) + 1)] if array else [str(number)]:
        _begin(folder, task)
    print(f"Submitted batch job {number}")
    return 0


def _begin(folder: Path, task: str) -> None:
    job, array, index = task.partition("_")
    variables = {
        "SLURM_JOB_ID": task,
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_JOB_NODELIST": socket.gethostname(),
        **({"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": index} if array else {}),
    }
    with (folder / f"{task}.out").open("a") as stream:
        subprocess.Popen(
            ["bash", str(folder / f"{job}.sh")],
            env=os.environ | variables,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _srun(arguments: Sequence[str]) -> int:
    """Becomes the command after srun's own options."""
    folder, task = Path(os.environ[FOLDER]), os.environ["SLURM_JOB_ID"]
    own = iter(arguments)
    command: list[str] = []
    for word in own:
        if word in {"--output", "--error"}:
            next(own)
        elif not word.startswith("--"):
            command = [word, *own]
    child = subprocess.Popen(command)
    (folder / f"{task}.pid").write_text(str(child.pid))
    code = child.wait()
    if (folder / f"{task}.requeue").exists():
        (folder / f"{task}.requeue").unlink()
        _begin(folder, task)
    else:
        (folder / f"{task}.ended").write_text(json.dumps(code))
    return code


def _sacct(_: Sequence[str]) -> int:
    folder = Path(os.environ[FOLDER])
    print("JobID|State|NodeList")
    for task in jobs(folder):
        ended = folder / f"{task}.ended"
        state = "RUNNING" if not ended.exists() else "COMPLETED" if json.loads(ended.read_text()) == 0 else "FAILED"
        print(f"{task}|{state}|{socket.gethostname()}")
    return 0


def _scontrol(arguments: Sequence[str]) -> int:
    asked, task = arguments
    assert asked == "requeue"
    (Path(os.environ[FOLDER]) / f"{task}.requeue").touch()
    return 0


if __name__ == "__main__":
    does = {"sbatch": _sbatch, "srun": _srun, "sacct": _sacct, "scontrol": _scontrol}
    sys.exit(does[sys.argv[1]](sys.argv[2:]))
