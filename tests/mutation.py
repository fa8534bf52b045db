"""Changes one thing at a time in a copy of the sources, and counts how often a fast test notices.

    python -m tests.mutation 50 digitmill/storage digitmill/records/tfrecord.py

Tries 50 changes, prints each that no test noticed, and the score; one that is noticed takes ten seconds and
more, a survivor minutes. A survivor may change nothing that anybody sees, or show code that nothing needs.
Docstrings, annotations, texts, the words of errors and the constants of modules stay as they are.
"""

import ast
import pathlib
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
COPY = ROOT / "build/mutants"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*cache", ".hypothesis")
WIDE = ("job", "reconcile", "verification", "records")  # modules whose tests are run beside a module's own
LIMIT = "10m"
PAIRS = "Lt LtE, Gt GtE, Eq NotEq, In NotIn, Is IsNot, Add Sub, Mult FloorDiv, BitOr BitAnd, And Or"
OTHER = {a: b for pair in PAIRS.split(", ") for a, b in (pair.split(), pair.split()[::-1])}
KEPT = (ast.Raise, ast.JoinedStr, ast.Assert, ast.arg, ast.Import, ast.ImportFrom)


def changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str, object]]:
    """Yield nodes, each with a field and what to put there instead."""
    for node in ast.iter_child_nodes(tree):
        constant = isinstance(tree, ast.Module) and isinstance(node, ast.Assign | ast.AnnAssign)
        if not constant and not isinstance(node, KEPT):
            yield from ((node, field, value) for field, value in change(node))
            yield from changes(node)


def change(node: ast.AST) -> Iterator[tuple[str, object]]:
    match node:
        case ast.Compare(ops=[op, *more]) if type(op).__name__ in OTHER:
            yield "ops", [getattr(ast, OTHER[type(op).__name__])(), *more]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op).__name__ in OTHER:
            yield "op", getattr(ast, OTHER[type(op).__name__])()
        case ast.Constant(value=int() as number):
            yield "value", not number if isinstance(number, bool) else number + 1
        case ast.If() | ast.While() | ast.IfExp():
            yield "test", ast.UnaryOp(ast.Not(), node.test)
        case ast.Call(keywords=[*kept, ast.keyword()]):
            yield "keywords", kept
        case ast.Return(value=ast.expr()) | ast.Expr(value=ast.Call()):
            yield "value", ast.Constant(None)


def survives(module: pathlib.Path, source: str) -> bool:
    """Whether the fast tests pass with this source in the module's place."""
    tests = dict.fromkeys(test for name in (module.stem, *WIDE) for test in COPY.rglob(f"test_{name}*.py"))
    (COPY / module).write_text(source)
    command = ["timeout", LIMIT, sys.executable, "-m", "pytest", "-xq", *map(str, tests)]
    run = subprocess.run(command, cwd=COPY, capture_output=True, check=False)
    shutil.copy(ROOT / module, COPY / module)
    return not run.returncode


if __name__ == "__main__":
    places = [ROOT / path for path in sys.argv[2:]]
    modules = sorted({file for place in places for file in (place, *place.rglob("*.py")) if file.is_file()})
    trees = {file.relative_to(ROOT): ast.parse(file.read_text()) for file in modules}
    sites = [(module, *site) for module, tree in trees.items() for site in changes(tree)]
    sample = random.Random(16).sample(sites, min(int(sys.argv[1]), len(sites)))
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(ROOT, COPY, ignore=LEFT_OUT)
    survivors = 0
    for module, node, field, value in sample:
        before, old = ast.unparse(node), getattr(node, field)
        setattr(node, field, value)
        after, source = ast.unparse(node), ast.unparse(trees[module])
        setattr(node, field, old)
        if survives(module, source):
            survivors += 1
            print(f"{module}: {' '.join(f'{before}  ->  {after}'.split())}", flush=True)
    print(f"{len(sample) - survivors} of {len(sample)} changes were noticed")
