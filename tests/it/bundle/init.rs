//! Tests of `bundle init`: the folder that it writes, the files that a second run keeps, and deploys with the Databricks CLI.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use ops_runbook::ops::bundle::{self, BundleRequest, binaries::BinarySource, template, variables::BundleTarget};
use serde_json::{Map, Value, json};
use tempfile::{TempDir, tempdir};

use super::{
    ROOT,
    workspace::{TARGETS, Workspace},
};
use crate::{
    wait::{self, output_of},
    warehouse::fake::{Fake, Request, TOKEN},
};

const PRINCIPAL: &str = "0b9a2f3c-0000-4000-8000-000000000001";
const ANSWERS: [&str; 6] =
    ["--warehouse-id", "w1", "--notify", "oncall@example.test", "--service-principal", PRINCIPAL];
const PROD: &str = ".databricks/bundle/prod/variable-overrides.json";

/// Returns the start of a Linux program.
fn program(processor: &str) -> Vec<u8> {
    let mut content = b"\x7fELF\x02\x01".to_vec();
    content.resize(64, 0);
    content[18] = if processor == "x86_64" { 62 } else { 183 };
    content
}

/// An unpacked release: this binary, with parts of small programs beside it.
struct Release {
    folder: TempDir,
}

impl Release {
    fn new(processors: &[&str]) -> Self {
        let folder = tempdir().unwrap();
        let binary = folder.path().join("ops-runbook");
        let built = env!("CARGO_BIN_EXE_ops-runbook");
        fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
        for processor in processors {
            let part = folder.path().join(format!("ops-runbook-{processor}.gz.00"));
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&program(processor)).unwrap();
            fs::write(part, encoder.finish().unwrap()).unwrap();
        }
        Self { folder }
    }

    /// Returns the command `bundle init`, without a workspace.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("ops-runbook"));
        for (name, _) in std::env::vars_os() {
            if ["DATABRICKS_", "OPS_RUNBOOK_"].iter().any(|it| name.to_string_lossy().starts_with(it)) {
                command.env_remove(name);
            }
        }
        command.args(["bundle", "init"]).args(arguments).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("NO_PROXY", "127.0.0.1");
        command
    }

    fn init(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        output_of("bundle init", child)
    }

    /// Runs `bundle init`, which must succeed. Returns its JSON.
    fn ok(&self, folder: &Path, arguments: &[&str]) -> Value {
        let output = self.init(&[&[folder.to_str().unwrap(), "--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Returns the paths of the files with a state.
fn files<'a>(result: &'a Value, state: &str) -> Vec<&'a str> {
    let files = result["files"].as_array().unwrap().iter();
    files.filter(|file| file["state"] == state).map(|file| file["path"].as_str().unwrap()).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// Collects the files below a folder, relative to `root`.
fn below(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(root, &path, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_folder_has_every_file_of_the_bundle_in_the_repository() {
    let root = Path::new(ROOT);
    let mut expected = BTreeSet::from(["databricks.yml".to_owned()]);
    below(root, &root.join("resources"), &mut expected);
    below(root, &root.join("bundle"), &mut expected);
    // The files that build the binary, and their output.
    let excluded = [
        "bundle/bin/",
        "bundle/wheel/",
        "bundle/requirements-",
        "bundle/build",
        "bundle/cache.py",
        "bundle/__pycache__/",
    ];
    expected.retain(|path| !excluded.iter().any(|start| path.starts_with(start)));
    let mut found: BTreeSet<String> = template::files().map(|file| file.path.to_owned()).collect();
    assert!(found.remove(".gitignore"));
    assert_eq!(found, expected, "add the file to src/ops/bundle/template.rs");
    for path in &expected {
        let embedded = template::files().find(|file| file.path == path).unwrap();
        assert_eq!(embedded.content, read(root.join(path)), "{path}");
    }
}

#[test]
fn a_second_run_upgrades_unchanged_files_and_keeps_the_others() {
    let release = Release::new(&["x86_64", "aarch64"]);
    let folder = release.folder.path().join("a folder");
    let all = template::files().count();
    let first = release.ok(&folder, &ANSWERS);
    assert_eq!(files(&first, "written").len(), all);
    assert_eq!(files(&release.ok(&folder, &[]), "unchanged").len(), all, "answers are remembered");

    // Files of an earlier version: other content, and its hash in the manifest.
    let manifest_path = folder.join(".ops-runbook.json");
    let mut manifest: Value = serde_json::from_str(&read(&manifest_path)).unwrap();
    let earlier = |path: &str, manifest: &mut Value| {
        fs::write(folder.join(path), "# earlier\n").unwrap();
        manifest["files"][path] = ops_runbook::domain::ids::sha256_hex("# earlier\n").into();
    };
    for path in ["databricks.yml", "bundle/launcher.py", "resources/sweep.job.yml", "resources/gone.job.yml"] {
        earlier(path, &mut manifest);
    }
    fs::write(&manifest_path, manifest.to_string()).unwrap();
    // Changes by people: a file that differs in this version, a file that this version has not changed, and a deleted file.
    fs::write(folder.join("resources/sweep.job.yml"), "# ours\n").unwrap();
    fs::write(folder.join("bundle/ops-runbook.toml"), "# ours\n").unwrap();
    fs::remove_file(folder.join("resources/mcp.app.yml")).unwrap();

    let second = release.ok(&folder, &[]);
    assert_eq!(files(&second, "upgraded"), ["databricks.yml", "bundle/launcher.py"]);
    assert_eq!(files(&second, "kept-outdated"), ["resources/sweep.job.yml"]);
    assert_eq!(files(&second, "kept"), ["resources/mcp.app.yml", "bundle/ops-runbook.toml"]);
    assert_eq!(files(&second, "removed"), ["resources/gone.job.yml"]);
    assert_eq!(read(folder.join("databricks.yml")), read(format!("{ROOT}/databricks.yml")));
    assert_eq!(read(folder.join("resources/sweep.job.yml")), "# ours\n");
    assert!(!folder.join("resources/gone.job.yml").exists() && !folder.join("resources/mcp.app.yml").exists());
    let third = release.ok(&folder, &[]);
    assert_eq!(
        files(&third, "kept-outdated"),
        ["resources/sweep.job.yml"],
        "an outdated file is reported in every run"
    );

    let forced = release.ok(&folder, &["--force"]);
    assert_eq!(files(&forced, "replaced"), ["resources/sweep.job.yml", "bundle/ops-runbook.toml"]);
    assert_eq!(files(&forced, "written"), ["resources/mcp.app.yml"]);
    assert_eq!(files(&release.ok(&folder, &[]), "unchanged").len(), all);
}

#[test]
fn a_manifest_cannot_name_files_outside_of_the_folder() {
    let release = Release::new(&["x86_64"]);
    let folder = release.folder.path().join("bundle-folder");
    release.ok(&folder, &ANSWERS);
    let outside = release.folder.path().join("outside");
    fs::write(&outside, "theirs").unwrap();
    let path = folder.join(".ops-runbook.json");
    let mut manifest: Value = serde_json::from_str(&read(&path)).unwrap();
    for name in ["../outside", outside.to_str().unwrap()] {
        manifest["files"][name] = ops_runbook::domain::ids::sha256_hex("theirs").into();
    }
    fs::write(&path, manifest.to_string()).unwrap();
    assert_eq!(files(&release.ok(&folder, &[]), "removed"), Vec::<&str>::new());
    assert!(outside.exists());
}

#[test]
fn without_a_terminal_options_give_the_answers_and_all_missing_ones_are_named() {
    let release = Release::new(&["x86_64"]);
    let folder = release.folder.path().join("f");
    let name = folder.to_str().unwrap();
    let output = release.init(&[name]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("error: a bundle needs --warehouse-id, --notify, --service-principal\n"), "{error}");
    let output = release.init(&[name, "--target", "dev"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("error: a bundle needs --warehouse-id\n"), "{error}");
    for (option, value) in
        [("--notify", PRINCIPAL), ("--service-principal", "ops"), ("--catalog", "a.b"), ("--warehouse-id", "/sql/1")]
    {
        let others = ANSWERS.chunks(2).filter(|answer| answer[0] != option).flatten().copied();
        let arguments: Vec<&str> = [name, option, value].into_iter().chain(others).collect();
        let output = release.init(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains(&format!("error: {option} cannot be used: ")), "{error}");
    }
    assert!(!folder.exists(), "nothing was written");

    let result = release.ok(&folder, &[&ANSWERS[..], &["--schema", "incidents"]].concat());
    let expected = json!({
        "catalog": "main", "schema": "incidents", "warehouse_id": "w1", "notify": "oncall@example.test",
        "service_principal": PRINCIPAL
    });
    assert_eq!(result["variables"], expected);
    // Variables added by people stay, and an option overrides the file.
    let mut variables: Value = serde_json::from_str(&read(folder.join(PROD))).unwrap();
    assert_eq!(variables, expected);
    variables["readers"] = "data-platform".into();
    fs::write(folder.join(PROD), variables.to_string()).unwrap();
    release.ok(&folder, &["--warehouse-id", "w2"]);
    variables["warehouse_id"] = "w2".into();
    assert_eq!(serde_json::from_str::<Value>(&read(folder.join(PROD))).unwrap(), variables);
}

/// A script that runs a program on a new terminal. It types the next line of its standard input at each question.
const TERMINAL: &str = r#"
import os, pty, sys
answers = sys.stdin.read().split("\n")
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen, output = b"", b""
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    seen, output = seen + piece, output + piece
    if seen.endswith(b": ") and answers:
        os.write(terminal, answers.pop(0).encode() + b"\n")
        seen = b""
sys.stdout.buffer.write(output)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_questions_propose_values_of_the_workspace() {
    let fake = Fake::answering(|request: &Request| match request.line.as_str() {
        "GET /api/2.0/preview/scim/v2/Me" => json!({ "userName": "a@example.test" }).into(),
        "GET /api/2.0/sql/warehouses" => {
            json!({ "warehouses": [{ "id": "w7", "name": "starter\u{1b}[31m" }, { "id": "w8", "name": "other" }] })
                .into()
        }
        other => crate::warehouse::fake::error(404, "ENDPOINT_NOT_FOUND", other),
    })
    .await;
    let release = Release::new(&["x86_64"]);
    let folder = release.folder.path().join("f");
    let inner = release.command(&[folder.to_str().unwrap(), "--schema", "incidents"]);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(inner.get_program()).args(inner.get_args()).current_dir(release.folder.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("DATABRICKS_HOST", &fake.url).env("DATABRICKS_TOKEN", TOKEN);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Catalog, warehouse and address: the proposed values. Service principal: a name first, then the id.
    let answers = format!("\n\n\nmy-principal\n{PRINCIPAL}");
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || wait::output_of("bundle init", child)).await.unwrap();
    let dialogue = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for text in
        ["[main]: ", "[w7]: ", "[a@example.test]: ", "warehouse w8  other", "starter\\u{1b}[31m", "it is not the name"]
    {
        assert!(dialogue.contains(text), "{text}: {dialogue}");
    }
    let variables: Value = serde_json::from_str(&read(folder.join(PROD))).unwrap();
    let expected = json!({
        "catalog": "main", "schema": "incidents", "warehouse_id": "w7", "notify": "a@example.test",
        "service_principal": PRINCIPAL
    });
    assert_eq!(variables, expected);
}

/// Returns the names of the parts in a folder.
fn parts(folder: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    below(folder, &folder.join("bundle/bin"), &mut found);
    found.iter().map(|path| path.trim_start_matches("bundle/bin/").to_owned()).collect()
}

#[test]
fn binaries_come_from_parts_beside_the_program_or_from_the_program_itself() {
    let folder = tempdir().unwrap();
    let (installed, root) = (folder.path().join("bin"), folder.path().join("root"));
    fs::create_dir(&installed).unwrap();
    // As installed by pip: nothing beside it.
    let own = std::env::consts::ARCH;
    let other = if own == "x86_64" { "aarch64" } else { "x86_64" };
    let running = installed.join("ops-runbook");
    fs::write(&running, [program(own), b"GLIBC_2.99\0".to_vec()].concat()).unwrap();
    let variables = Map::new();
    let init = |program: &PathBuf| {
        let request = BundleRequest {
            folder: &root,
            program,
            target: BundleTarget::Dev,
            variables: &variables,
            is_forced: false,
        };
        bundle::init(&request).unwrap().binaries
    };
    let own_first = |binaries: Vec<bundle::binaries::Binary>| {
        let mut sources: Vec<_> = binaries.iter().map(|it| (it.processor.name() != own, it.source)).collect();
        sources.sort_by_key(|(is_other, _)| *is_other);
        (sources[0].1, sources[1].1, binaries.into_iter().find_map(|it| it.needs_glibc))
    };
    let found = own_first(init(&running));
    assert_eq!(found, (BinarySource::ThisProgram, BinarySource::Missing, Some("2.99".into())));
    assert_eq!(parts(&root), [format!("ops-runbook-{own}.gz.00")]);

    let release = Release::new(&[own, other]);
    let found = own_first(init(&release.folder.path().join("ops-runbook")));
    assert_eq!(found, (BinarySource::Beside, BinarySource::Beside, None));
    assert_eq!(parts(&root).len(), 2);
    // The same version without parts beside it keeps the parts in the folder; another version does not.
    assert_eq!(own_first(init(&running)).1, BinarySource::Folder);
    let manifest = root.join(".ops-runbook.json");
    fs::write(&manifest, read(&manifest).replace(env!("CARGO_PKG_VERSION"), "0.0.1")).unwrap();
    assert_eq!(own_first(init(&running)).1, BinarySource::Missing);
    assert_eq!(parts(&root), [format!("ops-runbook-{own}.gz.00")]);
}

#[test]
fn the_written_folder_deploys_with_the_databricks_cli_unchanged() {
    let workspace = Workspace::without_bundle();
    let release = Release::new(&["x86_64", "aarch64"]);
    let root = workspace.bundle();
    for target in TARGETS {
        let mut arguments = vec!["--target".to_owned(), target.to_owned()];
        for (name, value) in workspace.usual_variables(target).as_object().unwrap() {
            arguments.push(format!("--{}", name.replace('_', "-")));
            arguments.push(value.as_str().unwrap().to_owned());
        }
        let result = release.ok(&root, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let next = result["next"].as_array().unwrap();
        assert_eq!(next[1], format!("databricks bundle deploy --target {target}"));
        assert_eq!(next[2], format!("databricks bundle run setup --target {target}"));

        let call = workspace.cli(&["bundle", "validate", "--target", target, "--strict"]).ok();
        assert!(!format!("{}{}", call.out, call.err).contains("Warning"), "{call:?}");
        workspace.deploy(target).ok();
        workspace.cli(&["bundle", "run", "setup", "--target", target]).ok();
        let uploaded: Vec<String> = workspace
            .requests()
            .into_iter()
            .map(|request| request["path"].as_str().unwrap().to_owned())
            .filter(|path| path.contains(&format!("/{target}/files/")))
            .collect();
        for part in ["ops-runbook-x86_64.gz.00", "ops-runbook-aarch64.gz.00", "launcher.py", "ops-runbook.toml"] {
            assert!(uploaded.iter().any(|path| path.contains(part)), "{part}: {uploaded:#?}");
        }
    }
}
