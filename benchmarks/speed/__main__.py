"""python -m benchmarks.speed loader|records: clips a second of the real loading pipeline, by decoder and loader
processes; seconds and memory that tables of thousands of run folders take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.speed import loader, tables


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    commands = parser.add_subparsers(required=True)
    loader.add_command(commands.add_parser("loader", help="reading, transforming and batching of clips"))
    tables.add_command(commands.add_parser("records", help="collecting run folders and making all tables"))
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
