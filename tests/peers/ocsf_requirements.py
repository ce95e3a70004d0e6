"""Derives tests/it/ocsf-1.8.0.json from a checkout of the OCSF schema, github.com/ocsf/ocsf-schema, at tag v1.8.0:

    python tests/peers/ocsf_requirements.py CHECKOUT > tests/it/ocsf-1.8.0.json

Kept is only what a validator needs: names, types, requirements, enum values and constraints of the classes and objects that
`audit export --format ocsf` writes. Left out are attributes that only a profile brings in, since no profile is declared, and
those that hold an object of another kind.
"""

import json
import sys
from pathlib import Path

CLASSES = ["application/api_activity", "findings/compliance_finding", "findings/incident_finding", "remediation/remediation_activity"]
OBJECTS = [
    "actor", "api", "check", "compliance", "finding_info", "metadata", "network_endpoint", "product", "remediation",
    "resource_details", "service", "user",
]  # fmt: skip

root = Path(sys.argv[1])
dictionary = json.loads((root / "dictionary.json").read_text())
version = json.loads((root / "version.json").read_text())["version"]


def parents():
    for folder in ("events", "objects"):
        for path in (root / folder).rglob("*.json"):
            yield (folder, json.loads(path.read_text()).get("name", path.stem)), path


paths = dict(parents())


def includes(attributes):
    """The attributes of included files; those of a profile say so."""
    included = {}
    names = attributes.get("$include", [])
    for name in [names] if isinstance(names, str) else names:
        part = json.loads((root / name).read_text())
        profile = part["name"] if name.startswith("profiles/") else None
        for attribute, told in part["attributes"].items():
            if attribute != "$include":
                included[attribute] = {"profile": profile, **told} if profile else told
    return included


def merge(into, attributes):
    for name, told in attributes.items():
        if name == "$include":
            continue
        known = into.setdefault(name, {})
        enum = {**known.get("enum", {}), **told.get("enum", {})}
        known.update(told)
        if enum:
            known["enum"] = enum


def whole(folder, path):
    """A class or object with everything it inherits."""
    told = json.loads(path.read_text())
    attributes, constraints, category, uid = {}, {}, None, None
    if "extends" in told and told["extends"] != told.get("name"):
        attributes, constraints, category, _ = whole(folder, paths[folder, told["extends"]])
    merge(attributes, includes(told.get("attributes", {})))
    merge(attributes, told.get("attributes", {}))
    constraints = told.get("constraints", constraints)
    return attributes, constraints, told.get("category", category), told.get("uid")


def described(folder, path):
    attributes, constraints, category, uid = whole(folder, path)
    fields = {}
    for name, told in sorted(attributes.items()):
        if told.get("profile"):
            continue
        known = dictionary["attributes"].get(name, {})
        enum = {**known.get("enum", {}), **told.get("enum", {})}
        field = {"type": told.get("type", known.get("type")), "requirement": told.get("requirement", "optional")}
        if not field["type"].endswith("_t") and field["type"] not in [*OBJECTS, "object"]:
            continue
        if told.get("is_array", known.get("is_array")):
            field["array"] = True
        if enum:
            field["enum"] = sorted(enum, key=lambda value: (len(value), value))
        fields[name] = field
    return {"fields": fields, **({"constraints": constraints} if constraints else {})}, category, uid


def plain_types():
    for name, told in dictionary["types"]["attributes"].items():
        kept = {key: told[key] for key in ("type", "max_len", "range") if key in told}
        yield name, kept


categories = {name: told["uid"] for name, told in json.loads((root / "categories.json").read_text())["attributes"].items()}
classes = {}
for name in CLASSES:
    told, category, uid = described("events", root / f"events/{name}.json")
    # The schema's server fills these in.
    category_uid, class_uid = categories[category], categories[category] * 1000 + uid
    told["fields"]["category_uid"]["enum"] = [str(category_uid)]
    told["fields"]["class_uid"]["enum"] = [str(class_uid)]
    classes[str(class_uid)] = told
objects = {name: described("objects", paths["objects", name])[0] for name in OBJECTS}
used = {field["type"] for told in [*classes.values(), *objects.values()] for field in told["fields"].values()}
types = {name: kept for name, kept in plain_types()}
needed = used | {kept["type"] for name, kept in types.items() if name in used and "type" in kept}
print(
    json.dumps(
        {
            "note": f"Derived from the OCSF schema {version} by tests/peers/ocsf_requirements.py; do not edit.",
            "version": version,
            "types": {name: kept for name, kept in sorted(types.items()) if name in needed},
            "classes": classes,
            "objects": objects,
        },
        separators=(",", ":"),
    ).replace('"classes":', '\n"classes":').replace('},"', '},\n"')
)
