"""How many inputs the fuzz tests try."""

from hypothesis import settings

# A few minutes: pytest tests/fuzz --hypothesis-profile long
settings.register_profile("long", max_examples=10_000)
