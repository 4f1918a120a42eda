"""How fast is it? `python -m tests.bench`."""
