"""Environments are made once and finished when they are not, copies leave their base alone, silent indexes are named.

The installations are real, of hand-made wheels from a folder; no index is asked.
"""

from __future__ import annotations

import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from fixtures import ROOT
from fixtures.stack import environment as env
from fixtures.stack.install import InstallFailed
from fixtures.stack.kept import in_use, remove_unused, used_now
from fixtures.stack.requirements import Environment, InstallStep, pinned
from tests.suite.tiny_wheels import make_wheel


def test_silent_index_is_named(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/nightly"
        with pytest.raises(InstallFailed, match=f"{address} cannot be reached"):
            env.choose("nightly", ["--index", address], tmp_path)
    with pytest.raises(InstallFailed, match="is no folder"):
        env.check_index((tmp_path / "nowhere").as_uri())


def test_noxs_interpreter_needs_only_what_nox_and_uv_bring(tmp_path: Path) -> None:
    """It makes the first environment, so nothing that pyproject.toml pins is there."""
    brought = {"nox", "uv", "packaging", "filelock"}
    absent = {name.replace("-", "_") for name in pinned()} - brought | {"httpx2", "yaml", "PIL", "pynvml"}
    program = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]))\n"
        "from fixtures.stack.environment import main\n"
        "sys.exit(main(['released', '--', '--torchao', 'nothing-such']))"
    )
    command = [sys.executable, "-c", program, *absent]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        env.EXIT_USAGE,
        "error: --torchao nothing-such: neither a version nor the path of a wheel or checkout that exists\n",
    )


def test_waiting_for_another_installation_is_told_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fixtures.stack.install.HEARTBEAT_S", 0.0)
    monkeypatch.setattr(env, "LOOK_EVERY_S", 0.05)
    path = tmp_path / "suite.lock"
    other = FileLock(path, thread_local=False)
    other.acquire()
    threading.Timer(0.5, other.release).start()
    with env._alone(path):
        assert not other.is_locked
    said = capsys.readouterr().err
    assert "another run is installing; waiting for " in said
    assert said.count("waiting for another run, which is installing") > 1


