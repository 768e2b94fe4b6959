"""A stand-in for the Hugging Face hub on 127.0.0.1: repositories in memory, as its library asks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_MODEL = re.compile(
    r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>\w+)(?:/(?P<revision>[^/]+))?)?"
)


class Hub(ThreadingHTTPServer):
    """Knows repositories and what was asked of it.

    Attributes:
        repos: USER/NAME → file → content.
        private: repositories that were made private.
        messages: of the commits.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.messages: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit_of(self, repo: str) -> str:
        """Return the newest commit: it follows from the content."""
        digest = hashlib.sha1()
        for name, content in sorted(self.repos[repo].items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()


@contextmanager
def hub():
    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def _answer(self, code, content=b"", **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _none(self, what):
        self._answer(404, {"error": "not found"}, X_Error_Code=what, X_Error_Message="not found")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        found = _FILE.fullmatch(path) or _MODEL.fullmatch(path)
        if found is None or found["repo"] not in self.server.repos:
            return self._none("RepoNotFound")
        repo = found["repo"]
        commit = self.server.commit_of(repo)
        if found["revision"] not in (None, "main", commit):
            return self._none("RevisionNotFound")
        files = self.server.repos[repo]
        if found.re is _FILE:
            return self._file(files.get(found["file"]), commit)
        if found["what"] == "tree":
            return self._answer(200, [self._entry(*item) for item in files.items()])
        siblings = [{"rfilename": name} for name in files]
        return self._answer(200, {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings})

    def _file(self, content, commit):
        if content is None:
            return self._none("EntryNotFound")
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._answer(200, content, ETag=etag, X_Repo_Commit=commit)

    def _entry(self, name, content):
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": name, "size": len(content), "oid": oid}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlsplit(self.path).path)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        found = _MODEL.fullmatch(path)
        if found is None or found["repo"] not in self.server.repos:
            return self._none("RepoNotFound")
        if found["what"] == "preupload":
            asked = json.loads(body)["files"]
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in asked
            ]
            return self._answer(200, {"files": files})
        return self._commit(found["repo"], [json.loads(line) for line in body.splitlines()])

    def _create(self, asked):
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self._answer(401, {"error": "Invalid username or password."})
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        code = 409 if repo in self.server.repos else 200
        self.server.repos.setdefault(repo, {})
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(repo)
        return self._answer(code, {"url": f"{self.server.address}/{repo}", "name": repo})

    def _commit(self, repo, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                self.server.repos[repo][value["path"]] = base64.b64decode(value["content"])
        commit = self.server.commit_of(repo)
        url = f"{self.server.address}/{repo}/commit/{commit}"
        return self._answer(200, {"commitUrl": url, "commitOid": commit, "hookOutput": ""})
