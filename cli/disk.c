/* cli/disk.c: disk images of guests made, looked at, copied, checked and resized. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "sysvm/image/image.h"

enum {
    DISK_FORMAT = 1,
    DISK_TO,
    DISK_BACKING,
    DISK_BACKING_FORMAT,
    DISK_CLUSTER_SIZE,
    DISK_REPAIR,
    DISK_SHRINK,
    DISK_DIRECT,
    DISK_JSON
};
static const struct cli_flag flags[] = {
    {DISK_FORMAT, "format", 'f', "FORMAT",
     "raw or qcow2; without it qcow2 for names that end in .qcow2, else raw"},
    {DISK_TO, "to", 'O', "FORMAT", "convert: the format of the image that is made"},
    {DISK_BACKING, "backing", 'b', "FILE",
     "create: what the new image is an overlay of; else: a backing file that "
     "may be read wherever it lies"},
    {DISK_BACKING_FORMAT, "backing-format", 'F', "FORMAT", "create: the backing file's"},
    {DISK_CLUSTER_SIZE, "cluster-size", 0, "BYTES", "create, convert: of qcow2, 512 to 2M; 64k unless given"},
    {DISK_REPAIR, "repair", 0, NULL, "check: mend what can be mended"},
    {DISK_SHRINK, "shrink", 0, NULL, "resize: a smaller disk is meant, what is behind its end goes"},
    {DISK_DIRECT, "direct", 0, NULL, "convert: read around the host's cache"},
    {DISK_JSON, "json", 0, NULL, "info, check: print an object"},
    {0}};

enum { CHECK_LEAKS = 3, N_BACKING_MAX = IMG_CHAIN_MAX };

struct disk {
    const struct cli_verb *verb;
    struct sandbox *sb;
    const char **names; /* the arguments */
    int n_names;
    enum img_format format, to, backing_format;
    const char *backing[N_BACKING_MAX];
    unsigned n_backing, cluster_bits;
    bool repair, shrink, direct, json;
};

/* ---- shared ---- */

/* A host that has no room, or fails, is not the image's fault. */
static int status_of(const struct atoll_error *err) {
    switch (err->system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO: return CLI_INTERNAL;
    default: return err->code == ATOLL_E_NOMEM ? CLI_INTERNAL : CLI_FAILED;
    }
}

static int fail(const char *path, const struct atoll_error *err) {
    cli_error(path, err);
    return status_of(err);
}

static enum atoll_status grant(struct disk *d, const char *path, bool readonly, struct atoll_error *err) {
    enum atoll_status status = sb_grant_disk(d->sb, path, readonly, err);
    for (unsigned i = 0; !status && i < d->n_backing; i++)
        status = sb_grant_disk(d->sb, d->backing[i], true, err);
    return status;
}

static enum atoll_status open_image(struct disk *d, const char *path, struct img_options o, struct img **out,
                                    struct atoll_error *err) {
    enum atoll_status status = grant(d, path, o.readonly, err);
    o.sb = d->sb;
    if (o.format == IMG_BY_NAME) o.format = d->format;
    return status ? status : img_open(path, &o, out, err);
}

static int close_image(const char *path, struct img *img, int status) {
    int error = img_close(img);
    if (!error) return status;
    cli_message("%s: %s", path, strerror(error));
    return CLI_INTERNAL;
}

/* "1536 (1.5 KiB)" for people. */
static void print_size(const char *label, uint64_t n_bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)n_bytes;
    unsigned unit = 0;
    for (; n >= 1024 && unit < 6; unit++) n /= 1024;
    printf("%-14s %llu", label, (unsigned long long)n_bytes);
    if (unit) printf(" (%.4g %s)", n, units[unit]);
    putchar('\n');
}

/* ---- create ---- */

/* Where a backing file that is named from the new image's folder lies, seen from here. */
static bool place_of_backing(const char *image, const char *backing, char *out, size_t room) {
    const char *slash = strrchr(image, '/');
    int folder = slash && backing[0] != '/' ? (int)(slash - image + 1) : 0;
    int n = snprintf(out, room, "%.*s%s", folder, image, backing);
    return n >= 0 && (size_t)n < room;
}

