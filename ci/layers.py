"""Checks the direction of imports, and prints every import that breaks a rule. `ci/layers.sh` runs it.

1. Crates: a crate depends only on the crates that `CRATES` allows, both in Cargo.toml's [dependencies] and in the source.
2. Modules: a module imports only modules that `lib.rs` lists before it. `lib.rs` lists the lowest module first.
3. Confined names: only certain folders may use a name in `CONFINED`.
4. Other runtimes: a published crate depends on tokio only optionally, and without any of its features.

Comments, strings and test code are ignored. A path with `$crate` in a macro is also ignored, because it is an import of the
macro's caller.
"""

import os
import pathlib
import re
import sys
import tomllib

# The folder of each crate, and the crates of this workspace that it may use.
CRATES = {
    "macros": set(),
    "io": {"kahn-core", "kahn-channels"},
    "core": set(),
    "channels": {"kahn-core"},
    "actors": {"kahn-core", "kahn-channels"},
    ".": {"kahn-core", "kahn-channels", "kahn-actors", "kahn-io", "kahn-macros"},
}
# A pattern for a crate or cfg, and the folders that may name it.
CONFINED = {
    # The primitives wrap the type that switches stacks. fiber/ uses the rest of the crate.
    r"\bcorosensei\b": ["core/src/primitives/", "core/src/fiber/"],
    r"\bloom::": ["core/src/primitives/"],
    r"\bpolling::": ["core/src/reactor/"],
    # The traits of other libraries.
    r"\b(?:futures_io|hyper|tokio)::": ["io/src/interop/"],
    # The crate `kahn` has no build script, and leaves out `kahn-io`.
    r"\b(?:kahn_loom|kahn_threads|miri)\b": ["core/src/primitives/", "src/lib.rs"],
}

TOKEN = re.compile(
    r"""//[^\n]*|(?P<block>/\*)|b?r(?P<hashes>\#*)"|b?c?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n]+?|[^\\'\n])'""",
    re.DOTALL,
)


def without_comments_and_strings(text):
    """Removes comments and strings, and keeps the line breaks."""
    out, at = [], 0
    while match := TOKEN.search(text, at):
        out.append(text[at : match.start()])
        end = match.end()
        if match["block"]:
            depth = 1
            for edge in re.compile(r"/\*|\*/").finditer(text, end):
                depth += 1 if edge[0] == "/*" else -1
                if depth == 0:
                    end = edge.end()
                    break
        elif match["hashes"] is not None:
            end = text.index('"' + match["hashes"], end) + 1 + len(match["hashes"])
        out.append("\n" * text.count("\n", match.start(), end))
        at = end
    return "".join(out) + text[at:]


def read(path):
    """Returns a file without comments and strings. Keeps the file names of `#[path]` attributes."""
    text = re.sub(r'#\[path = "(\w+)\.rs"\]', r"#[path = \1]", path.read_text())
    return without_comments_and_strings(text)


def end_of_item(text, start):
    """Returns the end of the item that starts at `start`: behind its `;` or its closing brace."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] in "{([":
            depth += 1
        elif text[i] in "})]":
            depth -= 1
            if depth == 0 and text[i] == "}":
                return i + 1
        elif text[i] == ";" and depth == 0:
            return i + 1
    return len(text)


def without_tests(text):
    """Removes the items under `#[cfg(test)]`. Returns the text and the modules that such items declare."""
    test_modules = set()
    while match := re.search(r"#\[cfg\((?:all\()?test\b[^\]]*\]", text):
        end = end_of_item(text, match.end())
        item = text[match.start() : end]
        if declared := re.search(r"(?:#\[path = (\w+)\]\s*)?\bmod\s+(\w+)\s*;", item):
            # A `#[path]` is relative to the folder of the file. Other modules are in the folder of the file's module.
            test_modules.add(("../" + declared[1]) if declared[1] else declared[2])
        text = text[: match.start()] + "\n" * item.count("\n") + text[end:]
    return text, test_modules


def names_in(tree):
    """Returns the first names in a use tree: a and c for `{a::b, c::{d, e}}`."""
    tree = tree.strip()
    if not tree.startswith("{"):
        return [re.match(r"[\w*]*", tree)[0]]
    names, depth, part = [], 0, ""
    for char in tree[1:]:
        if char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                break
            depth -= 1
        if char == "," and depth == 0:
            names += names_in(part) if part.strip() else []
            part = ""
        else:
            part += char
    return names + (names_in(part) if part.strip() else [])


def root_names(text, module):
    """Yields the line and the name of every path from the crate's root: `crate::X`, or `super::…::X` with enough `super`."""
    paths = [r"(?<![\w$])crate\s*::\s*"]
    if module:
        paths.append(r"(?<![\w:])(?:super\s*::\s*){%d}(?!super\b)" % len(module))
    for path in paths:
        for match in re.finditer(path, text):
            line = text.count("\n", 0, match.start()) + 1
            rest = text[match.end() :]
            tree = rest[: end_of_item(rest, 0)] if rest.startswith("{") else rest[:200]
            if re.match(r"\w+\s*!", tree):
                continue
            for name in names_in(tree):
                yield line, name


