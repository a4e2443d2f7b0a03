"""A Hugging Face hub on loopback: the two calls of its protocol that fetch a file of a model."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """One repository, ``owner/model``, whose branch main is :data:`COMMIT`."""

    def __init__(self, files: dict[str, bytes], license: str | None = "apache-2.0"):
        self.files, self.license = files, license
        self.commit = COMMIT
        self.gated = False
        self.requests: list[str] = []
        self.address = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/api/models/owner/model/revision/"):
            if path.rpartition("/")[2] not in ("main", COMMIT):
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            card = {} if self.license is None else {"cardData": {"license": self.license}}
            names = [{"rfilename": name} for name in self.files]
            content = {"id": "owner/model", "sha": self.commit, "siblings": names} | card
            return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
        folder = f"/owner/model/resolve/{COMMIT}/"
        if path.startswith(folder):
            if self.gated:
                return 403, {"X-Error-Code": "GatedRepo"}, b""
            content = self.files.get(path.removeprefix(folder))
            if content is None:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
            tag = hashlib.sha256(content).hexdigest()
            return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, content
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"


@contextmanager
def serving(hub, patch, cache):
    """Make it the hub of this process, with an empty cache."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.requests.append(f"{self.command} {self.path}")
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    use(hub.address, patch, cache)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def use(address, patch, cache):
    """Let this process ask a hub at this address."""
    from huggingface_hub import constants

    patch.setenv("HF_ENDPOINT", address)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
