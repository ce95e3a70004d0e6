"""Derives tests/it/ocsf-1.8.0.json from a checkout of the OCSF schema, github.com/ocsf/ocsf-schema, at tag v1.8.0:

    python tests/peers/ocsf_requirements.py CHECKOUT > tests/it/ocsf-1.8.0.json

The output has only the parts that a validator needs: names, types, requirements, enum values and constraints of the classes and
objects that `audit export --format ocsf` writes. Attributes of profiles are left out, because no profile is declared. So are
attributes that contain an object of another kind.
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
    """Returns the attributes of included files. Attributes of a profile are marked with its name."""
    included = {}
    names = attributes.get("$include", [])
    for name in [names] if isinstance(names, str) else names:
        part = json.loads((root / name).read_text())
        profile = part["name"] if name.startswith("profiles/") else None
        for attribute, definition in part["attributes"].items():
            if attribute != "$include":
                included[attribute] = {"profile": profile, **definition} if profile else definition
    return included


def merge(into, attributes):
    for name, definition in attributes.items():
        if name == "$include":
            continue
        known = into.setdefault(name, {})
        enum = {**known.get("enum", {}), **definition.get("enum", {})}
        known.update(definition)
        if enum:
            known["enum"] = enum


def whole(folder, path):
    """Returns the parts of a class or object, including inherited ones."""
    definition = json.loads(path.read_text())
    attributes, constraints, category, uid = {}, {}, None, None
    if "extends" in definition and definition["extends"] != definition.get("name"):
        attributes, constraints, category, _ = whole(folder, paths[folder, definition["extends"]])
    merge(attributes, includes(definition.get("attributes", {})))
    merge(attributes, definition.get("attributes", {}))
    constraints = definition.get("constraints", constraints)
    return attributes, constraints, definition.get("category", category), definition.get("uid")


def described(folder, path):
    attributes, constraints, category, uid = whole(folder, path)
    fields = {}
    for name, definition in sorted(attributes.items()):
        if definition.get("profile"):
            continue
        known = dictionary["attributes"].get(name, {})
        enum = {**known.get("enum", {}), **definition.get("enum", {})}
        field = {"type": definition.get("type", known.get("type")), "requirement": definition.get("requirement", "optional")}
        if not field["type"].endswith("_t") and field["type"] not in [*OBJECTS, "object"]:
            continue
        if definition.get("is_array", known.get("is_array")):
            field["array"] = True
        if enum:
            field["enum"] = sorted(enum, key=lambda value: (len(value), value))
        fields[name] = field
    return {"fields": fields, **({"constraints": constraints} if constraints else {})}, category, uid


def plain_types():
    for name, definition in dictionary["types"]["attributes"].items():
        kept = {key: definition[key] for key in ("type", "max_len", "range") if key in definition}
        yield name, kept


categories = {name: definition["uid"] for name, definition in json.loads((root / "categories.json").read_text())["attributes"].items()}
classes = {}
for name in CLASSES:
    definition, category, uid = described("events", root / f"events/{name}.json")
    # The OCSF schema server adds these values.
    category_uid, class_uid = categories[category], categories[category] * 1000 + uid
    definition["fields"]["category_uid"]["enum"] = [str(category_uid)]
    definition["fields"]["class_uid"]["enum"] = [str(class_uid)]
    classes[str(class_uid)] = definition
objects = {name: described("objects", paths["objects", name])[0] for name in OBJECTS}
used = {field["type"] for definition in [*classes.values(), *objects.values()] for field in definition["fields"].values()}
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
