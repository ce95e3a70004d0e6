"""Reads the bundle as the Databricks CLI does: includes, a target's overrides, variables, references.

A workspace is not asked: who deploys, and the ids that names of warehouses stand for, are made up.
"""

import re
from pathlib import Path

import yaml

DEPLOYER = {"userName": "someone@example.test", "short_name": "someone"}
REFERENCE = re.compile(r"\$\{([a-z_]+(?:\.[A-Za-z0-9_-]+)+)\}")
KEYED = {"tasks": "task_key", "environments": "environment_key", "parameters": "name"}


class Unresolved(Exception):
    """A reference that leads nowhere."""


def load(file):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def merged(under, over):
    """As the CLI merges a target into the rest: maps by key, lists one after the other, tasks and the like by their key."""
    if isinstance(under, dict) and isinstance(over, dict):
        result = dict(under)
        for key, value in over.items():
            result[key] = merged_list(key, result[key], value) if key in result else value
        return result
    return over


def merged_list(key, under, over):
    if not (isinstance(under, list) and isinstance(over, list)):
        return merged(under, over)
    name = KEYED.get(key)
    if name is None or not all(isinstance(item, dict) for item in [*under, *over]):
        return [*under, *over]
    items = {item[name]: item for item in under}
    for item in over:
        items[item[name]] = merged(items.get(item[name], {}), item)
    return list(items.values())


class Bundle:
    """The bundle in a folder, for one target. `given` are references with values of the caller's own."""

    def __init__(self, root, target, given=None):
        self.root = Path(root)
        self.target = target
        self.given = given or {}
        self.used = set()
        written = load(self.root / "databricks.yml")
        self.settings = {key: value for key, value in written.items() if key not in ("targets", "resources")}
        resources = written.get("resources", {})
        for pattern in written["include"]:
            for file in sorted(self.root.glob(pattern)):
                resources = merged(resources, load(file)["resources"])
        own = written["targets"][target]
        self.resources = merged(resources, own.get("resources") or {})
        self.own = {key: value for key, value in own.items() if key != "resources"}
        self.variables = {name: dict(variable) for name, variable in written["variables"].items()}
        for name, value in (own.get("variables") or {}).items():
            self.variables.setdefault(name, {}).update(value if isinstance(value, dict) else {"default": value})

    def resolved(self, value):
        """A value with every reference in it replaced."""
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if not isinstance(value, str):
            return value
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self.look_up(whole[1])
        return REFERENCE.sub(lambda match: str(self.look_up(match[1])), value)

    def look_up(self, reference):
        self.used.add(reference)
        if reference in self.given:
            return self.given[reference]
        kind, *path = reference.split(".")
        if kind == "var":
            return self.variable(path)
        if kind == "bundle":
            known = {"name": self.settings["bundle"]["name"], "target": self.target}
            if len(path) == 1 and path[0] in known:
                return known[path[0]]
        if kind == "workspace":
            return self.workspace(reference, path)
        if kind == "resources":
            return self.resource(reference, path)
        raise Unresolved(reference)

    def variable(self, path):
        name = ".".join(path)
        variable = self.variables.get(name)
        if variable is None:
            raise Unresolved(f"var.{name}")
        if "default" in variable:
            return self.resolved(variable["default"])
        if "lookup" in variable:
            return ":".join(f"{kind}-id-of:{wanted}" for kind, wanted in variable["lookup"].items())
        raise Unresolved(f"var.{name} has no value in {self.target}")

    def workspace(self, reference, path):
        root = (self.own.get("workspace") or {}).get("root_path")
        if path[0] == "current_user" and len(path) == 2 and path[1] in DEPLOYER:
            return DEPLOYER[path[1]]
        if path == ["root_path"]:
            usual = "/Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}"
            return self.resolved(root or usual)
        if path == ["file_path"]:
            return self.resolved("${workspace.root_path}/files")
        raise Unresolved(reference)

    def resource(self, reference, path):
        try:
            kind, key, field = path
            fields = self.resources[kind][key]
        except (KeyError, ValueError):
            raise Unresolved(reference) from None
        if (kind, field) == ("volumes", "volume_path"):
            names = [fields.get(name) for name in ("catalog_name", "schema_name", "name")]
            if None in names:  # a target adds to what is not there
                raise Unresolved(reference)
            return self.resolved("/".join(["/Volumes", *names]))
        if field == "id":
            return f"{kind}-id-of:{key}"
        if (kind, field) == ("apps", "service_principal_client_id"):
            return f"service-principal-of:{key}"
        if field not in fields:
            raise Unresolved(reference)
        name = self.resolved(fields[field])
        # Development mode puts whose copy it is in front of the names of schemas.
        mine = (kind, field) == ("schemas", "name") and self.own.get("mode") == "development"
        return f"dev_{DEPLOYER['short_name']}_{name}" if mine else name
