/* sysvm/guest/init/init.c: the first process of a guest that runs one command: loads modules, mounts the root through
 * virtio-fs, hands over to command.c, and switches the machine off. */
#include "sysvm/guest/init/init.h"

#define SETTINGS_MAX (1 << 20)

/* ---- the end ---- */

void power_off(void) {
    SYS0(sync);
    SYS4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0);
    for (;;) SYS0(pause);
}

/* Atoll ends the machine when it has passed on what was written: who reads that may take his time, and the machine is not
 * to be off before. */
static void wait_for_end(void) {
    SYS0(sync);
    for (;;) SYS0(pause);
}

static const char *error_text(long error) {
    switch (error < 0 ? -error : error) {
    case ENOENT: return "No such file or directory";
    case EACCES: return "Permission denied";
    case ENOEXEC: return "Exec format error";
    case ENOTDIR: return "Not a directory";
    case EISDIR: return "Is a directory";
    case ENODEV: return "No such device";
    case ENOMEM: return "Cannot allocate memory";
    case EINVAL: return "Invalid argument";
    case ELOOP: return "Too many levels of symbolic links";
    case EROFS: return "Read-only file system";
    default: return NULL;
    }
}

void fail(struct channel *c, int status, const char *what, const char *name, long error) {
    char text[512] = {(char)status, 0};
    text_add(text, sizeof text - 1, what);
    text_add(text, sizeof text - 1, name);
    if (error) text_add(text, sizeof text - 1, ": ");
    if (error && error_text(error)) text_add(text, sizeof text - 1, error_text(error));
    if (error && !error_text(error)) text_add(text, sizeof text - 1, "errno ");
    if (error && !error_text(error)) text_add_number(text, sizeof text - 1, error < 0 ? -error : error);
    if (c->port >= 0) {
        channel_send(c, GUEST_FAILED, text, strlen(text));
        wait_for_end();
    } else {
        text_add(text, sizeof text, "\n");
        sys_write(1, text + 1, strlen(text + 1)); /* the console, where the kernel has opened one */
    }
    power_off();
}

/* ---- modules ---- */

static void load_module(struct channel *c, const char *path) {
    long fd = sys_open(path, O_RDONLY);
    long error = fd < 0 ? fd : SYS3(finit_module, fd, "", 0);
    if (fd >= 0) sys_close((int)fd);
    if (error < 0 && error != -EEXIST) fail(c, 125, "cannot load module ", path, error);
}

/* ---- file systems ---- */

static void make_dir(const char *path) { sys_mkdir(path, 0755); }

static void must_mount(struct channel *c, const char *what, const char *where, const char *type,
                       unsigned long flags, const char *data) {
    long error = sys_mount(what, where, type, flags, data);
    if (error < 0) fail(c, 125, "cannot mount ", where, error);
}

