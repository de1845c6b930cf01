"""Speed and memory on the real parts: ``make bench``. What came out is in ``docs/performance.md``."""
