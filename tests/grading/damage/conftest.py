"""The run ends with a table: for each damage, the recoverable answers and those recovered."""

from collections import defaultdict


def pytest_terminal_summary(terminalreporter):
    counts = defaultdict(lambda: [0, 0, 0, 0])
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", []):
                if name == "damage" and report.when == "call":
                    operator, *numbers = value
                    counts[operator] = [
                        a + b for a, b in zip(counts[operator], numbers, strict=True)
                    ]
    if not counts:
        return
    terminalreporter.section("damaged notebooks")
    row = "{:<32}{:>14}{:>12}{:>12}{:>18}"
    heads = ("damage", "recoverable", "recovered", "destroyed", "named for a person")
    terminalreporter.write_line(row.format(*heads))
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    for operator, numbers in [*sorted(counts.items()), ("all", total)]:
        terminalreporter.write_line(row.format(operator, *numbers))
