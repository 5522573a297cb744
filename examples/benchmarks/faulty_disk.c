/* A disk that fails when it is told to: loaded before the C library, it stands between a program and the files below one
   directory. `killed_writers.py` compiles it and says when to fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT = 0, KILL = 1, FULL = 2 };
static char watched[PATH_MAX];
static int mode = COUNT, error_number = ENOSPC;
static long limit = -1, events = 0, bytes = 0;

void fault_arm(const char *directory, int new_mode, long at, int number) {
  strncpy(watched, directory, sizeof watched - 1);
  mode = new_mode, limit = at, error_number = number, events = bytes = 0;
}
long fault_events(void) { return events; }
long fault_bytes(void) { return bytes; }

static int below(const char *path) { return watched[0] && path && strncmp(path, watched, strlen(watched)) == 0; }

static int open_below(int descriptor) {
  char link[64], path[PATH_MAX];
  if (!watched[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

static int named_below(int directory, const char *path) {
  if (!watched[0] || !path) return 0;
  return path[0] == '/' ? below(path) : directory == AT_FDCWD ? 0 : open_below(directory);
}

/* Whether the event comes to pass; a process that is to be killed here does not return. */
static int happens(void) {
  events++;
  if (mode == KILL && events == limit) kill(getpid(), SIGKILL);
  if (mode == FULL && limit <= 0) {
    errno = error_number;
    return 0;
  }
  return 1;
}

/* How many of so many bytes are written: half of them by a process that is killed, and what has room on a full disk. */
static size_t room(size_t count) {
  events++;
  size_t fits = count;
  if (mode == FULL) fits = bytes >= limit ? 0 : (size_t)(limit - bytes) < count ? (size_t)(limit - bytes) : count;
  if (mode == KILL && events == limit) fits = count / 2;
  bytes += fits;
  return fits;
}
static void maybe_die(void) {
  if (mode == KILL && events == limit) kill(getpid(), SIGKILL);
}

#define NEXT(name, type, ...) \
  static type (*next)(__VA_ARGS__); \
  if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define WRITTEN(call) \
  size_t fits = room(count); \
  if (!fits && count) { maybe_die(); errno = error_number; return -1; } \
  ssize_t done = call; \
  maybe_die(); \
  return done

ssize_t write(int file, const void *data, size_t count) {
  NEXT("write", ssize_t, int, const void *, size_t);
  if (!open_below(file)) return next(file, data, count);
  WRITTEN(next(file, data, fits));
}
ssize_t pwrite(int file, const void *data, size_t count, off_t offset) {
  NEXT("pwrite", ssize_t, int, const void *, size_t, off_t);
  if (!open_below(file)) return next(file, data, count, offset);
  WRITTEN(next(file, data, fits, offset));
}
ssize_t pwrite64(int file, const void *data, size_t count, off64_t offset) {
  NEXT("pwrite64", ssize_t, int, const void *, size_t, off64_t);
  if (!open_below(file)) return next(file, data, count, offset);
  WRITTEN(next(file, data, fits, offset));
}
size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
  NEXT("fwrite", size_t, const void *, size_t, size_t, FILE *);
  if (!open_below(fileno(file)) || !size) return next(data, size, number, file);
  size_t fits = room(size * number) / size;
  size_t done = fits ? next(data, size, fits, file) : 0;
  if (mode == KILL && events == limit) fflush(file);
  maybe_die();
  if (done < number) errno = error_number;
  return done;
}

#define EACH(name, types, parameters, arguments, condition) \
  int name parameters { \
    static int (*next) types; \
    if (!next) next = (int(*) types)dlsym(RTLD_NEXT, #name); \
    if ((condition) && !happens()) return -1; \
    return next arguments; \
  }
#define ALLOCATES(name, offset_type) \
  int name(int file, offset_type offset, offset_type size) { \
    static int (*next)(int, offset_type, offset_type); \
    if (!next) next = (int (*)(int, offset_type, offset_type))dlsym(RTLD_NEXT, #name); \
    if (mode == FULL && open_below(file) && bytes + size > limit) return error_number; \
    return next(file, offset, size); \
  }
ALLOCATES(posix_fallocate, off_t)
ALLOCATES(posix_fallocate64, off64_t)
EACH(fsync, (int), (int file), (file), open_below(file))
EACH(fdatasync, (int), (int file), (file), open_below(file))
EACH(ftruncate, (int, off_t), (int file, off_t size), (file, size), open_below(file))
EACH(ftruncate64, (int, off64_t), (int file, off64_t size), (file, size), open_below(file))
EACH(mkdir, (const char *, mode_t), (const char *path, mode_t how), (path, how), below(path))
EACH(mkdirat, (int, const char *, mode_t), (int at, const char *path, mode_t how), (at, path, how), named_below(at, path))
EACH(rename, (const char *, const char *), (const char *from, const char *to), (from, to), below(from) || below(to))
EACH(renameat, (int, const char *, int, const char *), (int a, const char *from, int b, const char *to), (a, from, b, to),
     named_below(a, from) || named_below(b, to))
EACH(renameat2, (int, const char *, int, const char *, unsigned), (int a, const char *from, int b, const char *to, unsigned how),
     (a, from, b, to, how), named_below(a, from) || named_below(b, to))

/* Removing makes room: it is watched for kills, and fails on no full disk. */
#define REMOVAL(name, types, parameters, arguments, condition) \
  int name parameters { \
    static int (*next) types; \
    if (!next) next = (int(*) types)dlsym(RTLD_NEXT, #name); \
    if (condition) { events++; maybe_die(); } \
    return next arguments; \
  }
REMOVAL(unlink, (const char *), (const char *path), (path), below(path))
REMOVAL(unlinkat, (int, const char *, int), (int at, const char *path, int how), (at, path, how), named_below(at, path))
REMOVAL(rmdir, (const char *), (const char *path), (path), below(path))

static int opened(int at, const char *path, int flags) {
  return !(flags & (O_CREAT | O_WRONLY | O_RDWR)) || !named_below(at, path) || happens();
}
#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    static int (*next)(const char *, int, ...); \
    if (!next) next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    va_list rest; va_start(rest, flags); mode_t how = va_arg(rest, mode_t); va_end(rest); \
    return opened(AT_FDCWD, path, flags) ? next(path, flags, how) : -1; \
  }
#define OPENS_AT(name) \
  int name(int at, const char *path, int flags, ...) { \
    static int (*next)(int, const char *, int, ...); \
    if (!next) next = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    va_list rest; va_start(rest, flags); mode_t how = va_arg(rest, mode_t); va_end(rest); \
    return opened(at, path, flags) ? next(at, path, flags, how) : -1; \
  }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
#define FOPENS(name) \
  FILE *name(const char *path, const char *how) { \
    static FILE *(*next)(const char *, const char *); \
    if (!next) next = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, #name); \
    return (how[0] == 'r' && !strchr(how, '+')) || !below(path) || happens() ? next(path, how) : NULL; \
  }
FOPENS(fopen)
FOPENS(fopen64)
