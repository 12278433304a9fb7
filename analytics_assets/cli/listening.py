"""What the commands that serve share: the socket to listen on."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import click


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listening: socket.socket, host: str) -> str:
    """The address of what listens on a socket."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"


@contextmanager
def listening_on(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; one that cannot ends the command and says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(128)
        except OSError as error:
            raise click.ClickException(
                f"Port {port} of {host} cannot be used: {error.strerror}. Name another with --port."
            ) from error
        yield listening
