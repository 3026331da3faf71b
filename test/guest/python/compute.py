"""What tools/bench has Python compute: each time that SIGUSR1 comes, so many
passes over a list and a dictionary, all of which change. It prints "ready"
once, and "took NANOSECONDS" for each time."""
import signal
import sys
import time

SIZE = 100_000

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
numbers = list(range(SIZE))
sums = {n: 0 for n in range(SIZE)}
print("ready", flush=True)
while True:
    signal.sigwait([signal.SIGUSR1])
    began = time.time_ns()
    for _ in range(int(sys.argv[1])):
        for i, n in enumerate(numbers):
            n = (n * 1103515245 + 12345) & 0x7FFFFFFF
            numbers[i] = n
            sums[i] += n
    print("took", time.time_ns() - began, flush=True)
