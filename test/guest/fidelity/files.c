/* Files of the root file system and of a tmpfs: contents, names, offsets,
 * locks, mappings, and those without a name. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		broken(path);
	put(fd, text, strlen(text));
	close(fd);
}

static int file_is(const char *path, const char *text)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY);
	int same = fd >= 0 && read(fd, buf, sizeof buf - 1) == (ssize_t)strlen(text) && !strcmp(buf, text);
	close(fd);
	return same;
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The same tree in both file systems: a file that will be rewritten, one that
 * will be removed, one that will be renamed, a link, modes. */
static char path[64];
static const char *in(const char *dir, const char *name)
{
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void tree_setup(const char *dir)
{
	MUST(mkdir(dir, 0755));
	write_file(in(dir, "rewritten"), "one");
	write_file(in(dir, "removed"), "two");
	write_file(in(dir, "old-name"), "three");
	MUST(symlink("rewritten", in(dir, "link")));
	MUST(chmod(in(dir, "rewritten"), 0604));
}

static void tree_perturb(const char *dir)
{
	char to[64];
	write_file(in(dir, "rewritten"), "another text");
	MUST(chmod(in(dir, "rewritten"), 0777));
	MUST(unlink(in(dir, "removed")));
	MUST(unlink(in(dir, "link")));
	snprintf(to, sizeof to, "%s/new-name", dir);
	MUST(rename(in(dir, "old-name"), to));
	write_file(in(dir, "added"), "four");
}

static const char *tree_check(const char *dir)
{
	struct stat st;
	char target[16] = "";
	WRONG(!file_is(in(dir, "rewritten"), "one"), "a rewritten file kept its new contents");
	WRONG(stat(in(dir, "rewritten"), &st) < 0 || (st.st_mode & 0777) != 0604, "a file kept its new mode");
	WRONG(!file_is(in(dir, "removed"), "two"), "a removed file is gone");
	WRONG(!file_is(in(dir, "old-name"), "three") || exists(in(dir, "new-name")), "a renamed file kept its new name");
	WRONG(readlink(in(dir, "link"), target, sizeof target - 1) < 0 || strcmp(target, "rewritten"), "a link is gone");
	WRONG(exists(in(dir, "added")), "a new file was kept");
	return NULL;
}

static void overlay_setup(void) { tree_setup("/fidelity.d"); }
static void overlay_perturb(void) { tree_perturb("/fidelity.d"); }
static const char *overlay_check(void) { return tree_check("/fidelity.d"); }
static void tmpfs_setup(void) { tree_setup("/tmp/fidelity.d"); }
static void tmpfs_perturb(void) { tree_perturb("/tmp/fidelity.d"); }
static const char *tmpfs_check(void) { return tree_check("/tmp/fidelity.d"); }

/* A file of the image that the container changes for the first time. */
static void image_setup(void)
{
	if (!file_is("/image-file", "from the image"))
		broken("/image-file");
}

static void image_perturb(void)
{
	write_file("/image-file", "changed");
}

static const char *image_check(void)
{
	WRONG(!file_is("/image-file", "from the image"), "a change of it was kept");
	return NULL;
}

static int reader, writer, appender;

static void offsets_setup(void)
{
	write_file("/fidelity.offsets", "0123456789");
	MUST(reader = open("/fidelity.offsets", O_RDONLY));
	MUST(writer = open("/fidelity.offsets", O_RDWR | O_CLOEXEC));
	MUST(appender = dup(writer));
	MUST(lseek(reader, 3, SEEK_SET));
	MUST(lseek(writer, 7, SEEK_SET));
}

static void offsets_perturb(void)
{
	MUST(lseek(reader, 0, SEEK_END));
	put(writer, "changed", 7);
	MUST(ftruncate(writer, 2));
	close(reader);
	MUST(fcntl(writer, F_SETFD, 0));
	MUST(fcntl(writer, F_SETFL, O_APPEND));
}

static const char *offsets_check(void)
{
	char c = 0;
	WRONG(read(reader, &c, 1) != 1 || c != '3', "an offset or the contents changed");
	MUST(lseek(reader, 3, SEEK_SET));
	WRONG(lseek(appender, 0, SEEK_CUR) != 7, "a shared offset changed");
	WRONG(fcntl(writer, F_GETFD) != FD_CLOEXEC || fcntl(writer, F_GETFL) & O_APPEND, "its flags changed");
	return NULL;
}

static int nameless;

static void deleted_setup(void)
{
	MUST(nameless = open("/fidelity.deleted", O_RDWR | O_CREAT, 0600));
	put(nameless, "still here", 10);
	MUST(unlink("/fidelity.deleted"));
}

static void deleted_perturb(void)
{
	MUST(ftruncate(nameless, 0));
	close(nameless);
}

static const char *deleted_check(void)
{
	char buf[16] = "";
	WRONG(pread(nameless, buf, sizeof buf, 0) != 10 || strcmp(buf, "still here"), "its contents are gone");
	return NULL;
}

static char *shared, *private;

static void mapped_setup(void)
{
	int fd;
	write_file("/fidelity.mapped", "mapped text");
	MUST(fd = open("/fidelity.mapped", O_RDWR));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (shared == MAP_FAILED || private == MAP_FAILED)
		broken("mmap");
	close(fd);
	shared[0] = 'S';
	private[1] = 'P';
}

static void mapped_perturb(void)
{
	memcpy(shared, "xxxxxxxxxxx", 11);
	memcpy(private, "yyyyyyyyyyy", 11);
	munmap(private, 4096);
}

static const char *mapped_check(void)
{
	WRONG(memcmp(shared, "Sapped text", 11), "the shared mapping changed");
	WRONG(private[1] != 'P', "the private mapping changed");
	WRONG(!file_is("/fidelity.mapped", "Sapped text"), "file and mapping differ");
	shared[5] = '!';
	WRONG(!file_is("/fidelity.mapped", "Sappe! text"), "the mapping no longer reaches the file");
	shared[5] = 'd';
	return NULL;
}

/* Whether another process could take the lock. */
static int lock_is_free(const char *name)
{
	int status;
	pid_t pid = fork();
	MUST(pid);
	if (pid == 0) {
		int fd = open(name, O_RDWR);
		struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5};
		_exit(flock(fd, LOCK_EX | LOCK_NB) == 0 || fcntl(fd, F_SETLK, &l) == 0);
	}
	MUST(waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

static int locked;

static void locks_setup(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5};
	MUST(locked = open("/tmp/fidelity.lock", O_RDWR | O_CREAT, 0600));
	MUST(flock(locked, LOCK_EX));
	MUST(fcntl(locked, F_SETLK, &l));
}

static void locks_perturb(void)
{
	close(locked);
	if (!lock_is_free("/tmp/fidelity.lock"))
		broken("the lock outlived its descriptor");
}

static const char *locks_check(void)
{
	WRONG(lock_is_free("/tmp/fidelity.lock"), "they are no longer held");
	return NULL;
}

const struct kind file_kinds[] = {
	{"files of the root file system", overlay_setup, overlay_perturb, overlay_check},
	{"files of a tmpfs", tmpfs_setup, tmpfs_perturb, tmpfs_check},
	{"a file of the image", image_setup, image_perturb, image_check},
	{"offsets and flags", offsets_setup, offsets_perturb, offsets_check},
	{"a deleted file", deleted_setup, deleted_perturb, deleted_check},
	{"mapped files", mapped_setup, mapped_perturb, mapped_check},
	{"file locks", locks_setup, locks_perturb, locks_check},
	{0},
};
