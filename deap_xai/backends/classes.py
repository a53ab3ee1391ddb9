"""Names of classes, and which class a name means."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

from deap_xai.errors import SettingError
from deap_xai.wording import meant

__all__ = ["class_index", "class_name", "folded_name"]


def class_name(index: int, class_names: Sequence[str] | None) -> str:
    """The name of a class, or ``"class 7"`` where there are no names.

    Where several classes have one name, as ImageNet's cranes, its index tells which.

    Examples
    --------
    >>> class_name(1, ["cat", "dog"]), class_name(7, None), class_name(1, ["crane", "crane"])
    ('dog', 'class 7', 'crane (1)')
    """
    if class_names is None or index >= len(class_names):
        return f"class {index}"
    names = [str(name) for name in class_names]
    return names[index] if names.count(names[index]) == 1 else f"{names[index]} ({index})"


def class_index(target: int | str, class_names: Sequence[str] | None, what: str = "target") -> int:
    """The index of a class given by index or name; ``what`` it is called in messages.

    Case and underscores don't matter unless they alone tell two classes apart, as with ImageNet's
    ``Cardigan``, a dog, and ``cardigan``, a garment.

    Raises
    ------
    SettingError
        If there is no such class, or several; the message has the closest names.

    Examples
    --------
    >>> class_index("tree_frog", ["bullfrog", "tree frog"]), class_index("12", None)
    (1, 12)
    >>> class_index("class 7", None), class_index("7.0", None)
    (7, 7)
    >>> class_index("crane (1)", ["crane", "crane"])
    1
    """
    if not isinstance(target, str):
        try:
            index = operator.index(target)
        except TypeError:  # NumPy's and torch's whole numbers are fine
            index = None
        if index is None or isinstance(target, bool):
            raise SettingError(f"{what} must be a class's index or name; got {target!r}")
        if index < 0:
            raise SettingError(f"{what} must be a class index from 0 up; got {target}")
        return index
    names = [] if class_names is None else [str(name) for name in class_names]
    folded = [folded_name(name) for name in names]
    alike = [i for i, name in enumerate(folded) if name == folded_name(target)]
    # First the very name, since a class may be called "7".
    alike = [i for i, name in enumerate(names) if name == target] or alike
    if len(alike) > 1:
        raise SettingError(
            f"{what} {target!r} may be any of the classes "
            f"{', '.join(f'{names[i]!r} ({i})' for i in alike)}; give an index, or the name as it "
            "stands there if that tells them apart"
        )
    if alike:
        return alike[0]
    # As class_name says it; and whole numbers as tables with gaps in a column have them.
    number = re.fullmatch(r"(?:class )?(\d+)(?:\.0)?", folded_name(target))
    if number:
        return int(number[1])
    told = re.fullmatch(r".+ \((\d+)\)", target.strip())
    if told and folded_name(class_name(int(told[1]), names)) == folded_name(target):
        return int(told[1])
    if class_names is None:
        raise SettingError(f"{what} {target!r}: this model has no class names; give an index")
    said = folded_name(target)
    hint = meant(said, folded, first=[name for name in folded if said in name.split()])
    raise SettingError(f"{what} {target!r} is no class of this model{hint}")


def folded_name(name: str) -> str:
    """A name without what case and underscores add."""
    return name.casefold().replace("_", " ").strip()
