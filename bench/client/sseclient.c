/* sseclient: holds many streams of Server-Sent Events and measures what arrives.
 *
 *   sseclient HOST PORT FIRST_EVENT
 *
 * One thread, one epoll. Every frame of every connection is taken apart: its `"seq":` shows
 * loss and repetition, its `"t": ` (CLOCK_MONOTONIC, ns, when the change was due) gives the
 * latency, counted into a log-linear histogram of microseconds. A stream is open once an event
 * named FIRST_EVENT came, or, where that is "-", with the head of the response.
 *
 * Commands, one a line on stdin, each answered by one line of JSON on stdout:
 *   open FILE IN_FLIGHT SECONDS  requests, separated by NUL; so many at a time; gives up
 *   goal SEQ                     note when each stream has come to this position
 *   report                       what came since the last report
 *   streams FILE                 write one line a stream: open first last count missing twice
 *   record MOST                  note from now on when each event came, up to so many
 *   receipts FILE                write them: stream, seq, time in ns; three 8-byte numbers each
 *   pause NS                     between two looks, see PAUSE_NS
 *   awake NS                     look on without sleeping for so long after something came
 *   close                        close all streams
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define READ_BYTES (256 * 1024)
#define EVENTS_AT_ONCE 1024
/* Between two looks. A client that sleeps in epoll makes the server pay for waking it, with
 * every write; one on another machine does not. Adds at most this to a latency. */
#define PAUSE_NS 500000
static struct timespec look_pause = {.tv_nsec = PAUSE_NS};
static int64_t awake_ns;

static struct sockaddr_in server;
static struct stream *streams;
static size_t stream_count, opened, failed, next_request, in_flight;
static char *requests, **request_of;
static int epoll_fd;
static int64_t window_began, window_cpu;

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "sseclient: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void end_stream(struct stream *s)
{
    if (s->state == CLOSED)
        return;
    if (s->state != OPEN) {
        failed++;
        in_flight--;
    }
    close(s->fd);
    s->state = CLOSED;
    window.ended++;
}

static void start_stream(struct stream *s)
{
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->state = CONNECTING;
    in_flight++;
    if (connect(s->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        end_stream(s);
        return;
    }
    struct epoll_event wanted = {.events = EPOLLOUT, .data.ptr = s};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &wanted))
        die("epoll_ctl");
}

static void send_request(struct stream *s)
{
    const char *request = request_of[s - streams];
    size_t length = strlen(request);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = s};
    /* A fresh socket takes a request of a few hundred bytes whole, or it is broken. */
    if (send(s->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) {
        end_stream(s);
        return;
    }
    s->state = WAITING;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &wanted);
}

static void receive(struct stream *s)
{
    static char buffer[READ_BYTES];
    ssize_t got = recv(s->fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        end_stream(s);
        return;
    }
    bool was_open = s->state == OPEN;
    window.bytes += (uint64_t)got;
    window.reads++;
    if (!stream_feed(s, buffer, (size_t)got, now_ns())) {
        end_stream(s);
    } else if (!was_open && s->state == OPEN) {
        opened++;
        in_flight--;
    }
}

static void step(int timeout_ms, bool *command)
{
    static struct epoll_event ready[EVENTS_AT_ONCE];
    static int64_t awake_until;
    bool awake = awake_ns && now_ns() < awake_until;
    int count = epoll_wait(epoll_fd, ready, EVENTS_AT_ONCE, awake ? 0 : timeout_ms);
    if (awake_ns && count > 0)
        awake_until = now_ns() + awake_ns;
    for (int i = 0; i < count; i++) {
        struct stream *s = ready[i].data.ptr;
        if (s == NULL)
            *command = true;
        else if (s->state == CONNECTING)
            send_request(s);
        else if (s->state != CLOSED)
            receive(s);
    }
    if (count < EVENTS_AT_ONCE && look_pause.tv_nsec)
        nanosleep(&look_pause, NULL);
}

