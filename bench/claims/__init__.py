"""What the slides claim, a module a chapter; `bench/reproduce.py` runs it and writes the page."""
