"""Mutation testing of the kernels: break one thing at a time, and see whether a test goes red.

    python -m tests.mutation --sample 300 --results mutants.jsonl     # run, or go on
    python -m tests.mutation --results mutants.jsonl --report         # only the table

A mutant is one kernel file with one change: a sign flipped, a factor dropped, an index or a
constant shifted, a comparison turned, a branch negated. It meets the tests that use the changed
function, those first that have caught mutants of the same file, and is caught if a test fails,
crashes or hangs. Survivors meet the other tests of the family and the conformance suite as well;
those that nothing can or need catch are explained in `explained.py`. Results are appended line by
line, so that a long run can be stopped and taken up again; the sample is a function of ``--seed``.
The copy in the work folder is made once: delete the folder after changes of the package.
"""

import argparse
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import FAMILIES, ROOT, all_mutants, kernel_files

WORK = Path(tempfile.gettempdir()) / "randla-mutation"


def order_of_tests(bench, mutant, results):
    """Lists of tests: what caught mutants of the same file, its topic, other users, the rest."""
    from tests.mutation.workbench import LAST_FILES

    same = [r for r in results if r["file"] == mutant["file"] and "::" in r["by"]]
    same.sort(key=lambda r: r["function"] == mutant["function"])
    killers = Counter(r["by"].partition("[")[0] for r in reversed(same))
    files = bench.files_that_use(mutant)
    words = words_of(mutant["file"])
    files.sort(key=lambda file: (-len(words & words_of(file)), bench.seconds(file)))
    usable = [test for test, _ in killers.most_common(6) if test.partition("::")[0] in files]
    # A kernel that a test compiles for itself is not in the record of what it used.
    others = [file for file in bench.files_of_family(mutant["file"]) if file not in files]
    return [usable, files, [*others, *LAST_FILES]]


def words_of(file):
    """Words of the folders and the name of a file: family, wing and topic."""
    parts = Path(file).with_suffix("").parts[1:]
    return {word for part in parts for word in part.split("_")} - {"", "kernels", "test", "claims"}


def test_files():
    paths = [p for family in FAMILIES for p in sorted((ROOT / "tests" / family).rglob("test_*.py"))]
    ground = {p.stem.strip("_") for p in kernel_files(ROOT) if not set(FAMILIES) & set(p.parts)}
    paths += [p for p in sorted(ROOT.glob("tests/test_*.py")) if p.stem[5:] in ground]
    return [p.relative_to(ROOT).as_posix() for p in paths]


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
        why = EXPLAINED.get((r["file"], r["function"], r["code"], r["change"]), "NOT EXPLAINED")
        print(f"survived: {r['file']}:{r['line']} {r['change']}: {r['code']} ({why})")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--only", default="", help="part of the file names")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the copy and its cache")
    parser.add_argument("--again", action="store_true", help="let survivors meet the tests anew")
    parser.add_argument("--report", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    results = [json.loads(line) for line in lines]
    if not arguments.report:
        from tests.mutation.workbench import Workbench

        bench = Workbench(arguments.work)
        bench.measure_baseline(test_files())
        mutants = [m for m in all_mutants() if arguments.only in m["file"]]
        random.Random(arguments.seed).shuffle(mutants)
        if arguments.again:
            results = [r for r in results if r["outcome"] != "survived"]
            arguments.results.write_text("".join(json.dumps(r) + "\n" for r in results))
        done = {(r["file"], r["site"]) for r in results}
        todo = [m for m in mutants[: arguments.sample] if (m["file"], m["site"]) not in done]
        with arguments.results.open("a") as out:
            for mutant in todo:
                outcome, by = bench.test(mutant, order_of_tests(bench, mutant, results))
                results.append({**mutant, "outcome": outcome, "by": by})
                print(f"{outcome:9s} {mutant['file']}:{mutant['line']} {mutant['change']}")
                out.write(json.dumps(results[-1]) + "\n")
                out.flush()
    report(results)


if __name__ == "__main__":
    main()
