"""Python on this machine as it is on Windows or macOS, for what geolrm asks of the system.

With this folder on PYTHONPATH and GEOLRM_DOUBLE set to "windows" or "macos". Modules and functions
are missing that are missing there; no file has an encoding by default, as it is another one there;
on Windows open files are neither renamed nor removed, folders cannot be opened, and only what is
open for writing is synced. ``os.name`` and ``sys.platform`` say so in the modules of geolrm alone:
the standard library's own would no longer work.
"""

import builtins
import errno
import importlib.abc
import importlib.machinery
import io
import os
import shutil
import signal
import sys
import types
import warnings

WINDOWS = os.environ["GEOLRM_DOUBLE"] == "windows"
LINUX = ("sched_getaffinity", "sched_setaffinity", "memfd_create", "posix_fadvise", "sendfile")
POSIX = (
    "fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "uname",
    "sysconf", "statvfs", "fchmod", "chown", "mkfifo", "nice", "getloadavg", "pread", "pwrite",
    "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "set_blocking",
)  # fmt: skip
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog")
SIGNALS = ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGCHLD", "SIGQUIT")


class Seen(types.ModuleType):
    """A module of the system as geolrm sees it: without some names, with other values."""

    def __init__(self, real, without, **other):
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _without=without, **other)

    def __getattr__(self, name):
        if name in self._without:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)


def open_below(path):
    """The open files of this process at a path or below it."""
    path = real.path.realpath(path)
    for handle in real.listdir("/proc/self/fd"):
        try:
            name = real.readlink(f"/proc/self/fd/{handle}")
        except OSError:
            continue
        if (name == path or name.startswith(path + "/")) and not real.path.isdir(name):
            yield name


def refusing(function, arguments):
    """Refuse what touches an open file, as Windows does."""

    def called(*given, **options):
        for path in given[:arguments]:
            if options.get("dir_fd") is None and isinstance(path, str | os.PathLike):
                for name in open_below(path):
                    raise PermissionError(errno.EACCES, "it is open in a process", name)
        return function(*given, **options)

    return called


def hidden(function):
    """Linux tells of itself in files that no other system has."""

    def called(path=".", *given, **options):
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(("/proc", "/sys")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
        return function(path, *given, **options)

    return called


def fsync(handle):
    import fcntl

    if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    real.fsync(handle)


def open_file(path, flags, *given, **options):
    if real.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return real.open(path, flags, *given, **options)


class Loader:
    """A loader of a module of geolrm, which then sees the system as it is elsewhere."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def exec_module(self, module):
        self.real.exec_module(module)
        for name, seen in views.items():
            if getattr(module, name, None) is seen._real:
                setattr(module, name, seen)


class Dressed(importlib.abc.MetaPathFinder):
    """Gives geolrm's modules their view of the system, and has no module that is missing there."""

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("geolrm"):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = Loader(spec.loader)
                return spec
        return None


def imported(name, scope=None, *given):
    """Import as ever, but for geolrm: a module that is missing there is missing."""
    caller = (scope or {}).get("__name__", "")
    if WINDOWS and name in MODULES and caller.startswith("geolrm"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = do_import(name, scope, *given)
    return views[name] if name in views and caller.startswith("geolrm") else module


real = types.SimpleNamespace(**vars(os))
do_import = builtins.__import__
views = {
    "os": Seen(os, LINUX + POSIX, name="nt", fsync=fsync, open=open_file, cpu_count=lambda: 2)
    if WINDOWS
    else Seen(os, LINUX),
    "sys": Seen(sys, (), platform="win32" if WINDOWS else "darwin"),
    "signal": Seen(signal, SIGNALS if WINDOWS else ()),
}
builtins.__import__ = imported
sys.meta_path.insert(0, Dressed())
if WINDOWS:
    for name, count in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1), ("rmdir", 1)):
        setattr(os, name, refusing(getattr(real, name), count))
    shutil._use_fd_functions = False
os.stat, os.listdir, os.scandir = hidden(os.stat), hidden(os.listdir), hidden(os.scandir)
io.open = builtins.open = hidden(io.open)
warnings.filterwarnings("error", category=EncodingWarning, module=r"geolrm\b")
