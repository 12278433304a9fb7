"""Servers on the loopback that take messages: HTTP and SMTP, which answer as they are told."""

import http.server
import json
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)


@contextmanager
def http_server(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Gives its address and the bodies that it was sent, of JSON or of a form."""
    received: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = "json" in self.headers["Content-Type"]
            received.append(json.loads(body) if is_json else dict(urllib.parse.parse_qsl(body)))
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        with served(server):
            yield f"http://127.0.0.1:{server.server_port}/hook", received


def answer_json(handler: http.server.BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def accept(handler: http.server.BaseHTTPRequestHandler) -> None:
    answer_json(handler, {"ok": True})


def break_down(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_error(500)


def talk_nonsense(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")


def hang_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.connection.close()


@contextmanager
def smtp_server(
    answers: dict[str, str] | None = None,
    wait: threading.Event | None = None,
    certificate: Path | None = None,
    tls_at_once: bool = False,
) -> Iterator[tuple[str, list[str]]]:
    """Gives its host and port, and the e-mails that it accepted.

    Args:
        answers: answers to commands, such as `{"MAIL": "550 no"}`, instead of good ones.
        wait: before its greeting it waits for this.
        certificate: with its key; it then offers STARTTLS.
        tls_at_once: it speaks TLS from the first byte.
    """
    received: list[str] = []
    said = {
        "": "220 ready",
        "EHLO": f"250-here\r\n{'250-STARTTLS' if certificate else '250-HELP'}\r\n250 AUTH PLAIN",
        "AUTH": "235 welcome",
        "DATA": "354 go on",
        ".": "250 accepted",
        "QUIT": "221 bye",
        "STARTTLS": "220 go on",
        **(answers or {}),
    }

    class Handler(socketserver.StreamRequestHandler):
        def say(self, command: str) -> None:
            self.wfile.write(f"{said.get(command, '250 ok')}\r\n".encode())
            self.wfile.flush()

        def secure(self) -> bool:
            assert certificate
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            try:
                self.connection = context.wrap_socket(self.connection, server_side=True)
            except OSError:  # the client does not trust it
                return False
            self.rfile, self.wfile = (self.connection.makefile(mode) for mode in ("rb", "wb"))
            return True

        def handle(self) -> None:
            if wait:
                wait.wait(30)
            if tls_at_once and not self.secure():
                return
            self.say("")
            while line := self.rfile.readline():
                command = line.decode().split()[0].upper()
                self.say(command)
                if command == "DATA" and said["DATA"].startswith("354"):
                    lines = [*iter(lambda: self.rfile.readline().decode(), ".\r\n")]
                    if said["."].startswith("250"):
                        received.append("".join(lines))
                    self.say(".")
                elif (command == "STARTTLS" and not self.secure()) or command == "QUIT":
                    break

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server, served(server):
        yield f"127.0.0.1:{server.server_address[1]}", received
