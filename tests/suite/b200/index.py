"""Package indexes of a simulated host: PyPI, which has what this interpreter runs on, and nightlies of what moves.

Their wheels are real and small: metadata, lines that lead to the stand-ins and to this interpreter's own modules, and,
in a nightly that broke something, the code that it broke. uv resolves and installs them as it would the real ones.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from fixtures.catalog.packages import nightly
from tests.suite.tiny_wheels import make_wheel

HERE = Path(__file__).parent
MODULES = "modules"
"""The folder beside an index that holds links to this interpreter's modules, without word of who brought them."""
SITE = sysconfig.get_path("purelib")
BROKEN = "simulated_nightly"
"""The folder in site-packages where a nightly keeps what it broke: `<package>/<module>.py`, run after that import."""
FUTURE = {"torch": "2.16.0", "torchvision": "0.31.0", "torchao": "0.19.0", "mslk": "2026.12.1"}
"""The release that each nightly line leads to."""


@dataclass(frozen=True, kw_only=True)
class Nightly:
    """One package's wheel of one night."""

    package: str
    day: str
    """Such as 2026-11-01."""
    broke: Mapping[str, str] | None = None
    """Module -> code that runs in its names once it was imported."""
    yanked: bool = False

    @property
    def version(self) -> str:
        """As PyTorch's index numbers them."""
        return f"{FUTURE[self.package]}.dev{self.day.replace('-', '')}+cu130"


def everyday(folder: Path) -> None:
    """An index with every distribution that this interpreter has, in the version that it has."""
    modules = folder.parent / MODULES
    modules.mkdir(parents=True)
    for entry in Path(SITE).iterdir():
        if entry.suffix not in {".dist-info", ".pth"}:  # what is installed is what the wheels say
            (modules / entry.name).symlink_to(entry)
    found = {canonicalize_name(one.name): one for one in importlib.metadata.distributions()}
    for name, one in found.items():
        # What an extra brings is there already.
        requires = [line for line in one.requires or () if "extra ==" not in line.replace("extra==", "extra ==")]
        _wheel(folder, name, one.version, requires, entry_points=one.read_text("entry_points.txt") or "")
    _pages(folder)


def nights(folder: Path, wheels: Iterable[Nightly]) -> None:
    """An index of nightlies beside what it had. Torch asks for its Triton, torchvision for its torch, as they do."""
    yanked = set()
    for one in wheels:
        files = {f"{BROKEN}/{one.package}/{module}.py": code for module, code in (one.broke or {}).items()}
        needs = {
            "torch": [f"triton=={importlib.metadata.version('triton')}"],
            "torchvision": [f"torch=={Nightly(package='torch', day=one.day).version}"],
        }.get(one.package, [])
        if one.package == "torch":
            files["torch/version.py"] = f"__version__ = {one.version!r}\ncuda = '13.0'\ngit_version = {'0' * 40!r}\n"
        path = _wheel(folder, one.package, one.version, needs, files)
        yanked |= {path} if one.yanked else set()
    _pages(folder, yanked)


def a_night(day: str, *, without: Sequence[str] = (), **broke: Mapping[str, str]) -> list[Nightly]:
    """A nightly of every package that has any; `broke` says what one of them broke."""
    return [Nightly(package=name, day=day, broke=broke.get(name)) for name in nightly() if name not in without]


def _wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Iterable[str],
    files: Mapping[str, str] | None = None,
    entry_points: str = "",
) -> Path:
    """A wheel in its package's folder that leads to the stand-ins and to this interpreter's modules."""
    package = folder / canonicalize_name(name)
    package.mkdir(parents=True, exist_ok=True)
    leads = {f"here_{name.replace('-', '_')}.pth": f"{HERE / 'site'}\n{folder.parent / MODULES}\n"}
    held = {**(files or {}), **leads}
    return make_wheel(package, name, version, requires=requires, files=held, entry_points=entry_points)


def _pages(folder: Path, yanked: Iterable[Path] = ()) -> None:
    """PEP 503's page of each package."""
    gone = set(yanked)
    for package in folder.iterdir():
        lines = []
        for path in sorted(package.glob("*.whl")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            mark = ' data-yanked="broken"' if path in gone else ""
            lines.append(f'<a href="{path.as_uri()}#sha256={digest}"{mark}>{path.name}</a><br>')
        page = "<!DOCTYPE html><html><body>\n" + "\n".join(lines) + "\n</body></html>\n"
        (package / "index.html").write_text(page, encoding="utf-8")
