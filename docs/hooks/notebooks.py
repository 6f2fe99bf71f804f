"""Turn notebooks into Markdown pages, as they are: nothing is executed."""

import posixpath
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter


def to_markdown(notebook: Path) -> dict[str, str | bytes]:
    """Return the page of a notebook and the pictures it shows, by their paths beside it."""
    exporter = MarkdownExporter()
    folder = f"{notebook.stem}_files"
    content = nbformat.read(notebook, as_version=4)
    page, resources = exporter.from_notebook_node(
        content, resources={"output_files_dir": folder, "unique_key": notebook.stem}
    )
    pictures = {posixpath.normpath(path): data for path, data in resources["outputs"].items()}
    download = f"[Download this notebook]({notebook.name})"
    title, _, rest = page.lstrip().partition("\n")
    return {
        f"{notebook.stem}.md": f"{title}\n\n{download}\n{rest}",
        notebook.name: notebook.read_bytes(),
        **pictures,
    }