static int create(struct disk *d) {
    const char *path = d->names[0];
    char place[8192];
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct img_create how = {.format = d->format,
                             .size = UINT64_MAX,
                             .cluster_bits = d->cluster_bits,
                             .backing = d->n_backing ? d->backing[0] : NULL,
                             .backing_format = d->backing_format};
    if (d->n_names > 1 && !cli_parse_size(d->names[1], &how.size))
        return cli_usage(d->verb, "\"%s\" is no size", d->names[1]);
    if (d->n_names < 2 && !how.backing) return cli_usage(d->verb, "the new image's size is missing");
    if (d->n_backing > 1) return cli_usage(d->verb, "an image has one backing file");
    if (how.backing && !place_of_backing(path, how.backing, place, sizeof place))
        return cli_usage(d->verb, "the backing file's name is too long");
    if (how.backing) d->backing[0] = place;
    enum atoll_status status = grant(d, path, false, &err);
    if (!status) status = img_create(path, &how, &(struct img_options){.sb = d->sb}, &err);
    return status ? fail(path, &err) : CLI_OK;
}

/* ---- info ---- */

/* A file that is read as raw and looks like something else: worth a word, and no more. */
static bool looks_like_qcow2(struct img *img) {
    uint8_t head[4];
    struct iovec iov = {head, sizeof head};
    return img_size(img) >= sizeof head && !img_readv(img, &iov, 1, 0) && memcmp(head, "QFI\xfb", 4) == 0;
}

static void print_info(const char *path, const struct img_info *info, bool looks_other) {
    printf("%-14s %s\n", "image", path);
    printf("%-14s %s", "format", img_format_word(info->format));
    if (info->version) printf(" version %u", info->version);
    putchar('\n');
    print_size("disk size", info->size);
    print_size("on the host", info->file_bytes);
    if (info->cluster_bytes) print_size("cluster size", info->cluster_bytes);
    if (info->compression) printf("%-14s %s\n", "compression", info->compression);
    if (info->backing)
        printf("%-14s %s (%s)\n", "backing file", info->backing, img_format_word(info->backing_format));
    if (info->n_snapshots) printf("%-14s %u\n", "snapshots", info->n_snapshots);
    if (info->dirty)
        printf("%-14s %s\n", "note", "was not closed; is mended when it is opened to be written");
    if (info->corrupt) printf("%-14s %s\n", "note", "is marked as corrupt");
    if (looks_other)
        printf("%-14s %s\n", "note", "begins like a qcow2 image; if it is one, say --format qcow2");
}

static void print_info_json(const char *path, const struct img_info *info) {
    printf("{\"image\": ");
    cli_json_string(path);
    printf(", \"format\": \"%s\", \"size\": %llu, \"file_bytes\": %llu", img_format_word(info->format),
           (unsigned long long)info->size, (unsigned long long)info->file_bytes);
    if (info->format == IMG_QCOW2)
        printf(", \"version\": %u, \"cluster_bytes\": %llu, \"compression\": \"%s\", \"snapshots\": %u, "
               "\"dirty\": %s, \"corrupt\": %s",
               info->version, (unsigned long long)info->cluster_bytes, info->compression, info->n_snapshots,
               info->dirty ? "true" : "false", info->corrupt ? "true" : "false");
    if (info->backing) {
        printf(", \"backing\": ");
        cli_json_string(info->backing);
        printf(", \"backing_format\": \"%s\"", img_format_word(info->backing_format));
    }
    printf("}\n");
}

static int info(struct disk *d) {
    const char *path = d->names[0];
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct img *img;
    struct img_info found;
    enum atoll_status status = open_image(
        d, path, (struct img_options){.readonly = true, .no_backing = true, .no_lock = true}, &img, &err);
    if (status) return fail(path, &err);
    img_info(img, &found);
    if (d->json)
        print_info_json(path, &found);
    else
        print_info(path, &found, found.format == IMG_RAW && looks_like_qcow2(img));
    return close_image(path, img, CLI_OK);
}

