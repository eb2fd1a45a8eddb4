"""Rules of the house that no other tool holds: short files, surveyable classes, and a core without files.

Short are tests too; the other rules are for the product.

A class has as many attributes as its methods assign to ``self``, and fields if it is a dataclass, those of
its base classes included. Twelve are enough for what does work. Plain data may have more: pydantic models,
enumerations, named tuples, protocols, and frozen dataclasses whose public methods are properties, class
methods or static ones. A frozen dataclass that is called, or told to do something, works as any class does.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("huscf_flwr", "strategies", "client_apps", "server_app")
MOST_LINES = 400
MOST_ATTRIBUTES = 12
WITHOUT_FILES = ("methods", "models", "split", "federation")
OPENS = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "touch", "unlink"),
    *("load_file", "save_file", "safe_open", "fromfile", "tofile", "savez", "memmap"),
    *("torch.load", "torch.save", "np.load", "np.save", "numpy.load", "numpy.save"),
}
"""Calls that open files, by the last part of their name, or by two where the last may mean something else."""
NO_WORK = {"property", "cached_property", "classmethod", "staticmethod"}
DATA = {"BaseModel", "Enum", "IntEnum", "StrEnum", "NamedTuple", "TypedDict", "Protocol"}


def python_files(*places):
    """Those that people write."""
    found = (path for place in places for path in (ROOT / place).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name)


def classes_of(source):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]


def name_of(expression):
    """The last part of a dotted name; of ``Generic[T]`` and ``dataclass(...)``, what stands before."""
    if isinstance(expression, ast.Subscript):
        return name_of(expression.value)
    if isinstance(expression, ast.Call):
        return name_of(expression.func)
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


def dataclass_decorator(node):
    return next((each for each in node.decorator_list if name_of(each) == "dataclass"), None)


def is_frozen(node):
    decorator = dataclass_decorator(node)
    arguments = decorator.keywords if isinstance(decorator, ast.Call) else ()
    return any(each.arg == "frozen" and getattr(each.value, "value", False) for each in arguments)


def does_work(node):
    """Whether the class itself has a method that its users call on an instance."""
    methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(
        (not method.name.startswith("_") or method.name == "__call__")
        and not NO_WORK & set(map(name_of, method.decorator_list))
        for method in methods
    )


def lineage(node, known):
    """The class and its base classes, as far as they are the product's; and the names of all bases."""
    nodes, names, waiting = [], set(), [node]
    while waiting:
        current = waiting.pop()
        nodes.append(current)
        for name in map(name_of, current.bases):
            if name not in names:
                names.add(name)
                waiting += known.get(name, [])[:1]
    return nodes, names


def own_attributes(node):
    assigned = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }
    if dataclass_decorator(node) is None:
        return assigned
    fields = (
        each for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    )
    return assigned | {each.target.id for each in fields if "ClassVar" not in ast.unparse(each.annotation)}


def attributes_of(node, known):
    """The attributes that count; none if the class is plain data."""
    nodes, names = lineage(node, known)
    frozen = any(map(is_frozen, nodes)) and not any(map(does_work, nodes))
    if names & DATA or frozen:
        return set()
    return set().union(*map(own_attributes, nodes))


