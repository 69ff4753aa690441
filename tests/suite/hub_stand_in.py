"""A hub on this machine: repositories made from the tiny checkpoints, its cache's layout, and a server that answers
like the real one where the suite asks it something."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from fixtures.catalog.schema import Model

Answer = Literal["gated", "no revision", "no repository"]
REFUSALS: dict[Answer, tuple[int, dict[str, str]]] = {
    "gated": (401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}),
    "no revision": (404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}),
    # What the hub tells a visitor without a token about a repository that is private or not there.
    "no repository": (401, {"X-Error-Message": "Invalid username or password."}),
}


def repository(checkpoint: Path, to: Path, component: str) -> Path:
    """A pipeline folder like a published one: its denoiser lies in shards with an index."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, to)
    (whole,) = (to / component).glob("*.safetensors")
    tensors = load_file(whole)
    names = sorted(tensors)
    parts = [names[: len(names) // 2], names[len(names) // 2 :]]
    shards = {f"{whole.stem}-{number:05}-of-00002.safetensors": part for number, part in enumerate(parts, 1)}
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, to / component / shard, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {name: shard for shard, part in shards.items() for name in part},
    }
    (to / component / f"{whole.name}.index.json").write_text(json.dumps(index))
    whole.unlink()
    return to


def into_cache(repository: Path, home: Path, model: Model) -> Path:
    """Put a repository at the model's revision into the hub cache below `home`; returns the snapshot's folder."""
    storage = storage_of(home, model)
    snapshot = storage / "snapshots" / model.revision
    (storage / "blobs").mkdir(parents=True)
    for path in files_of(repository):
        blob = storage / "blobs" / _etag(repository / path)
        shutil.copyfile(repository / path, blob)
        link = snapshot / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (len(Path(path).parts) + 1), "blobs", blob.name))
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(model.revision)
    return snapshot


def storage_of(home: Path, model: Model) -> Path:
    """Where the hub cache below `home` keeps the model's repository."""
    return home / "hub" / f"models--{model.repo.replace('/', '--')}"


def files_of(repository: Path) -> list[str]:
    """Every file's path inside the repository."""
    return sorted(path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file())


def _etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A running stand-in. `asked` are the files that somebody downloaded, as `repo/file`."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving(repositories: Mapping[str, tuple[str, Path | Answer]], *, out_of_order: int = 0) -> Iterator[StandIn]:
    """Serve repositories, by name: (revision, folder), or (revision, what the hub answers instead of its files). The
    first `out_of_order` requests are answered 503."""
    asked: list[str] = []
    refused = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing to the terminal."""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            if next(refused) <= out_of_order:
                return self._send(503, {}, b"")
            path = self.path.partition("?")[0].lstrip("/")
            name = next((name for name in repositories if name in path), None)
            if name is None:
                return self._send(404, {}, b"")
            revision, content = repositories[name]
            asks_for_file = not path.startswith("api/")
            if isinstance(content, str):
                code, headers = REFUSALS[content]
                if content != "gated" or asks_for_file:
                    return self._send(code, headers, b"")
                # Anyone may see that a gated repository exists, and its list of files.
                listing = {"id": name, "sha": revision, "siblings": [{"rfilename": "model_index.json"}]}
                return self._send(200, {}, json.dumps(listing).encode())
            if asks_for_file:
                file = content / path.partition(f"/resolve/{revision}/")[2]
                if not file.is_file():
                    return self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
                if body:
                    asked.append(f"{name}/{file.relative_to(content).as_posix()}")
                headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": revision}
                return self._send(200, headers, file.read_bytes(), body=body)
            files = files_of(content)
            sizes = {file: (content / file).stat().st_size for file in files}
            tree = [{"type": "file", "path": file, "size": sizes[file], "oid": _etag(content / file)} for file in files]
            info = {"id": name, "sha": revision, "siblings": [{"rfilename": file} for file in files]}
            return self._send(200, {}, json.dumps(tree if "/tree/" in path else info).encode())

        def _send(self, code: int, headers: dict[str, str], content: bytes, *, body: bool = True) -> None:
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body and self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield StandIn(url=f"http://127.0.0.1:{server.server_address[1]}", asked=asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
