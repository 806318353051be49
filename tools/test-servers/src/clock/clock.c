// The library that is loaded into processes with a faked clock: libfaketime and one wait more.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

// Of libfaketime, only reading the clock. Its other parts stay out: its waits take the true
// monotonic clock for a faked one and end at once.
#define FAKE_INTERNAL_CALLS
// One thread at a time: the state that it keeps is not safe for more.
#define PTHREAD_SINGLETHREADED_TIME
// No memory shared with other processes: there is nothing to share, and one that is killed would
// leave it behind. libfaketime does without where there are no semaphores.
#define sem_open(...) SEM_FAILED
#include "libfaketime.c"

typedef int wait_until(cnd_t *, mtx_t *, const struct timespec *);

// Seconds by which the faked clock is ahead of the true one. Both are read one after the other,
// which takes less than half a second.
static time_t seconds_ahead(void)
{
    struct timespec fake, now;
    clock_gettime(CLOCK_REALTIME, &fake);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    double ahead = (double)(fake.tv_sec - now.tv_sec) + (fake.tv_nsec - now.tv_nsec) / 1e9;
    return (time_t)(ahead < 0 ? ahead - 0.5 : ahead + 0.5);
}

// librdkafka waits by C11's threads until a moment of the faked clock. The kernel would take that
// for one of the true clock and wait too long, or not at all.
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    wait_until *real = (wait_until *)dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec truly = *until;
    truly.tv_sec -= seconds_ahead();
    return real(condition, mutex, &truly);
}
