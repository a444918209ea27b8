/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/daemon/activation.h"
#include "host/daemon/log.h"

/* As sd_listen_fds(3) has it. */
#define FIRST_FD	3
#define MAX_FDS		16

static long number_in(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end ? 0 : n;
}

bool activation_is_there(void)
{
	return number_in("LISTEN_PID") == (long)getpid() && number_in("LISTEN_FDS") > 0;
}

static int take_one(int fd, int *vmm, int *consumers)
{
	int listens = 0, type = 0;
	socklen_t size = sizeof(int);
	int *place;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || !listens ||
	    (type != SOCK_STREAM && type != SOCK_SEQPACKET)) {
		log_err("the service manager gave descriptor %d, which is no socket that listens for a VMM (ListenStream=) or for consumers (ListenSequentialPacket=)",
			fd);
		return -EINVAL;
	}
	place = type == SOCK_STREAM ? vmm : consumers;
	if (*place >= 0) {
		log_err("the service manager gave two sockets for %s",
			type == SOCK_STREAM ? "a VMM (ListenStream=)" :
					      "consumers (ListenSequentialPacket=)");
		return -EINVAL;
	}
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	*place = fd;
	return 0;
}

int activation_take(int *vmm, int *consumers)
{
	long i, n = number_in("LISTEN_FDS");
	int r = 0;

	*vmm = *consumers = -1;
	if (n > MAX_FDS)
		return -EINVAL;
	for (i = 0; r == 0 && i < n; i++)
		r = take_one(FIRST_FD + (int)i, vmm, consumers);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (r == 0 && *vmm < 0) {
		log_err("the service manager gave no socket for a VMM (ListenStream=)");
		return -EINVAL;
	}
	return r;
}
