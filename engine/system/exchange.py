"""Exchange two folders at once, where the system can."""

import ctypes
import errno
import os
import sys
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux
RENAME_SWAP = 2  # of macOS
# What systems and file systems answer that know no exchange.
UNABLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders of one file system: at no time is either missing.

    Returns:
        Whether it was done; False where the system or the file system cannot.

    Raises:
        OSError: It refuses for another reason.
    """
    names = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            failed = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            failed = library.renamex_np(*names, RENAME_SWAP)
        else:
            return False
    except (AttributeError, OSError, TypeError):  # an older C library, or none
        return False
    if failed:
        code = ctypes.get_errno()
        if code in UNABLE:
            return False
        raise OSError(code, os.strerror(code), str(first), None, str(second))
    return True
