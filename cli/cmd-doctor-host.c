/* SPDX-License-Identifier: MIT */
/*
 * doctor, on the host: what could be wrong, from the socket to the guest and back.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cli/host-events.h"
#include "common/cleanup.h"

#define UDMABUF "/dev/udmabuf"
#define PARAMETERS "/sys/module/udmabuf/parameters/"

struct doctor {
	struct ctl *ctl;
	struct report report;
	struct bufshare_host *host;
	unsigned int others; /* consumers beside this one */
	bool laggard;
	struct bufshare_host_consumer slowest;
};

static void check_socket(struct doctor *d)
{
	const char *path = d->ctl->socket;
	struct stat st;

	if (stat(path, &st) < 0)
		report_add(&d->report, "socket", FINDING_BAD,
			   errno == ENOENT ? "start vhost-user-bufshare, and name its consumer socket" :
					     "let this user into the folders above it",
			   "%s: %s", path, strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		report_add(&d->report, "socket", FINDING_BAD,
			   "name what --consumer-socket of the daemon says", "%s is no socket", path);
	else
		report_add(&d->report, "socket", FINDING_GOOD, NULL, "mode %04o, user %u, group %u",
			   st.st_mode & 07777, (unsigned int)st.st_uid, (unsigned int)st.st_gid);
}

static const char *connect_fix(int r)
{
	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "start vhost-user-bufshare";
	case -EACCES:
		return "the daemon's --allow-uid or --allow-gid, and --consumer-mode, let others in";
	case -EPROTO:
		return "use tool and daemon of one release, and the consumer socket";
	case -ENOSPC:
		return "end a consumer, or raise --max-consumers";
	case -ETIMEDOUT:
		return "see whether the daemon is stopped, and end it if nothing else helps";
	default:
		return NULL;
	}
}

static void check_connection(struct doctor *d)
{
	const char *label;
	int r;

	r = bufshare_host_connect(d->ctl->socket, "*", &d->host);
	if (r < 0) {
		report_add(&d->report, "connection", FINDING_BAD, connect_fix(r), "%s", strerror(-r));
		return;
	}
	label = bufshare_host_get_label(d->host);
	report_add(&d->report, "connection", FINDING_GOOD, NULL, "device \"%s\"", label);
}

static void take(void *data, const struct bufshare_event *ev)
{
	struct bufshare_host_consumer c;
	struct doctor *d = data;

	if (ev->type != BUFSHARE_EVENT_CONSUMER || bufshare_host_get_consumer(d->host, &c) < 0 ||
	    c.self)
		return;
	d->others++;
	if ((c.lag || c.queued || c.revoked) && (!d->laggard || c.lag > d->slowest.lag)) {
		d->slowest = c;
		d->laggard = true;
	}
}

static void check_round_trip(struct doctor *d)
{
	uint64_t start;
	int r;

	start = now_ns();
	r = host_ask_stats(d->ctl, d->host, take, d);
	if (r < 0)
		report_add(&d->report, "round trip", FINDING_BAD,
			   "see what the daemon says, and whether it runs", "%s", strerror(-r));
	else
		report_add(&d->report, "round trip", FINDING_GOOD, NULL, "%" PRIu64 " us",
			   (now_ns() - start) / 1000);
}

static void check_consumers(struct doctor *d)
{
	if (d->laggard)
		report_add(&d->report, "consumers", FINDING_WARNING, "see: bufsharectl -H SOCKET top -c",
			   "%u others; %s, process %u, lags by %" PRIu64 ", lost %" PRIu64
			   " updates to the time limit",
			   d->others, d->slowest.program, d->slowest.pid, d->slowest.lag,
			   d->slowest.revoked);
	else
		report_add(&d->report, "consumers", FINDING_GOOD, NULL, "%u others, none lags",
			   d->others);
}

static void check_guest(struct doctor *d)
{
	int state = bufshare_host_get_state(d->host);

	if (state == BUFSHARE_GUEST_RUNNING)
		report_add(&d->report, "guest", FINDING_GOOD, NULL, "its driver runs");
	else if (state == BUFSHARE_GUEST_SUSPENDED)
		report_add(&d->report, "guest", FINDING_WARNING, "let the VM go on", "the VM is paused");
	else if (state == BUFSHARE_GUEST_RECOVERING)
		report_add(&d->report, "guest", FINDING_WARNING, "wait, and look again",
			   "the daemon restarted, and the guest has not registered its buffers yet");
	else
		report_add(&d->report, "guest", FINDING_BAD,
			   "start the VM (bufsharectl qemu-args), in it: bufsharectl load",
			   "no driver is there: %s", state_name((uint64_t)state));
}

/* ---- zero copy ---- */

static uint64_t parameter(const char *name)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	char text[32] = "";
	uint64_t value = 0;

	if (asprintf(&path, PARAMETERS "%s", name) < 0) {
		path = NULL;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return parse_u64(text, UINT64_MAX, &value) ? value : 0;
}

static void check_udmabuf(struct doctor *d)
{
	uint64_t ranges = parameter("list_limit"), size = parameter("size_limit_mb");
	_cleanup_close_ int fd = open(UDMABUF, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		report_add(&d->report, "udmabuf", FINDING_WARNING,
			   "modprobe udmabuf, on a kernel with CONFIG_UDMABUF",
			   "there is no " UDMABUF ": buffers are copied");
		return;
	}
	if (fd < 0) {
		report_add(&d->report, "udmabuf", FINDING_WARNING,
			   "put the daemon's user into the group of " UDMABUF ", kvm as a rule",
			   "this user cannot open it: %s", strerror(errno));
		return;
	}
	if (ranges && size)
		report_add(&d->report, "udmabuf", FINDING_GOOD, NULL,
			   "a buffer can have %" PRIu64 " ranges and %" PRIu64 " MiB", ranges, size);
	else
		report_add(&d->report, "udmabuf", FINDING_GOOD, NULL, "is there");
}

