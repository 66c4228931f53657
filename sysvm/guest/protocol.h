/* sysvm/guest/protocol.h: what Atoll and its init in the guest say to each other, over a console port that is nobody
 * else's: a stream of messages each way.
 *
 *   kind u8 | 0 u8 | size u16 (little-endian) | size bytes
 *
 * Neither side sends more bytes of input or output than the other has said it has room for; what was consumed is
 * told with a CREDIT. So a reader that waits (a pager, a program that reads no input) holds up nothing else. */
#ifndef ATOLL_SYSVM_GUEST_PROTOCOL_H
#define ATOLL_SYSVM_GUEST_PROTOCOL_H

#define GUEST_HEADER_BYTES  4
#define GUEST_PAYLOAD_MAX   4096
#define GUEST_INPUT_WINDOW  16384 /* bytes there is room for at the start */
#define GUEST_OUTPUT_WINDOW 65536 /* of output and errors together */

enum guest_message {
    /* to the host */
    GUEST_READY = 'R',  /* the command runs */
    GUEST_OUTPUT = '1', /* bytes of its standard output */
    GUEST_ERRORS = '2',
    GUEST_EXIT = 'X',   /* u8: its exit status, or 128 + n */
    GUEST_FAILED = 'F', /* u8: exit status for atoll, then a line of text: nothing ran */
    /* to the guest */
    GUEST_INPUT = '0',  /* bytes for its standard input; none: the end */
    GUEST_SIGNAL = 'S', /* u8: for the command and its children */
    GUEST_WINDOW = 'W', /* u16 columns, u16 rows of the terminal */
    GUEST_CLOSED = 'C', /* u8, 1 or 2: nobody reads that output any more */
    /* both ways */
    GUEST_CREDIT = 'c' /* u32: so many more bytes */
};

/* What init is to do stands in a file of its archive: NUL-terminated texts KEY=VALUE, taken in this order.
 *
 *   module=PATH     a kernel module of the archive, before the next
 *   root=TAG        the virtio-fs that becomes the root
 *   write=1         ... as it is; else below a throw-away overlay
 *   mount=TAG:PATH  another one
 *   host=NAME, dir=PATH (the command's), terminal=1, env=TEXT, arg=TEXT (the command first) */
#define GUEST_SETTINGS_PATH "/settings"
#define GUEST_PORT          "atoll.command" /* the console port's name */

#endif
