"""Checks the module tables of ARCHITECTURE.md against the crates. `ci/layers.sh` runs it.

The section of a crate, whose heading names the crate, has a table with the modules in its first column. It must name every
module that the crate's lib.rs declares, and no other. Modules of test and model builds, and modules whose name begins with
an underscore, are left out.
"""

import pathlib
import re
import sys

# The folder of each crate, and its name in the headings.
CRATES = {
    ".": "kahn",
    "actors": "kahn-actors",
    "channels": "kahn-channels",
    "core": "kahn-core",
    "io": "kahn-io",
    "macros": "kahn-macros",
}

# A module at the top level of a file, with the attributes and doc comments before it.
MODULE = re.compile(r"^((?:(?:#\[[^\n]*|///[^\n]*)\n)*)(?:pub(?:\([^)]*\))? )?mod (\w+)\s*[;{]", re.MULTILINE)
# The builds whose modules are left out.
OTHER_BUILDS = re.compile(r"#\[cfg\((?:test|doctest|models|not\(fibers\))")


def declared(lib):
    """Returns the modules that a lib.rs declares."""
    modules = MODULE.findall(lib.read_text())
    return {name for before, name in modules if not OTHER_BUILDS.search(before) and not name.startswith("_")}


def documented(text, crate):
    """Returns the modules in the table of a crate's section, or None if there is no such section."""
    section = re.search(rf"^### `{crate}`[^\n]*\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    if not section:
        return None
    cells = re.findall(r"^\|([^|]*)\|", section[1], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def main():
    text = pathlib.Path("ARCHITECTURE.md").read_text()
    wrong, count = [], 0
    for folder, crate in CRATES.items():
        lib = pathlib.Path(folder) / "src/lib.rs"
        modules, table = declared(lib), documented(text, crate)
        if table is None:
            wrong.append(f"ARCHITECTURE.md has no section ### `{crate}`")
            continue
        wrong += [f"ARCHITECTURE.md does not list {name}, which {lib} declares" for name in sorted(modules - table)]
        wrong += [f"ARCHITECTURE.md lists {name}, which {lib} does not declare" for name in sorted(table - modules)]
        count += len(modules)
    print("\n".join(wrong) or f"modules: ARCHITECTURE.md lists all {count} modules")
    sys.exit(bool(wrong))


main()
