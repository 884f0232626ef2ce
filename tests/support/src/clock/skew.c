/* Preloaded into a process, makes its wall clock differ from the machine's by CLOCK_SKEW_SECONDS. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *skew = getenv("CLOCK_SKEW_SECONDS");
    if (result == 0 && clock == CLOCK_REALTIME && skew)
        now->tv_sec += atol(skew);
    return result;
}