def module_of(path, source):
    parts = list(path.relative_to(source).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "mod" else parts


def check_tokio(folder, tables, offences):
    """Checks that no dependency on tokio turns on a feature. Its runtime is a feature."""
    shared = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["workspace"]["dependencies"]
    for table in tables:
        if "tokio" not in table.get("dependencies", {}):
            continue
        spec = table["dependencies"]["tokio"]
        spec = spec if isinstance(spec, dict) else {}
        if spec.get("workspace"):
            spec = {**shared["tokio"], **spec}
        if spec.get("default-features", True) or spec.get("features") or not spec.get("optional"):
            offences.append(f"{folder}/Cargo.toml: tokio must be optional, and have no features")


def check_crate(folder, allowed, offences):
    source = folder / "src"
    lib = source / "lib.rs"
    manifest = tomllib.loads((folder / "Cargo.toml").read_text())
    tables = [manifest, *manifest.get("target", {}).values()]
    used = {name for table in tables for name in table.get("dependencies", {}) if name.startswith("kahn")}
    for name in sorted(used - allowed):
        offences.append(f"{folder}/Cargo.toml: depends on {name}")
    check_tokio(folder, tables, offences)

    root, test_modules = without_tests(read(lib))
    order = re.findall(r"\bmod\s+(\w+)\s*[;{]", root)
    # A module that is declared twice exists once in each kind of build. Its first place counts.
    rank = {name: i for i, name in reversed(list(enumerate(order)))}
    # A name that lib.rs re-exports belongs to the module that it comes from.
    home = {}
    for use in re.finditer(r"\bpub(?:\([^)]*\))?\s+use\s+(?:self::)?(\w+)::([^;]+);", root):
        for name in re.findall(r"\w+", use[2]):
            home.setdefault(name, use[1])

    files = {}
    for path in sorted(source.rglob("*.rs")):
        if path != lib:
            text, tests = without_tests(read(path))
            files[path] = text
            folder_of_tests = source / "/".join(module_of(path, source))
            for name in tests:
                place = pathlib.Path(os.path.normpath(folder_of_tests / name))
                test_modules.add("/".join(place.relative_to(source).parts))

    for path, text in [(lib, root), *files.items()]:
        module = [] if path == lib else module_of(path, source)
        if any("/".join(module[: i + 1]) in test_modules for i in range(len(module))):
            continue
        for crate in sorted(set(re.findall(r"\bkahn_\w+(?=\s*::)", text))):
            if crate.replace("_", "-") not in allowed:
                offences.append(f"{path}: uses {crate}")
        for pattern, folders in CONFINED.items():
            if not any(str(path).startswith(place) for place in folders):
                for match in re.finditer(pattern, text):
                    line = text.count("\n", 0, match.start()) + 1
                    offences.append(f"{path}:{line}: {match[0]} belongs in {' '.join(folders)}")
        if not module:
            continue
        mine = module[0]
        if mine not in rank:
            offences.append(f"{path}: {mine} is not in {lib}")
            continue
        for line, name in root_names(text, module):
            target = name if name in rank else home.get(name)
            if target is None:
                offences.append(f"{path}:{line}: crate::{name} belongs to no module")
            elif target != mine and rank[target] > rank[mine]:
                offences.append(f"{path}:{line}: {mine} uses {target}, which {lib} lists after it")


def main():
    offences = []
    checked = 0
    for folder, allowed in CRATES.items():
        folder = pathlib.Path(folder)
        if (folder / "src/lib.rs").exists():
            check_crate(folder, allowed, offences)
            checked += 1
    print("\n".join(offences) or f"layers: {checked} crates, every import goes one way")
    sys.exit(1 if offences else 0)


main()
