/* Exercises files from C (wasi-libc), operation by operation, and prints what each gave as one JSON line.
 * The same program runs in the sandbox and natively over the same files; the lines must be equal but for
 * those that the host's test lists. The directory is the first argument, "/workspace" without one. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char root[1024];

/* Static, so that a result lives until it is printed. Four at a time are enough. */
static const char *at(const char *name) {
    static char paths[4][2048];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 2048, "%s/%s", root, name);
    return path;
}

static const char *word(int code) {
    switch (code) {
    case ENOENT: return "ENOENT";
    case EEXIST: return "EEXIST";
    case ENOTDIR: return "ENOTDIR";
    case EISDIR: return "EISDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case EINVAL: return "EINVAL";
    case EBADF: return "EBADF";
    case ELOOP: return "ELOOP";
    case EPERM: return "EPERM";
    case EACCES: return "EACCES";
    case ENOSPC: return "ENOSPC";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case EBUSY: return "EBUSY";
    default: return "another";
    }
}

static void say(const char *op, const char *saw) { printf("{\"op\":\"%s\",\"saw\":\"%s\"}\n", op, saw); }

/* Of a call that gives -1 and errno. */
static void gave(const char *op, long result) {
    char text[64];
    if (result < 0) snprintf(text, sizeof text, "error %s", word(errno));
    else snprintf(text, sizeof text, "%ld", result);
    say(op, text);
}

static void show(const char *op, const char *name) {
    char text[256];
    int fd = open(at(name), O_RDONLY);
    if (fd < 0) {
        gave(op, -1);
        return;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size < 0) {
        gave(op, -1);
        return;
    }
    text[size] = 0;
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = '|';
    say(op, text);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *op, const char *name) {
    char *names[512], text[8192] = "";
    int count = 0;
    DIR *dir = opendir(at(name));
    if (!dir) {
        gave(op, -1);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) && count < 512;)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        strncat(text, names[i], sizeof text - strlen(text) - 2);
        strncat(text, " ", 2);
        free(names[i]);
    }
    say(op, text);
}

static void descriptors(void) {
    char text[64];
    int fd = open(at("fd"), O_RDWR | O_CREAT, 0644);
    gave("open", fd < 0 ? -1 : 0);
    gave("write", write(fd, "0123456789", 10));
    gave("pwrite", pwrite(fd, "AB", 2, 3));
    memset(text, 0, sizeof text);
    gave("pread", pread(fd, text, 5, 2));
    say("pread saw", text);
    gave("pread past the end", pread(fd, text, 5, 100));
    gave("lseek end", lseek(fd, 0, SEEK_END));
    gave("lseek back", lseek(fd, -4, SEEK_CUR));
    memset(text, 0, sizeof text);
    gave("read", read(fd, text, 2));
    say("read saw", text);
    gave("lseek before the start", lseek(fd, -100, SEEK_SET));
    gave("ftruncate", ftruncate(fd, 4));
    show("after ftruncate", "fd");
    gave("ftruncate longer", ftruncate(fd, 6));
    struct stat st;
    gave("fstat", fstat(fd, &st));
    gave("fstat size", st.st_size);
    gave("fsync", fsync(fd));
    gave("fdatasync", fdatasync(fd));
    gave("close", close(fd));
    gave("write closed", write(fd, "x", 1));

    fd = open(at("fd"), O_WRONLY | O_APPEND);
    gave("append", write(fd, "end", 3));
    gave("read write-only", read(fd, text, 1));
    close(fd);
    show("after append", "fd");
    fd = open(at("base.txt"), O_RDONLY);
    gave("write read-only", write(fd, "x", 1));
    gave("ftruncate read-only", ftruncate(fd, 0));
    close(fd);
    gave("exclusive", open(at("fd"), O_WRONLY | O_CREAT | O_EXCL, 0644));
    gave("directory flag on a file", open(at("fd"), O_RDONLY | O_DIRECTORY));
    gave("write a directory", open(at("dir"), O_WRONLY));
    gave("nofollow", open(at("link"), O_RDONLY | O_NOFOLLOW));
    gave("trailing slash", open(at("fd/"), O_RDONLY));
    gave("missing", open(at("missing"), O_RDONLY));
    fd = open(at("base.txt"), O_WRONLY | O_TRUNC);
    gave("truncating open", fd < 0 ? -1 : 0);
    close(fd);
    show("after truncating", "base.txt");
}

