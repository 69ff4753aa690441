"""A GitHub of one repository on this machine: as much of its REST API for issues as the nightly uses."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghs_planted0123456789abcdef"


@dataclass
class StandIn:
    """What the tracker holds, and all that it was sent."""

    url: str = ""
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[str]] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, content: dict[str, Any]) -> tuple[int, object]:
        """(status, JSON) as GitHub would answer."""
        address = urlsplit(path)
        match = re.fullmatch(r"/repos/owner/name/issues(?:/(\d+))?(/comments)?", address.path)
        if match is None:
            return 404, {"message": "Not Found"}
        number = int(match[1] or 0)
        if method == "GET":
            asked = {key: values[0] for key, values in parse_qs(address.query).items()}
            found = [
                one
                for one in self.issues.values()
                if one["state"] == asked["state"] and asked["labels"] in one["labels"]
            ]
            return 200, found
        if method == "POST" and match[2]:
            self.comments.setdefault(number, []).append(content["body"])
            return 201, {}
        if method == "POST":
            number = len(self.issues) + 1
            self.issues[number] = {"number": number, "state": "open", **content}
            return 201, self.issues[number]
        self.issues[number] |= content
        return 200, self.issues[number]


@contextmanager
def tracker_on_this_machine() -> Iterator[StandIn]:
    """Serve it until the block ends."""
    held = StandIn()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            held.received.append(f"{self.command} {self.path} {body.decode()}")
            allowed = self.headers.get("Authorization") == f"token {TOKEN}"
            status, content = held.answer(self.command, self.path, json.loads(body or b"{}")) if allowed else (401, {})
            said = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        held.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield held
        server.shutdown()
