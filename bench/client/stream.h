/* One stream: HTTP/1.1 head, chunks (RFC 9112, 7.1), lines of Server-Sent Events; and the
 * window of figures that all streams count into. */
#ifndef STREAM_H
#define STREAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum state { CLOSED, CONNECTING, WAITING, OPEN };
enum part { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, PLAIN };

struct stream {
    int fd;
    uint32_t number;
    enum state state;
    enum part part;
    bool named;        /* the frame in hand has a name other than "message" */
    size_t chunk_left; /* bytes */
    char *rest;        /* a line or head that is not complete yet */
    size_t rest_length, rest_room;
    char size_text[20];
    uint8_t size_length;
    uint64_t first, last, count, missing, twice, position;
    bool at_goal;
};

struct receipt {
    uint64_t stream, seq;
    int64_t at_ns;
};

struct window {
    uint64_t frames, timed, bytes, reads, heartbeats, missing, twice, ended, at_goal;
    int64_t goal_last_ns;
    char controls[2000]; /* the first frames with a name, but for FIRST_EVENT */
};

extern struct window window;
extern const char *first_event;
extern char refusal[200]; /* the first answer that was no stream */

/* Take in bytes that came at `now`; false where the stream cannot go on. */
bool stream_feed(struct stream *s, const char *data, size_t length, int64_t now);
/* Note from now on when each event came, up to so many; then write what was noted. */
void record(size_t most);
void write_receipts(const char *path);
void set_goal(uint64_t seq, struct stream *streams, size_t count);
/* Print the window as members of a JSON object, and begin a new one. */
void window_print(void);

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
#endif