/* Why the daemon copies, and what helps. */
static const struct {
	const char *why, *fix;
} copies[] = {
	[BUFSHARE_COPY_ASKED] = { "the daemon was told to copy", "start it without --export=copy" },
	[BUFSHARE_COPY_NO_UDMABUF] = { "the daemon finds no " UDMABUF, "modprobe udmabuf" },
	[BUFSHARE_COPY_UDMABUF_DENIED] = { "the daemon may not open " UDMABUF,
					   "put its user into the group of " UDMABUF },
	[BUFSHARE_COPY_NOT_SEALED] = { "the VM's memory is not sealed",
				       "use memory-backend-memfd, see bufsharectl qemu-args" },
	[BUFSHARE_COPY_RANGES] = { "it has more ranges than udmabuf takes",
				   "raise " PARAMETERS "list_limit, or use huge pages in the guest" },
	[BUFSHARE_COPY_SIZE] = { "it is larger than udmabuf takes",
				 "raise " PARAMETERS "size_limit_mb" },
	[BUFSHARE_COPY_KERNEL] = { "udmabuf refused it", "see what the daemon says" },
	[BUFSHARE_COPY_FILES] = { "it lies in more than one memory file",
				  "give the VM one memory backend" },
	[BUFSHARE_COPY_DRIVER] = { "the guest's driver does not do zero-copy", "update the driver" },
	[BUFSHARE_COPY_RIGHT] = { "this user has no right to it",
				  "the daemon's --allow-uid or --allow-gid can give it" },
	[BUFSHARE_COPY_CAPABILITY] = { "this program did not ask for zero-copy", NULL },
};

_Static_assert(ARRAY_SIZE(copies) == BUFSHARE_COPY_CAPABILITY + 1, "there is a fix for each");

/* The first copy says why; as a rule it is the same for all. */
static void check_buffers(struct doctor *d)
{
	unsigned int n = 0, copied = 0;
	uint64_t id = 0, first = 0;
	int reason = 0;

	while (bufshare_host_next_buffer(d->host, &id) == 0) {
		_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
		int why;

		if (bufshare_host_get_buffer(d->host, id, &buf) < 0)
			continue;
		n++;
		why = bufshare_host_buffer_get_copy_reason(buf);
		if (why <= 0 || (size_t)why >= ARRAY_SIZE(copies))
			continue;
		if (!copied++) {
			reason = why;
			first = id;
		}
	}
	if (!n)
		report_add(&d->report, "buffers", FINDING_SKIPPED, NULL,
			   "none is there to tell whether the VM's memory can be shared");
	else if (copied)
		report_add(&d->report, "buffers", FINDING_WARNING, copies[reason].fix,
			   "%u of %u are copied, buffer %" PRIu64 " because %s", copied, n, first,
			   copies[reason].why);
	else
		report_add(&d->report, "buffers", FINDING_GOOD, NULL,
			   "%u, the VM's memory is sealed, none is copied", n);
}

/* ---- the daemon's process ---- */

static pid_t daemon_pid(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (strlen(path) >= sizeof(addr.sun_path))
		return 0;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return 0;
	return cred.pid;
}

/* A number of /proc/PID/status; -1: cannot be known. */
static int status_of(pid_t pid, const char *key)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0, n = strlen(key);
	int value = -1;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0)
		if (strncmp(line, key, n) == 0 && line[n] == ':')
			value = (int)strtol(line + n + 1, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* A keeper has a child that does the work: that one is in the sandbox. */
static pid_t worker_of(pid_t pid)
{
	char path[64], text[32] = "";
	_cleanup_close_ int fd = -1;
	long child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return pid;
	child = strtol(text, NULL, 10);
	return child > 0 ? (pid_t)child : pid;
}

static void check_sandbox(struct doctor *d)
{
	pid_t pid = daemon_pid(d->ctl->socket);
	int seccomp, privileges;

	if (!pid || status_of(pid, "Seccomp") < 0) {
		report_add(&d->report, "sandbox", FINDING_SKIPPED, NULL,
			   "the daemon's process cannot be seen from here");
		return;
	}
	pid = worker_of(pid);
	seccomp = status_of(pid, "Seccomp");
	privileges = status_of(pid, "NoNewPrivs");
	if (seccomp == 2 && privileges == 1)
		report_add(&d->report, "sandbox", FINDING_GOOD, NULL,
			   "process %d has a system call filter and gains no privileges", (int)pid);
	else
		report_add(&d->report, "sandbox", FINDING_WARNING,
			   "start the daemon without --sandbox=off, and see what it says",
			   "process %d has %s system call filter and %s gain privileges", (int)pid,
			   seccomp == 2 ? "a" : "no", privileges == 1 ? "cannot" : "can");
}

int cmd_doctor_host(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct doctor d = { .ctl = ctl };
	int status = EXIT_OK;

	if (!no_arguments(ctl, argc, argv))
		return EXIT_USAGE;
	report_begin(&d.report, ctl);
	check_socket(&d);
	check_connection(&d);
	host = d.host;
	if (host)
		status = sync_host(ctl, host);
	if (host && status == EXIT_OK) {
		check_round_trip(&d);
		check_consumers(&d);
		check_sandbox(&d);
		check_guest(&d);
		check_udmabuf(&d);
		check_buffers(&d);
	} else {
		check_udmabuf(&d);
	}
	return report_end(&d.report) == EXIT_OK ? status : EXIT_FAILED;
}
