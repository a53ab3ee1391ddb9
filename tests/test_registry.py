"""Names, specs and plug-ins."""

from __future__ import annotations

import functools
import types

import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai import errors
from deap_xai.errors import DeapXaiError, MissingExtraError, SettingError
from deap_xai.listing import listing
from deap_xai.registry import REGISTRIES, Registry, parameters, registry
from deap_xai.specs import parse_spec

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
LITERALS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.text("ab, =([{'\"", max_size=6),
    st.tuples(st.integers(), st.integers()),
)


@pytest.fixture
def fruits() -> Registry:
    fruits = Registry("fruit", library=tools)

    @fruits.register
    def apple(tree, /, n=3, *, ripe=True):
        """A fruit."""
        return [tree, n, ripe]

    return fruits


def test_unknown_names_are_told_those_that_begin_alike(fruits):
    def mutPeel(individual):
        """Peel it."""

    def mutate(individual):
        """Not of DEAP's naming."""

    for function in (mutPeel, mutate):
        fruits.register(function)
    with pytest.raises(SettingError, match=r"'mutBoil'; known: mutPeel, or any of deap.tools"):
        fruits.resolve("mutBoil")
    with pytest.raises(SettingError, match=r"'cxBoil'.* known: apple, mutPeel, mutate, or"):
        fruits.resolve("cxBoil")


def test_functions_that_can_not_be_called_as_their_kind_are_refused():
    fruits = Registry("fruit", takes=("tree", "basket"))

    @fruits.register
    def apple(tree, basket, /, *, n=3):
        """A fruit."""

    def pear(tree):
        """A fruit for no basket."""

    def plum(tree, basket, stone):
        """A fruit with more."""

    assert fruits.resolve(apple) is apple
    assert fruits.resolve("apple:n=1").keywords == {"n": 1}
    assert fruits.resolve(map) is map  # which says nothing of what it takes
    fruits.resolve(functools.partial(plum, stone=1))
    with pytest.raises(SettingError, match=r"fruit 'pear' can't .* \(tree, basket\): too many"):
        fruits.resolve(pear)
    with pytest.raises(
        SettingError, match=r"fruit 'plum' can't .*needs stone; .*functools.partial"
    ):
        fruits.resolve(plum)
    fruits.register(pear)
    with pytest.raises(SettingError, match="fruit 'pear' can't be called"):
        fruits.resolve("pear")


@settings(deadline=None)
@given(name=NAMES, values=st.dictionaries(NAMES, LITERALS, max_size=4))
def test_what_is_written_as_a_spec_is_read_back(name, values):
    spec = name + ":" + ",".join(f"{key}={value!r}" for key, value in values.items())
    assert parse_spec(spec) == (name, values)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("slic", ("slic", {})),
        ("slic:", ("slic", {})),
        (" slic : n = 5 , c=a b ", ("slic", {"n": 5, "c": "a b"})),
        ("color:rgb=(1,2,3)", ("color", {"rgb": (1, 2, 3)})),
        ("image:path=C:/frog.png", ("image", {"path": "C:/frog.png"})),
        ("image:path='a,b.png',n=1", ("image", {"path": "a,b.png", "n": 1})),
        ("image:path=it's (a, b),n=1", ("image", {"path": "it's (a, b)", "n": 1})),
        ("x:a={[]:1}", ("x", {"a": "{[]:1}"})),
    ],
)
def test_specs_are_read(spec, expected):
    assert parse_spec(spec) == expected


@pytest.mark.parametrize("spec", ["slic:50", "slic:n", "slic:=5", "slic:n=1,2", "slic:1n=2"])
def test_unreadable_specs_say_what_is_expected(spec):
    with pytest.raises(SettingError, match=r"expected name:parameter=value"):
        parse_spec(spec)


def test_names_and_specs_and_functions_resolve(fruits):
    assert fruits.resolve("apple")("t") == ["t", 3, True]
    assert fruits.resolve("apple:n=2,ripe=False")("t") == ["t", 2, False]
    assert fruits.resolve(len) is len
    assert fruits.resolve("cxTwoPoint") is tools.cxTwoPoint