static void close_all(void)
{
    for (size_t i = 0; i < stream_count; i++) {
        if (streams[i].state != CLOSED)
            close(streams[i].fd);
        free(streams[i].rest);
    }
    free(streams);
    free(request_of);
    free(requests);
    streams = NULL, request_of = NULL, requests = NULL;
    stream_count = opened = failed = next_request = in_flight = 0;
    printf("{}\n");
}

static void read_requests(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), at = 0;
    rewind(file);
    requests = calloc(size + 1, 1);
    if (fread(requests, 1, size, file) != size)
        die(path);
    fclose(file);
    for (size_t i = 0; i < size; i++)
        stream_count += requests[i] == '\0';
    streams = calloc(stream_count, sizeof *streams);
    request_of = calloc(stream_count, sizeof *request_of);
    for (size_t i = 0; i < stream_count; i++) {
        streams[i].state = CLOSED;
        streams[i].number = (uint32_t)i;
        request_of[i] = requests + at;
        at += strlen(requests + at) + 1;
    }
}

static void open_all(const char *path, size_t at_once, double seconds)
{
    bool ignored = false;
    read_requests(path);
    int64_t began = now_ns(), deadline = began + (int64_t)(seconds * 1e9);
    while (opened + failed < stream_count && now_ns() < deadline) {
        while (in_flight < at_once && next_request < stream_count)
            start_stream(&streams[next_request++]);
        step(10, &ignored);
    }
    printf("{\"open\":%zu,\"failed\":%zu,\"unanswered\":%zu,\"seconds\":%.6f,\"refusal\":\"%s\"}\n",
           opened, failed, stream_count - opened - failed, (double)(now_ns() - began) / 1e9,
           refusal);
}

static void report(void)
{
    int64_t now = now_ns(), cpu = cpu_ns();
    size_t live = 0;
    for (size_t i = 0; i < stream_count; i++)
        live += streams[i].state == OPEN;
    printf("{\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"live\":%zu,", (double)(now - window_began) / 1e9,
           (double)(cpu - window_cpu) / 1e9, live);
    window_print();
    printf("}\n");
    window_began = now, window_cpu = cpu;
}

static void write_streams(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        die(path);
    for (size_t i = 0; i < stream_count; i++) {
        const struct stream *s = &streams[i];
        fprintf(file, "%d %lu %lu %lu %lu %lu\n", s->state == OPEN, s->first, s->last, s->count,
                s->missing, s->twice);
    }
    fclose(file);
    printf("{}\n");
}

static bool obey(void)
{
    char line[4096], path[4096];
    size_t at_once;
    uint64_t seq;
    double seconds;
    if (!fgets(line, sizeof line, stdin))
        return false;
    if (sscanf(line, "open %4095s %zu %lf", path, &at_once, &seconds) == 3)
        open_all(path, at_once, seconds);
    else if (sscanf(line, "goal %lu", &seq) == 1)
        set_goal(seq, streams, stream_count);
    else if (sscanf(line, "record %zu", &at_once) == 1)
        record(at_once);
    else if (sscanf(line, "receipts %4095s", path) == 1)
        write_receipts(path);
    else if (sscanf(line, "pause %ld", &look_pause.tv_nsec) == 1)
        printf("{}\n");
    else if (sscanf(line, "streams %4095s", path) == 1)
        write_streams(path);
    else if (sscanf(line, "awake %ld", &awake_ns) == 1)
        printf("{}\n");
    else if (!strcmp(line, "report\n"))
        report();
    else if (!strcmp(line, "close\n"))
        close_all();
    else
        return false;
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL};
    if (argc != 4)
        return fprintf(stderr, "usage: sseclient HOST PORT FIRST_EVENT\n"), 2;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        return fprintf(stderr, "sseclient: not an IPv4 address: %s\n", argv[1]), 2;
    first_event = strcmp(argv[3], "-") ? argv[3] : NULL;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    setvbuf(stdin, NULL, _IONBF, 0); /* else epoll would not see a line that stdio has */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &commands))
        die("epoll");
    window_began = now_ns(), window_cpu = cpu_ns();
    for (bool going = true; going;) {
        bool command = false;
        step(-1, &command);
        if (command)
            going = obey();
    }
    return 0;
}
