/* The kinds of state that a process can hold. A kind
 *   - makes its state (setup),
 *   - changes all of it after the checkpoint, as a failing program would
 *     (perturb),
 *   - and says in the copy whether it is as it was at the checkpoint (check):
 *     NULL, or what is wrong. A check leaves the state as setup made it, so
 *     that the next round starts from there.
 */
#ifndef FIDELITY_KINDS_H
#define FIDELITY_KINDS_H

#include <stddef.h>

struct kind {
	const char *name;
	void (*setup)(void);
	void (*perturb)(void);
	const char *(*check)(void);
};

extern const struct kind memory_kinds[], process_kinds[], ipc_kinds[], socket_kinds[], signal_kinds[], time_kinds[], file_kinds[];

/* Ends the program with status 99: the test itself is at fault. */
void broken(const char *what) __attribute__((noreturn));

/* Calls that must work. */
#define MUST(call) ((call) < 0 ? broken(#call) : (void)0)

/* Reads or writes all of it. */
void put(int fd, const void *from, size_t size);
void get(int fd, void *to, size_t size);

/* What is wrong when the condition holds. */
#define WRONG(condition, what) do { if (condition) return what; } while (0)

#endif