static void streams(void) {
    char line[64] = "";
    FILE *file = fopen(at("stream"), "w+");
    gave("fprintf", fprintf(file, "line one\nline two\n"));
    rewind(file);
    if (fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0;
    say("fgets", line);
    gave("fseek", fseek(file, 5, SEEK_SET));
    gave("fputs", fputs("ONE", file) < 0 ? -1 : 0);
    gave("fclose", fclose(file));
    show("after fclose", "stream");
    file = fopen(at("lines.txt"), "a");
    gave("fopen append", fputs("appended\n", file) < 0 ? -1 : 0);
    fclose(file);
    show("after fopen append", "lines.txt");
    gave("fopen missing", fopen(at("missing"), "r") ? 0 : -1);
}

static void names(void) {
    struct stat st;
    list("list", ".");
    list("list nested", "dir");
    list("list a file", "fd");
    gave("stat", stat(at("lines.txt"), &st));
    say("stat kind", S_ISREG(st.st_mode) ? "file" : S_ISDIR(st.st_mode) ? "directory" : "other");
    gave("lstat", lstat(at("link"), &st));
    say("lstat kind", S_ISLNK(st.st_mode) ? "link" : "other");
    char target[256] = "";
    gave("readlink", readlink(at("link"), target, sizeof target - 1));
    say("readlink saw", target);
    gave("readlink of a file", readlink(at("fd"), target, sizeof target - 1));
    gave("loop", open(at("loop1"), O_RDONLY));
    gave("access", access(at("lines.txt"), R_OK));
    gave("access missing", access(at("missing"), F_OK));
    gave("mkdir", mkdir(at("made"), 0755));
    gave("mkdir again", mkdir(at("made"), 0755));
    gave("mkdir in nothing", mkdir(at("no/such"), 0755));
    gave("rename", rename(at("fd"), at("made/fd")));
    gave("rename missing", rename(at("fd"), at("made/fd")));
    gave("rename over", rename(at("stream"), at("made/fd")));
    show("after rename over", "made/fd");
    gave("rename a directory", rename(at("mvdir"), at("made/mvdir")));
    show("in the renamed directory", "made/mvdir/inner/file.txt");
    gave("rename into itself", rename(at("made"), at("made/inside")));
    gave("rename over a full directory", rename(at("made"), at("dir")));
    gave("rmdir full", rmdir(at("made")));
    gave("rmdir a file", rmdir(at("lines.txt")));
    gave("unlink", unlink(at("dir/gone.txt")));
    gave("unlink again", unlink(at("dir/gone.txt")));
    gave("unlink a directory", unlink(at("dir")) ? -1 : 0);
    gave("truncate", truncate(at("dir/in.txt"), 2));
    show("after truncate", "dir/in.txt");
    struct timespec times[2] = {{1, 0}, {1, 0}};
    gave("utimensat", utimensat(AT_FDCWD, at("lines.txt"), times, 0));
    gave("openat", openat(open(at("dir"), O_RDONLY | O_DIRECTORY), "sub/deep.txt", O_RDONLY) < 0 ? -1 : 0);
    gave("fstatat", fstatat(open(at("dir"), O_RDONLY | O_DIRECTORY), "sub", &st, 0));
    gave("mkdirat", mkdirat(open(at("dir"), O_RDONLY | O_DIRECTORY), "fresh", 0755));
    gave("unlinkat", unlinkat(open(at("dir"), O_RDONLY | O_DIRECTORY), "fresh", AT_REMOVEDIR));
    list("list at the end", ".");
}

int main(int argc, char **argv) {
    snprintf(root, sizeof root, "%s", argc > 1 ? argv[1] : "/workspace");
    descriptors();
    streams();
    names();
    return 0;
}
