"""What the benchmarks share: their arguments, and how they print and save results."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_facemap.files.atomic import atomic_path


def arguments(
    description: str | None, add: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """Parse the command line.

    Parameters
    ----------
    description : str
        For ``--help``; usually the script's docstring.
    add : callable, optional
        Called with the parser, to add the script's own arguments.

    Returns
    -------
    argparse.Namespace
        With `quick` (bool), `json` (Path or None) and what `add` added.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the results here too")
    if add is not None:
        add(parser)
    return parser.parse_args()


def print_table(rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    """Print rows as a table; by default columns are the keys in the order they first appear."""
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        # Names to the left, figures to the right.
        first, *others = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(w) for cell, w in others)]))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def save_json(path: str | Path, results: Any) -> None:
    """Save results with the machine that they were measured on."""
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    text = json.dumps({"machine": machine, "results": results}, indent=2, default=_plain)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays, and paths, as JSON knows them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