def test_unknown_names_get_the_closest(fruits):
    with pytest.raises(SettingError, match=r"'appel'; did you mean 'apple'\? known: apple, or any"):
        fruits.resolve("appel")
    with pytest.raises(SettingError, match=r"unknown fruit 'zzz'; known: apple"):
        fruits.resolve("zzz")
    with pytest.raises(SettingError, match=r"mean 'apple'\?.*; expected name:parameter=value"):
        fruits.resolve("apple=2")


def test_unknown_parameters_get_the_known_ones(fruits):
    with pytest.raises(SettingError, match=r"no parameter 'm'; its parameters: n=3, ripe=True"):
        fruits.resolve("apple:m=1")
    with pytest.raises(SettingError, match=r"no parameter 'tree'"):
        fruits.resolve("apple:tree=1")


def test_a_text_is_no_number_and_a_number_no_text():
    fruits = Registry("fruit")

    @fruits.register
    def pear(tree, /, n=3, kind="green", size=None):
        """A fruit."""
        return n, kind, size

    assert fruits.resolve("pear:n=2.5,kind=red,size=big")(0) == (2.5, "red", "big")
    with pytest.raises(SettingError, match=r"fruit 'pear': n must be a number, such as 3; got 'hi"):
        fruits.resolve("pear:n=high")
    with pytest.raises(SettingError, match=r"kind must be a text, such as 'green'; got 7"):
        fruits.resolve("pear:kind=7")


def test_whole_numbers_are_whole_and_counts_at_least_one():
    fruits = Registry("fruit")

    @fruits.register
    def plum(tree, tournsize, /, *, n: int = 3, ngen: int | None = None, shortlist: int = 4):
        """A fruit."""
        return n, ngen, shortlist

    assert fruits.resolve("plum:n=0,ngen=2,shortlist=1")(0, 0) == (0, 2, 1)
    assert fruits.resolve("plum:ngen=None")(0, 0) == (3, None, 4)
    for spec, message in {
        "n=2.5": "n must be a whole number; got 2.5",
        "n=True": "n must be a whole number; got True",
        "ngen=soon": "ngen must be a whole number; got 'soon'",
        "shortlist=0": "shortlist must be a whole number of at least 1; got 0",
    }.items():
        with pytest.raises(SettingError, match=f"fruit 'plum': {message}"):
            fruits.resolve(f"plum:{spec}")


def test_only_names_and_functions_are_specs(fruits):
    with pytest.raises(SettingError, match=r"must be a name, such as 'apple', or a fun.*got int"):
        fruits.resolve(3)


def test_required_parameters_are_asked_for():
    seeds = Registry("seed")

    @seeds.register
    def pip(soil, /, *, depth):
        return depth

    with pytest.raises(SettingError, match=r"seed 'pip' needs its parameter 'depth': pip:depth="):
        seeds.resolve("pip")
    assert seeds.resolve("pip:depth=2")("soil") == 2


def test_parameters_leave_out_what_callers_fill_in():
    def mutate(individual, rng, neighbours, indpb, *rest, p=0.5, **more):
        """Nothing."""

    assert dict(parameters(mutate)) == {"indpb": ..., "p": 0.5}


def plug_in(name, load):
    return types.SimpleNamespace(name=name, value=f"other:{name}", load=load)


def test_entry_points_answer_by_name_and_load_once(monkeypatch, fruits):
    loaded = []
    points = {"deap_xai.fruits": [plug_in("pear", lambda: loaded.append(1) or (lambda: "pear"))]}
    monkeypatch.setattr("deap_xai.registry.entry_points", lambda group: points.get(group, []))
    assert fruits.names() == ["apple", "pear"]
    assert [fruits.resolve("pear")() for _ in range(2)] == ["pear", "pear"]
    assert loaded == [1]


def test_broken_plug_ins_are_named(monkeypatch, fruits):
    def broken():
        raise ImportError("no module named other")

    pear = plug_in("pear", broken)
    monkeypatch.setattr("deap_xai.registry.entry_points", lambda group: [pear])
    with pytest.raises(SettingError, match=r"'other:pear' for fruit 'pear' can't be loaded"):
        fruits.get("pear")


