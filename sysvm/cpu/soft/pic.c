/* sysvm/cpu/soft/pic.c: the two 8259 interrupt controllers of a PC, the second on line 2 of the first.
 * Source: Intel 8259A data sheet; the edge/level registers of PIIX and its successors. */
#include "sysvm/cpu/soft/ports.h"

enum { CASCADE = 2 };

/* ---- priorities ---- */

/* How far `irq` stands behind the highest priority, which rotates. */
static unsigned distance(const struct soft_pic *pic, unsigned irq) { return (irq - pic->lowest - 1) & 7; }

static unsigned nearest(const struct soft_pic *pic, uint8_t mask) { /* 8: none */
    unsigned best = 8;
    for (unsigned irq = 0; irq < 8; irq++)
        if (mask >> irq & 1 && distance(pic, irq) < best) best = distance(pic, irq);
    return best;
}

/* The line a controller asks for, or -1. */
static int find_next(const struct soft_pic *pic, bool is_first) {
    unsigned wanted = nearest(pic, (uint8_t)(pic->irr & ~pic->imr));
    if (wanted == 8) return -1;
    uint8_t served = pic->special_mask ? (uint8_t)(pic->isr & ~pic->imr) : pic->isr;
    /* in special fully nested mode the second controller may ask again while it is served */
    if (pic->special_nested && is_first) served &= (uint8_t) ~(1 << CASCADE);
    if (nearest(pic, served) <= wanted) return -1;
    return (int)((wanted + pic->lowest + 1) & 7);
}

static void set_request(struct soft_pic *pic, unsigned irq, bool level) {
    uint8_t bit = (uint8_t)(1 << irq);
    bool before = pic->lines & bit;
    pic->lines = (uint8_t)(level ? pic->lines | bit : pic->lines & ~bit);
    if (level && (!before || pic->edge_level & bit)) pic->irr |= bit;
    if (!level && pic->edge_level & bit) pic->irr &= (uint8_t)~bit;
}

/* The second controller's output is a line of the first; then processor 0 is told. */
static void settle(struct soft_chips *chips) {
    bool cascades = find_next(chips->pics + 1, false) >= 0;
    struct soft_pic *first = chips->pics;
    first->lines = (uint8_t)(cascades ? first->lines | 1 << CASCADE : first->lines & ~(1 << CASCADE));
    first->irr = (uint8_t)(cascades ? first->irr | 1 << CASCADE : first->irr & ~(1 << CASCADE));
    soft_apic_update(chips->apics);
}

bool soft_pic_pending(const struct soft_chips *chips) { return find_next(chips->pics, true) >= 0; }

void soft_pic_line(struct soft_chips *chips, unsigned irq, bool level) {
    if (irq >= 16 || irq == CASCADE) return;
    set_request(chips->pics + irq / 8, irq % 8, level);
    settle(chips);
}

static void serve(struct soft_pic *pic, unsigned irq) {
    uint8_t bit = (uint8_t)(1 << irq);
    if (!(pic->edge_level & bit)) pic->irr &= (uint8_t)~bit;
    if (!pic->auto_end)
        pic->isr |= bit;
    else if (pic->rotates)
        pic->lowest = (uint8_t)irq;
}

/* A request that went away meanwhile is answered by line 7, as the chip does ("spurious"). */
static int acknowledge_one(struct soft_pic *pic, bool is_first) {
    int irq = find_next(pic, is_first);
    if (irq >= 0) serve(pic, (unsigned)irq);
    return irq;
}

int soft_pic_acknowledge(struct soft_chips *chips) {
    struct soft_pic *pics = chips->pics;
    int irq = acknowledge_one(pics, true);
    if (irq < 0) return -1;
    int vector = pics[0].vector_base + irq;
    if (irq == CASCADE) {
        int second = acknowledge_one(pics + 1, false);
        vector = pics[1].vector_base + (second < 0 ? 7 : second);
    }
    settle(chips);
    return vector;
}

/* ---- ports ---- */

static void start_init(struct soft_pic *pic, uint8_t value) {
    uint8_t lines = pic->lines, edge_level = pic->edge_level;
    *pic = (struct soft_pic){
        .lines = lines, .edge_level = edge_level, .lowest = 7, .init_step = 2, .wants_icw4 = value & 1};
    pic->irr = lines & edge_level;
}

static void end(struct soft_pic *pic, uint8_t value) {
    enum { ROTATE = 0x80, SPECIFIC = 0x40, END = 0x20 };
    unsigned irq = value & 7;
    if (!(value & SPECIFIC)) {
        unsigned near = nearest(pic, pic->isr);
        if (near == 8 && value & END) return;
        irq = (near + pic->lowest + 1) & 7;
    }
    if (value & END) pic->isr &= (uint8_t) ~(1 << irq);
    if (value & ROTATE && value & (END | SPECIFIC))
        pic->lowest = (uint8_t)irq;
    else if (!(value & END) && !(value & SPECIFIC))
        pic->rotates = value & ROTATE;
}

static void set_reading(struct soft_pic *pic, uint8_t value) {
    enum { POLL = 4, SELECT = 2, ISR = 1, SPECIAL = 0x40, SPECIAL_ON = 0x20 };
    if (value & POLL) pic->polls = true;
    if (value & SELECT) pic->reads_isr = value & ISR;
    if (value & SPECIAL) pic->special_mask = value & SPECIAL_ON;
}

static void command(struct soft_pic *pic, uint8_t value) {
    enum { INIT = 0x10, READING = 0x08 };
    if (value & INIT)
        start_init(pic, value);
    else if (value & READING)
        set_reading(pic, value);
    else
        end(pic, value);
}

static void data(struct soft_pic *pic, uint8_t value) {
    switch (pic->init_step) {
    case 2:
        pic->vector_base = value & 0xF8;
        pic->init_step = 3;
        return;
    case 3: pic->init_step = pic->wants_icw4 ? 4 : 0; return;
    case 4:
        pic->special_nested = value & 0x10;
        pic->auto_end = value & 2;
        pic->init_step = 0;
        return;
    default: pic->imr = value; return;
    }
}

static uint8_t read_port(struct soft_pic *pic, bool is_data, bool is_first) {
    if (pic->polls) {
        pic->polls = false;
        int irq = acknowledge_one(pic, is_first);
        return (uint8_t)(irq < 0 ? 0 : 0x80 | irq);
    }
    return is_data ? pic->imr : pic->reads_isr ? pic->isr : pic->irr;
}

bool soft_pic_port(struct soft_chips *chips, uint16_t port, bool is_write, uint8_t *value) {
    bool is_level = port == 0x4D0 || port == 0x4D1;
    if (!is_level && (port & ~0x81) != 0x20) return false;
    unsigned which = is_level ? port & 1 : port >> 7;
    struct soft_pic *pic = chips->pics + which;
    if (!is_write) {
        *value = is_level ? pic->edge_level : read_port(pic, port & 1, !which);
    } else if (is_level) {
        pic->edge_level =
            *value & (which ? 0xDE : 0xF8); /* timer, keyboard, cascade, clock, coprocessor are edges */
    } else if (port & 1) {
        data(pic, *value);
    } else {
        command(pic, *value);
    }
    settle(chips);
    return true;
}
