"""The mutants: every place of a kernel where one thing can be changed."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FAMILIES = ("sketching", "sampling", "regression", "spectral", "transport", "smoothing")


class Mutator(ast.NodeTransformer):
    """Counts the places where something can be changed, or changes the one with a number."""

    def __init__(self, target=None):
        self.target = target
        self.sites = []
        self.functions = []

    def _site(self, node, name, make):
        """Register a site; return the changed node if it is the one that is wanted."""
        number = len(self.sites)
        function = ".".join(self.functions)
        self.sites.append((getattr(node, "lineno", 0), name, function, ast.unparse(node)))
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
        self.functions.append(node.name)
        documented = ast.get_docstring(node) is not None
        node.body = node.body[:documented] + [self.visit(s) for s in node.body[documented:]]
        self.functions.pop()
        return node


def visit_functions(path, mutator):
    """Let a mutator visit the functions of a file; its syntax tree."""
    tree = ast.parse(path.read_text())
    tree.body = [
        mutator.visit(node) if isinstance(node, ast.FunctionDef) else node for node in tree.body
    ]
    return tree


def mutate(path, site):
    """The source of a file with the change of a number made."""
    return ast.unparse(ast.fix_missing_locations(visit_functions(path, Mutator(site))))


def kernel_files(tree):
    """The files of kernels of a copy of the package: folders of them, and the ground floor."""
    ground = [p for p in (tree / "randla").glob("_*.py") if "randla._jit import" in p.read_text()]
    return sorted((tree / "randla").glob("**/_kernels/**/*.py")) + sorted(ground)


def all_mutants():
    """Every change of every kernel file, in a fixed order."""
    for path in kernel_files(ROOT):
        mutator = Mutator()
        visit_functions(path, mutator)
        for site, (line, change, function, code) in enumerate(mutator.sites):
            yield {
                "file": path.relative_to(ROOT).as_posix(),
                "site": site,
                "line": line,
                "function": function,
                "code": code,
                "change": change,
            }
