/*
 * The first process of a guest: loads /modules in name order, mounts the root disk and hands over to systemd.
 *
 * Static and without a shell, so that the initrd stays below 2 MB and is gone through in a fraction of a second.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#define ROOT_DISK	"/dev/vda"
#define ROOT_WAIT_US	10000
#define ROOT_TRIES	500

/* The kernel was told panic=-1: when its first process ends, the guest does, and QEMU with it. */
static int fail(const char *what)
{
	perror(what);
	return 1;
}

static void open_console(void)
{
	int fd;

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/dev/console", O_RDWR);
	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
}

static int is_module(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void load_modules(void)
{
	struct dirent **entries;
	int count, i, fd;

	if (chdir("/modules"))
		return;
	count = scandir(".", &entries, is_module, alphasort);
	for (i = 0; i < count; i++) {
		fd = open(entries[i]->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			perror(entries[i]->d_name);
		if (fd >= 0)
			close(fd);
	}
}

/* The disk appears some time after its driver. */
static int mount_root(void)
{
	int i;

	for (i = 0; i < ROOT_TRIES; i++) {
		if (!mount(ROOT_DISK, "/root", "ext4", MS_NOATIME, NULL))
			return 0;
		usleep(ROOT_WAIT_US);
	}
	return -1;
}

static int switch_root(void)
{
	return mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) ||
	       chdir("/root") ||
	       mount(".", "/", NULL, MS_MOVE, NULL) ||
	       chroot(".") ||
	       chdir("/");
}

int main(int argc, char **argv)
{
	(void)argc;
	open_console();
	load_modules();
	if (mount_root())
		return fail("failed to mount " ROOT_DISK);
	if (switch_root())
		return fail("failed to switch to the root disk");
	argv[0] = "/sbin/init";
	execv(argv[0], argv);
	return fail("failed to start /sbin/init");
}
