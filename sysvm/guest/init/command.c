/* sysvm/guest/init/command.c: the command between Atoll and its own pipes, or a terminal.
 *
 *   Atoll -> input (bounded by credit) -> pipe -> command -> pipes -> output (bounded by credit) -> Atoll
 *
 * Pipes, not the port itself: a program may open /dev/stdout, get SIGPIPE, or hand them to children as it is used to. */
#include "sysvm/guest/init/init.h"

struct run {
    struct channel *channel;
    long child;
    int status;                /* once it has ended; -1 before */
    int input, outputs[2];     /* our ends; -1 = closed. A terminal: input and outputs[0] are one */
    int signals;               /* signalfd of SIGCHLD */
    bool terminal, input_ends; /* the end of the input comes after what is buffered */
    uint8_t buffer[GUEST_INPUT_WINDOW];
    size_t n_buffer;
};

/* ---- starting it ---- */

static void set_cloexec(int fd, bool on) { SYS3(fcntl, fd, F_SETFD, on ? FD_CLOEXEC : 0); }
static void set_nonblocking(int fd) { SYS3(fcntl, fd, F_SETFL, O_NONBLOCK | SYS3(fcntl, fd, F_GETFL, 0)); }

static void close_it(int *fd) {
    if (*fd >= 0) sys_close(*fd);
    *fd = -1;
}

static void unblock_signals(void) {
    uint64_t none = 0;
    SYS4(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, sizeof none);
}

static const char *path_of(const struct settings *s) {
    for (unsigned i = 0; i < s->n_env; i++) {
        const char *value = text_after(s->env[i], "PATH=");
        if (value) return value;
    }
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static bool has_slash(const char *text) {
    for (; *text; text++)
        if (*text == '/') return true;
    return false;
}

/* As a shell: a name with a slash is a file, any other is looked for. Returns why it did not work. */
static long execute(const struct settings *s) {
    const char *name = s->args[0], *path = path_of(s);
    long error = -ENOENT;
    if (has_slash(name)) return SYS3(execve, name, s->args, s->env);
    while (*path) {
        char file[4096];
        size_t n = 0;
        while (path[n] && path[n] != ':') n++;
        if (n + strlen(name) + 2 < sizeof file) {
            memcpy(file, path, n);
            file[n] = 0;
            text_add(file, sizeof file, "/");
            text_add(file, sizeof file, name);
            long result = SYS3(execve, file, s->args, s->env);
            if (result != -ENOENT && result != -ENOTDIR) error = result;
        }
        path += n + (path[n] == ':');
    }
    return error;
}

/* Why there is no command. */
struct failure {
    long error;
    bool of_folder; /* where it was to start */
};

static void become_command(const struct settings *s, const int ends[3], int report) {
    SYS0(setsid);
    for (int i = 0; i < 3; i++) SYS2(dup2, ends[i], i);
    for (int i = 0; i < 3; i++) set_cloexec(i, false);
    if (s->terminal) SYS3(ioctl, 0, TIOCSCTTY, 0);
    unblock_signals();
    struct failure why = {s->dir ? SYS1(chdir, s->dir) : 0, true};
    if (why.error >= 0) why = (struct failure){execute(s), false};
    sys_write(report, &why, sizeof why);
    SYS1(exit_group, 1);
}

/* Three pipes; `ends` are the command's. */
static long make_pipes(struct run *r, int ends[3]) {
    int in[2], out[2], err[2];
    long error = SYS2(pipe2, in, O_CLOEXEC);
    if (error >= 0) error = SYS2(pipe2, out, O_CLOEXEC);
    if (error >= 0) error = SYS2(pipe2, err, O_CLOEXEC);
    if (error < 0) return error;
    ends[0] = in[0], ends[1] = out[1], ends[2] = err[1];
    r->input = in[1], r->outputs[0] = out[0], r->outputs[1] = err[0];
    return 0;
}

static long make_terminal(struct run *r, int ends[3]) {
    int number = 0, unlocked = 0;
    char path[32] = "/dev/pts/";
    long master = sys_open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0) return master;
    SYS3(ioctl, master, TIOCSPTLCK, &unlocked);
    long error = SYS3(ioctl, master, TIOCGPTN, &number);
    text_add_number(path, sizeof path, number);
    long slave = error < 0 ? error : sys_open(path, O_RDWR | O_NOCTTY);
    if (slave < 0) return slave;
    ends[0] = ends[1] = ends[2] = (int)slave;
    r->input = r->outputs[0] = (int)master;
    r->outputs[1] = -1;
    return 0;
}

static void start(struct run *r, const struct settings *s) {
    int ends[3], report[2];
    uint64_t chld = UINT64_C(1) << (SIGCHLD - 1);
    struct failure why;
    SYS4(rt_sigprocmask, 0 /* SIG_BLOCK */, &chld, NULL, sizeof chld);
    r->signals = (int)SYS4(signalfd4, -1, &chld, sizeof chld, O_CLOEXEC | O_NONBLOCK);
    long error = s->terminal ? make_terminal(r, ends) : make_pipes(r, ends);
    if (error >= 0) error = SYS2(pipe2, report, O_CLOEXEC);
    if (error >= 0) error = r->child = SYS0(fork);
    if (error < 0) fail(r->channel, 125, "cannot start the command", "", error);
    if (r->child == 0) become_command(s, ends, report[1]);
    sys_close(report[1]);
    for (int i = 0; i < (s->terminal ? 1 : 3); i++) sys_close(ends[i]);
    bool failed = sys_read(report[0], &why, sizeof why) > 0;
    if (failed && why.of_folder) fail(r->channel, 125, "cannot start in ", s->dir, why.error);
    if (failed) fail(r->channel, why.error == -ENOENT ? 127 : 126, "", s->args[0], why.error);
    sys_close(report[0]);
    set_nonblocking(r->input);
    for (int i = 0; i < 2; i++)
        if (r->outputs[i] >= 0) set_nonblocking(r->outputs[i]);
}

