#define _GNU_SOURCE
#include "fibers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Only what the calling convention asks a callee to keep; no signal masks, which
   would cost two system calls a switch. */
#if defined(__x86_64__)
__attribute__((naked)) void fiber_switch(void **from, void *to) {
    __asm__("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
            "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
            "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
__attribute__((naked)) static void start(void) {
    __asm__("movq %r12, %rdi\n callq *%r13\n ud2\n");
}
void *fiber_make(void *stack, size_t bytes, void (*body)(void *), void *argument) {
    uintptr_t top = ((uintptr_t)stack + bytes) & ~(uintptr_t)15;
    void **sp = (void **)top;
    *--sp = (void *)start; /* popped by ret, after which the stack is aligned for a call */
    *--sp = 0;             /* rbp */
    *--sp = 0;             /* rbx */
    *--sp = argument;      /* r12 */
    *--sp = (void *)body;  /* r13 */
    *--sp = 0;             /* r14 */
    *--sp = 0;             /* r15 */
    return sp;
}
#elif defined(__aarch64__)
__attribute__((naked)) void fiber_switch(void **from, void *to) {
    __asm__("sub sp, sp, #160\n stp x19, x20, [sp]\n stp x21, x22, [sp, #16]\n"
            "stp x23, x24, [sp, #32]\n stp x25, x26, [sp, #48]\n stp x27, x28, [sp, #64]\n"
            "stp x29, x30, [sp, #80]\n stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n"
            "stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n"
            "mov x9, sp\n str x9, [x0]\n mov sp, x1\n"
            "ldp x19, x20, [sp]\n ldp x21, x22, [sp, #16]\n ldp x23, x24, [sp, #32]\n"
            "ldp x25, x26, [sp, #48]\n ldp x27, x28, [sp, #64]\n ldp x29, x30, [sp, #80]\n"
            "ldp d8, d9, [sp, #96]\n ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n"
            "ldp d14, d15, [sp, #144]\n add sp, sp, #160\n ret\n");
}
__attribute__((naked)) static void start(void) { __asm__("mov x0, x19\n blr x20\n brk #1\n"); }
void *fiber_make(void *stack, size_t bytes, void (*body)(void *), void *argument) {
    uintptr_t top = ((uintptr_t)stack + bytes) & ~(uintptr_t)15;
    void **sp = (void **)(top - 160);
    for (int i = 0; i < 20; i++) sp[i] = 0;
    sp[0] = argument;      /* x19 */
    sp[1] = (void *)body;  /* x20 */
    sp[11] = (void *)start; /* x30 */
    return sp;
}
#else
#error "fibers: write the switch for this architecture"
#endif

void *fiber_stack(size_t bytes) {
    char *p = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, 4096, PROT_NONE)) {
        perror("fiber_stack");
        exit(1);
    }
    return p + 4096;
}
