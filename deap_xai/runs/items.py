"""What a run explains: the images of a folder, of a list or of a table."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deap_xai.backends.classes import class_index, class_name, folded_name
from deap_xai.errors import ImageError, SettingError

__all__ = ["Images", "Item", "list_items", "with_labels_named"]

Images: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
"""A folder, a list or a table of images by its path, or the images' own paths."""

SUFFIXES = frozenset(
    ".avif .bmp .gif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
)  # fmt: skip
"""What counts as an image in a folder, in either case."""


class Item(NamedTuple):
    r"""One image to explain.

    Attributes
    ----------
    id
        Names its files: the image's stem, and a hash of its name and target.
    image
        Its name: the path below the folder or the list's folder, with ``/``; else the whole path.
        Bytes of it that aren't UTF-8 are written as in ``caf\xe9.jpg``.
    path
        Where it is: an absolute path.
    target
        Class to explain, by name or index; None takes the most probable one.
    label
        The true class, where a table gave it.
    bytes
        Size of its file; -1 where there is none.
    """

    id: str
    image: str
    path: str
    target: str | None = None
    label: str | None = None
    bytes: int = -1


def list_items(images: Images, out: Path) -> tuple[str, list[Item]]:
    """Where images come from, and each of them once, in the order of their names.

    Parameters
    ----------
    images
        A folder, searched with its sub-folders, links to folders among them, for files that end
        as images do (hidden ones and the run's own folder aside); a ``.csv`` file with a column
        ``path`` and perhaps ``target`` and ``label``, in either case; any other file as a list, one
        path a line, where empty lines and those that begin with ``#`` are skipped; or the paths
        themselves. A list's and a table's relative paths start at its own folder.
    out
        Folder of the run.

    Raises
    ------
    ImageError
        If there is no image.
    SettingError
        If a folder, list or table can't be read, or a table has no column ``path``, or has one
        of these twice, or two labels for one image.

    Examples
    --------
    >>> source, items = list_items(["a/frog.jpg", "b/frog.jpg"], Path("run"))
    >>> source, len({item.id for item in items}), items[0].id[:5], items[0].bytes
    ('paths from ...', 2, 'frog-', -1)
    """
    if hasattr(images, "columns"):
        raise SettingError(
            "images is a table; give its file, a .csv with a column 'path', or the paths alone: "
            "list(table['path'])"
        )
    given = "the paths given"
    rows: Iterable[Mapping[str, str]]
    if not isinstance(images, (str, os.PathLike)):
        root = Path.cwd()
        source, rows = f"paths from {root}", _plain(_path(image) for image in images)
    elif not Path(given := os.fspath(images)).exists():
        raise ImageError(
            f"there is nothing at {given!r} (looked from {Path.cwd()}); expected a "
            "folder of images, a list of paths or a .csv with a column 'path'"
        )
    elif Path(images).is_dir():
        root = Path(images).resolve()
        source, rows = str(root), _plain(_found(root, out.resolve()))
    else:
        file = Path(images).resolve()
        source, root, rows = str(file), file.parent, _read(file)
    items: dict[str, Item] = {}
    for item in (_item(root, **row) for row in rows):
        first = items.setdefault(item.id, item)
        if first.label is None:
            items[item.id] = item
        elif item.label is not None and folded_name(item.label) != folded_name(first.label):
            raise SettingError(
                f"{item.image} stands in {given} with the label {first.label!r} and with "
                f"{item.label!r}; expected one"
            )
    if not items:
        counts = f"in a folder, files count that end in {', '.join(sorted(SUFFIXES))}"
        if not Path(given).is_dir():
            counts = "it names none"
        raise ImageError(f"there is no image in {given}; {counts}")
    return source, sorted(items.values(), key=lambda item: (item.image, item.target or ""))


def with_labels_named(items: Sequence[Item], class_names: Sequence[str] | None) -> list[Item]:
    """The items with each label as :func:`~deap_xai.backends.classes.class_name` has it.

    Raises
    ------
    SettingError
        If a label is no class of the model: it would count as a wrong answer.

    Examples
    --------
    >>> items = [Item("1", "a.png", "/a.png", label=label) for label in ("1", "tree_frog", None)]
    >>> [item.label for item in with_labels_named(items, ["tree frog", "newt"])]
    ['newt', 'tree frog', None]
    """
    named: dict[str | None, str | None] = {None: None}
    for item in items:
        if item.label not in named:
            named[item.label] = _class_of(item, class_names)
    return [item._replace(label=named[item.label]) for item in items]


