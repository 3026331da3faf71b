"""Tests of runsc_recover against a kernel of their own. Run: python3 -m unittest"""

import ctypes
import errno
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import unittest
from unittest import mock

import runsc_recover as rr


class FakeKernel:
    """Serves the system call as the sentry would."""

    def __init__(self):
        self.attached = self.reported = self.info = None
        self.attach_error = self.interruptions = self.checkpoint = self.heartbeat = 0
        self.data = self.message = b""
        self.in_checkpoint = lambda: None

    def failed(self, at, level=1, data=b""):
        """Makes the kernel one of a copy whose original failed at that time."""
        self.info = rr._Info(size=320, level=level, attempt=1, kind=1, failure_time_ns=at,
                             message_len=6, data_len=len(data))
        self.info.message[:6] = b"broken"
        self.data = data

    def __call__(self, op, arg):
        return {
            rr._VERSION: lambda _: 1,
            rr._ATTACH: self._attach,
            rr._FAIL: self._fail,
            rr._INFO: self._info,
            rr._DATA: self._data,
            rr._CHECKPOINT: self._checkpoint,
            rr._RESOLVED: lambda _: 0,
            rr._HEARTBEAT: self._heartbeat,
        }[op](arg)

    def _attach(self, arg):
        self.attached = (arg.size, arg.signo, arg.flags, arg.max_level)
        return -self.attach_error

    def _fail(self, arg):
        self.reported = (arg.size, arg.code, arg.key)
        self.message = ctypes.string_at(arg.message, arg.message_len)
        self.data = ctypes.string_at(arg.data, arg.data_len)
        return -errno.ENOTRECOVERABLE

    def _info(self, arg):
        if self.info is None:
            return -errno.ENODATA
        ctypes.memmove(ctypes.addressof(arg), ctypes.addressof(self.info), 320)
        return 0

    def _data(self, arg):
        part = self.data[arg.offset:arg.offset + arg.len]
        ctypes.memmove(arg.addr, part, len(part))
        return len(part)

    def _checkpoint(self, _arg):
        if self.interruptions:
            self.interruptions -= 1
            return -errno.EINTR
        self.in_checkpoint()
        return self.checkpoint

    def _heartbeat(self, arg):
        self.heartbeat = arg.timeout_ns
        return 0


class LayoutTest(unittest.TestCase):
    def test_sizes(self):
        for kind, size in ((rr._Attach, 16), (rr._Failure, 48), (rr._Info, 320), (rr._Buffer, 32), (rr._Heartbeat, 16)):
            self.assertEqual(ctypes.sizeof(kind), size, kind)

    def test_offsets(self):
        for field, offset in ((rr._Failure.data_len, 40), (rr._Info.fault_addr, 32), (rr._Info.failure_time_ns, 72),
                              (rr._Info.message_len, 88), (rr._Info.message, 96)):
            self.assertEqual(field.offset, offset, field)


class UnprotectedTest(unittest.TestCase):
    def setUp(self):
        self.before = signal.getsignal(rr.DEFAULT_SIGNAL)
        self.program = rr.attach({1: lambda info: self.fail("handler ran")})
        self.assertFalse(self.program.protected)

    def test_works_on(self):
        self.program.settle()
        self.program.resolved()
        self.program.heartbeat(1)
        self.assertEqual(self.program.checkpoint(), 0)
        self.assertIsNone(self.program.info())
        self.assertEqual(signal.getsignal(rr.DEFAULT_SIGNAL), self.before)
        with self.assertRaises(rr.NotProtected):
            self.program.fail(1, "m", b"d")


