/* tests/sysvm/cpu/soft/x87_sequences.S: code for x87_native_test: rdi = CASE_DATA, whose first words are numbers.
 * fnstenv stores at 100 and 140, fxsave at 400. */

    .section .rodata
    .macro SEQUENCE name
    .pushsection .rodata.names, "a"
9:  .asciz "\name"
    .popsection
    .pushsection .data.rel.ro.list, "aw"
    .quad 9b, 1f, 2f
    .popsection
1:
    .endm
    .macro END
2:
    .endm

    .pushsection .data.rel.ro.list, "aw"
    .globl x87_sequences
x87_sequences:
    .popsection

SEQUENCE "arithmetic"
    fldl (%rdi)
    fldl 8(%rdi)
    fmul %st(1), %st
    faddp
    fld %st(0)
    fsqrt
    fstpl 0x80(%rdi)
    fsubrs 16(%rdi)
    fimull 24(%rdi)
    fidivs 32(%rdi)
    fstpt 0x90(%rdi)
END
SEQUENCE "transcendental"
    fldl (%rdi)
    fldpi
    fprem
    fsincos
    fpatan
    fld1
    fldl2e
    fmulp
    f2xm1
    fscale
    fyl2x
    frndint
    fxtract
END
SEQUENCE "memory not met before"
    fldl (%rdi)
    faddl 0x1000(%rdi)
    fld1
    mov 0x2000(%rdi), %rax
    fstpt 0x1010(%rdi)
    fldl 0xffc(%rdi)
    fistpll 0x88(%rdi)
    fisttpl 0x98(%rdi)
END
SEQUENCE "stack overflow"
    fld1
    fldz
    fldpi
    fldl2t
    fldl2e
    fldlg2
    fldln2
    fldl (%rdi)
    fnstsw %ax
    fldl 8(%rdi)
    fnstsw 0x80(%rdi)
    fnclex
    fadd %st(3), %st
    fstpl 0x88(%rdi)
END
SEQUENCE "stack underflow"
    fld1
    fstpl 0x80(%rdi)
    fstpl 0x88(%rdi)
    fxam
    fnstsw %ax
    fadd %st(2), %st
    fistpl 0x90(%rdi)
    fxch %st(4)
    fdecstp
    ffree %st(1)
    fincstp
END
SEQUENCE "environment"
    fldl (%rdi)
    fld1
    fnstenv 0x100(%rdi)
    fldpi
    fadd %st(1), %st
    fnstcw 0x80(%rdi)
    fnstenv 0x140(%rdi)
    fmull 8(%rdi)
    movl $0x7654321, 0x10c(%rdi)
    fldenv 0x100(%rdi)
    fnclex
    fnstsw %ax
    fmulp
    fchs
END
SEQUENCE "environment loaded, nothing behind it"
    fldl (%rdi)
    fnstenv 0x100(%rdi)
    fmull 8(%rdi)
    movl $0x7654321, 0x10c(%rdi)
    fldenv 0x100(%rdi)
    fnstcw 0x80(%rdi)
END
SEQUENCE "pointers through a segment and 32-bit addresses"
    fldl %gs:8(%rdi)
    fstl 0x80(%rdi)
    fnstenv 0x100(%rdi)
    faddl 8(%edi)
    fabs
    fnstenv 0x140(%rdi)
END
SEQUENCE "store to memory that is read-only"
    fldl (%rdi)
    fldl 8(%rdi)
    fstpl 0x2000(%rdi)
    fld1
END
SEQUENCE "load from nowhere"
    fld1
    fldl 8(%rdi)
    add $3, %ecx
    faddl -16(%rdi)
    fchs
END
SEQUENCE "rounding"
    fnstcw 0x80(%rdi)
    movzwl 0x80(%rdi), %eax
    or $0xc00, %eax
    mov %ax, 0x82(%rdi)
    fldl (%rdi)
    fldl 8(%rdi)
    fldcw 0x82(%rdi)
    fistpll 0x88(%rdi)
    fldcw 0x80(%rdi)
    fistpl 0x90(%rdi)
END
SEQUENCE "an exception that is not masked"
    movw $0x340, 0x80(%rdi)
    fld1
    fldz
    fldcw 0x80(%rdi)
    fdivrp
    fnstsw %ax
    mov %eax, %edx
    fldpi
    fchs
END
SEQUENCE "masked again"
    movl $0x37f0340, 0x80(%rdi)
    fldcw 0x80(%rdi)
    fld1
    fldz
    fldcw 0x82(%rdi)
    fdivrp
    fldl (%rdi)
    fnstsw %ax
END
SEQUENCE "vectors between"
    movsd (%rdi), %xmm0
    fldl 8(%rdi)
    addsd 16(%rdi), %xmm0
    movsd %xmm0, 0x80(%rdi)
    fldl 0x80(%rdi)
    fdivp
    mulpd %xmm0, %xmm1
    fstpl 0x88(%rdi)
    cvttsd2si 0x88(%rdi), %rcx
    ucomisd %xmm1, %xmm0
    sqrtsd %xmm0, %xmm15
    fildll 0x88(%rdi)
END
SEQUENCE "wide vectors and a handler between"
    vmovupd (%rdi), %ymm3
    fldl 8(%rdi)
    xchg %rdi, %rsi
    rep stosb
    xchg %rdi, %rsi
    vaddpd %ymm3, %ymm4, %ymm5
    fadd %st(0), %st
    fstpl 0x88(%rdi)
    vmovupd %ymm5, 0xa0(%rdi)
END
SEQUENCE "flags"
    fldl (%rdi)
    fldl 8(%rdi)
    cmp %ecx, %edx
    fcomi %st(1), %st
    seta %al
    fcmovb %st(1), %st
    fucomip %st(1), %st
    sbb %rcx, %rbx
    fldz
    cmp %rdx, %r10
    fcmovnbe %st(1), %st
    fcmovu %st(1), %st
    fcompp
    fnstsw %ax
    sahf
    adc $5, %rax
END
SEQUENCE "MMX between"
    fldl (%rdi)
    fstpl 0x80(%rdi)
    movq 8(%rdi), %mm0
    paddd %mm0, %mm3
    movq %mm3, 0x88(%rdi)
    emms
    fld1
    fwait
    faddl 8(%rdi)
END
SEQUENCE "image"
    fldl (%rdi)
    fldpi
    fxsave64 0x400(%rdi)
    fninit
    fldl 8(%rdi)
    fsin
    fxrstor64 0x400(%rdi)
    fmul %st(1), %st
    fbstp 0x80(%rdi)
END
    .pushsection .data.rel.ro.list, "aw"
    .quad 0, 0, 0
    .popsection
    .section .note.GNU-stack, "", @progbits
