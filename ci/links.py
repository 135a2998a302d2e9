"""Checks the tracked Markdown files. `ci/links.sh` runs it.

1. Each link inside the repository names a file and a heading that exist.
2. Each source file that is named in backquotes exists. Its name may begin below the root: `wait/mod.rs`. CHANGELOG.md is
   left out, because it names files of older versions.
"""

import pathlib
import re
import subprocess
import sys

# [text](target), where the target is not a web address.
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
# `core/src/lib.rs`
FILE = re.compile(r"`([\w./-]+\.(?:rs|py|sh))`")


def anchors(path):
    """Returns the anchors that GitHub gives to the headings of a file."""
    out, counts, fenced = set(), {}, False
    for line in path.read_text().splitlines():
        fenced ^= line.startswith("```")
        if fenced or not (heading := re.match(r"#+ (.*)", line)):
            continue
        text = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
        count = counts[text] = counts.get(text, -1) + 1
        out.add(f"{text}-{count}" if count else text)
    return out


def main():
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    files = [name for name in tracked if name.endswith(".md")]
    sources = "\n" + "\n".join("/" + name for name in tracked) + "\n"
    wrong, links = [], 0
    for name in files:
        path = pathlib.Path(name)
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        named = FILE.findall(text) if name != "CHANGELOG.md" else []
        links += len(named)
        wrong += [f"{name}: no such file: `{source}`" for source in named if f"/{source}\n" not in sources]
        text = re.sub(r"`[^`\n]*`", "", text)
        for target, anchor in LINK.findall(text):
            links += 1
            to = path.parent / target if target else path
            if not to.exists():
                wrong.append(f"{name}: no such file: {target}")
            elif anchor and anchor not in anchors(to):
                wrong.append(f"{name}: no such heading: {target}#{anchor}")
    for line in wrong:
        print(f"links: {line}", file=sys.stderr)
    print(f"links: {links} links and file names in {len(files)} files, {len(wrong)} wrong")
    return bool(wrong)


sys.exit(main())
