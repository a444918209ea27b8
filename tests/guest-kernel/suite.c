/* SPDX-License-Identifier: MIT */
/*
 * guest-suite [LABEL [GROUP...]]: runs the tests on the device with that label, by default on
 * the first one, and says how they went in TAP. The exit status is 1 if one failed.
 */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

#define DEVICES "/sys/bus/virtio/devices"
#define TEST_SECONDS 60

enum { EXIT_SKIP = 77 };

struct node node;
struct node other_node;
bool have_other_node;

static const struct group {
	const char *name;
	const struct test *tests;
	bool by_name; /* only, because it wants a device, or time, of its own */
} groups[] = {
	{ "object", object_tests },
	{ "memory", memory_tests },
	{ "import", import_tests },
	{ "register", register_tests },
	{ "property", property_tests },
	{ "update", update_tests },
	{ "fence", fence_tests },
	{ "event", event_tests },
	{ "share", share_tests },
	{ "generic", generic_tests },
	{ "admin", admin_tests },
	{ "fault", fault_tests },
	{ "life", life_tests },
	{ "hostile", hostile_tests, true },
	{ "kept", kept_tests, true },
	{ "gone", gone_tests, true },
	{ "crowd", crowd_tests, true },
	{ "unreachable", unreachable_tests, true },
};

/* Takes the nodes' names from the folder of the virtio device's parent. */
static bool find_nodes(const char *name, struct node *n)
{
	char path[PATH_MAX + 16], real[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	*n = (struct node){ 0 };
	snprintf(n->sysfs, sizeof(n->sysfs), DEVICES "/%s", name);
	snprintf(path, sizeof(path), "%s/bufshare", n->sysfs);
	if (access(path, F_OK) < 0)
		return false;
	if (!realpath(n->sysfs, real))
		return false;
	snprintf(path, sizeof(path), "%s/../drm", real);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "renderD", 7) == 0)
			snprintf(n->render, sizeof(n->render), "/dev/dri/%.40s", entry->d_name);
		else if (strncmp(entry->d_name, "card", 4) == 0)
			snprintf(n->card, sizeof(n->card), "/dev/dri/%.40s", entry->d_name);
	}
	closedir(dir);
	return n->render[0] && n->card[0];
}

static bool has_label(const struct node *n, const char *label)
{
	char text[128];

	read_attribute(n, "label", text, sizeof(text));
	return strcmp(text, label) == 0;
}

static int find_devices(const char *label)
{
	struct dirent **entries;
	bool found = false;
	struct node n;
	int count, i;

	count = scandir(DEVICES, &entries, NULL, versionsort);
	for (i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.' && find_nodes(entries[i]->d_name, &n)) {
			if (!found && (!label || has_label(&n, label))) {
				node = n;
				found = true;
			} else {
				other_node = n;
				have_other_node = true;
			}
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return found ? 0 : -ENODEV;
}

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

static long ms_since(struct timespec begin)
{
	struct timespec t = now();

	return (t.tv_sec - begin.tv_sec) * 1000 + (t.tv_nsec - begin.tv_nsec) / 1000000;
}

/* Whether the test did not fail. */
static bool run(const struct test *test, int number)
{
	struct timespec begin = now();
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(TEST_SECONDS);
		test->run();
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("not ok %d - %s\n# no process\n", number, test->name);
		return false;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("ok %d - %s # %ld ms\n", number, test->name, ms_since(begin));
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		printf("ok %d - %s # SKIP\n", number, test->name);
	} else {
		printf("not ok %d - %s\n", number, test->name);
		if (WIFSIGNALED(status))
			printf("# died of signal %d%s\n", WTERMSIG(status),
			       WTERMSIG(status) == SIGALRM ? ", it took too long" : "");
		return false;
	}
	return true;
}

static void run_group(const struct group *group, const char *label, int *passed, int *failed)
{
	const struct test *test;

	for (test = group->tests; test->name; test++) {
		/* a test may have left it with other nodes */
		if (find_devices(label) == 0 && run(test, *passed + *failed + 1))
			++*passed;
		else
			++*failed;
	}
}

static bool is_wanted(const struct group *group, int argc, char **argv)
{
	int i;

	if (argc <= 2)
		return !group->by_name;
	for (i = 2; i < argc; i++) {
		if (strcmp(argv[i], group->name) == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *label = argc > 1 ? argv[1] : NULL;
	int passed = 0, failed = 0;
	size_t i;

	if (find_devices(label) < 0) {
		printf("Bail out! no virtio-bufshare device%s%s\n", label ? " labelled " : "",
		       label ? label : "");
		return 1;
	}
	printf("# %s: %s, %s\n", node.sysfs, node.render, node.card);
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (is_wanted(&groups[i], argc, argv))
			run_group(&groups[i], label, &passed, &failed);
	}
	printf("1..%d\n", passed + failed);
	printf("%d passed, %d failed\n", passed, failed);
	return failed || !passed;
}
