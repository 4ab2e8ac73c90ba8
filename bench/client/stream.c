#define _GNU_SOURCE
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Histogram of microseconds, as in bench/histogram.py: 128 buckets for each doubling. */
#define MANTISSA_BITS 7
#define BUCKETS (48 << MANTISSA_BITS)

struct window window;
const char *first_event;
char refusal[200];
static uint64_t histogram[BUCKETS];
static uint64_t goal = UINT64_MAX;
static int64_t goal_set_ns;
static struct receipt *receipts;
static size_t receipt_count, receipt_room;

static void count_latency(int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    int shift = us >> (MANTISSA_BITS + 1) ? 63 - __builtin_clzll(us) - MANTISSA_BITS : 0;
    histogram[((uint64_t)shift << MANTISSA_BITS) + (us >> shift)]++;
    window.timed++;
}

/* Return the number after `marker`, which mostly stands where it stood the last time. */
static uint64_t number_after(const char *marker, size_t size, const char *data, size_t length,
                             size_t *hint)
{
    const char *found = NULL;
    if (*hint + size < length && !memcmp(data + *hint, marker, size))
        found = data + *hint;
    else
        found = memmem(data, length, marker, size);
    if (!found)
        return 0;
    *hint = (size_t)(found - data);
    uint64_t value = 0;
    for (const char *at = found + size; at < data + length && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

static void reach(struct stream *s, uint64_t position, int64_t now)
{
    if (position > s->position)
        s->position = position;
    if (!s->at_goal && s->position >= goal) {
        s->at_goal = true;
        window.at_goal++;
        window.goal_last_ns = now - goal_set_ns;
    }
}

static void on_event(struct stream *s, const char *data, size_t length, int64_t now)
{
    static size_t seq_hint, time_hint;
    uint64_t seq = number_after("\"seq\":", 6, data, length, &seq_hint);
    uint64_t due = number_after("\"t\": ", 5, data, length, &time_hint);
    window.frames++;
    s->count++;
    if (receipt_count < receipt_room)
        receipts[receipt_count++] = (struct receipt){s->number, seq, now};
    if (due)
        count_latency(now - (int64_t)due);
    if (!s->first)
        s->first = seq;
    if (s->last && seq <= s->last) {
        s->twice++;
        window.twice++;
        return;
    }
    if (s->last && seq > s->last + 1) {
        s->missing += seq - s->last - 1;
        window.missing += seq - s->last - 1;
    }
    s->last = seq;
    reach(s, seq, now);
}

static void on_name(struct stream *s, const char *name, size_t length)
{
    if (first_event && length == strlen(first_event) && !memcmp(name, first_event, length))
        s->state = OPEN;
    else if (length != 7 || memcmp(name, "message", 7)) {
        size_t used = strlen(window.controls);
        if (used + length + 2 < sizeof window.controls)
            snprintf(window.controls + used, sizeof window.controls - used, "%.*s ", (int)length,
                     name);
    } else {
        return; /* "message" is what a frame without a name is called */
    }
    s->named = true;
}

static void on_id(struct stream *s, const char *id, size_t length, int64_t now)
{
    const char *dash = memrchr(id, '-', length);
    if (!dash)
        return;
    uint64_t position = 0;
    for (const char *at = dash + 1; at < id + length && *at >= '0' && *at <= '9'; at++)
        position = position * 10 + (uint64_t)(*at - '0');
    /* Before its data is counted: harmless, for both are in hand. */
    reach(s, position, now);
}

static void on_line(struct stream *s, const char *line, size_t length, int64_t now)
{
    if (length && line[length - 1] == '\r')
        length--;
    if (!length) {
        s->named = false;
    } else if (length > 6 && !memcmp(line, "data: ", 6)) {
        if (!s->named)
            on_event(s, line + 6, length - 6, now);
    } else if (length > 4 && !memcmp(line, "id: ", 4)) {
        on_id(s, line + 4, length - 4, now);
    } else if (length > 7 && !memcmp(line, "event: ", 7)) {
        on_name(s, line + 7, length - 7);
    } else if (line[0] == ':') {
        window.heartbeats++;
    }
}

static void keep(struct stream *s, const char *data, size_t length)
{
    if (s->rest_length + length > s->rest_room) {
        s->rest_room = (s->rest_length + length) * 2;
        s->rest = realloc(s->rest, s->rest_room);
        if (!s->rest)
            abort();
    }
    memcpy(s->rest + s->rest_length, data, length);
    s->rest_length += length;
}

static void on_body(struct stream *s, const char *data, size_t length, int64_t now)
{
    const char *end = data + length, *newline;
    while (data < end && (newline = memchr(data, '\n', (size_t)(end - data)))) {
        size_t size = (size_t)(newline - data);
        if (s->rest_length) {
            keep(s, data, size);
            on_line(s, s->rest, s->rest_length, now);
            s->rest_length = 0;
        } else {
            on_line(s, data, size, now);
        }
        data = newline + 1;
    }
    if (data < end)
        keep(s, data, (size_t)(end - data));
}

/* Return how many of the bytes belong to the head, 0 where it is not what we want. */
static size_t on_head(struct stream *s, const char *data, size_t length)
{
    size_t before = s->rest_length;
    keep(s, data, length);
    char *end = memmem(s->rest, s->rest_length, "\r\n\r\n", 4);
    if (!end)
        return length;
    *end = '\0';
    if (strncmp(s->rest, "HTTP/1.1 200", 12)) {
        if (!*refusal)
            for (size_t i = 0; i < sizeof refusal - 1 && s->rest[i] >= ' ' && s->rest[i] != '"'; i++)
                refusal[i] = s->rest[i];
        return 0;
    }
    s->part = strcasestr(s->rest, "transfer-encoding: chunked") ? CHUNK_SIZE : PLAIN;
    if (!first_event)
        s->state = OPEN;
    size_t head = (size_t)(end - s->rest) + 4;
    s->rest_length = 0;
    return head - before;
}

static size_t on_chunk_size(struct stream *s, const char *data, size_t length)
{
    const char *newline = memchr(data, '\n', length);
    size_t size = newline ? (size_t)(newline - data) + 1 : length;
    if (s->size_length + size >= sizeof s->size_text)
        return 0;
    memcpy(s->size_text + s->size_length, data, size);
    s->size_length = (uint8_t)(s->size_length + size);
    if (newline) {
        s->size_text[s->size_length] = '\0';
        s->chunk_left = strtoul(s->size_text, NULL, 16);
        s->size_length = 0;
        s->part = CHUNK;
        if (!s->chunk_left)
            return 0; /* the last chunk: the stream is over */
    }
    return size;
}

bool stream_feed(struct stream *s, const char *data, size_t length, int64_t now)
{
    while (length) {
        size_t used = length;
        if (s->part == HEAD) {
            used = on_head(s, data, length);
        } else if (s->part == PLAIN) {
            on_body(s, data, length, now);
        } else if (s->part == CHUNK_SIZE) {
            used = on_chunk_size(s, data, length);
        } else {
            used = s->chunk_left < length ? s->chunk_left : length;
            if (s->part == CHUNK)
                on_body(s, data, used, now);
            s->chunk_left -= used;
            if (!s->chunk_left && s->part == CHUNK)
                s->part = CHUNK_END, s->chunk_left = 2;
            else if (!s->chunk_left)
                s->part = CHUNK_SIZE;
        }
        if (!used)
            return false;
        data += used;
        length -= used;
    }
    return true;
}

void record(size_t most)
{
    free(receipts);
    receipts = calloc(most, sizeof *receipts);
    receipt_room = receipts ? most : 0;
    receipt_count = 0;
    printf("{\"room\":%zu}\n", receipt_room);
}

void write_receipts(const char *path)
{
    FILE *file = fopen(path, "wb");
    size_t written = file ? fwrite(receipts, sizeof *receipts, receipt_count, file) : 0;
    if (file)
        fclose(file);
    printf("{\"receipts\":%zu}\n", written);
}

void set_goal(uint64_t seq, struct stream *streams, size_t count)
{
    goal = seq;
    goal_set_ns = now_ns();
    window.at_goal = 0;
    window.goal_last_ns = 0;
    for (size_t i = 0; i < count; i++) {
        streams[i].at_goal = false;
        reach(&streams[i], streams[i].position, goal_set_ns);
    }
    printf("{}\n");
}

void window_print(void)
{
    printf("\"frames\":%lu,\"timed\":%lu,\"bytes\":%lu,\"reads\":%lu,\"heartbeats\":%lu,"
           "\"missing\":%lu,\"twice\":%lu,\"ended\":%lu,\"at_goal\":%lu,\"goal_seconds\":%.6f,"
           "\"controls\":\"%s\",\"histogram\":[",
           window.frames, window.timed, window.bytes, window.reads, window.heartbeats,
           window.missing, window.twice, window.ended, window.at_goal,
           (double)window.goal_last_ns / 1e9, window.controls);
    const char *comma = "";
    for (size_t i = 0; i < BUCKETS; i++)
        if (histogram[i]) {
            printf("%s[%zu,%lu]", comma, i, histogram[i]);
            comma = ",";
        }
    printf("]");
    uint64_t at_goal = window.at_goal;
    int64_t goal_last_ns = window.goal_last_ns;
    memset(histogram, 0, sizeof histogram);
    memset(&window, 0, sizeof window);
    window.at_goal = at_goal; /* counted since the goal was set, not since the last report */
    window.goal_last_ns = goal_last_ns;
}
