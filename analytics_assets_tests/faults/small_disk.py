"""A file system of a limited size, and filling it up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = [] if os.getuid() == 0 else ["sudo", "-n"]


@cache
def can_mount() -> bool:
    """Whether this user may mount; where not, the tests have no small disk."""
    try:
        with small_disk(1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """An empty file system in memory."""
    with TemporaryDirectory(prefix="small-disk-") as folder:
        options = f"size={megabytes}m,uid={os.getuid()},gid={os.getgid()}"
        mount = [*ROOT, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*ROOT, "umount", "-l", folder], check=True, capture_output=True)


@contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """The disk with so many bytes left, and afterwards with room again."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        for last in (False, False, False, True):
            free = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - left)
                break
            except OSError:  # somebody has written meanwhile
                if last:
                    raise
    try:
        yield
    finally:
        filler.unlink()
