"""Books batches of payments into SQLite, one transaction a batch.

The batches are binary. The native decoder trusts the offset of each payee's
name, and in one batch an offset is damaged: half way through its transaction
the process dies of SIGSEGV, which nothing in Python can catch.

A checkpoint is taken before each batch. The handler cancels the batch that is
at hand: its transaction is rolled back and the batch goes to a table of
rejects. The failure, a signal, says nothing of batches; the program's memory,
as of the checkpoint, does.

The database must be in the container's own file system, which goes back with
the program: on a bind mount it would not.
"""

import ctypes
import os
import sqlite3
import struct
import sys

import runsc_recover

BATCHES, RECORDS, ACCOUNTS = 12, 50, 10
BAD_BATCH, BAD_RECORD = 7, 25

RECORD = struct.Struct("<QQq")  # offset of the payee's name, account, amount


class Cancelled(Exception):
    pass


def amount(batch, record):
    return (batch * 131 + record * 17) % 1000 - 300


def encode(batch):
    """A batch as it arrives: records, then names."""
    names_at = RECORDS * RECORD.size
    records, names = bytearray(), bytearray()
    for n in range(RECORDS):
        offset = names_at + len(names)
        if (batch, n) == (BAD_BATCH, BAD_RECORD):
            offset ^= 1 << 62
        records += RECORD.pack(offset, (batch + n) % ACCOUNTS, amount(batch, n))
        names += b"payee %d\0" % n
    return bytes(records + names)


def decode(raw):
    """Yields (payee, account, amount). The bug: offsets aren't checked."""
    buf = ctypes.create_string_buffer(raw)
    base = ctypes.addressof(buf)
    for n in range(RECORDS):
        offset, account, value = RECORD.unpack_from(raw, n * RECORD.size)
        yield ctypes.string_at(base + offset).decode(), account, value


class Ledger:
    def __init__(self, path):
        for name in (path, path + "-journal"):
            if os.path.exists(name):
                os.remove(name)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("CREATE TABLE payments (batch, payee, account, amount)")
        self.db.execute("CREATE TABLE rejects (batch, reason)")
        self.batch = 0  # the batch at hand
        self.cancelled = {}

    def cancel(self, info):
        """The handler."""
        reason = f"signal {info.signo}" if info.signo else info.message
        print(f"{reason} ahead, attempt {info.attempt}: cancelling batch {self.batch}", flush=True)
        self.cancelled[self.batch] = reason

    def book(self, raw):
        self.db.execute("BEGIN")
        try:
            for payee, account, value in decode(raw):
                self.db.execute("INSERT INTO payments VALUES (?, ?, ?, ?)", (self.batch, payee, account, value))
                if self.batch in self.cancelled:
                    raise Cancelled
            self.db.execute("COMMIT")
        except Cancelled:
            self.db.execute("ROLLBACK")
            self.db.execute("INSERT INTO rejects VALUES (?, ?)", (self.batch, self.cancelled[self.batch]))

    def result(self):
        count, total, booked = self.db.execute(
            "SELECT count(*), sum(amount), count(DISTINCT batch) FROM payments").fetchone()
        rejects = [batch for batch, in self.db.execute("SELECT batch FROM rejects ORDER BY batch")]
        return f"RESULT batches={booked} payments={count} total={total} rejected={rejects}"


def main():
    ledger = Ledger(sys.argv[1])
    program = runsc_recover.attach({1: ledger.cancel})
    if not program.protected:
        print("not protected", flush=True)
    for ledger.batch in range(1, BATCHES + 1):
        copies = program.checkpoint()
        ledger.book(encode(ledger.batch))
        if copies:
            program.resolved()
    print(ledger.result(), flush=True)


main()