def test_index_without_torch_is_told_from_a_silent_one(tmp_path: Path) -> None:
    (tmp_path / "full" / "torch").mkdir(parents=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        env.check_index(f"{address}/full/")
        with pytest.raises(InstallFailed, match="offers no torch: it answered 404"):
            env.check_index(f"{address}/empty")
        server.shutdown()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(folder, "tinypackage", version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def version_in(python: Path) -> str:
    command = [str(python), "-c", "import tinypackage; print(tinypackage.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_environments_are_made_once_and_copies_leave_their_base_alone(
    tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    base = Environment(name="suite", steps=(InstallStep(requirements=("tinypackage==1.0",)),))
    python = env.prepare(base, home)
    assert version_in(python) == "1.0"

    make_wheel(wheels, "tinypackage", "1.0.post1", "version = 'from a wheel'\n")
    asked = f"tinypackage @ {(wheels / 'tinypackage-1.0.post1-py3-none-any.whl').as_uri()}"
    for name, step, expected in (
        ("stack-version", InstallStep(requirements=("tinypackage==2.0",)), "2.0"),
        ("stack-wheel", InstallStep(requirements=(asked,), replaced=("tinypackage",)), "from a wheel"),
    ):
        copy = env.prepare(Environment(name=name, steps=(step,), base=base), home)
        assert (version_in(copy), version_in(python)) == (expected, "1.0")

    missing = Environment(name="stack-missing", steps=(InstallStep(requirements=("tinypackage==3.0",)),), base=base)
    with pytest.raises(InstallFailed, match=r"tinypackage==3.0 does not exist .* is 2.0; uv said more in .*\.log"):
        env.prepare(missing, home)
    assert not (home / "stack-missing").exists()

    def nothing_to_do(*_: object, **__: object) -> None:
        raise AssertionError("an environment that is complete was installed again")

    assert env.prepare(base, home, install=nothing_to_do) == python
    other = Environment(name="suite", steps=(InstallStep(requirements=("tinypackage==2.0",)),))
    with pytest.raises(AssertionError):
        env.prepare(other, home, install=nothing_to_do)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("setting", "lift"),
    [
        ("PIP_CONSTRAINT", "to lift that unset PIP_CONSTRAINT, or delete the line"),
        ("UV_CONSTRAINT", "to lift that unset UV_CONSTRAINT, or delete the line"),
        (
            "PIP_CONFIG_FILE",
            r"to lift that begin the command with PIP_CONSTRAINT= \(set to nothing\), or delete the line",
        ),
        ("UV_CONFIG_FILE", "to lift that delete the line, or set UV_NO_CONFIG=1"),
    ],
)
def test_a_constraint_that_bars_a_version_is_named_with_the_way_to_lift_it(
    setting: str, lift: str, tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_CONSTRAINT", "UV_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    lines = tmp_path / "constraints.txt"
    lines.write_text("# tested here\ntinypackage<1.5,>=0.1  # the newest that fits\nother==1\n")
    where = {"PIP_CONFIG_FILE": tmp_path / "pip.conf", "UV_CONFIG_FILE": tmp_path / "uv.toml"}.get(setting, lines)
    if setting == "PIP_CONFIG_FILE":
        where.write_text(f"[global]\nconstraint = {lines}\n")
    elif setting == "UV_CONFIG_FILE":
        where.write_text('constraint-dependencies = ["tinypackage<1.5,>=0.1"]\n')
    monkeypatch.setenv(setting, str(where))
    asked = Environment(name="suite", steps=(InstallStep(requirements=("tinypackage==2.0",)),))
    named = where if setting == "UV_CONFIG_FILE" else lines
    barred = rf"tinypackage==2.0 cannot be installed: tinypackage\S+ in {named} bars it; {lift}; uv said more"
    with pytest.raises(InstallFailed, match=barred):
        env.prepare(asked, tmp_path / "home")
    monkeypatch.delenv(setting)
    monkeypatch.setenv("PIP_CONSTRAINT", "")
    assert version_in(env.prepare(asked, tmp_path / "home")) == "2.0"


def test_stacks_that_were_unused_longest_go_and_never_one_in_use(tmp_path: Path, wheels: Path) -> None:
    for number, name in enumerate(["suite", "b200", "stack-0", "stack-1", "stack-2", "stack-3", "stack-4"]):
        (tmp_path / name).mkdir()
        for file in ("pyvenv.cfg", env.STAMP):
            (tmp_path / name / file).touch()
            os.utime(tmp_path / name / file, (number, number))
    (tmp_path / "stack-0-1.log").touch()
    (tmp_path / "results").mkdir()
    used_now(tmp_path / "b200", env.STAMP)

    def left() -> set[str]:
        return {path.name for path in tmp_path.iterdir() if path.is_dir() and not path.name.endswith(".in-use")}

    with in_use(tmp_path / "stack-0"), FileLock(tmp_path / "stack-2.lock"):
        removed = remove_unused(tmp_path, base="suite", keep=["stack-1"], stamp=env.STAMP, most=2)
        told = [f"stack-{number}, last used on 1970-01-01" for number in (3, 4)]
        assert removed == told, "0 is in use, 1 is asked for, 2 is being made"
        assert left() == {"suite", "b200", "stack-0", "stack-1", "stack-2", "results", "wheels"}
    mark = tmp_path / "stack-0.in-use"
    mark.mkdir()
    (mark / "1.lock").touch()
    assert len(remove_unused(tmp_path, base="suite", keep=["stack-1"], stamp=env.STAMP, most=2)) == 2
    assert left() == {"suite", "b200", "stack-1", "results", "wheels"}, "a process that died holds nothing"
    assert not any(tmp_path.glob("stack-0*"))


def test_what_is_removed_is_told(
    tmp_path: Path, wheels: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / "home" / f"stack-{name}").mkdir(parents=True)
        (tmp_path / "home" / f"stack-{name}" / "pyvenv.cfg").touch()
    monkeypatch.setattr(env, "remove_unused", functools.partial(remove_unused, most=1))
    assert env.main(["released", "--home", str(tmp_path / "home")], requirements=["tinypackage==1.0"]) == 0
    assert "home/stack-one, last used on 1970-01-01: the " in capsys.readouterr().err


def test_step_is_left_out_where_it_is_not_needed(tmp_path: Path, wheels: Path) -> None:
    first = InstallStep(requirements=("tinypackage==1.0",))
    for name, program, expected in (("healthy", "import tinypackage", "1.0"), ("broken", "import nothing_such", "2.0")):
        second = InstallStep(requirements=("tinypackage==2.0",), unless=program)
        assert version_in(env.prepare(Environment(name=name, steps=(first, second)), tmp_path)) == expected


def test_unfinished_environment_is_finished(tmp_path: Path, wheels: Path) -> None:
    home = tmp_path / "home"
    base = Environment(name="suite", steps=(InstallStep(requirements=("tinypackage==1.0",)),))
    python = env.prepare(base, home)
    for damage in (home / "suite" / env.STAMP, python):
        damage.unlink()
        assert version_in(env.prepare(base, home)) == "1.0"
    (home / "suite" / env.STAMP).write_text('{"torn')
    assert version_in(env.prepare(base, home)) == "1.0"


def test_copy_shares_large_files_and_owns_small_ones(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large.so").write_bytes(bytes((1 << 20) + 1))
    (source / "small.py").write_text("healthy = True\n")
    (source / "link").symlink_to("small.py")
    (source / env.STAMP).write_text("{}")
    script = env.interpreter(source).with_name("pip")
    script.parent.mkdir()
    script.write_text(f"#!{env.interpreter(source)}\nimport pip\n")
    program = script.with_name("ruff")
    program.write_bytes(os.fsencode(source) + bytes(1 << 20))
    env.copy_environment(source, tmp_path / "target")
    (tmp_path / "target" / "small.py").write_text("healthy = False\n")
    assert (source / "small.py").read_text() == "healthy = True\n"
    assert (tmp_path / "target" / "large.so").stat().st_ino == (source / "large.so").stat().st_ino
    assert (tmp_path / "target" / "link").is_symlink()
    assert program.read_bytes().startswith(os.fsencode(source) + b"\0")
    target_python = env.interpreter(tmp_path / "target")
    assert target_python.with_name("pip").read_text() == f"#!{target_python}\nimport pip\n"
    assert not (tmp_path / "target" / env.STAMP).exists()
