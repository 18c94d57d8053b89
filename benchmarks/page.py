"""Tables that a command writes into a page, between two marks that name the command."""

from pathlib import Path


def marks(name: str, module: str) -> tuple[str, str]:
    """What stands before and after such a table."""
    return f"<!-- {name}: python -m {module} -->", f"<!-- /{name} -->"


def write(table: str, path: Path, name: str, module: str, title: str) -> None:
    """Put a table between its marks in a page; a page without them gets a section at its end."""
    begin, end = marks(name, module)
    text = path.read_text(encoding="utf-8") if path.exists() else "# What may be trusted, and how far\n"
    if begin not in text or end not in text:
        text = text.rstrip("\n") + f"\n\n## {title}\n\n{begin}\n{end}\n"
    before, rest = text.split(begin, 1)
    path.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
