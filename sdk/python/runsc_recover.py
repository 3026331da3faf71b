"""What a Python program uses to be rolled back and told.

Under runsc-recover a program that fails is restored from a checkpoint before
the failure, and the handler that it registered learns what went wrong.
Anywhere else the program isn't protected and everything here goes on working:
``protected`` is false, ``checkpoint()`` does nothing, ``fail()`` raises
NotProtected.

Handlers run as Python's signal handlers do: in the main thread, between two
bytecode instructions; or in a thread that calls ``settle()`` or returns from
``checkpoint()`` first. Other threads run meanwhile: one that is about to do
again what failed calls ``settle()`` first.
"""

import ctypes
import dataclasses
import enum
import errno
import os
import signal
import threading
import types
from typing import Callable, Mapping, Optional

__all__ = [
    "DEFAULT_SIGNAL", "MAX_DATA", "MAX_MESSAGE", "Error", "Info", "Kind",
    "NotProtected", "NotRecoverable", "Program", "attach",
]

DEFAULT_SIGNAL = 42  # SIGRTMIN+8
MAX_MESSAGE = 4096   # bytes of a failure's message; a longer one is cut
MAX_DATA = 65536     # bytes of a failure's data; more is refused

_SYSCALL = 1900
_ABI_VERSION = 1
_VERSION, _ATTACH, _FAIL, _INFO, _DATA, _CHECKPOINT, _RESOLVED, _HEARTBEAT = range(8)
_TO_THREAD = 1


class Error(OSError):
    """The system call refused."""


class NotProtected(Error):
    """The program doesn't run under runsc-recover."""


class NotRecoverable(Error):
    """The failure can't be rolled back."""


class Kind(enum.IntEnum):
    """How a failure came about."""
    UNKNOWN = 0
    REPORTED = 1
    SIGNALLED = 2
    EXITED = 3
    HUNG = 4
    OUT_OF_MEMORY = 5
    PROBED = 6
    OPERATOR = 7

    @classmethod
    def _missing_(cls, value):
        return cls.UNKNOWN


class _Attach(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("size", "signo", "flags", "max_level")]


class _Failure(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("code", ctypes.c_int32),
        ("key", ctypes.c_uint64),
        ("message", ctypes.c_uint64), ("message_len", ctypes.c_uint64),
        ("data", ctypes.c_uint64), ("data_len", ctypes.c_uint64),
    ]


class _Info(ctypes.Structure):
    _fields_ = (
        [(n, ctypes.c_uint32) for n in ("size", "level", "attempt", "kind")]
        + [(n, ctypes.c_int32) for n in ("code", "signo", "pid", "tid")]
        + [(n, ctypes.c_uint64) for n in (
            "fault_addr", "fault_ip", "key", "checkpoint_seq",
            "checkpoint_time_ns", "failure_time_ns", "failure_after_ns")]
        + [("message_len", ctypes.c_uint32), ("data_len", ctypes.c_uint32),
           ("message", ctypes.c_ubyte * 224)]
    )


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64), ("addr", ctypes.c_uint64), ("len", ctypes.c_uint64),
    ]


class _Heartbeat(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("timeout_ns", ctypes.c_uint64)]


_libc_syscall = ctypes.CDLL(None, use_errno=True).syscall
_libc_syscall.restype = ctypes.c_long
_libc_syscall.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong]


def _system_call(op: int, arg: Optional[ctypes.Structure]) -> int:
    """Returns the result, or minus the error number. Tests replace it."""
    address, size = (None, 0) if arg is None else (ctypes.addressof(arg), ctypes.sizeof(arg))
    result = _libc_syscall(_SYSCALL, op, address, size)
    return result if result >= 0 else -ctypes.get_errno()


def _checked(result: int) -> int:
    if result >= 0:
        return result
    kind = {errno.ENOSYS: NotProtected, errno.ENOTRECOVERABLE: NotRecoverable}.get(-result, Error)
    raise kind(-result, os.strerror(-result))


@dataclasses.dataclass(frozen=True)
class Info:
    """The failure that this copy was restored for."""
    level: int               # recovery level asked for, 1 = mildest
    attempt: int             # 1 for the first copy of this episode
    kind: Kind
    code: int                # reported code, or exit status
    signo: int               # fatal signal, or 0
    pid: int                 # who failed
    tid: int
    fault_addr: int
    fault_ip: int
    key: int                 # the failure's identity
    checkpoint_seq: int
    checkpoint_time_ns: int  # CLOCK_REALTIME
    failure_time_ns: int     # CLOCK_REALTIME
    failure_after_ns: int    # run time from the checkpoint to the failure
    message: str             # its first 224 bytes
    data: bytes


Handler = Callable[[Info], object]


def _choose(handlers: Mapping[int, Handler], level: int) -> Optional[Handler]:
    """The handler of the highest level that is not above level."""
    best = max((l for l in handlers if l <= level), default=None)
    return None if best is None else handlers[best]


def _cut(message: str) -> bytes:
    """The message's bytes up to the limit, between two characters."""
    raw = message.encode("utf-8", "replace")
    return raw[:MAX_MESSAGE].decode("utf-8", "ignore").encode() if len(raw) > MAX_MESSAGE else raw