class ProtectedTest(unittest.TestCase):
    def setUp(self):
        self.kernel = FakeKernel()
        self.enterContext(mock.patch.object(rr, "_system_call", self.kernel))
        self.addCleanup(signal.signal, rr.DEFAULT_SIGNAL, signal.getsignal(rr.DEFAULT_SIGNAL))
        self.ran = []

    def attach(self, **options):
        return rr.attach({1: self.ran.append}, **options)

    def test_attach(self):
        self.assertTrue(self.attach(max_level=3).protected)
        self.assertEqual(self.kernel.attached, (16, 42, 1, 3))
        self.attach(to_thread=False)
        self.assertEqual(self.kernel.attached, (16, 42, 0, 0))
        with self.assertRaises(ValueError):
            rr.attach({0: print})

    def test_refused_attach_restores_the_signal(self):
        self.kernel.attach_error = errno.EPERM
        before = signal.getsignal(rr.DEFAULT_SIGNAL)
        with self.assertRaises(rr.Error) as caught:
            self.attach()
        self.assertEqual(caught.exception.errno, errno.EPERM)
        self.assertEqual(signal.getsignal(rr.DEFAULT_SIGNAL), before)

    def test_interrupt_runs_the_handler_once(self):
        program = self.attach()
        os.kill(os.getpid(), rr.DEFAULT_SIGNAL)
        self.assertEqual(self.ran, [])  # nothing failed: somebody else's signal
        self.kernel.failed(7, level=2, data=b"account 17")
        os.kill(os.getpid(), rr.DEFAULT_SIGNAL)
        os.kill(os.getpid(), rr.DEFAULT_SIGNAL)
        program.settle()
        self.assertEqual([(i.level, i.message, i.data, i.kind) for i in self.ran],
                         [(2, "broken", b"account 17", rr.Kind.REPORTED)])
        self.kernel.failed(8)
        program.settle()
        os.kill(os.getpid(), rr.DEFAULT_SIGNAL)
        self.assertEqual(len(self.ran), 2)

    def test_checkpoint_returns_twice(self):
        program = self.attach()
        self.kernel.interruptions = 2
        self.assertEqual(program.checkpoint(), 0)
        self.assertEqual(self.ran, [])
        self.kernel.failed(9)
        self.kernel.checkpoint = 3
        self.kernel.in_checkpoint = lambda: signal.raise_signal(rr.DEFAULT_SIGNAL)
        self.assertEqual(program.checkpoint(), 3)
        self.assertEqual(len(self.ran), 1)
        self.kernel.checkpoint = -errno.ENOTRECOVERABLE
        self.assertEqual(program.checkpoint(), 0)
        self.kernel.checkpoint = -errno.EAGAIN
        with self.assertRaises(rr.Error):
            program.checkpoint()

    def test_settle_waits_for_other_threads(self):
        started, release, settled = threading.Event(), threading.Event(), threading.Event()

        def slow(_info):
            started.set()
            release.wait()

        def settle_and_tell():
            program.settle()
            settled.set()

        program = rr.attach({1: slow})
        self.kernel.failed(10)
        threads = [threading.Thread(target=program.settle)]
        threads[0].start()
        started.wait()
        threads.append(threading.Thread(target=settle_and_tell))
        threads[1].start()
        self.assertFalse(settled.wait(0.05))
        release.set()
        for t in threads:
            t.join()
        self.assertTrue(settled.is_set())

    def test_fail(self):
        program = self.attach()
        with self.assertRaises(rr.NotRecoverable):
            program.fail(-7, "broken", b"a\0c", 99)
        self.assertEqual(self.kernel.reported, (48, -7, 99))
        self.assertEqual((self.kernel.message, self.kernel.data), (b"broken", b"a\0c"))
        with self.assertRaises(ValueError):
            program.fail(1, data=bytes(rr.MAX_DATA + 1))

    def test_heartbeat(self):
        program = self.attach()
        program.heartbeat(1.5)
        self.assertEqual(self.kernel.heartbeat, 1_500_000_000)
        program.heartbeat(-1)
        self.assertEqual(self.kernel.heartbeat, 0)


class PureTest(unittest.TestCase):
    def test_choose(self):
        handlers = {2: "second", 4: "fourth"}
        for asked, want in ((0, None), (1, None), (2, "second"), (3, "second"), (4, "fourth"), (1000, "fourth")):
            self.assertEqual(rr._choose(handlers, asked), want, asked)

    def test_cut(self):
        long = "x" * (rr.MAX_MESSAGE - 1)
        for message, want in (("", 0), ("é", 2), (long + "x", 4096), (long + "xx", 4096), (long + "é", 4095), ("\ud800", 1)):
            self.assertEqual(len(rr._cut(message)), want)

    def test_unknown_kind(self):
        self.assertEqual(rr.Kind(99), rr.Kind.UNKNOWN)


class ReadmeTest(unittest.TestCase):
    def test_example_runs_as_printed(self):
        here = pathlib.Path(__file__).parent
        example = re.search(r"```python\n(.*?)```", (here / "README.md").read_text(), re.S)[1]
        done = subprocess.run([sys.executable, "-c", example], cwd=here, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (1, "could not be rolled back: NotProtected\n"))


if __name__ == "__main__":
    unittest.main()
