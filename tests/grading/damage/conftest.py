"""The run ends with a table: for each damage, the recoverable answers and those recovered."""

from collections import defaultdict


def pytest_terminal_summary(terminalreporter):
    counts = defaultdict(lambda: [0] * 7)
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
    row = "{:<30}" + "{:>13}" * 7
    heads = (
        "recoverable",
        "recovered",
        "also named",
        "in doubt",
        "came right",
        "destroyed",
        "named",
    )
    terminalreporter.write_line(row.format("damage", *heads))
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    for operator, numbers in [*sorted(counts.items()), ("all", total)]:
        terminalreporter.write_line(row.format(operator, *numbers))
