/* The machine's architecture as seccomp(2) names it, for the filters of the relay and of its helper inside.
 */
#pragma once

#include <linux/audit.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#else
#error "name this machine's architecture for the seccomp filters of netns/"
#endif
