"""Give the messages a small disk of their own, so that it can really be full."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.stage import Stage

SIZE = "24m"
TABLES = ("sending_message", "sending_event", "sending_attempt")
CHUNK = bytes(64 * 1024)


def can_mount() -> bool:
    """Tell whether this user and this container may mount a file system."""
    with tempfile.TemporaryDirectory() as directory:
        if not _mounts(Path(directory)):
            return False
        _unmount(Path(directory))
        return True


class SmallDisk:
    """A file system of some megabytes that holds nothing but the tables of the messages."""

    def __init__(self, directory: Path) -> None:
        self._filler = directory / "filler"

    def fill(self) -> None:
        """Leave not one free block."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while filler.write(CHUNK):
                pass

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(stage: Stage) -> Iterator[SmallDisk]:
    """Move the tables to a small disk, and back at the end."""
    directory = Path(tempfile.mkdtemp(prefix="bm-disk-"))
    mounted = _mounts(directory)
    assert mounted, "this user may not mount a file system"
    try:
        (directory / "space").mkdir()
        shutil.chown(directory / "space", user=stage.postgres.user)
        stage.rows(f"CREATE TABLESPACE small LOCATION '{directory}/space'")
        _move(stage, "small")
        yield SmallDisk(directory)
    finally:
        (directory / "filler").unlink(missing_ok=True)
        _move(stage, "pg_default")
        stage.rows("DROP TABLESPACE IF EXISTS small")
        _unmount(directory)
        directory.rmdir()


def _move(stage: Stage, space: str) -> None:
    for table in TABLES:
        stage.rows(f"ALTER TABLE {table} SET TABLESPACE {space}")
        for (index,) in stage.rows("SELECT indexname FROM pg_indexes WHERE tablename = %s", table):
            stage.rows(f'ALTER INDEX "{index}" SET TABLESPACE {space}')


def _mounts(directory: Path) -> bool:
    mount = shutil.which("mount", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if mount is None:
        return False
    command = [mount, "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", str(directory)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(directory: Path) -> None:
    subprocess.run(["umount", "-l", str(directory)], check=True)
