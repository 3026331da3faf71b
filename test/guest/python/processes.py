"""A Python multiprocessing pool, with queues and shared memory, across a
rollback."""
import multiprocessing
import os
import signal

import recover

WORKERS = 4
signal.signal(42, lambda signo, frame: None)


def work(questions, answers, shared):
    asked = 0
    while True:
        index = questions.get()
        asked += 1
        with shared.get_lock():
            shared[index] += 1
        answers.put((index, asked, os.getpid()))


def main():
    context = multiprocessing.get_context("fork")
    questions = [context.Queue() for _ in range(WORKERS)]
    answers = context.Queue()
    shared = context.Array("i", WORKERS)
    workers = [context.Process(target=work, args=(q, answers, shared), daemon=True) for q in questions]
    for w in workers:
        w.start()

    def ask_all():
        for i, q in enumerate(questions):
            q.put(i)
        return sorted(answers.get(timeout=10) for _ in questions)

    first = ask_all()
    if recover.checkpoint() == 0:
        ask_all()
        workers[0].kill()
        workers[0].join()
        for i in range(WORKERS):
            shared[i] = -1
        recover.fail(1)

    wrong = []
    if not all(w.is_alive() for w in workers):
        wrong.append("a process is gone")
    if list(shared) != [1] * WORKERS:
        wrong.append(f"shared memory changed: {list(shared)}")
    if ask_all() != [(i, 2, pid) for i, _, pid in first]:
        wrong.append("a process changed")
    recover.finish(wrong)


main()
