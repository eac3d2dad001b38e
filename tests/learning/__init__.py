"""``make learning``: what the example studies learn, with and without privacy, into ``docs/learning.md``."""
