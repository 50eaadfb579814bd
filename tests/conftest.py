"""Being here puts this folder on pytest's import path: tests share ``tiny_chapter``."""
