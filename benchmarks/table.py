"""Prints all stored comparisons as one Markdown table.

python benchmarks/table.py
"""

import json

from compare import RESULTS, markdown


def main():
    files = sorted(RESULTS.glob("*.json"))
    records = [record for file in files if "sides" in (record := json.loads(file.read_text()))]
    if not records:
        raise SystemExit(f"{RESULTS} has no results; run `make bench`.")
    print(markdown(records))
    for machine in sorted({f"{record['machine']}, {record['date']}" for record in records}):
        print(f"\n{machine}.")


if __name__ == "__main__":
    main()
