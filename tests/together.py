"""Processes that work together, played by threads."""

import threading
from concurrent.futures import ThreadPoolExecutor


def on_threads(size, work):
    """What work(rank, every) returns on each of so many ranks.

    `every` gives to every rank what each of them gives, in their order.
    """
    barrier, told = threading.Barrier(size), [None] * size

    def run(rank):
        def every(own):
            told[rank] = own
            barrier.wait(60)
            found = list(told)
            barrier.wait(60)
            return found

        return work(rank, every)

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(run, range(size)))
