//! The files of the bundle, embedded when this program is compiled.

/// The version that the files belong to.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A file of the bundle.
#[derive(Debug, Clone, Copy)]
pub struct TemplateFile {
    /// Relative to the folder of the bundle, with `/` between folders.
    pub path: &'static str,
    pub content: &'static str,
}

macro_rules! files {
    ($($path:literal)*) => {
        &[$(TemplateFile { path: $path, content: include_str!(concat!("../../../", $path)) }),*]
    };
}

/// Excludes the binary and the state of the Databricks CLI from version control.
const IGNORED: TemplateFile = TemplateFile { path: ".gitignore", content: "/bundle/bin/\n/.databricks/\n" };

const REPOSITORY: &[TemplateFile] = files![
    "databricks.yml"
    "resources/audit.job.yml"
    "resources/compliance.job.yml"
    "resources/digest.job.yml"
    "resources/digests.volume.yml"
    "resources/inbox.volume.yml"
    "resources/ingest.job.yml"
    "resources/lake.volume.yml"
    "resources/maintenance.job.yml"
    "resources/mcp.app.yml"
    "resources/notifications.job.yml"
    "resources/operations.dashboard.yml"
    "resources/ops.schema.yml"
    "resources/recurrence.job.yml"
    "resources/recurring_issues.alert.yml"
    "resources/secrets.secret_scope.yml"
    "resources/setup.job.yml"
    "resources/sweep.job.yml"
    "resources/tables.job.yml"
    "bundle/README.md"
    "bundle/configuration.md"
    "bundle/launcher.py"
    "bundle/operations.lvdash.json"
    "bundle/ops-runbook.example.toml"
    "bundle/ops-runbook.toml"
    "bundle/skill/Databricks_OPS_Runbook/SKILL.md"
    "bundle/skill/agent.yaml"
    "bundle/skill/mcp.json"
    "bundle/usage.md"
];

/// Returns every file of a bundle folder except the binary. A test compares them with the repository.
pub fn files() -> impl Iterator<Item = TemplateFile> {
    REPOSITORY.iter().copied().chain([IGNORED])
}