def opened_in(source):
    """The lines in which a file is opened, with what opens it."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        (call.lineno, ast.unparse(call.func))
        for call in calls
        if name_of(call.func) in OPENS or ast.unparse(call.func) in OPENS
    ]


def by_name(classes):
    known = {}
    for node in classes:
        known.setdefault(node.name, []).append(node)
    return known


def counted(source):
    classes = classes_of(source)
    return {node.name: len(attributes_of(node, by_name(classes))) for node in classes}


def test_no_file_is_too_long_to_read():
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in python_files(*PACKAGES, "tests")}
    too_long = {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MOST_LINES}
    assert too_long == {}


def test_no_class_that_does_work_has_too_many_attributes():
    classes = {path: classes_of(path.read_text("utf-8")) for path in python_files(*PACKAGES)}
    known = by_name([node for of_file in classes.values() for node in of_file])
    too_many = {}
    for path, of_file in classes.items():
        for node in of_file:
            attributes = attributes_of(node, {**known, **by_name(of_file)})
            if len(attributes) > MOST_ATTRIBUTES:
                too_many[f"{path.relative_to(ROOT)}: {node.name}"] = sorted(attributes)
    assert too_many == {}


def test_methods_networks_and_the_mathematics_open_no_files():
    """They are given tensors and settings; who reads and writes them stands above, or in ``conf_files``."""
    opened = {}
    for path in python_files(*PACKAGES):
        package, *place = path.relative_to(ROOT).parts
        if package == "huscf_flwr" and place[0] in WITHOUT_FILES:
            opened |= {f"{path}:{line}": call for line, call in opened_in(path.read_text("utf-8"))}
    assert opened == {}


def test_what_is_shown_goes_through_one_terminal():
    """``huscf_flwr.run.terminal`` forgives a reader who has left, as ``| head -1`` does; others raise."""
    bare = {}
    for path in python_files("huscf_flwr/commands"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            is_echo = name_of(node) in ("echo", "secho") and not any(
                each.arg == "err" for each in node.keywords
            )
            if (name_of(node) in ("Console", "print") and isinstance(node.func, ast.Name)) or is_echo:
                bare[f"{path}:{node.lineno}"] = name_of(node)
    assert bare == {}


@pytest.mark.parametrize(
    ("source", "opens"),
    [
        ("with open('f') as file: pass", True),
        ("Path('f').read_text()", True),
        ("(folder / 'f').write_bytes(content)", True),
        ("folder.joinpath('f').open()", True),
        ("torch.save(state, 'f')", True),
        ("safetensors.torch.load_file('f')", True),
        ("method.load(state); network.load_state_dict(state)", False),
        ("self.opened(number)", False),
    ],
)
def test_a_file_that_is_opened_is_seen(source, opens):
    assert bool(opened_in(source)) == opens


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("class A:\n def __init__(self):\n  self.x, self.y = 1, 2\n def more(self):\n  self.x += 1", 2),
        ("class A:\n def go(self):\n  with open('f') as self.f: pass\n  for self.i in (1,): pass", 2),
        ("class A:\n def go(self, other):\n  other.x = 1\n  return self.y", 0),
        ("@dataclass\nclass A:\n x: int\n y: int = 2\n z: ClassVar[int] = 3", 2),
        ("@dataclasses.dataclass(kw_only=True)\nclass A:\n x: int\n def go(self):\n  self.y = 1", 2),
        ("@dataclass(frozen=True)\nclass A:\n x: int", 0),
        ("@dataclass(frozen=True)\nclass A:\n x: int\n @property\n def y(self): return self.x", 0),
        ("@dataclass(frozen=True)\nclass A:\n x: int\n @classmethod\n def of(cls, x): return cls(x)", 0),
        ("@dataclass(frozen=True)\nclass A:\n x: int\n def _own(self): return self.x", 0),
        ("@dataclass(frozen=True)\nclass A:\n x: int\n def go(self): return self.x", 1),
        ("@dataclass(frozen=True)\nclass A:\n x: int\n def __call__(self): return self.x", 1),
        ("@dataclass(frozen=True)\nclass B:\n x: int\n def go(self): pass\nclass A(B): pass", 1),
        ("class S(BaseModel): pass\nclass A(S):\n x: int\n def go(self):\n  self.y = 1", 0),
        ("class A(Protocol[T]):\n def go(self):\n  self.y = 1", 0),
        ("class B:\n def go(self):\n  self.x = 1\nclass A(B):\n def stop(self):\n  self.y = 1", 2),
    ],
)
def test_attributes_are_counted_as_the_rule_says(source, count):
    assert counted(source)["A"] == count
