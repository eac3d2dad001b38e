"""The console in a real browser; not collected by a plain run of pytest: ``python -m tests.browser``."""
