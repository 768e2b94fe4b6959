/* Vectors and reset of a Cortex-M7 for an emulator with semihosting. */
#include <stdint.h>

extern void _start(void);

static void reset(void) {
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the FPU is on */
  __asm__ volatile("dsb\n isb");
  _start();
}

static void stop(void) {
  for (;;) {
  }
}

__attribute__((section(".vectors"))) void (*const vectors[16])(void) = {
    (void (*)(void))0x20400000, reset, stop, stop, stop, stop, stop, [11] = stop, [14] = stop, stop,
};