def test_registry_enters_itself(monkeypatch):
    monkeypatch.setattr("deap_xai.registry.REGISTRIES", fresh := {})
    assert registry("fruit") is fresh["fruit"]


def test_listing_has_every_name_with_its_parameters():
    import deap_xai.explainer  # noqa: F401  # fills the registries

    text = listing()
    for kind, known in REGISTRIES.items():
        assert f"{kind}s\n" in text + "\n"
        assert all(f"\n  {name}" in text for name in known.names())
    assert "slic:n_segments=50,compactness=" in text
    assert "Ellipsis" not in text
    assert "image:path=…" in text


def test_what_a_function_is_called_with_is_no_parameter(monkeypatch):
    def lowest(picture, choices, n=3): ...

    objectives = REGISTRIES["objective"]
    monkeypatch.setitem(objectives._functions, "lowest", lowest)
    assert "  lowest:n=3\n" in listing(["objectives"])
    with pytest.raises(SettingError, match="no parameter 'choices'; its parameters: n=3"):
        objectives.resolve("lowest:choices=2")
    monkeypatch.setitem(objectives._functions, "star", lambda *given, k=1: k)
    assert objectives.resolve("star:k=3")(0, 0) == 3


def test_names_of_our_own_are_not_taken_over(monkeypatch):
    def black(view, segments): ...

    fills = REGISTRIES["fill"]
    ours = fills.get("black")
    with pytest.raises(SettingError, match="the fill 'black' is deap_xai's own; give yours anoth"):
        fills.register(black)
    assert fills.get("black") is ours
    monkeypatch.setattr(fills, "_functions", dict(fills._functions))
    black.__name__ = "own"
    assert fills.register(ours) is ours  # as where a module of ours is loaded again
    for _ in range(2):  # one's own may be replaced, as when a notebook's cell is run again
        assert fills.register(black) is black


def test_a_broken_plug_in_costs_its_own_entry(monkeypatch):
    from deap_xai.comparison.design import factorial

    def broken():
        raise ImportError("no module named other")

    algorithms = REGISTRIES["algorithm"]
    monkeypatch.setitem(algorithms.__dict__, "_plugins", {"pear": plug_in("pear", broken)})
    text = listing(["algorithms"])
    assert "  pear\n      the plug-in 'other:pear' for algorithm 'pear' can't be loaded" in text
    assert "  eaElitist" in text
    assert len(factorial({"mutate": ["mutStep", "mutFlipBit"]})) == 2


def test_listing_of_one_kind_and_of_models():
    assert listing(["objectives"]).startswith("objectives\n")
    assert "\nfills" not in listing(["objectives"])
    assert "\n  mobilenet_v2" in listing(["models"])
    assert listing(["fill", "model"]) == listing(["fills", "models"])
    with pytest.raises(SettingError, match=r"'modles'; did you mean 'models'\? known: "):
        listing(["modles"])
    with pytest.raises(SettingError, match=r"unknown kind 'fruits'; known: .*models"):
        listing(["fruits"])


def test_missing_packages_name_their_extra():
    with pytest.raises(MissingExtraError, match=r'pip install "deap-xai\[onnx\]"'):
        errors.require("no_such_package.part", extra="onnx")


def test_all_errors_share_a_base():
    for name in set(errors.__all__) - {"check_count", "require"}:
        assert issubclass(getattr(errors, name), DeapXaiError)


def test_a_plug_ins_own_defaults_tell_what_its_parameters_are():
    fruits = Registry("fruit")

    @fruits.register
    def pear(*, k=0.5, p=2.0, share=0.5, draws=3):
        return k, p, share, draws

    assert fruits.resolve("pear:k=0.7,p=3")() == (0.7, 3, 0.5, 3)
    for spec, message in (("pear:share=3", "share must be within"), ("pear:draws=0", "draws")):
        with pytest.raises(SettingError, match=message):
            fruits.resolve(spec)


def test_what_has_no_name_is_not_registered(fruits):
    with pytest.raises(
        SettingError, match=r"a fruit is registered under its own name, and .* none"
    ):
        fruits.register(functools.partial(fruits.get("apple"), n=2))