def _read_data(length: int) -> bytes:
    length = min(length, MAX_DATA)
    if length == 0:
        return b""
    buf = ctypes.create_string_buffer(length)
    arg = _Buffer(size=ctypes.sizeof(_Buffer), addr=ctypes.addressof(buf), len=length)
    copied = _checked(_system_call(_DATA, arg))
    return buf.raw[:copied]


def _read_info() -> Optional[Info]:
    arg = _Info(size=ctypes.sizeof(_Info))
    result = _system_call(_INFO, arg)
    if result in (-errno.ENODATA, -errno.ENOSYS):
        return None
    _checked(result)
    plain = {f.name: getattr(arg, f.name) for f in dataclasses.fields(Info) if f.name not in ("kind", "message", "data")}
    message = bytes(arg.message)[:arg.message_len].decode("utf-8", "ignore")
    return Info(kind=Kind(arg.kind), message=message, data=_read_data(arg.data_len), **plain)


class Program:
    """A program that has attached."""

    def __init__(self, handlers: Mapping[int, Handler], protected: bool):
        self.protected = protected
        self._handlers = types.MappingProxyType(dict(handlers))
        # Reentrant: the interrupt's handler can find its own thread in settle.
        self._lock = threading.RLock()
        self._handled = 0  # failure_time_ns of the newest failure seen to

    def _interrupt(self, _signo, _frame):
        self.settle()

    def settle(self) -> None:
        """Returns once the handler of the newest failure has run.

        Runs it itself when the interrupt has not been noticed yet. A handler
        must not call it.
        """
        if not self.protected:
            return
        with self._lock:
            info = _read_info()
            if info is None or info.failure_time_ns == self._handled:
                return
            # Before the handler, which may be interrupted and copied itself.
            self._handled = info.failure_time_ns
            handler = _choose(self._handlers, info.level)
            if handler is not None:
                handler(info)

    def checkpoint(self) -> int:
        """Takes a checkpoint and returns 0.

        In a copy restored from it, it returns again, with the number of the
        attempt, after the handler has run. Without protection, or with recovery
        off, it does nothing.
        """
        while (result := _system_call(_CHECKPOINT, None)) == -errno.EINTR:
            pass
        if result in (-errno.ENOSYS, -errno.ENOTRECOVERABLE):
            return 0
        if _checked(result) > 0:
            self.settle()
        return result

    def fail(self, code: int, message: str = "", data: bytes = b"", key: int = 0) -> None:
        """Reports a failure.

        It never returns: the program is rolled back, or NotProtected or
        NotRecoverable is raised.
        """
        if len(data) > MAX_DATA:
            raise ValueError(f"data of a failure is {len(data)} bytes long, at most {MAX_DATA} are allowed")
        text = _cut(message)
        text_buf = ctypes.create_string_buffer(text, len(text) or 1)
        data_buf = ctypes.create_string_buffer(bytes(data), len(data) or 1)
        arg = _Failure(
            size=ctypes.sizeof(_Failure), code=code, key=key,
            message=ctypes.addressof(text_buf), message_len=len(text),
            data=ctypes.addressof(data_buf), data_len=len(data))
        _checked(_system_call(_FAIL, arg) or -errno.ENOTRECOVERABLE)

    def info(self) -> Optional[Info]:
        """The failure that this copy was restored for; None: there was none."""
        return _read_info()

    def resolved(self) -> None:
        """Says that the program is past the failure."""
        if self.protected:
            _checked(_system_call(_RESOLVED, None))

    def heartbeat(self, timeout: float) -> None:
        """Says that the program is alive, and that it has hanged when no other
        heartbeat follows within timeout seconds; 0 disarms."""
        arg = _Heartbeat(size=ctypes.sizeof(_Heartbeat), timeout_ns=max(0, int(timeout * 1e9)))
        if self.protected:
            _checked(_system_call(_HEARTBEAT, arg))


def attach(handlers: Mapping[int, Handler], signo: int = DEFAULT_SIGNAL,
           to_thread: bool = True, max_level: int = 0) -> Program:
    """Asks for the failure interrupt.

    handlers are by level. The one of the highest level that is not above the
    level asked for runs; when there is none, nothing runs, and the copy simply
    tries again. max_level is the highest level that they know, 0 for no limit.

    Call it in the main thread, where Python runs signal handlers. to_thread
    sends the interrupt there: what blocks the main thread is then interrupted
    for the handler, which would otherwise wait for it.

    Without protection the program returned isn't ``protected``.
    """
    if any(level < 1 for level in handlers):
        raise ValueError("levels begin at 1")
    program = Program(handlers, _system_call(_VERSION, None) >= _ABI_VERSION)
    if not program.protected:
        return program
    # Not siginterrupt(signo, False): the interrupted call would go on waiting,
    # and Python run the handler only after it. Python itself repeats its calls.
    old = signal.signal(signo, program._interrupt)
    arg = _Attach(size=ctypes.sizeof(_Attach), signo=signo,
                  flags=_TO_THREAD if to_thread else 0, max_level=max_level)
    try:
        _checked(_system_call(_ATTACH, arg))
    except Error:
        signal.signal(signo, old)
        raise
    return program
