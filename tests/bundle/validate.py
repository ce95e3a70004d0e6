"""Holds a bundle against the official classes of Databricks and against rules of its own.

    validate.py ROOT ... < GIVEN

ROOT: folder of databricks.yml. GIVEN: references with values, a JSON object. Prints a JSON array, one object per folder:
problems, a list of sentences; targets, the resolved resources of each.
"""

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path

import bundle

# Folder of the resources in databricks.yml: module and class in databricks.bundles, and the kind in file names.
CLASSES = {
    "alerts": ("alerts", "Alert", "alert"),
    "apps": ("apps", "App", "app"),
    "dashboards": ("dashboards", "Dashboard", "dashboard"),
    "jobs": ("jobs", "Job", "job"),
    "schemas": ("schemas", "Schema", "schema"),
    "secret_scopes": ("secret_scopes", "SecretScope", "secret_scope"),
    "volumes": ("volumes", "Volume", "volume"),
}
# No class describes the bundle itself. These keys are all it uses.
SETTINGS = {
    "bundle": {"name", "databricks_cli_version"},
    "include": None,
    "sync": {"paths", "include", "exclude"},
    "presets": {"tags"},
    "variables": None,
    "targets": None,
}
APP_FILE = 10_000_000  # bytes
VARIABLE = {"description", "default", "lookup"}
TARGET = {"mode", "default", "workspace", "variables", "run_as", "permissions", "resources"}
WORKSPACE = {"root_path"}
PERMISSION = {"level", "group_name", "user_name", "service_principal_name"}


def unknown(where, given, known):
    return [f"{where}: unknown key {key}" for key in given if key not in known]


def settings(root):
    """What is wrong with databricks.yml beside the resources."""
    written = bundle.load(root / "databricks.yml")
    problems = unknown("databricks.yml", written, SETTINGS)
    for section, known in SETTINGS.items():
        if known is not None and section in written:
            problems += unknown(f"databricks.yml: {section}", written[section], known)
    for name, variable in written["variables"].items():
        problems += unknown(f"variable {name}", variable, VARIABLE)
        if not variable.get("description"):
            problems.append(f"variable {name} has no description")
    for name, target in written["targets"].items():
        problems += unknown(f"target {name}", target, TARGET)
        problems += unknown(f"target {name}: workspace", target.get("workspace") or {}, WORKSPACE)
        for variable in target.get("variables") or {}:
            if variable not in written["variables"]:
                problems.append(f"target {name} sets the variable {variable}, which is not declared")
        for permission in target.get("permissions") or []:
            problems += unknown(f"target {name}: permissions", permission, PERMISSION)
        if target.get("mode") == "production" and "root_path" not in (target.get("workspace") or {}):
            problems.append(f"target {name} is of mode production and has no workspace.root_path")
    patterns = [*written["sync"].get("paths", []), *written["include"]]
    problems += [f"{pattern} matches no file" for pattern in patterns if not list(root.glob(pattern))]
    return problems


def files(root):
    """Files that hold something else than one resource of their name."""
    problems = []
    for file in sorted((root / "resources").iterdir()):
        content = bundle.load(file)
        found = [(kind, key) for kind, resources in content["resources"].items() for key in resources]
        names = [f"{key}.{CLASSES[kind][2]}.yml" for kind, key in found if kind in CLASSES]
        if names != [file.name] or len(found) != 1 or set(content) != {"resources"}:
            problems.append(f"resources/{file.name} must hold one resource of that name, and holds {found}")
        for path in paths(content):
            if not (file.parent / path).exists():
                problems.append(f"resources/{file.name}: {path} is not there")
    return problems


def paths(value):
    """The files and folders that a resource refers to, relative to its own."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("python_file", "file_path", "source_code_path"):
                yield item
            else:
                yield from paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item)


def large(root):
    """Files that an app would be deployed with and are too large. Of bin, which git ignores, only the binary's parts are deployed."""
    problems = []
    for app in sorted((root / "resources").glob("*.app.yml")):
        for fields in bundle.load(app)["resources"]["apps"].values():
            folder = app.parent / fields["source_code_path"]
            for file in sorted(folder.rglob("*")):
                left_out = file.parent == folder / "bin" and not file.match("*.gz.*")
                if file.is_file() and file.stat().st_size > APP_FILE and not left_out:
                    problems.append(f"resources/{app.name}: {file.relative_to(folder)} is larger than an app's files may be")
    return problems


def accepted(where, kind, fields):
    """What the official class says against a resource; nothing if it takes it."""
    module, name, _ = CLASSES[kind]
    official = getattr(importlib.import_module(f"databricks.bundles.{module}"), name)
    try:
        official.from_dict(fields)
    except Exception as error:  # ValueError, TypeError and others
        causes = []
        while error is not None:
            causes.append(str(error))
            error = error.__cause__
        return [f"{where}: {': '.join(causes)}"]
    return []


def validate(root, given):
    problems = settings(root) + files(root) + large(root)
    targets, used = {}, set()
    for name in bundle.load(root / "databricks.yml")["targets"]:
        read = bundle.Bundle(root, name, given)
        resolved = {}
        for kind, resources in read.resources.items():
            for key, fields in resources.items():
                where = f"{name}: {kind}.{key}"
                try:
                    resolved.setdefault(kind, {})[key] = read.resolved(fields)
                except bundle.Unresolved as error:
                    problems.append(f"{where}: ${{{error}}} leads nowhere")
                    continue
                # As written, with its references, and as deployed.
                problems += accepted(where, kind, fields) + accepted(f"{where}, resolved", kind, resolved[kind][key])
        own = {}
        for key in ("run_as", "permissions", "workspace"):
            try:
                own[key] = read.resolved(read.own.get(key))
            except bundle.Unresolved as error:
                problems.append(f"{name}: {key}: ${{{error}}} leads nowhere")
        targets[name] = {"resources": resolved, "mode": read.own["mode"], **own}
        used |= read.used
    declared = bundle.load(root / "databricks.yml")["variables"]
    problems += [f"the variable {name} is used nowhere" for name in declared if f"var.{name}" not in used]
    return {"problems": problems, "targets": targets}


def told(root, given):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # the classes print what they do not know
        found = validate(root, given)
    found["problems"] += said.getvalue().splitlines()
    return found


def main():
    given = json.load(sys.stdin)
    json.dump([told(Path(root), given) for root in sys.argv[1:]], sys.stdout)


if __name__ == "__main__":
    main()
