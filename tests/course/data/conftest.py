"""A web server of our own that misbehaves on demand, and where the real data sets are."""

import http.server
import threading

import pytest

from course.data.folder import data_root


class Server:
    """Serves `files`, {path: bytes}.

    `drops`: for the next answers, after how many bytes the connection breaks off (None: never). `statuses`: for the next answers, a status
    to send instead. `ranges`: whether it knows Range. `lengths`: whether it announces the length. `asked`: the Range headers so far.
    """

    def __init__(self):
        self.files, self.drops, self.statuses, self.asked = {}, [], [], []
        self.ranges = self.lengths = True
        self.pause = threading.Event()  # set: go on; cleared: wait in the middle of a file
        self.pause.set()
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/{path}"

    def close(self) -> None:
        self.pause.set()
        self.http.shutdown()
        self.http.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    owner: Server

    def do_GET(self):  # noqa: N802
        server = self.owner
        server.asked.append(self.headers.get("Range"))
        data = server.files.get(self.path.lstrip("/"))
        status = server.statuses.pop(0) if server.statuses else 404 if data is None else 200
        if status != 200:
            return self.send_error(status)
        start = 0
        if server.ranges and server.asked[-1]:
            start = int(server.asked[-1].removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        drop = server.drops.pop(0) if server.drops else None
        body = data[start:] if drop is None else data[start : start + drop]
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        server.pause.wait(30)
        self.wfile.write(body[half:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def real():
    """The folder of a real data set: `real("camvid")`. Without it the test is skipped, and says where it looked."""

    def folder(name: str):
        place = data_root() / name
        if not place.is_dir():
            pytest.skip(f"needs the real data set: there is no {place} (SEGCOURSE_DATA names the folder that holds {name})")
        return place

    return folder
