"""Being here puts this folder on pytest's import path: tests share ``tiny_chapter``."""


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: runs a whole chapter at laptop scale (minutes)")