static void mount_kernel_things(struct channel *c) {
    make_dir("/dev"), make_dir("/proc"), make_dir("/sys"), make_dir("/root"), make_dir("/lower"),
        make_dir("/over");
    long error = sys_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    if (error < 0 && error != -EBUSY) fail(c, 125, "cannot mount ", "/dev", error);
    must_mount(c, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    must_mount(c, "sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static void mount_root(struct channel *c, const struct settings *s) {
    if (s->writable) {
        must_mount(c, s->root, "/root", "virtiofs", 0, NULL);
        return;
    }
    must_mount(c, s->root, "/lower", "virtiofs", MS_RDONLY, NULL);
    must_mount(c, "over", "/over", "tmpfs", 0, "mode=0755");
    make_dir("/over/up"), make_dir("/over/work");
    must_mount(c, "root", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/over/up,workdir=/over/work");
}

static void move_or_leave(const char *from, const char *to) {
    make_dir(to);
    sys_mount(from, to, NULL, MS_MOVE, NULL);
}

/* What a program expects of a running system; where the root has no place for it, it goes without. */
static void furnish(void) {
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
        SYS3(symlinkat, links[i][0], AT_CWD, links[i][1]);
    make_dir("/dev/pts"), make_dir("/dev/shm");
    sys_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    sys_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    sys_mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
}

static void enter_root(struct channel *c) {
    move_or_leave("/dev", "/root/dev");
    move_or_leave("/proc", "/root/proc");
    move_or_leave("/sys", "/root/sys");
    SYS1(chdir, "/root");
    must_mount(c, ".", "/", NULL, MS_MOVE, NULL);
    long error = SYS1(chroot, ".");
    if (error < 0) fail(c, 125, "cannot enter the root", "", error);
    SYS1(chdir, "/");
    furnish();
}

/* "TAG:PATH"; the folders on the way are made. */
static void mount_folder(struct channel *c, const char *text) {
    char tag[40] = "", path[4096] = "";
    size_t n = 0;
    while (text[n] && text[n] != ':' && n < sizeof tag - 1) n++;
    memcpy(tag, text, n);
    tag[n] = 0;
    if (text[n] == ':') n++;
    text_add(path, sizeof path, text + n);
    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/') continue;
        path[i] = 0;
        make_dir(path);
        path[i] = '/';
    }
    make_dir(path);
    must_mount(c, tag, path, "virtiofs", MS_NOSUID | MS_NODEV, NULL);
}

/* ---- network: the loopback, which programs talk to themselves by ---- */

static void loopback_up(void) {
    struct {
        char name[16];
        short flags;
        char rest[22];
    } request = {"lo", 1 /* IFF_UP */, {0}};
    long fd = SYS3(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */, 0);
    if (fd < 0) return;
    SYS3(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
    sys_close((int)fd);
}

/* ---- settings ---- */

static char settings_text[SETTINGS_MAX + 1];

static size_t read_settings(struct channel *c) {
    long fd = sys_open(GUEST_SETTINGS_PATH, O_RDONLY), n = 1;
    size_t size = 0;
    if (fd < 0) fail(c, 125, "cannot open ", GUEST_SETTINGS_PATH, fd);
    while (n > 0 && size < SETTINGS_MAX) {
        n = sys_read((int)fd, settings_text + size, SETTINGS_MAX - size);
        if (n > 0) size += (size_t)n;
    }
    sys_close((int)fd);
    return size;
}

static void add_word(struct channel *c, const char *word, const char **words, unsigned *n) {
    if (*n == MAX_WORDS) fail(c, 125, "too many arguments or variables", "", 0);
    words[(*n)++] = word;
}

/* Those that only say something; modules and mounts are done in passing by the callers. */
static void take_setting(struct channel *c, struct settings *s, const char *text) {
    const char *value;
    if ((value = text_after(text, "root="))) s->root = value;
    if ((value = text_after(text, "host="))) s->host = value;
    if ((value = text_after(text, "dir="))) s->dir = value;
    if (text_after(text, "write=1")) s->writable = true;
    if (text_after(text, "terminal=1")) s->terminal = true;
    if ((value = text_after(text, "arg="))) add_word(c, value, s->args, &s->n_args);
    if ((value = text_after(text, "env="))) add_word(c, value, s->env, &s->n_env);
}

void init_main(void);

void init_main(void) {
    static struct channel c = {.port = -1};
    static struct settings s;
    const char *value;
    mount_kernel_things(&c);
    size_t size = read_settings(&c);
    for (size_t at = 0; at < size; at += strlen(settings_text + at) + 1) {
        take_setting(&c, &s, settings_text + at);
        if ((value = text_after(settings_text + at, "module="))) load_module(&c, value);
    }
    channel_open(&c);
    mount_root(&c, &s);
    enter_root(&c);
    for (size_t at = 0; at < size; at += strlen(settings_text + at) + 1)
        if ((value = text_after(settings_text + at, "mount="))) mount_folder(&c, value);
    if (s.host) SYS2(sethostname, s.host, strlen(s.host));
    loopback_up();
    run_command(&c, &s);
    wait_for_end();
}

/* The kernel starts here, with nothing to return to. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall init_main\n\tud2\n");
