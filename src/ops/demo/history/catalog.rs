//! The invented content of the demo: two workspaces, their jobs, the faults and the reviews.

use serde_json::{Value, json};

use crate::domain::{
    check::{CheckStatus, Severity},
    incident::classification::{IncidentType, Status},
};

pub struct DemoWorkspace {
    pub id: &'static str,
    pub url: &'static str,
}

pub const WORKSPACES: [DemoWorkspace; 2] = [
    DemoWorkspace { id: "4187203365512094", url: "https://adb-4187203365512094.14.azuredatabricks.net" },
    DemoWorkspace { id: "6620914478830017", url: "https://adb-6620914478830017.7.azuredatabricks.net" },
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    Serverless,
    JobCluster,
    /// An all-purpose cluster, by its id.
    Shared(&'static str),
}

#[derive(Clone, Copy)]
pub enum Schedule {
    /// Once a night or morning, UTC.
    Daily { hour: i64, minute: i64 },
    /// Every hour, at this minute.
    Hourly { minute: i64 },
}

pub struct DemoJob {
    pub name: &'static str,
    pub id: &'static str,
    pub workspace: usize,
    /// The task that does the work.
    pub task: &'static str,
    pub table: &'static str,
    pub upstream: &'static str,
    pub team: &'static str,
    pub start: Schedule,
    pub compute: Compute,
    /// Deployed by a bundle.
    pub bundled: bool,
}

/// The job that fails more and more often.
pub const ORDERS_INGEST: &DemoJob = &DemoJob {
    name: "orders-ingest",
    id: "812004417736501",
    workspace: 0,
    task: "load_orders",
    table: "prod.sales.orders",
    upstream: "orders.example.test",
    team: "sales-data",
    start: Schedule::Daily { hour: 2, minute: 10 },
    compute: Compute::JobCluster,
    bundled: true,
};

pub const JOBS: [&DemoJob; 12] = [
    ORDERS_INGEST,
    &DemoJob {
        name: "payments-settlement",
        id: "812004417736518",
        workspace: 0,
        task: "settle",
        table: "prod.finance.settlements",
        upstream: "psp.example.test",
        team: "finance-data",
        start: Schedule::Daily { hour: 3, minute: 0 },
        compute: Compute::JobCluster,
        bundled: true,
    },
    &DemoJob {
        name: "customer-360-build",
        id: "812004417736524",
        workspace: 0,
        task: "build_profiles",
        table: "prod.crm.customer_360",
        upstream: "crm.example.test",
        team: "crm-data",
        start: Schedule::Daily { hour: 4, minute: 30 },
        compute: Compute::JobCluster,
        bundled: false,
    },
    &DemoJob {
        name: "inventory-sync",
        id: "812004417736533",
        workspace: 0,
        task: "sync_stock",
        table: "prod.supply.stock_levels",
        upstream: "wms.example.test",
        team: "supply-data",
        start: Schedule::Hourly { minute: 5 },
        compute: Compute::Serverless,
        bundled: false,
    },
    &DemoJob {
        name: "clickstream-sessions",
        id: "812004417736547",
        workspace: 0,
        task: "sessionize",
        table: "prod.web.sessions",
        upstream: "events.example.test",
        team: "web-data",
        start: Schedule::Hourly { minute: 20 },
        compute: Compute::Shared("0114-093512-k7q2m4xz"),
        bundled: true,
    },
    &DemoJob {
        name: "marts-refresh",
        id: "812004417736552",
        workspace: 0,
        task: "refresh_marts",
        table: "prod.marts.daily_revenue",
        upstream: "rates.example.test",
        team: "analytics",
        start: Schedule::Daily { hour: 5, minute: 0 },
        compute: Compute::Serverless,
        bundled: true,
    },
    &DemoJob {
        name: "finance-daily-close",
        id: "812004417736569",
        workspace: 0,
        task: "close_books",
        table: "prod.finance.ledger",
        upstream: "erp.example.test",
        team: "finance-data",
        start: Schedule::Daily { hour: 1, minute: 30 },
        compute: Compute::JobCluster,
        bundled: false,
    },
    &DemoJob {
        name: "churn-features",
        id: "305518820067113",
        workspace: 1,
        task: "compute_features",
        table: "ml.churn.features",
        upstream: "billing.example.test",
        team: "data-science",
        start: Schedule::Daily { hour: 2, minute: 45 },
        compute: Compute::JobCluster,
        bundled: false,
    },
    &DemoJob {
        name: "churn-scoring",
        id: "305518820067129",
        workspace: 1,
        task: "score",
        table: "ml.churn.scores",
        upstream: "models.example.test",
        team: "data-science",
        start: Schedule::Daily { hour: 6, minute: 0 },
        compute: Compute::JobCluster,
        bundled: false,
    },
    &DemoJob {
        name: "marketing-attribution",
        id: "305518820067134",
        workspace: 1,
        task: "attribute",
        table: "ml.marketing.attribution",
        upstream: "ads.example.test",
        team: "marketing-data",
        start: Schedule::Daily { hour: 7, minute: 15 },
        compute: Compute::Serverless,
        bundled: true,
    },
    &DemoJob {
        name: "privacy-erasure",
        id: "305518820067148",
        workspace: 1,
        task: "erase",
        table: "ml.privacy.erasure_log",
        upstream: "consent.example.test",
        team: "privacy",
        start: Schedule::Daily { hour: 22, minute: 0 },
        compute: Compute::Serverless,
        bundled: false,
    },
    &DemoJob {
        name: "exec-dashboard-extract",
        id: "305518820067156",
        workspace: 1,
        task: "extract",
        table: "ml.exec.kpis",
        upstream: "bi.example.test",
        team: "analytics",
        start: Schedule::Daily { hour: 6, minute: 30 },
        compute: Compute::Serverless,
        bundled: false,
    },
];

/// The fix of a fault. Changes use the field names of the API.
pub enum FaultFix {
    /// No fix is needed: the next run succeeds.
    Wait,
    TaskSettings(&'static str, fn() -> Value),
    JobSettings(&'static str, fn() -> Value),
    /// Changes the job's own cluster, or the shared cluster that it runs on.
    ClusterSettings(&'static str, fn() -> Value),
    Sql(&'static str, &'static str),
    Command(&'static str, &'static str),
}

/// A kind of failure. Its texts may contain the placeholders `{job}`, `{task}`, `{table}`, `{upstream}`, `{n}` and `{status}`.
pub struct Fault {
    /// Used in report ids and slugs.
    pub key: &'static str,
    /// Without a code, the wordings differ only in what the normal form of a cause ignores.
    pub code: Option<&'static str>,
    pub wordings: &'static [&'static str],
    /// Follows the job's name in the title.
    pub headline: &'static str,
    pub error_class: &'static str,
    pub error_message: &'static str,
    pub termination_code: &'static str,
    pub analysis: &'static str,
    pub fix: FaultFix,
    pub lesson: &'static str,
    /// Minimum and maximum time from the root cause to the fix.
    pub minutes_to_fix: (i64, i64),
    /// Does not happen on serverless compute.
    pub needs_cluster: bool,
    /// Relative frequency.
    pub weight: u64,
}

/// The fault of `orders-ingest`.
pub const EXECUTOR_OOM: &Fault = &Fault {
    key: "executor_oom",
    code: Some("executor_oom"),
    wordings: &[
        "Executors ran out of memory while shuffling a skewed join",
        "Executor lost: container killed for exceeding memory limits during the join",
        "Spill and OOM on executors, {n} GB more input than the cluster was sized for",
    ],
    headline: "executors out of memory",
    error_class: "org.apache.spark.SparkException",
    error_message: "Job aborted due to stage failure: ExecutorLostFailure (executor {n} exited caused by one of the running tasks) Reason: Command exited with code 137",
    termination_code: "RUN_EXECUTION_ERROR",
    analysis: "Spark UI: one partition of {table} holds most of the rows; executors killed with exit code 137",
    fix: FaultFix::ClusterSettings(
        "Larger workers for {job}",
        || json!({ "node_type_id": "Standard_E16ds_v5", "autoscale": { "min_workers": 2, "max_workers": 12 } }),
    ),
    lesson: "Size clusters from the input's growth, not from last year's volume",
    minutes_to_fix: (25, 110),
    needs_cluster: true,
    weight: 6,
};

/// The fault that recurs in two bursts.
pub const UPSTREAM_5XX: &Fault = &Fault {
    key: "upstream_5xx_no_retries",
    code: Some("upstream_5xx_no_retries"),
    wordings: &[
        "Upstream API answered {status} once and the task has no retry policy (max_retries=0)",
        "Transient {status} from {upstream}; no retries configured",
        "No retry policy: a single HTTP {status} from the upstream failed the whole run",
    ],
    headline: "upstream API unavailable, no retry policy",
    error_class: "requests.exceptions.HTTPError",
    error_message: "{status} Server Error for url: https://{upstream}/v2/export?page={n}",
    termination_code: "RUN_EXECUTION_ERROR",
    analysis: "Read notebook of task {task}: one unguarded GET; task max_retries is 0",
    fix: FaultFix::TaskSettings(
        "Retry policy for {job}",
        || json!({ "max_retries": 3, "min_retry_interval_millis": 120_000, "retry_on_timeout": true }),
    ),
    lesson: "Every task that calls an API needs a retry policy",
    minutes_to_fix: (5, 30),
    needs_cluster: false,
    weight: 0,
};

/// A failure without accessible evidence: its cause stays unknown.
pub const NO_EVIDENCE: &Fault = &Fault {
    key: "unknown",
    code: None,
    wordings: &["unknown"],
    headline: "run output cannot be read",
    error_class: "",
    error_message: "",
    termination_code: "INTERNAL_ERROR",
    analysis: "Cannot retrieve run output: PERMISSION_DENIED",
    fix: FaultFix::Wait,
    lesson: "Grant the on-call group CAN_VIEW on every job",
    minutes_to_fix: (40, 200),
    needs_cluster: false,
    weight: 4,
};

pub const FAULTS: [&Fault; 13] = [
    EXECUTOR_OOM,
    NO_EVIDENCE,
    &Fault {
        key: "schema_drift",
        code: None,
        wordings: &[
            "Source schema drift: a column was added upstream, the target table expects {n} columns",
            "source schema drift:  a column was added upstream, the target table expects {n} columns",
        ],
        headline: "source schema changed",
        error_class: "DELTA_METADATA_MISMATCH",
        error_message: "A metadata mismatch was detected when writing to the Delta table {table}: new column promo_code_{n}",
        termination_code: "RUN_EXECUTION_ERROR",
        analysis: "Compared the source schema with {table}: one new nullable column",
        fix: FaultFix::Sql("Add the new column to {table}", "ALTER TABLE {table} ADD COLUMNS (promo_code STRING)"),
        lesson: "Agree on a schema contract with the source team",
        minutes_to_fix: (15, 70),
        needs_cluster: false,
        weight: 14,
    },
    &Fault {
        key: "null_keys",
        code: None,
        wordings: &[
            "NULL keys in the source violate a constraint ({n} rows)",
            "Null keys in the source violate a constraint ({n} rows)",
        ],
        headline: "null keys in the source",
        error_class: "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
        error_message: "NOT NULL constraint violated for column: customer_id",
        termination_code: "RUN_EXECUTION_ERROR",
        analysis: "Profiled the batch: {n} rows of {table} without customer_id, all from one export",
        fix: FaultFix::Sql(
            "Set the bad rows aside",
            "INSERT INTO {table}_quarantine SELECT * FROM {table}_staging WHERE customer_id IS NULL",
        ),
        lesson: "Quarantine bad rows instead of failing the batch",
        minutes_to_fix: (20, 90),
        needs_cluster: false,
        weight: 10,
    },
    &Fault {
        key: "expired_credential",
        code: None,
        wordings: &[
            "Expired credential: the service principal's secret is past its end date",
            "expired credential: the service principal's secret is past its end date",
        ],
        headline: "credential expired",
        error_class: "requests.exceptions.HTTPError",
        error_message: "401 Client Error: invalid_client, the client credential has expired",
        termination_code: "RUN_EXECUTION_ERROR",
        analysis: "Token endpoint rejects the client; the secret ended {n} hours ago",
        fix: FaultFix::Command("Renew the secret of {job}", "databricks secrets put-secret {job} client-credential"),
        lesson: "Alert 14 days before a credential ends",
        minutes_to_fix: (20, 150),
        needs_cluster: false,
        weight: 9,
    },
    &Fault {
        key: "no_capacity",
        code: Some("cluster_start_no_capacity"),
        wordings: &[
            "Cluster could not start: the cloud had no capacity for the node type",
            "Node type out of stock in the region, cluster launch failed",
        ],
        headline: "cluster did not start",
        error_class: "CLOUD_PROVIDER_RESOURCE_STOCKOUT",
        error_message: "The requested VM size Standard_E8ds_v5 is not available in the region at the moment",
        termination_code: "CLUSTER_ERROR",
        analysis: "Cluster events: launch failed {n} times with CLOUD_PROVIDER_RESOURCE_STOCKOUT",
        fix: FaultFix::ClusterSettings(
            "Node type with more capacity for {job}",
            || json!({ "node_type_id": "Standard_D16ds_v5" }),
        ),
        lesson: "Keep a second node type at hand",
        minutes_to_fix: (15, 80),
        needs_cluster: true,
        weight: 8,
    },
    &Fault {
        key: "quota_exceeded",
        code: None,
        wordings: &[
            "Regional vCPU quota exceeded: {n} cores requested",
            "regional vCPU quota exceeded: {n} cores requested",
        ],
        headline: "cloud quota exceeded",
        error_class: "AZURE_QUOTA_EXCEEDED_EXCEPTION",
        error_message: "Operation could not be completed as it results in exceeding approved Total Regional Cores quota",
        termination_code: "CLOUD_FAILURE",
        analysis: "Cluster events: AZURE_QUOTA_EXCEEDED_EXCEPTION while two backfills were running",
        fix: FaultFix::ClusterSettings(
            "Fewer workers for {job}",
            || json!({ "autoscale": { "min_workers": 2, "max_workers": 6 } }),
        ),
        lesson: "Run backfills outside the nightly batch window",
        minutes_to_fix: (30, 160),
        needs_cluster: true,
        weight: 5,
    },
    &Fault {
        key: "runtime_unsupported",
        code: Some("runtime_unsupported"),
        wordings: &[
            "The job's Databricks Runtime is no longer supported",
            "Unsupported runtime: 12.2 LTS reached its end of support",
        ],
        headline: "runtime no longer supported",
        error_class: "INVALID_PARAMETER_VALUE",
        error_message: "Invalid spark version 12.2.x-scala2.12",
        termination_code: "INVALID_CLUSTER_REQUEST",
        analysis: "Job cluster asks for spark_version 12.2.x-scala2.12",
        fix: FaultFix::ClusterSettings(
            "Supported runtime for {job}",
            || json!({ "spark_version": "16.4.x-scala2.12" }),
        ),
        lesson: "Review runtimes every quarter",
        minutes_to_fix: (30, 120),
        needs_cluster: true,
        weight: 3,
    },
    &Fault {
        key: "missing_permission",
        code: None,
        wordings: &[
            "Missing table permission: the job's service principal lacks SELECT on a source table",
            "missing table permission: the job's service principal lacks SELECT on a source table",
        ],
        headline: "permission missing on a source table",
        error_class: "INSUFFICIENT_PERMISSIONS",
        error_message: "Insufficient privileges: User does not have permission SELECT on Table '{table}'",
        termination_code: "RUN_EXECUTION_ERROR",
        analysis: "Grants on {table} were replaced by yesterday's deployment",
        fix: FaultFix::Sql("Grant SELECT on {table}", "GRANT SELECT ON TABLE {table} TO `batch-jobs`"),
        lesson: "Keep grants in the bundle",
        minutes_to_fix: (8, 45),
        needs_cluster: false,
        weight: 8,
    },
    &Fault {
        key: "library_conflict",
        code: Some("library_version_conflict"),
        wordings: &[
            "Library version conflict: an unpinned dependency moved to a new major version",
            "Unpinned numpy 2 broke the installation of the task's libraries",
        ],
        headline: "libraries cannot be installed",
        error_class: "DRIVER_LIBRARY_INSTALLATION_FAILURE",
        error_message: "ERROR: Cannot install pandas==1.5.3 and numpy>=2.0 because these package versions have conflicting dependencies",
        termination_code: "LIBRARY_INSTALLATION_ERROR",
        analysis: "Task {task} pins pandas and leaves numpy open; numpy 2 was resolved tonight for the first time",
        fix: FaultFix::TaskSettings(
            "Pinned libraries for {job}",
            || json!({ "libraries": [{ "pypi": { "package": "pandas==2.2.3" } }, { "pypi": { "package": "numpy==1.26.4" } }] }),
        ),
        lesson: "Pin every library of a scheduled job",
        minutes_to_fix: (20, 75),
        needs_cluster: true,
        weight: 7,
    },
    &Fault {
        key: "spot_preemption",
        code: Some("spot_preemption"),
        wordings: &[
            "Spot instances were reclaimed in the middle of the run",
            "All spot workers preempted, shuffle files lost",
        ],
        headline: "spot workers reclaimed",
        error_class: "SPOT_INSTANCE_TERMINATION",
        error_message: "Instances terminated by the cloud provider: spot capacity reclaimed ({n} nodes)",
        termination_code: "CLOUD_FAILURE",
        analysis: "Cluster events: NODES_LOST, {n} nodes within a minute, reason SPOT_INSTANCE_TERMINATION",
        fix: FaultFix::ClusterSettings(
            "On-demand workers for {job}",
            || json!({ "azure_attributes": { "availability": "ON_DEMAND_AZURE", "first_on_demand": 3 } }),
        ),
        lesson: "Jobs with a deadline do not run on spot workers alone",
        minutes_to_fix: (10, 50),
        needs_cluster: true,
        weight: 7,
    },
    &Fault {
        key: "concurrency_limit",
        code: None,
        wordings: &[
            "Run skipped: the limit of concurrent runs was reached",
            "Run skipped:  the limit of concurrent runs was reached",
        ],
        headline: "skipped, previous run still active",
        error_class: "MAX_CONCURRENT_RUNS_REACHED",
        error_message: "The job's maximum number of concurrent runs (1) was reached",
        termination_code: "MAX_CONCURRENT_RUNS_EXCEEDED",
        analysis: "The previous run took {n} minutes longer than the schedule's interval",
        fix: FaultFix::JobSettings("Queue runs of {job}", || json!({ "queue": { "enabled": true } })),
        lesson: "Queue runs that must not be lost",
        minutes_to_fix: (10, 40),
        needs_cluster: false,
        weight: 6,
    },
    &Fault {
        key: "storage_throttled",
        code: None,
        wordings: &["Storage account throttled requests", "storage account throttled requests"],
        headline: "storage throttled",
        error_class: "com.microsoft.azure.storage.StorageException",
        error_message: "Operation failed: \"Server is busy\", 503, PUT, request {n}",
        termination_code: "STORAGE_ACCESS_ERROR",
        analysis: "Storage metrics: throttling for {n} minutes during the nightly backfill",
        fix: FaultFix::Wait,
        lesson: "Spread the nightly starts over the hour",
        minutes_to_fix: (30, 90),
        needs_cluster: false,
        weight: 5,
    },
];

pub struct Practice {
    pub category: &'static str,
    pub name: &'static str,
    pub passed: &'static str,
    pub failed: &'static str,
    pub severity: Severity,
}

const fn practice(
    category: &'static str,
    name: &'static str,
    passed: &'static str,
    failed: &'static str,
    severity: Severity,
) -> Practice {
    Practice { category, name, passed, failed, severity }
}

pub const PRACTICES: [Practice; 9] = [
    practice("Security", "Unity Catalog enabled", "Metastore attached", "No metastore attached", Severity::High),
    practice(
        "Security",
        "Encryption at rest with customer keys",
        "Customer-managed key on the root storage",
        "No customer-managed key on the root storage",
        Severity::High,
    ),
    practice(
        "Security",
        "Secrets in scopes",
        "No plain-text secrets found",
        "A cluster's environment holds a plain-text password",
        Severity::High,
    ),
    practice("Reliability", "Job retry policy", "All tasks retry", "Tasks with max_retries 0", Severity::Medium),
    practice("Reliability", "Job timeout", "All jobs have a timeout", "Jobs without a timeout", Severity::Medium),
    practice("Performance", "Photon", "On where supported", "Off on two SQL-heavy jobs", Severity::Low),
    practice(
        "Operational Excellence",
        "Monitoring",
        "Health rules on all jobs",
        "Jobs without health rules",
        Severity::Medium,
    ),
    practice(
        "Cost Optimization",
        "Auto-termination",
        "All clusters",
        "An idle cluster without auto-termination",
        Severity::Low,
    ),
    practice("Unity Catalog", "Lineage", "Captured for all catalogs", "No lineage for a legacy catalog", Severity::Low),
];

/// A review of a whole workspace.
pub struct WorkspaceReview {
    pub key: &'static str,
    pub title: &'static str,
    pub kind: IncidentType,
    pub status: Status,
    pub workspace: usize,
    pub days_ago: i64,
    /// One status for each of [`PRACTICES`]; empty if the review has another topic.
    pub checks: &'static [CheckStatus],
    pub discovered: &'static str,
    /// Cause and code.
    pub cause: Option<(&'static str, &'static str)>,
}

const P: CheckStatus = CheckStatus::Pass;
const F: CheckStatus = CheckStatus::Fail;
const U: CheckStatus = CheckStatus::Partial;

const fn validation(
    workspace: usize,
    days_ago: i64,
    kind: IncidentType,
    status: Status,
    checks: &'static [CheckStatus; 9],
) -> WorkspaceReview {
    WorkspaceReview {
        key: "validation",
        title: "Best-practice validation of the workspace",
        kind,
        status,
        workspace,
        days_ago,
        checks,
        discovered: "Read jobs, clusters, warehouses and the metastore",
        cause: None,
    }
}

pub const REVIEWS: [WorkspaceReview; 11] = [
    validation(0, 37, IncidentType::ValidationGap, Status::Resolved, &[P, P, P, F, F, P, P, F, P]),
    validation(1, 30, IncidentType::SecurityFinding, Status::Resolved, &[F, F, P, F, P, P, F, P, U]),
    validation(0, 23, IncidentType::ValidationGap, Status::Resolved, &[P, P, P, F, P, F, P, P, P]),
    validation(1, 16, IncidentType::ValidationGap, Status::Resolved, &[P, U, U, U, U, U, F, P, U]),
    validation(0, 9, IncidentType::ValidationGap, Status::Resolved, &[P, P, P, P, P, F, P, P, P]),
    validation(1, 2, IncidentType::ValidationGap, Status::Investigating, &[P, F, P, U, F, P, U, P, P]),
    WorkspaceReview {
        key: "plain_text_secret",
        title: "Plain-text password in a cluster's environment variables",
        kind: IncidentType::SecurityFinding,
        status: Status::Resolved,
        workspace: 1,
        days_ago: 21,
        checks: &[P, P, F],
        discovered: "A shared cluster's environment holds a password instead of a secret reference",
        cause: Some((
            "Plain-text password in a cluster's environment instead of a secret reference",
            "plain_text_secret",
        )),
    },
    WorkspaceReview {
        key: "runtime_end_of_support",
        title: "Three jobs on a runtime that is about to lose support",
        kind: IncidentType::Deprecation,
        status: Status::Resolved,
        workspace: 0,
        days_ago: 33,
        checks: &[],
        discovered: "3 job clusters ask for 12.2 LTS",
        cause: Some(("Runtime 12.2 LTS is close to its end of support", "runtime_end_of_support")),
    },
    WorkspaceReview {
        key: "legacy_dbfs_mounts",
        title: "Jobs still read through DBFS mounts",
        kind: IncidentType::Deprecation,
        status: Status::Investigating,
        workspace: 1,
        days_ago: 4,
        checks: &[],
        discovered: "5 notebooks read from /mnt",
        cause: Some(("DBFS mounts are deprecated; volumes replace them", "legacy_dbfs_mounts")),
    },
    WorkspaceReview {
        key: "retention_below_policy",
        title: "Retention of a finance table is below policy",
        kind: IncidentType::Compliance,
        status: Status::Resolved,
        workspace: 0,
        days_ago: 18,
        checks: &[],
        discovered: "prod.finance.ledger keeps 7 days of deleted files; the policy asks for 30",
        cause: Some(("Table retention is shorter than the policy asks for", "retention_below_policy")),
    },
    WorkspaceReview {
        key: "public_network_access",
        title: "Workspace reachable from the public internet",
        kind: IncidentType::SecurityFinding,
        status: Status::Escalated,
        workspace: 1,
        days_ago: 1,
        checks: &[],
        discovered: "IP access lists are disabled",
        cause: Some(("IP access lists are disabled on the workspace", "public_network_access")),
    },
];
