"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from deap_xai.errors import SettingError

__all__ = ["check_page", "part_of", "write_whole"]

PAGES = (".html", ".htm")


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file under another name first, so that a failure leaves what was there.

    Raises
    ------
    OSError
        If the folder is missing, can't be written to, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "page.html", b"<p>").read_bytes()
    b'<p>'
    """
    part = part_of(path)
    try:
        part.write_bytes(data)
        with part.open("r+b") as file:
            os.fsync(file.fileno())  # or after a power cut the name may stand for nothing
        part.replace(path)
    except IsADirectoryError as error:  # these name the other name
        raise IsADirectoryError(error.errno, "there is a folder of this name", str(path)) from error
    except FileNotFoundError as error:
        told = "there is no such folder; make it first"
        raise FileNotFoundError(error.errno, told, str(path.parent)) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check_page(path: Path) -> None:
    """See that a page isn't taken for something that it isn't, such as the photograph.

    Raises
    ------
    SettingError
        If its name ends otherwise than a page's; or has no ending, and the file is there already.
    """
    ending, advice = path.suffix.lower(), f"name a file that ends in {PAGES[0]}"
    if ending and ending not in PAGES:
        raise SettingError(f"a page is HTML; got {path}; {advice}")
    if not ending and path.is_file():
        raise SettingError(f"{path} is there already and may be no page; {advice}")


def part_of(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    # Of a length of its own, since the file's name may be as long as the disk allows.
    mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{mark}.{os.getpid()}.part")
