"""Reading the pages of the documentation: their sections, the tables in them, and what is run in a shell."""

from __future__ import annotations

import re
import textwrap


def section(page: str, heading: str) -> str:
    """Return what stands under *heading*, whatever its level, up to the next one of any level."""
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", outside_code(page), flags=re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return found[1].replace("\0", "#")


def outside_code(page: str) -> str:
    """Return *page* with the hashes at the beginnings of code lines out of the way: they are no headings."""
    inside, lines = False, []
    for line in page.splitlines(keepends=True):
        inside ^= line.startswith("```")
        lines.append("\0" + line[1:] if inside and line.startswith("#") else line)
    return "".join(lines)


def cells(text: str) -> list[list[str]]:
    """Return the rows of the tables in *text* whose first cell begins with code."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def named(cell: str) -> list[str]:
    """Return what stands as code in *cell*."""
    return re.findall(r"`([^`]+)`", cell)


def here_documents(page: str, ends: str = "END") -> list[tuple[str, str]]:
    """Return the shell's lines that a text is handed to (`<<'END'`), each with that text."""
    found = re.finditer(rf"^( +)([^\n]*<<'?{ends}'?)\n(.*?)^\1{ends}$", page, flags=re.DOTALL | re.MULTILINE)
    return [(one[2], textwrap.dedent(one[3])) for one in found]


def anchors(page: str) -> set[str]:
    """Return what links can lead to in *page*: its headings as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", outside_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
