"""Run a server out of a Debian package that is not installed, in a root directory of its own.

Debian lets only one mail server be installed; here each has its own users, files and libraries.
`tests/rig/ensure.sh` unpacks the packages. It takes root, for `chroot`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = Path(os.environ.get("MAIL_SERVERS_DIR", "/var/cache/billionmail-tests"))
USER_ID = 901
STOP_SECONDS = 10

_LIBRARY = re.compile(r"\s(/\S+) \(0x")


def can_run(package: str) -> bool:
    """Tell whether the package is unpacked here and we may use `chroot`."""
    return os.geteuid() == 0 and (PACKAGES / package).is_dir()


@contextlib.contextmanager
def jail(package: str, *, users: tuple[str, ...], groups: tuple[str, ...] = ()) -> Iterator[Path]:
    """Make a root directory with the package in it, and remove it in the end.

    The first of the `users`, to whom `give` gives, has the number USER_ID, the next one follows.
    """
    root = Path(tempfile.mkdtemp(prefix=f"bm-{package}-"))
    try:
        root.chmod(0o755)
        shutil.copytree(PACKAGES / package, root, symlinks=True, dirs_exist_ok=True)
        _add_libraries(root, package=package)
        _add_system_files(root, users=users, groups=groups)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def running(root: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command under `root`, its output going to `output` there; end all it started."""
    with (root / "output").open("wb") as output:
        server = subprocess.Popen(
            ["chroot", root, *command],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # workers that still had something to do
        server.wait()


def give(path: Path, *, mode: int = 0o755) -> Path:
    """Make a directory that belongs to the first user of the jail."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, USER_ID, USER_ID)
    path.chmod(mode)
    return path


def _add_libraries(root: Path, *, package: str) -> None:
    for path in _libraries(PACKAGES / package):
        copy = root / path.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


@functools.cache
def _libraries(package: Path) -> list[Path]:
    """Return the shared libraries that the package's programs need, the loader and the shell."""
    listed = subprocess.run(
        ["ldd", *filter(_is_program, package.rglob("*")), "/bin/sh"],
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(package / "usr/lib/postfix")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {Path(line) for line in _LIBRARY.findall(listed)}
    return [Path("/bin/sh"), *(path for path in found if not path.is_relative_to(package))]


def _is_program(path: Path) -> bool:
    if not path.is_file() or path.is_symlink() or path.suffix == ".a":
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _add_system_files(root: Path, *, users: tuple[str, ...], groups: tuple[str, ...]) -> None:
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    accounts = [
        f"{name}:x:{USER_ID + at}:{USER_ID + at}::/var/empty:/bin/sh"
        for at, name in enumerate(users)
    ]
    names = [f"{name}:x:{USER_ID + at}:" for at, name in enumerate((*users, *groups))]
    (etc / "passwd").write_text("\n".join(["root:x:0:0::/root:/bin/sh", *accounts, ""]))
    (etc / "group").write_text("\n".join(["root:x:0:", *names, ""]))
    (etc / "hosts").write_text("127.0.0.1 localhost mx.example.org\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # nobody answers there
    (root / "dev").mkdir(exist_ok=True)
    for name, minor in (("null", 3), ("urandom", 9)):
        os.mknod(root / "dev" / name, stat.S_IFCHR, os.makedev(1, minor))
        (root / "dev" / name).chmod(0o666)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "var").mkdir(exist_ok=True)
    (root / "run").mkdir(exist_ok=True)
    (root / "var/run").symlink_to("/run")
