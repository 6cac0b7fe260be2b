"""The part of a Hugging Face hub that receives an upload, on loopback: repositories, commits, the list of files."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class HubServer:
    """A context manager; `spaces` holds what was uploaded: space → path → content."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, one: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and document for a request."""
        words = path.partition("?")[0].strip("/").split("/")
        if method == "POST" and words == ["api", "repos", "create"]:
            name = self._created(json.loads(body))
            return 200, {"url": f"{self.url}/spaces/{name}"}
        if words == ["api", "validate-yaml"]:
            return 200, {"errors": [], "warnings": []}
        space = "/".join(words[2:4])
        if words[:2] != ["api", "spaces"] or space not in self.spaces:
            return 404, {"error": "no such address"}
        return 200, self._of_space(space, words[4:], body)

    def _of_space(self, space: str, words: list[str], body: bytes) -> Any:  # noqa: ANN401 - any JSON
        files = self.spaces[space]
        if "preupload" in words:
            asked = json.loads(body)["files"]
            return {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
        if "commit" in words:
            self._commit(files, body)
            return {"commitUrl": f"{self.url}/spaces/{space}/commit/1", "commitOid": "1", "success": True}
        if "tree" in words:
            return [{"type": "file", "path": name, "size": len(files[name]), "oid": "1"} for name in files]
        siblings = [{"rfilename": name} for name in files]
        return {"id": space, "sha": "1", "siblings": siblings, "private": False, "tags": []}

    def _created(self, asked: dict[str, Any]) -> str:
        owner = asked.get("organization") or "me"
        name = asked["name"] if "/" in asked["name"] else f"{owner}/{asked['name']}"
        self.spaces.setdefault(name, {})
        return name

    def _commit(self, files: dict[str, bytes], body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "deletedFile":
                files.pop(entry["value"]["path"], None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._do("GET")

            def do_POST(self) -> None:
                self._do("POST")

            def _do(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, document = hub.answer(method, self.path, body)
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        return Handler
