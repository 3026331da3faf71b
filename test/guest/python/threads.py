"""Many Python threads, with what they hold and wait for, across a rollback."""
import queue
import signal
import threading
import time

import recover

WORKERS = 40
told = []
signal.signal(42, lambda signo, frame: told.append(signo))


def work(questions, answers, own):
    own.value = 0
    while True:
        name = questions.get()
        own.value += 1
        answers.put((name, own.value))


own = threading.local()
questions = [queue.Queue() for _ in range(WORKERS)]
answers = queue.Queue()
for q in questions:
    threading.Thread(target=work, args=(q, answers, own), daemon=True).start()

lock = threading.Lock()
lock.acquire()
passed = []


def wait_for_lock():
    with lock:
        passed.append(threading.get_ident())


waiter = threading.Thread(target=wait_for_lock, daemon=True)
waiter.start()
numbers = {i: str(i) * 10 for i in range(10000)}


def ask_all():
    for i, q in enumerate(questions):
        q.put(i)
    return sorted(answers.get(timeout=10) for _ in questions)


ask_all()
if recover.checkpoint() == 0:
    for _ in range(3):
        ask_all()
    numbers.clear()
    lock.release()
    waiter.join()
    recover.fail(1)

wrong = []
deadline = time.monotonic() + 5
while not told and time.monotonic() < deadline:
    time.sleep(0.001)
if told != [42]:
    wrong.append(f"interrupts: {told}")
if ask_all() != [(i, 2) for i in range(WORKERS)]:
    wrong.append("a thread's own memory changed")
if numbers != {i: str(i) * 10 for i in range(10000)}:
    wrong.append("a dictionary changed")
if passed or not lock.locked():
    wrong.append("the lock is not held")
lock.release()
waiter.join(10)
if len(passed) != 1:
    wrong.append("who waited for the lock never got it")
recover.finish(wrong)