/* ---- input ---- */

static void end_input(struct run *r) {
    static const uint8_t end_of_file = 4;
    if (r->terminal)
        sys_write(r->input, &end_of_file, 1);
    else
        close_it(&r->input);
}

static void send_credit(struct run *r, size_t n) {
    uint8_t bytes[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    if (n) channel_send(r->channel, GUEST_CREDIT, bytes, sizeof bytes);
}

/* Hands the command what it takes; all of it once nobody reads any more. */
static void feed(struct run *r) {
    size_t done = 0;
    while (done < r->n_buffer) {
        long n = r->input < 0 ? -EPIPE : sys_write(r->input, r->buffer + done, r->n_buffer - done);
        if (n == -EAGAIN) break;
        if (n < 0 && n != -EINTR) {
            if (!r->terminal) close_it(&r->input);
            done = r->n_buffer;
        } else if (n > 0) {
            done += (size_t)n;
        }
    }
    memmove(r->buffer, r->buffer + done, r->n_buffer - done);
    r->n_buffer -= done;
    send_credit(r, done);
    if (!r->n_buffer && r->input_ends) {
        r->input_ends = false;
        end_input(r);
    }
}

static void take_message(void *context, int kind, const uint8_t *bytes, size_t n) {
    struct run *r = context;
    if (kind == GUEST_INPUT && n == 0) r->input_ends = true;
    if (kind == GUEST_INPUT && n <= sizeof r->buffer - r->n_buffer) {
        memcpy(r->buffer + r->n_buffer, bytes, n);
        r->n_buffer += n;
        feed(r);
    }
    if (kind == GUEST_CREDIT && n == 4)
        r->channel->output_credit +=
            (uint32_t)(bytes[0] | bytes[1] << 8 | bytes[2] << 16) | (uint32_t)bytes[3] << 24;
    if (kind == GUEST_SIGNAL && n == 1) SYS2(kill, -r->child, bytes[0]);
    if (kind == GUEST_CLOSED && n == 1 && !r->terminal && (bytes[0] == 1 || bytes[0] == 2))
        close_it(&r->outputs[bytes[0] - 1]);
    if (kind == GUEST_WINDOW && n == 4 && r->terminal) {
        uint16_t size[4] = {(uint16_t)(bytes[2] | bytes[3] << 8), (uint16_t)(bytes[0] | bytes[1] << 8), 0, 0};
        SYS3(ioctl, r->input, TIOCSWINSZ, size);
    }
}

/* ---- output ---- */

/* One piece; false when there was none, or no room for one at the host. */
static bool pass_output(struct run *r, int which) {
    uint8_t bytes[GUEST_PAYLOAD_MAX];
    size_t room = r->channel->output_credit < sizeof bytes ? r->channel->output_credit : sizeof bytes;
    if (r->outputs[which] < 0 || !room) return false;
    long n = sys_read(r->outputs[which], bytes, room);
    if (n == -EAGAIN || n == -EINTR) return false;
    if (n <= 0) { /* a terminal says EIO when the last has closed it */
        if (r->terminal)
            r->outputs[which] = -1;
        else
            close_it(&r->outputs[which]);
        return false;
    }
    channel_send(r->channel, which ? GUEST_ERRORS : GUEST_OUTPUT, bytes, (size_t)n);
    r->channel->output_credit -= (uint32_t)n;
    return true;
}

/* ---- its end ---- */

static void reap(struct run *r) {
    uint8_t info[128];
    int status;
    while (sys_read(r->signals, info, sizeof info) > 0) continue;
    for (;;) {
        long pid = SYS4(wait4, -1, &status, WNOHANG, NULL);
        if (pid <= 0) return;
        if (pid == r->child) r->status = status & 0x7F ? 128 + (status & 0x7F) : status >> 8 & 0xFF;
    }
}

/* Waits for something to do, and does it. */
static void turn(struct run *r) {
    bool credit = r->channel->output_credit > 0;
    struct pollfd fds[5] = {{.fd = r->channel->port, .events = POLLIN},
                            {.fd = r->signals, .events = POLLIN},
                            {.fd = r->n_buffer ? r->input : -1, .events = POLLOUT},
                            {.fd = credit ? r->outputs[0] : -1, .events = POLLIN},
                            {.fd = credit ? r->outputs[1] : -1, .events = POLLIN}};
    SYS3(poll, fds, 5, -1);
    if (fds[0].revents) channel_receive(r->channel, take_message, r);
    if (fds[2].revents) feed(r);
    for (int i = 0; i < 2; i++)
        if (fds[3 + i].revents) pass_output(r, i);
    if (fds[1].revents) reap(r);
}

/* What the command has written before its end; not what children it left behind may write yet. */
static void drain(struct run *r) {
    for (int i = 0; i < 2; i++) {
        for (;;) {
            while (!r->channel->output_credit) turn(r);
            if (!pass_output(r, i)) break;
        }
    }
}

void run_command(struct channel *c, const struct settings *s) {
    static struct run r;
    r.channel = c;
    r.status = -1;
    r.terminal = s->terminal;
    if (!s->n_args) fail(c, 125, "no command", "", 0);
    start(&r, s);
    channel_send(c, GUEST_READY, NULL, 0);
    while (r.status < 0) turn(&r);
    drain(&r);
    SYS0(sync); /* before Atoll knows: it may end the machine at once */
    uint8_t status = (uint8_t)r.status;
    channel_send(c, GUEST_EXIT, &status, 1);
}
