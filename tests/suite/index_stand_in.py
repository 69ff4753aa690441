"""A package index on this machine, with an index's bad habits: it hides versions, cuts wheels off and falls silent."""

from __future__ import annotations

import html
import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from fixtures.stack.download import digest


@dataclass(kw_only=True)
class Index:
    """Offers the wheels in `folder`. Counters say how often a file name (or `package/` for a page) misbehaves."""

    folder: Path
    speaks_json: bool = True
    hashes: bool = True
    ranges: bool = True
    hidden: set[str] = field(default_factory=set)
    """Versions that are not listed and not served."""
    yanked: dict[str, str] = field(default_factory=dict)
    """File name -> reason."""
    cut: Counter[str] = field(default_factory=Counter)
    """The connection ends after half of what was to be sent."""
    stuck: Counter[str] = field(default_factory=Counter)
    """Half of what was to be sent, then nothing more until the client gives up."""
    silent: Counter[str] = field(default_factory=Counter)
    """No answer until the client gives up."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Other bytes than promised."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(last part of the path, what range was asked for), in order."""
    address: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def files(self, package: str) -> list[Path]:
        """What the page of `package` lists."""
        return [
            path
            for path in sorted(self.folder.glob("*.whl"))
            if canonicalize_name(path.name.split("-")[0]) == package and path.name.split("-")[1] not in self.hidden
        ]

    def page(self, package: str) -> tuple[str, bytes]:
        """Content type and body: PEP 691 or PEP 503."""
        files = self.files(package)
        if self.speaks_json:
            listed = [
                {
                    "filename": path.name,
                    "url": f"../../files/{path.name}",
                    "hashes": {"sha256": digest(path)} if self.hashes else {},
                    "size": path.stat().st_size,
                    "yanked": self.yanked.get(path.name, False),
                }
                for path in files
            ]
            text = json.dumps({"meta": {"api-version": "1.1"}, "name": package, "files": listed})
            return "application/vnd.pypi.simple.v1+json", text.encode()
        anchors = [
            f'<a href="../../files/{path.name.replace("+", "%2B")}{f"#sha256={digest(path)}" if self.hashes else ""}"'
            + (f' data-yanked="{html.escape(self.yanked[path.name])}"' if path.name in self.yanked else "")
            + f">{path.name}</a>"
            for path in files
        ]
        return "text/html", "<br>\n".join(anchors).encode()


@contextmanager
def serving(index: Index) -> Iterator[str]:
    """Serve `index`; its simple address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            parts = self.path.replace("%2B", "+").strip("/").split("/")
            name = parts[-1] + ("/" if parts[0] == "simple" else "")
            index.requests.append((name, self.headers.get("Range", "")))
            if index.silent[name] > 0:
                index.silent[name] -= 1
                index.over.wait(30)
            elif parts[0] == "simple" and index.files(parts[-1]):
                kind, body = index.page(parts[-1])
                self.answer(200, body, kind)
            elif parts[0] == "files" and (index.folder / name).is_file() and name.split("-")[1] not in index.hidden:
                self.send_file(name, (index.folder / name).read_bytes())
            else:
                self.send_error(404)

        def do_HEAD(self) -> None:
            """uv asks whether it could read parts; as nothing is promised, it reads the whole."""
            self.answer(200, b"", "application/octet-stream")

        def send_file(self, name: str, body: bytes) -> None:
            if index.wrong[name] > 0:
                index.wrong[name] -= 1
                body = bytes(len(body))
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and index.ranges else 0
            headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
            rest, length = body[start:], len(body) - start
            if index.cut[name] > 0:
                index.cut[name] -= 1
                rest = rest[: length // 2]
            stuck = index.stuck[name] > 0
            if stuck:
                index.stuck[name] -= 1
                rest = rest[: length // 2]
            self.answer(206 if start else 200, rest, "application/octet-stream", length=length, **headers)
            if stuck:
                self.wfile.flush()
                index.over.wait(30)

        def answer(self, code: int, body: bytes, kind: str, *, length: int | None = None, **headers: str) -> None:
            self.send_response(code)
            for key, value in {"Content-Type": kind, "Content-Length": str(length or len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        index.address = f"http://127.0.0.1:{server.server_address[1]}/simple"
        try:
            yield index.address
        finally:
            index.over.set()
            server.shutdown()
