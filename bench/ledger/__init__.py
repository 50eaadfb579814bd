"""The reproduction ledger: runs that are kept, rules that judge them, the page they make."""