def _class_of(item: Item, class_names: Sequence[str] | None) -> str:
    label = str(item.label)
    advice = "(leave the label empty where the model has no such class)"
    try:
        index = class_index(label, class_names, "label")
    except SettingError as error:
        raise SettingError(f"{item.image}: {error} {advice}") from error
    if class_names is not None and index >= len(class_names):
        raise SettingError(
            f"{item.image}: label {label!r} is no class of this model, which has "
            f"{len(class_names)} {advice}"
        )
    return class_name(index, class_names)


def _item(root: Path, path: str, target: str | None = None, label: str | None = None) -> Item:
    whole = os.path.normpath(root / path)
    inside = whole.startswith(os.path.join(root, ""))  # noqa: PTH118  # with its last slash
    name = Path(os.path.relpath(whole, root) if inside else whole).as_posix()
    digest = hashlib.sha256(f"{name}\0{target or ''}".encode(errors="surrogateescape")).hexdigest()
    stem = re.sub(r"[^\w-]", "_", Path(name).stem, flags=re.ASCII)[:60]
    try:
        size = Path(whole).stat().st_size
    except (OSError, ValueError):
        size = -1  # what is wrong with it is said when it should be explained
    told = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return Item(f"{stem}-{digest[:16]}", told, whole, target or None, label or None, size)


def _path(image: Any) -> str:
    if not isinstance(image, (str, os.PathLike)):
        raise SettingError(
            f"an image of a run is {type(image).__name__}; expected its path: what is in memory is "
            "explained by Explainer.explain, which takes a list too"
        )
    return os.fspath(image)


def _plain(paths: Iterable[str]) -> Iterator[Mapping[str, str]]:
    return ({"path": path} for path in paths)


def _found(root: Path, out: Path) -> Iterator[str]:
    ways = {root: {root, out}}  # to each folder, without links: these may lead in circles
    for folder, below, files in os.walk(root, onerror=_unlisted, followlinks=True):
        here = Path(folder)
        way = ways.pop(here)
        if here != root and "settings.json" in files and "explanations" in below:
            below.clear()  # another run, whose pictures are no photographs
            continue
        real = {here / name: (here / name).resolve() for name in sorted(below)}
        new = [one for one in real if one.name[0] != "." and real[one] not in way]
        ways |= {one: way | {real[one]} for one in new}
        below[:] = [one.name for one in new]
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield str(here / name)


def _unlisted(error: OSError) -> None:
    raise SettingError(
        f"can't look into the folder {os.fspath(error.filename)!r}: {error.strerror}; its images "
        "would be left out"
    ) from error


def _open_quote(text: str) -> int:
    """The line with a quote that isn't closed, so that its field swallows the rest; 0: none."""
    reader, end, line = csv.reader(io.StringIO(f"{text}\nend")), [""], 0
    try:
        for row in reader:
            begins, line = line + 1, reader.line_num
            end = row
    except csv.Error:  # the rest is longer than a field may be
        return line + 1
    return 0 if end == ["end"] else begins


def _read(file: Path) -> Iterable[Mapping[str, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it isn't text" if isinstance(error, UnicodeDecodeError) else error
        raise SettingError(
            f"can't read the list of images {os.fspath(file)!r}: {why}; expected a folder, a "
            "text file with one path a line or a .csv with a column 'path'"
        ) from error
    if file.suffix.lower() != ".csv":
        lines = (line.strip() for line in text.split("\n"))
        return _plain(line for line in lines if line and not line.startswith("#"))
    if line := _open_quote(text):
        raise SettingError(
            f"can't read the table {os.fspath(file)!r}: a quote that opens in line {line} isn't "
            "closed"
        )
    table = csv.DictReader(io.StringIO(text))
    table.fieldnames = names = [(name or "").strip() for name in table.fieldnames or ()]
    columns = dict[str, str]()
    for wanted in ("path", "target", "label"):
        # One written so; only where there is none, one in capitals.
        found = [one for one in names if one == wanted] or [
            one for one in names if one.lower() == wanted
        ]
        if len(found) > 1:
            raise SettingError(
                f"{os.fspath(file)} has the columns {', '.join(found)}; expected one {wanted!r}"
            )
        if found:
            columns[wanted] = found[0]
    if "path" not in columns:
        raise SettingError(
            f"{os.fspath(file)} has the columns {', '.join(names) or '(none)'}; expected one "
            "called 'path', and perhaps 'target' (class to explain) and 'label' (true class)"
        )
    return [
        {wanted: (row[name] or "").strip() for wanted, name in columns.items()}
        for row in table
        if (row[columns["path"]] or "").strip()
    ]