/* ---- check ---- */

static void print_line(void *context, const char *line) {
    (void)context;
    printf("%s\n", line);
}

static void print_check_json(const char *path, const struct img_check *c) {
    printf("{\"image\": ");
    cli_json_string(path);
    printf(
        ", \"corruptions\": %llu, \"leaks\": %llu, \"fixed\": %llu, \"clusters\": %llu, \"allocated\": %llu, "
        "\"compressed\": %llu}\n",
        (unsigned long long)c->n_corruptions, (unsigned long long)c->n_leaks, (unsigned long long)c->n_fixed,
        (unsigned long long)c->n_clusters, (unsigned long long)c->n_allocated,
        (unsigned long long)c->n_compressed);
}

static void print_check(const struct img_check *c) {
    if (!c->n_corruptions && !c->n_leaks) printf("nothing is wrong\n");
    if (c->n_corruptions) printf("%llu corruptions\n", (unsigned long long)c->n_corruptions);
    if (c->n_leaks) printf("%llu leaked clusters: space is lost, no data\n", (unsigned long long)c->n_leaks);
    if (c->n_fixed) printf("%llu of them mended\n", (unsigned long long)c->n_fixed);
    printf("%llu of %llu clusters are allocated, %llu of them compressed\n",
           (unsigned long long)c->n_allocated, (unsigned long long)c->n_clusters,
           (unsigned long long)c->n_compressed);
}

static int check(struct disk *d) {
    const char *path = d->names[0];
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct img *img;
    struct img_check found;
    enum atoll_status status = open_image(
        d, path, (struct img_options){.readonly = !d->repair, .no_backing = true, .check = true}, &img, &err);
    if (status) return fail(path, &err);
    status = img_check(img, d->repair, d->json ? NULL : print_line, NULL, &found, &err);
    if (status) return close_image(path, img, fail(path, &err));
    if (d->json)
        print_check_json(path, &found);
    else
        print_check(&found);
    bool all_fixed = found.n_fixed == found.n_corruptions + found.n_leaks;
    int result = all_fixed ? CLI_OK : found.n_corruptions ? CLI_FAILED : CHECK_LEAKS;
    return close_image(path, img, result);
}

/* ---- resize ---- */

static bool new_size(const char *text, uint64_t now, uint64_t *out) {
    uint64_t n;
    bool plus = text[0] == '+', minus = text[0] == '-';
    if (!cli_parse_size(text + (plus || minus), &n)) return false;
    *out = plus ? now + n : minus ? now - n : n;
    return !(plus && *out < now) && !(minus && n > now);
}

static int resize(struct disk *d) {
    const char *path = d->names[0];
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct img *img;
    uint64_t size = 0;
    enum atoll_status status = open_image(d, path, (struct img_options){0}, &img, &err);
    if (status) return fail(path, &err);
    int result = CLI_OK;
    if (!new_size(d->names[1], img_size(img), &size))
        result = cli_usage(d->verb, "\"%s\" is no size for this image", d->names[1]);
    else if (size < img_size(img) && !d->shrink)
        result = cli_usage(d->verb, "%s: what is behind byte %llu would be lost; --shrink allows it", path,
                           (unsigned long long)size);
    else if (img_resize(img, size, d->shrink, &err))
        result = fail(path, &err);
    return close_image(path, img, result);
}

/* ---- convert ---- */

struct bar {
    bool shown;
    int percent;
};

static bool show_progress(void *context, uint64_t done, uint64_t total) {
    struct bar *bar = context;
    int percent = total ? (int)((double)done / (double)total * 100) : 100;
    if (!bar->shown || percent == bar->percent) return true;
    bar->percent = percent;
    char cells[41];
    for (int i = 0; i < 40; i++) cells[i] = i * 100 < percent * 40 ? '#' : '.';
    cells[40] = 0;
    fprintf(stderr, "\r[%s] %3d%%", cells, percent);
    return true;
}

