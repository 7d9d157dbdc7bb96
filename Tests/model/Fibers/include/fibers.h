/* Fibers: stacks that one thread switches between. For the model only. */
#ifndef BURSAR_FIBERS_H
#define BURSAR_FIBERS_H

#include <stddef.h>

/* Saves the running context's stack pointer in *from and goes on where `to` was saved. */
void fiber_switch(void **from, void *to);

/* The saved stack pointer of a context that will call body(argument) on this stack.
   `body` must not return. */
void *fiber_make(void *stack, size_t bytes, void (*body)(void *), void *argument);

/* A stack with a guard page below; exits the process when there is no memory. */
void *fiber_stack(size_t bytes);

#endif
