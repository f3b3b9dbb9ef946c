"""Mutation testing of the kernels: break one thing at a time, and see whether a test goes red.

    python -m tests.mutation --sample 300 --results mutants.jsonl     # run, or go on
    python -m tests.mutation --results mutants.jsonl --report         # only the table

A mutant is one kernel file with one change: a sign flipped, a factor dropped, an index or a
constant shifted, a comparison turned or made strict, a branch negated. It is laid in a copy of the
package and meets the tests of its own family (those that are named after its topic first). A
mutant is caught if a test fails, crashes or hangs. Results are appended line by line, so that a
long run can be stopped and taken up again; the sample is a function of ``--seed``.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 600  # seconds; a healthy run of a family takes a fraction


class Mutator(ast.NodeTransformer):
    """Counts the places where something can be changed, or changes the one with a number."""

    def __init__(self, target=None):
        self.target = target
        self.sites = []

    def _site(self, node, name, make):
        """Register a site; return the changed node if it is the one that is wanted."""
        number = len(self.sites)
        self.sites.append((getattr(node, "lineno", 0), name))
        return make() if number == self.target else None

    def visit_BinOp(self, node):
        self.generic_visit(node)
        swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitXor: ast.BitOr, ast.BitAnd: ast.BitOr}
        swaps |= {ast.FloorDiv: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift}
        kind = type(node.op)
        changed = None
        if kind in swaps:
            changed = self._site(
                node,
                f"{kind.__name__} to {swaps[kind].__name__}",
                lambda: ast.BinOp(node.left, swaps[kind](), node.right),
            )
        elif kind in (ast.Mult, ast.Div):
            changed = self._site(node, f"drop the right of {kind.__name__}", lambda: node.left)
        return changed or node

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitXor: ast.BitOr}
        kind = type(node.op)
        changed = None
        if kind in swaps:
            changed = self._site(
                node,
                f"{kind.__name__}= to {swaps[kind].__name__}=",
                lambda: ast.AugAssign(node.target, swaps[kind](), node.value),
            )
        elif kind in (ast.Mult, ast.Div):
            changed = self._site(node, f"drop {kind.__name__}=", ast.Pass)
        return changed or node

    def visit_Compare(self, node):
        self.generic_visit(node)
        turns = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
        turns |= {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
        kind = type(node.ops[0])
        changed = None
        if kind in turns and len(node.ops) == 1:
            changed = self._site(
                node,
                f"{kind.__name__} to {turns[kind].__name__}",
                lambda: ast.Compare(node.left, [turns[kind]()], node.comparators),
            )
        return changed or node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            return self._site(node, "drop a minus", lambda: node.operand) or node
        return node

    def visit_Subscript(self, node):
        self.generic_visit(node)
        index = node.slice
        if isinstance(node.ctx, ast.Load) and isinstance(index, (ast.Name, ast.BinOp)):
            changed = self._site(
                node,
                "shift an index down",
                lambda: ast.Subscript(
                    node.value, ast.BinOp(index, ast.Sub(), ast.Constant(1)), node.ctx
                ),
            )
            return changed or node
        return node

    def visit_Constant(self, node):
        if isinstance(node.value, float) and node.value not in (0.0, 1.0):
            return (
                self._site(node, "double a constant", lambda: ast.Constant(2 * node.value)) or node
            )
        if isinstance(node.value, float):
            return (
                self._site(node, "0.0 to 1.0 or back", lambda: ast.Constant(1.0 - node.value))
                or node
            )
        return node

    def visit_FunctionDef(self, node):
        body = node.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            docstring, node.body = body[:1], body[1:]
            node.body = docstring + [self.visit(statement) for statement in node.body]
            return node
        node.body = [self.visit(statement) for statement in body]
        return node


def count_sites(path):
    tree = ast.parse(path.read_text())
    mutator = Mutator()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            mutator.visit(node)
    return mutator.sites


def mutate(path, target):
    tree = ast.parse(path.read_text())
    mutator = Mutator(target)
    tree.body = [
        mutator.visit(copy.deepcopy(node)) if isinstance(node, ast.FunctionDef) else node
        for node in tree.body
    ]
    return ast.unparse(ast.fix_missing_locations(tree))


def all_mutants():
    """Every (file, site) of every kernel file, in a fixed order."""
    files = sorted((ROOT / "randla").glob("*/_kernels/*.py")) + [ROOT / "randla" / "_random.py"]
    for path in files:
        for number, (line, change) in enumerate(count_sites(path)):
            yield {
                "file": path.relative_to(ROOT).as_posix(),
                "site": number,
                "line": line,
                "change": change,
            }


def tests_for(file):
    """Tests that a mutant meets: those of its topic first, then the rest of its family."""
    parts = Path(file).parts
    if parts[1] == "_random.py":
        return ["tests/test_random.py"]
    family, topic = parts[1], Path(file).stem
    folder = ROOT / "tests" / family
    tests = sorted(p.relative_to(ROOT).as_posix() for p in folder.glob("test_*.py"))
    return sorted(tests, key=lambda t: topic.split("_")[0] not in t)


def run_mutant(mutant):
    """Outcome of the tests on one mutant: caught, survived, or timeout (which counts as caught)."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        work = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "*.nb[ci]")
        for name in ("randla", "tests"):
            shutil.copytree(ROOT / name, work / name, ignore=ignore)
        shutil.copy(ROOT / "setup.cfg", work)
        (work / mutant["file"]).write_text(mutate(ROOT / mutant["file"], mutant["site"]))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += tests_for(mutant["file"])
        environment = dict(os.environ, NUMBA_CACHE_DIR=str(work / "cache"), PYTHONPATH=folder)
        try:
            done = subprocess.run(
                command, cwd=work, env=environment, timeout=TIMEOUT, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired:
            return {**mutant, "outcome": "timeout", "by": ""}
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        outcome = "survived" if done.returncode == 0 else "caught"
        return {**mutant, "outcome": outcome, "by": failed[0][:200] if failed else ""}


def report(results):
    by_file = {}
    for result in results:
        by_file.setdefault(result["file"], Counter())[result["outcome"]] += 1
    for file, counts in sorted(by_file.items()):
        caught = counts.total() - counts["survived"]
        print(f"{file:60s} {caught:4d} of {counts.total():4d} caught")
    survived = [r for r in results if r["outcome"] == "survived"]
    caught = len(results) - len(survived)
    print(f"all: {caught} of {len(results)} caught ({caught / max(len(results), 1):.1%})")
    for r in survived:
        print(f"survived: {r['file']}:{r['line']} {r['change']} (site {r['site']})")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--only", default="", help="part of the file names")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    results = [json.loads(line) for line in lines]
    if not arguments.report:
        mutants = [m for m in all_mutants() if arguments.only in m["file"]]
        random.Random(arguments.seed).shuffle(mutants)
        done = {(r["file"], r["site"]) for r in results}
        todo = [m for m in mutants[: arguments.sample] if (m["file"], m["site"]) not in done]
        with ThreadPoolExecutor(arguments.jobs) as pool, arguments.results.open("a") as out:
            for result in pool.map(run_mutant, todo):
                print(
                    f"{result['outcome']:9s} {result['file']}:{result['line']} {result['change']}"
                )
                out.write(json.dumps(result) + "\n")
                out.flush()
                results.append(result)
    report(results)


if __name__ == "__main__":
    main()
