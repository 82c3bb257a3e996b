/* What attackers bring along: connects to -o ADDRESS:PORT, listens at -l PORT, works for -t SECONDS, under the name -n NAME. It is
 * harmless: what it is sent it does not read. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int reach(char *peer)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char *port = strchr(peer, ':');
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (!port)
		return -1;
	*port++ = 0;
	to.sin_port = htons(atoi(port));
	inet_pton(AF_INET, peer, &to.sin_addr);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	return write(fd, "{\"method\":\"login\"}\n", 19) == 19 ? fd : -1;
}

static int take(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return -1;
	return listen(fd, 4);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + 2;
	int option;

	while ((option = getopt(argc, argv, "o:l:t:n:")) != -1) {
		if (option == 'o')
			reach(optarg);
		else if (option == 'l')
			take(atoi(optarg));
		else if (option == 't')
			end = time(NULL) + atoi(optarg);
		else if (option == 'n')
			prctl(PR_SET_NAME, optarg);
	}
	/* A tenth of a processor: there are others here. */
	while (time(NULL) < end) {
		for (volatile int i = 0; i < 3000000; i++)
			;
		usleep(50000);
	}
	return 0;
}
