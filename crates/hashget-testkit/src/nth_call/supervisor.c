/* Runs a program and lets the n-th of its system calls of one kind fail; see mod.rs.
 *
 *   supervisor KIND N ERRNO FOLDER REPORT PROGRAM [ARGUMENT ...]
 *
 * The kernel asks this process about each such call of the program and of everything that it starts
 * (seccomp user notification), so that no call is missed, by whichever library it is made, and calls
 * are counted over all threads. Only calls on FOLDER and what is below it count; for KIND "receive",
 * calls on sockets. N = 0 fails none. REPORT gets the number of calls and the one that failed.
 * Ends with the program's code, with 125 where the kernel cannot do this. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNABLE = 125, NONE = -1, HERE = AT_FDCWD };
/* When a call that opens counts: always, only if it creates, only if it does not. */
enum opens { ANY, CREATES, LOOKS };

struct call {
    const char *kind;
    const char *name;
    int number;
    int folder; /* which argument is the file or the folder that the path starts from; HERE */
    int path;   /* which argument is the path; NONE */
    int flags;  /* which argument has the flags of open */
    enum opens opens;
};

#define ON_FILE(kind, name, file) {kind, #name, SYS_##name, file, NONE, NONE, ANY}
#define ON_PATH(kind, name, folder, path) {kind, #name, SYS_##name, folder, path, NONE, ANY}

static const struct call calls[] = {
    ON_FILE("write", write, 0), ON_FILE("write", pwrite64, 0), ON_FILE("write", writev, 0),
    ON_FILE("write", pwritev, 0), ON_FILE("write", pwritev2, 0), ON_FILE("write", sendfile, 0),
    ON_FILE("write", copy_file_range, 2), ON_FILE("write", ftruncate, 0),
    ON_FILE("write", fallocate, 0), ON_FILE("sync", fsync, 0),
    ON_FILE("sync", fdatasync, 0), ON_FILE("sync", syncfs, 0),
    ON_FILE("sync", sync_file_range, 0),
    ON_PATH("name", renameat, 2, 3), ON_PATH("name", renameat2, 2, 3),
    ON_PATH("name", linkat, 2, 3), ON_PATH("name", symlinkat, 1, 2),
    ON_PATH("name", mkdirat, 0, 1), ON_PATH("name", mknodat, 0, 1),
    ON_PATH("name", unlinkat, 0, 1),
#ifdef SYS_rename
    ON_PATH("name", rename, HERE, 1), ON_PATH("name", link, HERE, 1),
    ON_PATH("name", symlink, HERE, 1), ON_PATH("name", mkdir, HERE, 0),
    ON_PATH("name", rmdir, HERE, 0), ON_PATH("name", unlink, HERE, 0),
    {"name", "open", SYS_open, HERE, 0, 1, CREATES}, {"look", "open", SYS_open, HERE, 0, 1, LOOKS},
    ON_PATH("look", stat, HERE, 0), ON_PATH("look", lstat, HERE, 0),
    ON_PATH("metadata", chmod, HERE, 0), ON_PATH("metadata", lchown, HERE, 0),
#endif
    {"name", "openat", SYS_openat, 0, 1, 2, CREATES},
    {"name", "openat2", SYS_openat2, 0, 1, 2, CREATES},
    ON_FILE("metadata", fchmod, 0), ON_PATH("metadata", fchmodat, 0, 1),
    ON_FILE("metadata", fchown, 0), ON_PATH("metadata", fchownat, 0, 1),
    ON_PATH("metadata", utimensat, 0, 1), ON_FILE("metadata", fsetxattr, 0),
    ON_PATH("metadata", setxattr, HERE, 0), ON_PATH("metadata", lsetxattr, HERE, 0),
    ON_FILE("metadata", fremovexattr, 0), ON_PATH("metadata", lremovexattr, HERE, 0),
    ON_FILE("read", read, 0), ON_FILE("read", pread64, 0), ON_FILE("read", readv, 0),
    ON_FILE("read", preadv, 0), ON_FILE("read", getdents64, 0),
    {"look", "openat", SYS_openat, 0, 1, 2, LOOKS},
    {"look", "openat2", SYS_openat2, 0, 1, 2, LOOKS}, ON_PATH("look", statx, 0, 1),
    ON_PATH("look", newfstatat, 0, 1), ON_FILE("look", fstat, 0),
    ON_PATH("look", readlinkat, 0, 1), ON_FILE("look", flistxattr, 0),
    ON_PATH("look", listxattr, HERE, 0), ON_PATH("look", llistxattr, HERE, 0),
    ON_FILE("look", fgetxattr, 0), ON_PATH("look", getxattr, HERE, 0),
    ON_PATH("look", lgetxattr, HERE, 0),
    ON_FILE("receive", recvfrom, 0), ON_FILE("receive", recvmsg, 0),
};
enum { CALLS = sizeof calls / sizeof *calls };

static void unable(const char *what) {
    perror(what);
    _exit(UNABLE);
}