static int copy(struct disk *d, struct img *from, const char *path, struct atoll_error *err) {
    struct img_create how = {
        .format = d->to, .size = img_size(from), .cluster_bits = d->cluster_bits, .replace = true};
    struct img_options o = {.sb = d->sb, .format = d->to};
    struct bar bar = {.shown = isatty(STDERR_FILENO), .percent = -1};
    struct img *to;
    enum atoll_status status = sb_grant_disk(d->sb, path, false, err);
    if (!status) status = img_create(path, &how, &o, err);
    if (!status) status = img_open(path, &o, &to, err);
    if (status) return CLI_FAILED;
    status = img_copy(from, to, show_progress, &bar, err);
    if (bar.shown) fputs("\r\033[K", stderr);
    int error = img_close(to);
    if (error && !status) status = atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    return status ? CLI_FAILED : CLI_OK;
}

static bool same_file(const char *a, const char *b) {
    struct stat st, other;
    return !stat(a, &st) && !stat(b, &other) && st.st_dev == other.st_dev && st.st_ino == other.st_ino;
}

/* Keeps others from an image that shall be replaced, and is refused where a machine has it open. *out is NULL where
 * there is none; a block device is locked when it is written. */
static enum atoll_status hold_target(struct disk *d, const char *path, struct img **out,
                                     struct atoll_error *err) {
    struct stat st;
    *out = NULL;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return ATOLL_OK;
    enum atoll_status status = sb_grant_disk(d->sb, path, false, err);
    struct img_options as_bytes = {.sb = d->sb, .format = IMG_RAW};
    return status ? status : img_open(path, &as_bytes, out, err);
}

static int convert(struct disk *d) {
    const char *path = d->names[0], *target = d->names[1];
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct cli_output out;
    struct img *from, *replaced;
    if (d->to == IMG_BY_NAME) d->to = img_format_of_name(target);
    if (same_file(path, target)) return cli_usage(d->verb, "%s would be replaced while it is read", path);
    if (strcmp(target, "-") == 0) return cli_usage(d->verb, "an image cannot be written to standard output");
    enum atoll_status status =
        open_image(d, path, (struct img_options){.readonly = true, .direct = d->direct}, &from, &err);
    if (status) return fail(path, &err);
    int result = hold_target(d, target, &replaced, &err) ? fail(target, &err) : CLI_OK;
    if (result) return close_image(path, from, result);
    result = cli_output_open(&out, target);
    if (result) {
        if (replaced) img_close(replaced);
        return close_image(path, from, result);
    }
    result = copy(d, from, cli_output_path(&out), &err);
    if (result) {
        cli_error(target, &err);
        if (err.code == ATOLL_E_IO || err.code == ATOLL_E_NOMEM) result = CLI_INTERNAL;
    }
    int closed = cli_output_close(&out, !result);
    if (replaced) img_close(replaced);
    img_close(from);
    return result ? result : closed;
}

/* ---- the verb ---- */

static const struct action {
    const char *name;
    int min_names, max_names;
    const char *lacks;
    int (*run)(struct disk *d);
} actions[] = {
    {"create", 1, 2, "FILE and SIZE are missing", create}, {"info", 1, 1, "a file is missing", info},
    {"convert", 2, 2, "FROM and TO are missing", convert}, {"check", 1, 1, "a file is missing", check},
    {"resize", 2, 2, "FILE and SIZE are missing", resize},
};

static bool parse_format(const char *text, enum img_format *out) {
    *out = strcmp(text, "qcow2") == 0 ? IMG_QCOW2 : IMG_RAW;
    return strcmp(text, img_format_word(*out)) == 0;
}

static bool parse_cluster(const char *text, unsigned *out_bits) {
    uint64_t n;
    if (!cli_parse_size(text, &n)) return false;
    for (unsigned bits = 9; bits <= 21; bits++)
        if (n == UINT64_C(1) << bits) *out_bits = bits;
    return *out_bits != 0;
}

static int bad_value(const struct cli_parser *p, const char *flag, const char *wanted) {
    return cli_usage(p->verb, "--%s takes %s, not \"%s\"", flag, wanted, p->value);
}

