"""Limits of a process that works on what strangers sent."""

import os
from contextlib import suppress


def limit_memory(amount: int) -> None:
    """Let this process take so many bytes more than it has, where the system can say so."""
    with suppress(ImportError, OSError, ValueError):  # Not every system has such limits.
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (mapped + amount, mapped + amount))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: float) -> None:
    """End this process should it compute for longer, even if nobody is there to kill it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
