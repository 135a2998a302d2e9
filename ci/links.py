"""Checks the links in the tracked Markdown files. Each link inside the repository must name a file and a heading that exist."""

import pathlib
import re
import subprocess
import sys

# [text](target), where the target is not a web address.
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


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
    files = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True).stdout.split()
    wrong, links = [], 0
    for name in files:
        path = pathlib.Path(name)
        text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
        for target, anchor in LINK.findall(text):
            links += 1
            to = path.parent / target if target else path
            if not to.exists():
                wrong.append(f"{name}: no such file: {target}")
            elif anchor and anchor not in anchors(to):
                wrong.append(f"{name}: no such heading: {target}#{anchor}")
    for line in wrong:
        print(f"links: {line}", file=sys.stderr)
    print(f"links: {links} in {len(files)} files, {len(wrong)} wrong")
    return bool(wrong)


sys.exit(main())
