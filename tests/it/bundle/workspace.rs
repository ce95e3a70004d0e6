//! A workspace for tests: the server of the Databricks CLI's own acceptance tests, and the CLI with a copy of the bundle. The
//! server also has refusal rules of a real workspace: tests/bundle/cli/rules.go.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use regex::Regex;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::ROOT;
use crate::{
    peer,
    wait::{LIMIT, output_of},
};

pub const TARGETS: [&str; 2] = ["dev", "prod"];

/// Tokens of the user and of the service principal that deploy.
const USER: &str = "dbapi0test";
pub const DEPLOYER: &str = "dbapi1test";

/// The folder with the CLI and the server, built once. The script limits its own time.
pub static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| {
    peer::environment("bundle");
    let built = Command::new(format!("{ROOT}/tests/bundle/cli/build")).stdin(Stdio::null()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(built.stdout).unwrap().trim_end().into()
});

/// A workspace, and a copy of the bundle that is deployed to it.
pub struct Workspace {
    folder: TempDir,
    process: Child,
    /// The first line of the server's output: its URL, principals and warehouse.
    ready: Value,
    pub token: &'static str,
}

/// A call of the CLI.
#[derive(Debug)]
pub struct Call {
    pub is_success: bool,
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Call {
    pub fn ok(self) -> Self {
        assert!(self.is_success, "{}\n{}", self.out, self.err);
        self
    }

    /// Asserts that the call failed, and returns its output.
    pub fn refused(self) -> String {
        assert!(!self.is_success, "{}\n{}", self.out, self.err);
        format!("{}{}", self.out, self.err)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Workspace {
    /// Starts a workspace, with a copy of the repository's bundle.
    pub fn new() -> Self {
        let workspace = Self::without_bundle();
        copy_bundle(&workspace.bundle());
        for target in TARGETS {
            workspace.set_variables(target, &workspace.usual_variables(target));
        }
        workspace
    }

    /// Starts a workspace without a folder for the bundle.
    pub fn without_bundle() -> Self {
        let folder = tempdir().unwrap();
        let mut process = Command::new(TOOLS.join("workspace"))
            .arg(folder.path().join("requests"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let (sender, line) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_line(&mut text);
            let _ = sender.send(text);
        });
        let line = line.recv_timeout(LIMIT).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self { folder, process, ready, token: USER }
    }

    pub fn ready(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    /// Returns the variables without a default.
    pub fn usual_variables(&self, target: &str) -> Value {
        let mut variables = json!({ "warehouse_id": self.ready("warehouse_id") });
        if target == "prod" {
            variables["notify"] = "data-oncall@example.test".into();
            variables["service_principal"] = self.ready("service_principal").into();
        }
        variables
    }

    pub fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle-root")
    }

    /// Writes the variables file of a target.
    pub fn set_variables(&self, target: &str, variables: &Value) {
        let folder = self.bundle().join(".databricks/bundle").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("variable-overrides.json"), variables.to_string()).unwrap();
    }

    /// Sets variables of a target in addition to the usual ones.
    pub fn vary(&self, target: &str, more: Value) {
        let mut variables = self.usual_variables(target);
        for (name, value) in more.as_object().unwrap() {
            variables[name] = value.clone();
        }
        self.set_variables(target, &variables);
    }

    pub fn cli(&self, arguments: &[&str]) -> Call {
        let mut command = Command::new(TOOLS.join("databricks"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("DATABRICKS_") || name.starts_with("BUNDLE_") {
                command.env_remove(name);
            }
        }
        let home = self.folder.path();
        let child = command
            .args(arguments)
            .current_dir(self.bundle())
            .env("DATABRICKS_HOST", self.ready("url"))
            .env("DATABRICKS_TOKEN", self.token)
            .env("DATABRICKS_CONFIG_FILE", home.join("no-profiles"))
            .env("DATABRICKS_BUNDLE_ENGINE", "direct")
            .env("HOME", home)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = output_of(&format!("databricks {}", arguments.join(" ")), child);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Call { is_success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    pub fn deploy(&self, target: &str) -> Call {
        self.cli(&["bundle", "deploy", "--target", target, "--auto-approve"])
    }

    /// Returns the requests so far. Panics if the server could not serve one of them.
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("requests")).unwrap();
        let requests: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for request in &requests {
            assert!(request.get("failure").is_none(), "{request:#}");
        }
        requests
    }

    /// Returns the requests that changed something other than files and the permissions of their folder. Every deploy sets those.
    pub fn changes(&self) -> Vec<Value> {
        const EXCLUDED: [&str; 4] =
            ["/api/2.0/workspace", "/api/2.0/permissions/directories/", "/telemetry-ext", "/api/2.0/repos"];
        let mut requests = self.requests();
        requests.retain(|request| {
            request["method"] != "GET"
                && request["status"].as_u64().unwrap() < 300
                && !EXCLUDED.iter().any(|path| request["path"].as_str().unwrap().starts_with(path))
        });
        requests
    }

    /// Returns the bodies of the requests with a method and a path prefix.
    pub fn bodies(&self, method: &str, path: &str) -> Vec<Value> {
        let changes = self.changes().into_iter();
        changes
            .filter(|request| request["method"] == method && request["path"].as_str().unwrap().starts_with(path))
            .map(|mut request| request["body"].take())
            .collect()
    }

    /// Returns the jobs as they were created, by key.
    pub fn jobs(&self) -> Vec<(String, Value)> {
        let jobs = self.bodies("POST", "/api/2.2/jobs/create").into_iter();
        jobs.map(|job| (text(&job["name"]).rsplit_once(' ').unwrap().1.to_owned(), job)).collect()
    }

    /// Returns the grants to a principal of Unity Catalog: the kind, the full name and the privileges of each object.
    pub fn grants(&self, principal: &str) -> Vec<String> {
        let mut grants = Vec::new();
        for request in self.changes() {
            let Some(object) = text(&request["path"]).strip_prefix("/api/2.1/unity-catalog/permissions/") else {
                continue;
            };
            for change in list(&request["body"]["changes"]) {
                if change["principal"] == principal && change.get("add").is_some() {
                    let mut privileges: Vec<&str> = list(&change["add"]).iter().map(text).collect();
                    privileges.sort_unstable();
                    grants.push(format!("{object} {}", privileges.join(",")));
                }
            }
        }
        grants.sort_unstable();
        grants
    }

    /// Returns the permissions that a deploy sets on objects of a kind, each as `LEVEL principal`.
    pub fn permissions(&self, kind: &str) -> Vec<Vec<String>> {
        let set = self.bodies("PUT", &format!("/api/2.0/permissions/{kind}/")).into_iter();
        set.map(|body| {
            let entries = list(&body["access_control_list"]).iter();
            let mut entries: Vec<String> = entries
                .map(|entry| {
                    let principal = ["user_name", "group_name", "service_principal_name"];
                    let principal = principal.iter().find_map(|name| entry.get(name)).unwrap();
                    format!("{} {}", text(&entry["permission_level"]), text(principal))
                })
                .collect();
            entries.sort_unstable();
            entries
        })
        .collect()
    }

    /// Returns the current ACL of a secret scope.
    pub fn acl(&self, scope: &str) -> Vec<(String, String)> {
        let listed = self.cli(&["secrets", "list-acls", scope, "-o", "json"]).ok().json();
        let mut acl: Vec<(String, String)> = list(&listed)
            .iter()
            .map(|item| (text(&item["principal"]).to_owned(), text(&item["permission"]).to_owned()))
            .collect();
        acl.sort_unstable();
        acl
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Copies the files that the CLI reads, with a small file in place of the binary.
fn copy_bundle(root: &Path) {
    for part in ["bundle", "resources"] {
        fs::create_dir_all(root.join(part)).unwrap();
        for entry in fs::read_dir(format!("{ROOT}/{part}")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, root.join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    for file in ["databricks.yml", ".gitignore"] {
        fs::copy(format!("{ROOT}/{file}"), root.join(file)).unwrap();
    }
    fs::create_dir(root.join("bundle/bin")).unwrap();
    fs::write(root.join("bundle/bin/ops-runbook-x86_64.gz.00"), "not a binary").unwrap();
}

/// Returns the resources of a target as the CLI resolves them, with values for some variables. References that only a deploy can
/// resolve stay unresolved.
pub fn resources(target: &str, variables: &[(&str, &str)]) -> Value {
    let workspace = Workspace::new();
    workspace.vary(target, variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect());
    let valid = workspace.cli(&["bundle", "validate", "--target", target, "-o", "json"]).ok();
    let mut resources = valid.json()["resources"].take();
    let known = resources.clone();
    let reference = Regex::new(r"\$\{resources\.(\w+)\.(\w+)\.(\w+)\}").unwrap();
    replace(&mut resources, &|text| {
        let resolved = reference.replace_all(text, |found: &regex::Captures| {
            known[&found[1]][&found[2]][&found[3]].as_str().unwrap_or(&found[0]).to_owned()
        });
        resolved.into_owned()
    });
    resources
}

/// Replaces each text in a document.
pub fn replace(value: &mut Value, with: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = with(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, with)),
        _ => {}
    }
}