static int take_flag(struct cli_parser *p, struct disk *d, int id) {
    switch (id) {
    case DISK_FORMAT: return parse_format(p->value, &d->format) ? 0 : bad_value(p, "format", "raw or qcow2");
    case DISK_TO: return parse_format(p->value, &d->to) ? 0 : bad_value(p, "to", "raw or qcow2");
    case DISK_BACKING_FORMAT:
        return parse_format(p->value, &d->backing_format) ? 0
                                                          : bad_value(p, "backing-format", "raw or qcow2");
    case DISK_CLUSTER_SIZE:
        return parse_cluster(p->value, &d->cluster_bits)
                   ? 0
                   : bad_value(p, "cluster-size", "a power of 2, 512 to 2M");
    case DISK_BACKING:
        if (d->n_backing == N_BACKING_MAX) return cli_usage(p->verb, "too many backing files");
        d->backing[d->n_backing++] = p->value;
        break;
    case DISK_REPAIR: d->repair = true; break;
    case DISK_SHRINK: d->shrink = true; break;
    case DISK_DIRECT: d->direct = true; break;
    case DISK_JSON: d->json = true; break;
    default: break;
    }
    return 0;
}

static const struct action *find_action(const char *name) {
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(actions[i].name, name) == 0) return &actions[i];
    return NULL;
}

static int act(struct disk *d) {
    static const char *const names[] = {"create", "info", "convert", "check", "resize", NULL};
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (!d->n_names) return cli_usage(d->verb, "create, info, convert, check or resize is missing");
    const struct action *action = find_action(d->names[0]);
    if (!action) {
        const char *near = cli_nearest(d->names[0], names);
        return near ? cli_usage(d->verb, "there is no \"%s\" (did you mean \"%s\"?)", d->names[0], near)
                    : cli_usage(d->verb, "there is no \"%s\"", d->names[0]);
    }
    d->names++;
    d->n_names--;
    if (d->n_names < action->min_names) return cli_usage(d->verb, "%s: %s", action->name, action->lacks);
    if (d->n_names > action->max_names)
        return cli_usage(d->verb, "%s: \"%s\" is too much", action->name, d->names[action->max_names]);
    if (sb_new(&(struct sb_config){0}, &d->sb, &err)) {
        cli_message("%s", err.text);
        return CLI_INTERNAL;
    }
    int result = action->run(d);
    sb_free(d->sb);
    return result;
}

static int run_disk(struct cli_parser *p) {
    struct disk d = {.verb = p->verb, .names = (const char **)p->argv}; /* arguments replace what was read */
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        int wrong = id == CLI_ARGUMENT ? 0 : take_flag(p, &d, id);
        if (wrong) return wrong;
        if (id == CLI_ARGUMENT) d.names[d.n_names++] = p->value;
    }
    return act(&d);
}

const struct cli_verb cli_verb_disk = {
    .name = "disk",
    .arguments = "create|info|convert|check|resize FILE [ARGS...]",
    .summary = "make, look at, copy, check and resize disk images",
    .text =
        "create FILE [SIZE] makes an empty image; with --backing an overlay that holds what is changed, of "
        "the "
        "backing file's size unless told. The backing file's name is taken from the image's folder.\n\n"
        "info FILE tells format, sizes and backing file.\n\n"
        "convert FROM TO copies an image's bytes, with those of its backing files, to a new image. Zeroes "
        "take no "
        "space in it. TO appears whole or not at all; a block device is written in place.\n\n"
        "check FILE compares a qcow2 image's tables with each other. The exit status is 0 when nothing is "
        "wrong or "
        "all was mended, 3 when space is lost but no data, 1 otherwise.\n\n"
        "resize FILE SIZE changes the disk's size; +SIZE, and -SIZE behind \"--\", are counted from what it "
        "is. Partitions "
        "and file "
        "systems on it are not touched.\n\n"
        "An image is raw unless its name ends in .qcow2 or --format says what it is: what is in it does not "
        "decide, "
        "because a guest writes it. A backing file has to lie below the image's folder, or to be named by "
        "--backing. Images are locked while they are used, against QEMU's tools, too.",
    .flags = flags,
    .run = run_disk,
};