/* Asks for a word with us before every call of the kind. */
static int watch(const char *kind) {
    struct sock_filter code[2 * CALLS + 2];
    unsigned short length = 0;
    code[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++)
        if (strcmp(calls[i].kind, kind) == 0) {
            code[length++] =
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
            code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static void hand_over(int socket, int *file, int give) {
    char byte = 0, space[CMSG_SPACE(sizeof *file)] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space,
                             .msg_controllen = sizeof space};
    if (!give && recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
        _exit(UNABLE);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL)
        _exit(UNABLE);
    if (!give) {
        memcpy(file, CMSG_DATA(header), sizeof *file);
        return;
    }
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof *file);
    memcpy(CMSG_DATA(header), file, sizeof *file);
    if (sendmsg(socket, &message, 0) != 1)
        unable("sendmsg");
}

static long memory(pid_t process, unsigned long long from, void *to, size_t count) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/mem", process);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    long got = file < 0 ? -1 : pread(file, to, count, (off_t)from);
    if (file >= 0)
        close(file);
    return got;
}

/* The path that a call is about; "" if it cannot be told. */
static void path_of(const struct seccomp_notif *asked, const struct call *call, char *path) {
    char name[64], below[PATH_MAX + 1] = "";
    int folder = call->folder == HERE ? AT_FDCWD : (int)asked->data.args[call->folder];
    path[0] = 0;
    if (call->path != NONE) {
        /* A page at a time: the text may lie before memory that is not there. */
        unsigned long long from = asked->data.args[call->path];
        size_t have = 0;
        while (have < PATH_MAX) {
            size_t page = 4096 - (from + have) % 4096;
            if (page > PATH_MAX - have)
                page = PATH_MAX - have;
            long got = memory((pid_t)asked->pid, from + have, below + have, page);
            if (got <= 0 || memchr(below + have, 0, (size_t)got) != NULL)
                break;
            have += (size_t)got;
        }
    }
    if (below[0] == '/') {
        strcpy(path, below);
        return;
    }
    if (folder == AT_FDCWD)
        snprintf(name, sizeof name, "/proc/%d/cwd", asked->pid);
    else
        snprintf(name, sizeof name, "/proc/%d/fd/%d", asked->pid, folder);
    ssize_t length = readlink(name, path, PATH_MAX);
    if (length < 0)
        length = 0;
    snprintf(path + length, PATH_MAX + 2, "%s%s", below[0] ? "/" : "", below);
}

static int creates(const struct seccomp_notif *asked, const struct call *call) {
    unsigned long long flags = asked->data.args[call->flags];
    if (call->number == SYS_openat2 &&
        memory((pid_t)asked->pid, flags, &flags, sizeof flags) != sizeof flags)
        return 0;
    return (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0;
}

/* Is this a call that counts? Fills in its name and path. */
static int counts(const struct seccomp_notif *asked, const char *kind, const char *top,
                  const char **name, char *path) {
    for (int i = 0; i < CALLS; i++) {
        const struct call *call = &calls[i];
        if (call->number != asked->data.nr || strcmp(call->kind, kind) != 0)
            continue;
        if (call->opens != ANY && creates(asked, call) != (call->opens == CREATES))
            continue;
        path_of(asked, call, path);
        *name = call->name;
        if (strcmp(kind, "receive") == 0)
            return strncmp(path, "socket:", 7) == 0;
        size_t length = strlen(top);
        return strncmp(path, top, length) == 0 && (path[length] == '/' || path[length] == 0);
    }
    return 0;
}

int main(int count, char **argument) {
    if (count < 7)
        return UNABLE;
    const char *kind = argument[1], *top = argument[4];
    unsigned long wanted = strtoul(argument[2], NULL, 10), seen = 0;
    int error = atoi(argument[3]), pair[2], listener = -1, status = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        unable("socketpair");
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || (listener = watch(kind)) < 0)
            unable("seccomp");
        hand_over(pair[1], &listener, 1);
        close(listener);
        execv(argument[6], argument + 6);
        unable(argument[6]);
    }
    close(pair[1]);
    hand_over(pair[0], &listener, 0);
    FILE *report = fopen(argument[5], "w");
    if (report == NULL)
        unable(argument[5]);
    for (;;) {
        struct pollfd ready = {listener, POLLIN, 0};
        if (poll(&ready, 1, -1) < 0 && errno == EINTR)
            continue;
        if (!(ready.revents & POLLIN))
            break; /* nobody is left who could ask */
        struct seccomp_notif asked = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0)
            continue;
        struct seccomp_notif_resp answer = {.id = asked.id,
                                            .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        char path[2 * PATH_MAX + 4];
        const char *name = "";
        if (counts(&asked, kind, top, &name, path) && ++seen == wanted) {
            answer.flags = 0;
            answer.error = -error;
            fprintf(report, "%s %s\n", name, path);
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    fprintf(report, "%lu calls\n", seen);
    fclose(report);
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
        return 128 + WTERMSIG(status);
    }
    return WEXITSTATUS(status);
}
