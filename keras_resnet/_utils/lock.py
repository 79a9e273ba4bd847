"""A lock on a folder that one process holds at a time, and that ends with the process."""

import contextlib
import logging
import os
import pathlib
import socket
from collections.abc import Iterator

from keras_resnet.errors import UserError

# In the locked folder, while it is locked.
LOCK = ".lock"
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike, parameter: str | None = None) -> Iterator[None]:
    """Locks a folder, which is created where there is none, and removed again where nothing was put into it.

    The operating system releases the lock when the process ends, however that happens, and network file
    systems hold it across machines. A file system without locks gets a warning instead.

    Args:
        parameter: name of the parameter that the folder belongs to, for the message.

    Raises:
        UserError: another process has it locked, or another call in this one.
    """
    folder = pathlib.Path(folder)
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _open_locked(folder / LOCK, folder, parameter)
    try:
        yield
    finally:
        # Removed before it is released: whoever opens it from now on makes a new one.
        with contextlib.suppress(OSError):
            os.unlink(folder / LOCK)
        os.close(descriptor)
        with contextlib.suppress(OSError):  # a folder that is not empty stays
            for path in created:
                path.rmdir()


def _open_locked(path: pathlib.Path, folder: pathlib.Path, parameter: str | None) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0) if hasattr(os, "pread") else b""
            os.close(descriptor)
            raise UserError(
                f"{folder} is in use by {holder.decode(errors='replace') or 'another process'}; wait for it "
                "to end, or use another folder.",
                parameter=parameter,
            ) from error
        except OSError as error:
            _LOG.warning(
                "%s cannot be locked (%s): do not start the same run twice at a time.",
                folder,
                error.strerror or error,
            )
            return descriptor
        try:
            is_current = os.path.samestat(os.fstat(descriptor), os.stat(path))
        except FileNotFoundError:
            is_current = False
        if is_current:
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return descriptor
        os.close(descriptor)  # removed by its holder between our opening and our locking it


def _lock(descriptor: int) -> None:
    """Locks an open file without waiting.

    Raises:
        BlockingIOError: it is locked.
        OSError: the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        # Of the open file, not of the process: a second call in the same process finds it locked, too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
