"""Takes the part of GitHub's OpenAPI description that tidegate speaks, with everything it refers to: the whole
has 13 MB, and every test reads it. Usage: openapi.py WHOLE PART"""

import json
import re
import sys

PATHS = re.compile(
    r"/repos/\{owner\}/\{repo\}($|/(git|commits|compare|deployments|environments|issues|actions/runs)(/|$))"
)
whole = json.load(open(sys.argv[1], encoding="utf-8"))


def found(reference):
    here = whole
    for part in reference.removeprefix("#/").split("/"):
        here = here[part.replace("~1", "/").replace("~0", "~")]
    return here


def gather(node, seen):
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            seen.add(reference)
            gather(found(reference), seen)
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            gather(item, seen)


paths = {path: item for path, item in whole["paths"].items() if PATHS.match(path)}
references = set()
gather(paths, references)
components = {}
for reference in sorted(references):
    _, _, kind, name = reference.split("/")
    components.setdefault(kind, {})[name] = found(reference)
part = {"openapi": whole["openapi"], "info": whole["info"], "paths": paths, "components": components}
json.dump(part, open(sys.argv[2], "w", encoding="utf-8"))
